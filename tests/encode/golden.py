"""Compare with a committed file; `DERTA_REGENERATE=1 pytest tests/encode` writes it anew (say why in the commit)."""

import os
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "golden"


def assert_golden(name, text):
    path = FOLDER / name
    if os.environ.get("DERTA_REGENERATE"):
        path.write_text(text, encoding="utf-8", newline="\n")
    assert path.exists(), f"{path} is missing; make it with DERTA_REGENERATE=1"
    assert text == path.read_text(encoding="utf-8"), f"{name} has changed"
