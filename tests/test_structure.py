"""The house rules that a reader relies on: imports point one way, the front door is light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "src/derta"
BOTTOM = {
    "calls",
    "records",
    "errors",
    "code_hash",
    "config",
    "degenerate",
    "files",
    "gguf",
    "keyed_log",
    "model_classes",
    "model_files",
    "models",
    "patterns",
    "progress",
    "provenance",
    "recipes",
    "run_folder",
    "secrecy",
    "statistics",
    "text_files",
    "thoughts",
    "visible",
    "words",
}
# a stage may import stages further right, and the bottom
ORDER = [
    "cli",
    "api",
    "bench",
    "starting",
    "demo",
    "reporting",
    "judging",
    "capability",
    "evaluation",
    "training",
    "methods",
    "guard",
    "judges",
    "results",
    "attacks",  # far right and light: recipes, results and reports ask the attacks for their names and texts
    "probe",
    "engine",
    "encode",
    "data",
]
APART = [  # stages beside each other: what both need lies below
    {"training", "evaluation"},
    {"capability", "evaluation"},
]
HEAVY = {"torch", "transformers", "inspect_ai", "datasets", "matplotlib", "peft", "trl", "accelerate"}


def imports(path, *, top_level=False):
    """Absolute module names imported by a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_level else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def stage_of(module):
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[0] == "derta" else None


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    own = parts[0]
    for module in imports(path):
        other = stage_of(module)
        if other is None or other == own or other in BOTTOM:
            continue
        if own in BOTTOM:
            pytest.fail(f"{path.name} is at the bottom and imports {module}")
        if own in ("__init__", "__main__") or own == "cli":
            continue
        assert other in ORDER, f"{module} has no place in the order"
        assert ORDER.index(own) < ORDER.index(other), f"{own} must not import {other} ({module})"
        assert {own, other} not in APART, f"{own} and {other} never import each other"
        reads = own != "reporting" or other in ("results", "judges", "attacks", "methods")
        assert reads, f"report reads files only; {module}"


def test_no_file_is_called_utils():
    assert not [path for path in FILES if path.stem in {"utils", "util", "helpers", "misc", "common"}]


@pytest.mark.parametrize(
    "command",
    [
        "import derta",
        "import derta.cli",
        "import derta.records, derta.config",
        "import derta.attacks, derta.evaluation.recipe",
    ],
)
def test_the_front_door_loads_nothing_heavy(command):
    code = f"import sys; {command}; print(*sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_nothing_that_can_run_code_is_read():
    forbidden = ("pickle.load", "torch.load(", "yaml.unsafe_load", "eval(", "exec(")
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        for word in forbidden:
            lines = [line for line in text.splitlines() if word in line.replace("model.eval()", "")]
            assert not [line for line in lines if f" {word}" in f" {line.strip()}"], f"{path}: {word}"


def test_models_are_loaded_in_one_place():
    """Trust, safetensors and attention are then decided once. The card's are commands for its reader."""
    allowed = {"models.py", "gguf.py", "training/checkpoints/card.py"}
    found = {
        str(path.relative_to(PACKAGE))
        for path in FILES
        if "from_pretrained(" in path.read_text(encoding="utf-8")
    }
    assert found == allowed
