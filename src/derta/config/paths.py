"""Paths in recipes and options: `~` is expanded, and none holds a control character."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def at_home(value: Any) -> Any:
    """A path, or a text that is one or a hub id, with `~` expanded; other values as they are.

    Raises:
        ValueError: it holds a control character, or names a user whose home folder is not known.
    """
    if not isinstance(value, str | Path):
        return value
    if _CONTROL.search(str(value)):
        raise ValueError(f"found {str(value)!r}; a path must hold no control characters")
    try:
        path = Path(value).expanduser() if str(value).startswith("~") else value
    except RuntimeError:
        raise ValueError(f"found {str(value)!r}; there is no such home folder") from None
    return str(path) if isinstance(value, str) else path


def judge_at_home(settings: dict[str, Any]) -> dict[str, Any]:
    """A judge's settings with `~/` expanded in every text that begins with it."""
    return {name: _at_home_within(value) for name, value in settings.items()}


def _at_home_within(value: Any) -> Any:
    """The same in the judges of a vote."""
    if isinstance(value, list):
        return [judge_at_home(entry) if isinstance(entry, dict) else entry for entry in value]
    return at_home(value) if isinstance(value, str) and value.startswith("~/") else value


PathOrId = Annotated[str, AfterValidator(at_home)]
"""A local path or a hub id."""
