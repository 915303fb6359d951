"""A benchmark's result: one JSON object on the standard output, and in a file where asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from derta.files import as_json, write_json


def report(found: dict[str, Any], path: Path | None) -> None:
    """Print a result; write it as well if a path is given (its folder is made)."""
    print(as_json(found), end="")
    if path is not None:
        write_json(path, found)
