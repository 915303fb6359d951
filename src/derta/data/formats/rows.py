"""What every reader of sources gives and takes: a row at its place, or why there is none; a file, packed or not."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, NamedTuple

from derta.text_files import unpacked


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A place in a file that gives no row."""

    reason: str


class RawRow(NamedTuple):
    """One row before its schema is looked at; `value` may still be a line's bytes (parsed by the workers)."""

    file: str
    line: int
    value: Any


@dataclass(frozen=True)
class DataFile:
    """A file of rows. name: its path, in an archive `archive!member`; opened: its raw bytes, which can seek.

    split: asked for by the recipe, for files that hold several.
    """

    name: str
    opened: Callable[[], IO[bytes]]
    split: str = "train"

    def stream(self) -> io.BufferedReader:
        """Its bytes from the start, unpacked."""
        return unpacked(self.opened())

    def row(self, line: int, value: Any) -> RawRow:
        """A row of this file."""
        return RawRow(self.name, line, value)

    def fault(self, line: int, reason: str) -> RawRow:
        """A place of this file that gives no row."""
        return RawRow(self.name, line, Unreadable(reason))
