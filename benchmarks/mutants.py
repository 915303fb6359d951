"""Planted defects: small changes of the core files, each met by the tests that answer for its file.

    python -m benchmarks.mutants --n 150 [--seed 0] [--only encode/row.py ...] [--json FILE]

Prints one JSON object with the share that was caught, and each survivor as a diff to read: some change nothing that
a caller can see (an equivalent mutant), the others want a test. For the night: not in CI. Exit code 0 whatever the
score.

A mutant runs in a process of its own, forked after the libraries are loaded, on a copy of the package; the first
failing test ends it. A file whose tests fail before any change is refused.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import importlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
# file of src/derta -> the tests that answer for it; quick ones
CORE: dict[str, str] = {
    "encode/row.py": "tests/encode/test_row.py tests/encode/test_golden.py tests/encode/test_row_set.py",
    "encode/units.py": "tests/encode/test_fitting.py tests/encode/test_golden.py tests/encode/test_row_set.py",
    "encode/sampling.py": "tests/encode/test_sampling.py tests/encode/test_golden.py",
    "encode/fitting.py": "tests/encode/test_fitting.py tests/encode/test_row_set.py",
    "encode/harmful_text.py": "tests/encode/test_harmful_text.py",
    "training/loss.py": "tests/training/test_loss.py",
    "training/collate.py": "tests/training/test_plan.py tests/training/test_row_attention.py "
    "tests/training/test_loss.py",
    "training/plan.py": "tests/training/test_plan.py",
    "training/labels.py": "tests/training/test_label_export.py tests/encode/test_show.py",
    "training/attention/mask.py": "tests/training/test_attention.py tests/training/test_row_attention.py",
    "training/attention/self_check.py": "tests/training/test_row_attention.py tests/training/test_attention.py "
    "tests/training/test_model.py",
    "training/checkpoints/checkpoint.py": "tests/faults/test_checkpoints.py "
    "tests/training/test_run.py::test_a_damaged_checkpoint_is_told_and_the_one_before_is_taken "
    "tests/training/test_run.py::test_micro_batch_size_may_change_on_resume",
    "statistics.py": "tests/test_statistics.py",
    "keyed_log.py": "tests/test_files.py tests/judging/test_judge_files.py tests/evaluation/test_store.py",
    "files.py": "tests/test_files.py tests/faults/test_disk.py tests/evaluation/test_store.py",
    "results/cell.py": "tests/results/test_cells.py",
    "results/cells.py": "tests/results/test_cells.py tests/reporting/test_differences.py "
    "tests/reporting/test_categories.py",
    "data/clean/leakage.py": "tests/data/test_split.py tests/data/test_duplicates.py tests/data/test_build.py",
    "config/strict.py": "tests/test_config.py "
    "tests/trust/test_canary.py::test_a_key_in_a_recipe_is_refused_and_not_repeated",
    "config/yaml_file.py": "tests/test_config.py",
    "judges/thoughts.py": "tests/judges/test_thoughts.py",
}
LIBRARIES = ("pytest", "torch", "transformers", "safetensors.torch", "pydantic", "rich", "hypothesis")
SECONDS = 240  # a mutant that needs longer hangs, which is noticed

COMPARE = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
ARITHMETIC = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}


def mutations(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(index of a node in the walk, what is done to it) for every change there is to make."""
    annotations = {id(child) for node in ast.walk(tree) for child in _annotation_of(node)}
    for index, node in enumerate(ast.walk(tree)):
        if id(node) in annotations:
            continue
        match node:
            case ast.Compare(ops=[op]) if type(op) in COMPARE:
                yield index, "compare"
            case ast.BinOp(op=op) if type(op) in ARITHMETIC:
                yield index, "arithmetic"
            case ast.BoolOp():
                yield index, "and_or"
            case ast.UnaryOp(op=ast.Not()):
                yield index, "not"
            case ast.Constant(value=bool() | int() | float()):
                yield index, "constant"
            case ast.Raise() | ast.Expr(value=ast.Call()):
                yield index, "dropped"
            case ast.Break() | ast.Continue():
                yield index, "loop"


