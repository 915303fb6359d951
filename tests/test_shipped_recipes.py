"""`derta recipes`: what ships with the package is listed, copied, and never written over anything."""

import pytest

from derta.errors import DataError
from derta.recipes import copy_recipes, shipped_recipes


def test_every_recipe_is_listed_with_its_purpose():
    found = shipped_recipes()
    assert {"small_laptop.yaml", "redteam.yaml", "demo.yaml", "accelerate/fsdp2_8gpu.yaml"} <= set(found)
    assert found["accelerate/one_gpu.yaml"] == "One GPU"
    assert all(purpose and "\n" not in purpose for purpose in found.values())


def test_copies_are_the_shipped_texts_and_a_second_copy_changes_nothing(tmp_path):
    paths = copy_recipes(tmp_path / "mine")
    assert {str(path.relative_to(tmp_path / "mine")) for path in paths} == set(shipped_recipes())
    assert (tmp_path / "mine/small_laptop.yaml").read_text().startswith("# A small instruct model")
    assert copy_recipes(tmp_path / "mine") == paths


def test_a_changed_recipe_is_not_written_over_and_nothing_else_is_copied(tmp_path):
    (tmp_path / "redteam.yaml").write_text("mine: 1\n")
    with pytest.raises(DataError, match=r"redteam\.yaml: stands there already and differs"):
        copy_recipes(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["redteam.yaml"]
    assert (tmp_path / "redteam.yaml").read_text() == "mine: 1\n"
