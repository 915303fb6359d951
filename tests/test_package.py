"""The package as others install it: a wheel, unpacked outside the checkout, used from an empty folder."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PYTHON_BLOCKS = re.findall(
    r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL
)

# what a user writes; a type checker that is strict must have nothing to say about it
USERS_FILE = """
import asyncio
from pathlib import Path

import derta

triple = derta.Triple(id="t", harmful_query="q", safe_response="Sorry, no.", harmful_response="1. Salt.")
judgement: derta.Judgement = derta.judge("span", "How is wax made?", "Sorry, I can't help.")
verdict: str = judgement.verdict
many: list[derta.Judgement] = derta.judge_many("span", [("q", "r")])
one: derta.Judgement = asyncio.run(derta.ajudge("span", "q", "r"))


def red_team(folder: Path) -> list[str]:
    run = derta.evaluate({"run_dir": str(folder)})
    return [f"{cell.attack}: {cell.value} (n {cell.n})" for cell in run.cells if cell.metric == "asr"]


def tuned(recipe: str) -> Path:
    return derta.train(recipe)
"""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """Folder with what the wheel holds; its dependencies are those of the environment that runs the tests."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, source)
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    pip = [sys.executable, "-m", "pip", "--quiet", "--no-input"]
    options = ["--no-deps", "--no-index"]
    made = [*pip, "wheel", *options, "--no-build-isolation", "--wheel-dir", str(folder), str(source)]
    subprocess.run(made, check=True)
    [wheel] = folder.glob("derta-*.whl")
    target = folder / "site"
    subprocess.run([*pip, "install", *options, "--target", str(target), str(wheel)], check=True)
    return target


def run_in_an_empty_folder(unpacked, folder, *arguments, **variables):
    """Run Python there; only the wheel's own folder stands before the installed libraries."""
    environment = os.environ | {"PYTHONPATH": str(unpacked)} | variables
    return subprocess.run(
        [sys.executable, "-P", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_is_the_wheel_that_is_tried(unpacked, tmp_path):
    done = run_in_an_empty_folder(unpacked, tmp_path, "-c", "import derta; print(derta.__file__)")
    assert Path(done.stdout.strip()).is_relative_to(unpacked)


@pytest.mark.parametrize("verb", ["demo", "train"])
def test_every_verb_opens(unpacked, tmp_path, verb):
    done = run_in_an_empty_folder(unpacked, tmp_path, "-m", "derta", verb, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"derta {verb}" in done.stdout


def test_all_that_is_no_python_came_along(unpacked):
    here = ROOT / "src/derta"
    files = [path for path in here.rglob("*") if path.is_file() and path.suffix not in {".py", ".pyc"}]
    assert {path.suffix for path in files} >= {".yaml", ".jinja", ".css"}
    assert not [str(path) for path in files if not (unpacked / "derta" / path.relative_to(here)).is_file()]


def test_the_demo_reads_its_own_recipe_there(unpacked, tmp_path):
    done = run_in_an_empty_folder(unpacked, tmp_path, "-m", "derta", "demo", "--set", "difficultty=easy")
    assert done.returncode == 1
    assert "did you mean `difficulty`" in done.stderr
    assert not list(tmp_path.iterdir())


def test_its_recipes_are_copied_out(unpacked, tmp_path):
    done = run_in_an_empty_folder(unpacked, tmp_path, "-m", "derta", "recipes", "--to", "mine")
    assert done.returncode == 0, done.stderr
    shipped = {path.name for path in (ROOT / "recipes").glob("*.yaml")}
    assert {path.name for path in (tmp_path / "mine").glob("*.yaml")} == shipped


@pytest.mark.parametrize("block", PYTHON_BLOCKS)
def test_the_readmes_python_runs(unpacked, tmp_path, block):
    done = run_in_an_empty_folder(unpacked, tmp_path, "-c", block)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()


# what stands behind our types (torch and its kin) is not read: it costs a strict checker minutes
LIBRARIES = (
    "torch transformers datasets inspect_ai pandas matplotlib peft trl accelerate numpy pydantic rich yaml"
)


def test_a_users_strictly_typed_file_passes_and_a_wrong_one_does_not(unpacked, tmp_path):
    sections = "".join(f"[mypy-{name}.*]\nfollow_imports = skip\n" for name in LIBRARIES.split())
    (tmp_path / "mypy.ini").write_text(f"[mypy]\nstrict = true\nfollow_imports = silent\n{sections}")
    (tmp_path / "mine.py").write_text(USERS_FILE)
    (tmp_path / "wrong.py").write_text("import derta\n\nn: int = derta.judge('span', 'q', 'r').verdict\n")
    files = ("mine.py", "wrong.py")
    done = run_in_an_empty_folder(unpacked, tmp_path, "-m", "mypy", *files, MYPYPATH=str(unpacked))
    [error, summary] = done.stdout.splitlines()
    assert error.startswith("wrong.py:3: error: Incompatible types in assignment")
    assert summary.startswith("Found 1 error in 1 file (checked 2 source files)")
