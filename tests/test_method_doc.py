"""docs/method.md names functions and tests: each of them exists."""

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCS = [ROOT / "docs/method.md", ROOT / "docs/ecosystem.md"]


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_every_named_test_and_function_exists(path):
    text = path.read_text(encoding="utf-8")
    for file, name in re.findall(r"(tests/[\w/]+\.py)(?:::(\w+))?", text):
        source = (ROOT / file).read_text(encoding="utf-8")
        assert not name or f"\ndef {name}(" in source, f"{file}::{name}"
    for dotted in re.findall(r"`(derta\.[\w.]+)`", text):
        module, name = dotted.rsplit(".", 1)
        assert hasattr(importlib.import_module(module), name), dotted


def test_every_claim_says_where_its_number_stands():
    """A file that is there, or that there is none and why."""
    table = (
        DOCS[0].read_text(encoding="utf-8").split("| what | where | held by | number |")[1].split("\n\n")[0]
    )
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in table.splitlines()[2:]]
    assert len(rows) > 12
    for row in rows:
        assert len(row) == 4, row
        number = row[3].strip()
        assert number.startswith("none: ") or (ROOT / number.split(" (")[0]).is_file(), row
