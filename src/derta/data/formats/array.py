"""One JSON array, element by element, each with the limits of a line: nothing is loaded whole.

The parser is ijson's lowest level. Its ready-made `items` names every level by the path to it, so that 40 KB of
opening brackets take 1 GB; and it waits for the end of a text, however long.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from derta.records import MAX_DEPTH, MAX_LINE_BYTES

TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels"
_MARKS = 8  # bytes that a value without a text counts for
_BUFFER = 1 << 16


class Bytes(Protocol):
    """Whatever gives bytes."""

    def read(self, size: int = -1, /) -> bytes:
        """The next ones."""


class Oversized(ValueError):
    """One text of an array is longer than any element may be: where it ends can't be known without reading on."""


class Refused(str):
    """Why an element was passed over."""


class _Metered:
    """A file that is read no further than `most` bytes beyond the last thing the parser understood."""

    def __init__(self, handle: Bytes, most: int) -> None:
        self._handle = handle
        self._most = most
        self.ahead = 0

    def read(self, size: int = -1) -> bytes:
        """The next bytes.

        Raises:
            Oversized: nothing was understood in too many of them.
        """
        chunk = self._handle.read(size)
        self.ahead += len(chunk)
        if self.ahead > self._most + 2 * _BUFFER:
            raise Oversized(_too_long(self._most))
        return chunk


def array_elements(handle: Bytes, *, max_bytes: int = MAX_LINE_BYTES) -> Iterator[Any]:
    """The elements of the array in `handle`, in order; `Refused` in the place of one beyond the limits.

    max_bytes: of one element.

    Raises:
        ijson.JSONError, ValueError, UnicodeDecodeError: what comes next is no JSON; there is nothing after it.
    """
    import ijson  # type: ignore[import-untyped]

    metered = _Metered(handle, max_bytes)
    element = _Element(max_bytes)
    for event, value in ijson.basic_parse(metered, use_float=True, buf_size=_BUFFER):
        metered.ahead = 0
        if element.take(event, value):
            yield element.finished()


class _Element:
    """The element that is being put together from the parser's events."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._depth = 0  # of the place where the next event stands; the array itself is level 1
        self._stack: list[Any] = []  # open objects and arrays, the outermost first
        self._keys: list[str] = []  # of the open objects: the name that the next value gets
        self._size = 0
        self._whole: Any = None
        self._reason: Refused | None = None

    def take(self, event: str, value: Any) -> bool:
        """Add what the parser read; whether the element is now whole."""
        if event in ("start_map", "start_array"):
            self._depth += 1
            if self._depth > 1:
                self._open({} if event == "start_map" else [])
            return False
        if event in ("end_map", "end_array"):
            self._depth -= 1
            return self._depth > 0 and self._close()
        self._size += len(value) if isinstance(value, str) else _MARKS
        if self._size > self._most:
            self._refuse(_too_long(self._most))
        if event == "map_key":
            if self._reason is None:
                self._keys[-1] = value
            return False
        self._add(value)
        return self._depth == 1

    def finished(self) -> Any:
        """The whole element, and room for the next one."""
        found = self._whole if self._reason is None else self._reason
        self._stack.clear()
        self._keys.clear()
        self._size, self._whole, self._reason = 0, None, None
        return found

    def _open(self, container: Any) -> None:
        self._size += _MARKS
        if self._depth - 1 > MAX_DEPTH:
            self._refuse(TOO_DEEP)
        elif self._size > self._most:
            self._refuse(_too_long(self._most))
        if self._reason is None:
            self._add(container)
            self._stack.append(container)
            self._keys.append("")

    def _close(self) -> bool:
        if self._reason is None:
            self._stack.pop()
            self._keys.pop()
        return self._depth == 1

    def _add(self, value: Any) -> None:
        if self._reason is not None:
            return
        if not self._stack:
            self._whole = value
        elif isinstance(self._stack[-1], dict):
            self._stack[-1][self._keys[-1]] = value
        else:
            self._stack[-1].append(value)

    def _refuse(self, reason: str) -> None:
        """Keep nothing of the element but the first reason."""
        if self._reason is None:
            self._stack.clear()
            self._keys.clear()
            self._whole, self._reason = None, Refused(reason)


def _too_long(most: int) -> str:
    return f"element of more than {most:,} bytes; no longer one is read"
