"""Keys stay in the environment: texts that are written to disk are searched for them first."""

from __future__ import annotations

import os
from typing import Any

from derta.config.targets import is_secret_name

MIN_LENGTH = 8  # characters; shorter values (none, EMPTY) are no secrets, and occur in ordinary texts
REDACTED = "[redacted]"


def secrets() -> list[str]:
    """The environment's keys, the longest first."""
    found = {value for name, value in os.environ.items() if len(value) >= MIN_LENGTH and is_secret_name(name)}
    return sorted(found, key=lambda value: (-len(value), value))


def redact(text: str) -> str:
    """The text without any key."""
    return _without(secrets(), text)


def redacted(value: Any) -> Any:
    """A JSON value whose texts hold no key."""
    found = secrets()
    return _walk(found, value) if found else value


def _walk(found: list[str], value: Any) -> Any:
    if isinstance(value, str):
        return _without(found, value)
    if isinstance(value, dict):
        return {key: _walk(found, entry) for key, entry in value.items()}
    return [_walk(found, entry) for entry in value] if isinstance(value, list) else value


def _without(found: list[str], text: str) -> str:
    for secret in found:
        text = text.replace(secret, REDACTED)
    return text
