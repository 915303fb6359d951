"""Token ids as text, "12 5 99": in logs and stores a list of numbers is slow to copy and long to read."""

from __future__ import annotations

from collections.abc import Iterable


def ids_text(ids: Iterable[int]) -> str:
    """Ids separated by spaces."""
    return " ".join(map(str, ids))


def ids_of(text: str) -> list[int]:
    """The ids in such a text."""
    return [int(number) for number in text.split()]
