"""What changes numbers stops a resume; what doesn't, doesn't."""

import shutil

import pytest

import derta.code_hash as code_hash_module
from derta.code_hash import changed_files, code_files, code_hash
from derta.config import check_recipe
from derta.errors import RunError
from derta.files import write_json
from derta.training.checkpoints.fingerprint import check_same_run, fingerprint
from derta.training.recipe import TrainRecipe
from training_world import make_world, settings


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package's sources, read instead of the real ones."""
    copy = tmp_path / "package"
    shutil.copytree(code_hash_module.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code_hash_module, "PACKAGE", copy)
    return copy


@pytest.fixture
def run(package, tmp_path, tiny_tokenizer):
    """A run that has begun; a function that tells what stops its resume."""
    world = make_world(tmp_path, tiny_tokenizer)

    def print_(method):
        return fingerprint(check_recipe(settings(world, method=method), TrainRecipe, "test"))

    write_json(world / "run/run.json", print_("derta"))

    def resume(method="derta"):
        check_same_run(world / "run", print_(method))

    return resume


def replace(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


SAME = {
    "a comment": ("training/loss.py", '"""', '# a comment\n"""'),
    "a docstring": ("encode/row.py", '"""', '"""Other words: '),
    "layout": (
        "training/plan.py",
        "from __future__ import annotations",
        "\n\nfrom __future__ import annotations",
    ),
    "an error's text": ("training/plan.py", "no row to train on", "nothing to train on"),
    "what is printed": ("training/run.py", "already trained", "trained before"),
    "the progress bar": ("training/watch/progress.py", "import annotations", "import annotations\nWIDTH = 3"),
    "the card": ("training/checkpoints/card.py", "import annotations", "import annotations\nWIDTH = 3"),
    "the dry run": ("training/cost/dry_run.py", "import annotations", "import annotations\nWIDTH = 3"),
    "the export": ("training/checkpoints/export.py", "import annotations", "import annotations\nWIDTH = 3"),
    "the attacks": ("attacks/direct.py", "import annotations", "import annotations\nWIDTH = 3"),
}
OTHER = {
    "a constant": ("encode/row.py", "import annotations", "import annotations\nWIDTH = 3"),
    "a sign": ("training/loss.py", " + ", " - "),
    "what the sampler draws": ("encode/sampling.py", "import annotations", "import annotations\nWIDTH = 3"),
    "a module that is imported by another": (
        "models.py",
        "import annotations",
        "import annotations\nWIDTH = 3",
    ),
    "the kind of an error": ("training/plan.py", "raise RunError(", "raise ValueError("),
}


@pytest.mark.parametrize("change", SAME)
def test_a_run_goes_on_after(run, package, change):
    path, old, new = SAME[change]
    replace(package / path, old, new)
    run()


@pytest.mark.parametrize("change", OTHER)
def test_a_run_stops_after(run, package, change):
    path, old, new = OTHER[change]
    replace(package / path, old, new)
    with pytest.raises(RunError) as error:
        run()
    [_, said] = str(error.value).splitlines()
    assert said == f"  code: {path} changed; go on with the version that began the run"


def test_a_run_of_a_derta_that_kept_one_hash_is_told_in_one_line(run, tmp_path):
    [path] = tmp_path.glob("**/run.json")
    write_json(path, {"derta": "0.1.0 0123456789abcdef"})
    with pytest.raises(RunError, match=r"  code: was derta 0\.1\.0 0123456789abcdef, which kept no hash"):
        run()


def test_training_on_pairs_is_compared_where_the_method_does(package):
    without = ["derta.training.pairs"]
    assert "training/pairs.py" not in code_files("derta.training.run", without=without)
    assert "training/pairs.py" in code_files("derta.training.run")
    assert code_hash("derta.training.run", without=without) != code_hash("derta.training.run")


def test_the_same_tree_has_the_same_hash_and_an_empty_body_too(tmp_path, monkeypatch):
    monkeypatch.setattr(code_hash_module, "PACKAGE", tmp_path)
    module = tmp_path / "a.py"

    def hash_of(text):
        module.write_text(text)
        return code_hash("derta.a")

    plain = hash_of("def f(x):\n    return (1 + x)\n")
    assert hash_of("def f(x) :\n    'What it does.'\n    return 1 + x  # why\n") == plain
    assert hash_of("if TYPE_CHECKING:\n    import b\ndef f(x):\n    return 1 + x") == plain
    assert hash_of("def f(x):\n    return 1 + x\n    print('no')\n    console.print('no')") == plain
    assert hash_of("def f(x):\n    return 1.0 + x\n") != plain
    assert hash_of("def f(x):\n    return None\n") != hash_of("def f(x):\n    return []\n")
    assert hash_of("class A:\n    'doc'\n") == hash_of("class A:\n    'other'\n")


def test_changed_files_are_named():
    before = {"a.py": "1", "b.py": "1", "c.py": "1", "d.py": "1", "e.py": "1"}
    assert changed_files(before, before) == ""
    assert changed_files(before, before | {"b.py": "2"}) == "b.py"
    assert changed_files(before, {"b.py": "1", "f.py": "1"}) == "a.py, c.py, d.py and 2 more"
