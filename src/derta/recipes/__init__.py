"""The recipes that come with derta: to read, and to copy beside your own data."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from derta.errors import DataError


def shipped_recipes() -> dict[str, str]:
    """What each recipe is for, by its path within the folder (`small_laptop.yaml`, `accelerate/fsdp2_8gpu.yaml`)."""
    return {name: _purpose(file.read_text(encoding="utf-8")) for name, file in _files().items()}


def copy_recipes(to: Path) -> list[Path]:
    """Copy all recipes into a folder, which is made if need be.

    Raises:
        DataError: one of them stands there already with other contents; nothing is copied then.
    """
    texts = {to / name: file.read_text(encoding="utf-8") for name, file in _files().items()}
    changed = [path for path, text in texts.items() if path.exists() and path.read_text("utf-8") != text]
    if changed:
        raise DataError(f"{changed[0]}: stands there already and differs; name another folder with --to")
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(texts)


def _files() -> dict[str, Traversable]:
    folder = files("derta.recipes")
    found = {entry.name: entry for entry in folder.iterdir() if entry.name.endswith(".yaml")}
    found |= {f"accelerate/{entry.name}": entry for entry in folder.joinpath("accelerate").iterdir()}
    return dict(sorted(found.items()))


def _purpose(text: str) -> str:
    """The first sentence of a recipe's head."""
    head = " ".join(line.lstrip("# ") for line in text.split("\n\n")[0].splitlines() if line.startswith("#"))
    return head.split(". ")[0].rstrip(".")
