"""`--dry-run` tells what a build would read and keep, and writes nothing."""

import json

import pytest
from typer.testing import CliRunner

from derta.data.check import check_files
from derta.data.commands import app
from derta.data.preview import preview
from derta.data.recipe import DataRecipe
from derta.errors import RunError

from .guild_rows import triples, write


def recipe(folder, rows):
    write(folder / "t.jsonl", rows)
    source = {"name": "guild", "format": "records", "path": str(folder / "t.jsonl")}
    return {"out": str(folder / "out"), "num_processes": 1, "sources": [source]}


def test_a_dry_run_names_files_and_outcomes_and_writes_nothing(tmp_path):
    (tmp_path / "r.yaml").write_text(json.dumps(recipe(tmp_path, [*triples(5), {"harmful_query": "x"}])))
    before = sorted(tmp_path.rglob("*"))
    done = CliRunner().invoke(app, ["build", str(tmp_path / "r.yaml"), "--dry-run"])
    assert done.exit_code == 0
    named, counted = done.output.splitlines()
    assert named == f"guild: {tmp_path / 't.jsonl'}"
    assert counted.startswith("guild: of the first 6 items 5 usable, 1 rejected (1 x ")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_dry_run_that_keeps_nothing_is_an_error_with_its_reasons(tmp_path):
    settings = DataRecipe.model_validate(recipe(tmp_path, [{"prompt": "x"}] * 3))
    with pytest.raises(RunError, match=r"nothing usable \(3 x field `kind`"):
        list(preview(settings))


def test_a_built_folder_without_a_data_file_is_a_problem(tmp_path):
    (tmp_path / "data_card.json").write_text(json.dumps({"files": {}}))
    [problem] = check_files([tmp_path]).problems
    assert "without a data file" in str(problem)