def mutate(source: str, index: int, kind: str) -> str:
    """The source with one node changed."""
    tree = ast.parse(source)
    node = list(ast.walk(tree))[index]
    match node:
        case ast.Compare():
            node.ops = [COMPARE[type(node.ops[0])]()]
        case ast.BinOp():
            node.op = ARITHMETIC[type(node.op)]()
        case ast.BoolOp():
            node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        case ast.UnaryOp():
            node.op, node.operand = ast.Not(), ast.UnaryOp(ast.Not(), node.operand)
        case ast.Constant(value=bool()):
            node.value = not node.value
        case ast.Constant():
            node.value = node.value + 1 if isinstance(node.value, int) else 2 * node.value + 1
        case _:
            tree = _Replaced(node, kind).visit(tree)
    return ast.unparse(ast.fix_missing_locations(tree))


class _Replaced(ast.NodeTransformer):
    """A statement dropped, or break and continue exchanged."""

    def __init__(self, node: ast.AST, kind: str) -> None:
        self.node, self.kind = node, kind

    def visit(self, node: ast.AST) -> ast.AST:
        if node is not self.node:
            return self.generic_visit(node)
        if self.kind == "loop":
            return ast.Continue() if isinstance(node, ast.Break) else ast.Break()
        return ast.Pass()


def _annotation_of(node: ast.AST) -> Iterator[ast.AST]:
    held = [getattr(node, name, None) for name in ("annotation", "returns")]
    held += getattr(node, "decorator_list", [])  # frozen or not: no value changes
    for each in held:
        if each is not None:
            yield from ast.walk(each)


def drawn(n: int, only: list[str], rng: random.Random) -> list[tuple[str, int, str]]:
    """n changes without repetition, files by turns, so that a long file doesn't take them all."""
    pools = {}
    for name in only:
        found = list(mutations(ast.parse((ROOT / "src/derta" / name).read_text(encoding="utf-8"))))
        rng.shuffle(found)
        pools[name] = found
    chosen: list[tuple[str, int, str]] = []
    while len(chosen) < n and any(pools.values()):
        for name in only:
            if pools[name] and len(chosen) < n:
                chosen.append((name, *pools[name].pop()))
    return chosen


def passes(copied: Path, tests: str) -> bool:
    """Whether the tests pass on the copied package; a process of its own, stopped after SECONDS."""
    child = os.fork()
    if child == 0:
        _run_tests(copied, tests)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def _run_tests(copied: Path, tests: str) -> None:
    import pytest

    os.setsid()  # what a test starts ends with it
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    os.environ["PYTHONPATH"] = str(copied)
    sys.path.insert(0, str(copied))
    sys.dont_write_bytecode = True
    os.chdir(ROOT)
    os._exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests.split()])))


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", default=list(CORE), choices=list(CORE), metavar="FILE")
    parser.add_argument(
        "--json", type=Path, help="file for the result, such as benchmarks/results/mutants.json"
    )
    given = parser.parse_args()
    for name in LIBRARIES:
        importlib.import_module(name)
    assert "derta" not in sys.modules, "the children must load the copy"
    with tempfile.TemporaryDirectory(prefix="mutants_") as folder:
        copied = Path(folder)
        shutil.copytree(ROOT / "src/derta", copied / "derta", ignore=shutil.ignore_patterns("__pycache__"))
        result = run(drawn(given.n, given.only, random.Random(given.seed)), copied)
    from benchmarks.report import report  # it loads derta, which the children must not find loaded

    report(result | {"seed": given.seed}, given.json)


def run(chosen: list[tuple[str, int, str]], copied: Path) -> dict[str, object]:
    """Try each change; the score and the survivors."""
    for name in dict.fromkeys(name for name, *_ in chosen):
        if not passes(copied, CORE[name]):
            sys.exit(f"{name}: its tests fail before any change: {CORE[name]}")
    survivors = []
    for number, (name, index, kind) in enumerate(chosen, 1):
        path = copied / "derta" / name
        source = path.read_text(encoding="utf-8")
        plain, changed = ast.unparse(ast.parse(source)), mutate(source, index, kind)
        path.write_text(changed, encoding="utf-8")
        survived = passes(copied, CORE[name])
        path.write_text(source, encoding="utf-8")
        diff = list(difflib.unified_diff(plain.split("\n"), changed.split("\n"), n=0))[3:]
        if survived:
            survivors.append({"file": name, "change": diff})
        print(
            f"{number}/{len(chosen)} {'SURVIVED' if survived else 'caught'} {name} {diff}",
            file=sys.stderr,
            flush=True,
        )
    caught = len(chosen) - len(survivors)
    return {
        "n": len(chosen),
        "caught": caught,
        "share": round(caught / len(chosen), 4),
        "survivors": survivors,
    }


if __name__ == "__main__":
    main()
