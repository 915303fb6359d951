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
