"""The values of a JSON text: lines, one array, one value, or values one after another.

What can't be read stands as `Broken` at its place. A key that comes twice in one object is a fault: the readers of
JSON keep the last one, and an answer would vanish.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from derta.data.formats.array import Refused, array_elements
from derta.text_files import NOT_DECODED, Damaged

MAX_DEPTH = 100  # levels of lists and objects in a row; logs of nested agents stay below
MAX_LINE = 64 << 20  # characters of one line: a row with many long samples
MAX_WHOLE = 512 << 20  # characters of a file that is one value; longer ones are read as lines or an array

Open = Callable[[], io.TextIOWrapper]


class Broken(str):
    """Why a place of a file gives no value."""


class Values(NamedTuple):
    """shape: "JSON lines", "JSON array" or "JSON object" (one value, an object or not)."""

    shape: str
    values: list[Any]


def json_values(open_text: Open) -> Values | Broken:
    """All values of a text in order, or why there is none at all."""
    with open_text() as stream:
        head = _head(stream)
    begin = head.lstrip("\ufeff \t\r\n")
    first, _, rest = begin.partition("\n")
    if begin.startswith("{") and rest.strip() and _parsed(first)[1] is None:
        return Values("JSON lines", list(_lines(open_text)))
    try:
        with open_text() as stream:
            text = stream.read(MAX_WHOLE + 1)
    except Damaged as error:
        return _salvaged(open_text, begin, Broken(error))
    if len(text) > MAX_WHOLE:
        return _salvaged(open_text, begin, Broken(f"one value of more than {MAX_WHOLE:,} characters"))
    return _whole(text.lstrip("\ufeff"), open_text)


def parse(text: str) -> Any:
    """The value of a JSON text, or `Broken`."""
    value, reason = _parsed(text)
    return value if reason is None else reason


def too_deep(value: Any) -> bool:
    """Whether lists and objects stand more than MAX_DEPTH deep in each other."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return False
    return True


def _head(stream: io.TextIOWrapper) -> str:
    """The first line with something on it and the beginning of what follows."""
    try:
        while True:
            line = stream.readline(MAX_LINE)
            if not line or line.strip("\ufeff \t\r\n"):
                return line + stream.read(4096)
    except Damaged:
        return ""


def _whole(text: str, open_text: Open) -> Values | Broken:
    value, reason = _parsed(text)
    if reason is None:
        return Values("JSON array", value) if isinstance(value, list) else Values("JSON object", [value])
    if text.lstrip().startswith("[") and "Extra data" not in reason:
        return _salvaged(open_text, text.lstrip(), reason)
    in_lines = list(_lines(open_text))
    if any(isinstance(item, dict) and item for item in in_lines) or (
        len(in_lines) > 1 and sum(not isinstance(item, Broken) for item in in_lines) > len(in_lines) / 2
    ):
        return Values("JSON lines", in_lines)
    in_a_row = list(_one_after_another(text))
    if any(not isinstance(item, Broken) for item in in_a_row):
        return Values("JSON lines", in_a_row)
    return _salvaged(open_text, text.lstrip(), reason)


def _salvaged(open_text: Open, begin: str, reason: Broken) -> Values | Broken:
    """What a cut or overlong text holds: an array's elements up to the fault, or lines."""
    if begin.startswith("["):
        elements = list(_elements(open_text))
        if any(not isinstance(item, Broken) for item in elements):
            return Values("JSON array", elements)
    in_lines = list(_lines(open_text))
    if any(isinstance(item, dict) and item for item in in_lines):
        return Values("JSON lines", in_lines)
    return reason


def _lines(open_text: Open) -> Iterator[Any]:
    try:
        with open_text() as stream:
            while line := _line(stream):
                # not splitlines: JSON strings may hold other line separators
                if line.strip("\ufeff \t\r\n"):
                    yield (
                        Broken(f"a line of more than {MAX_LINE:,} characters")
                        if len(line) > MAX_LINE
                        else parse(line.lstrip("\ufeff"))
                    )
    except Damaged as error:
        yield Broken(error)


def _line(stream: io.TextIOWrapper) -> str:
    line = stream.readline(MAX_LINE + 1)
    if len(line) > MAX_LINE:
        while (more := stream.readline(MAX_LINE)) and not more.endswith("\n"):
            pass
    return line


def _one_after_another(text: str) -> Iterator[Any]:
    """Values over several lines each, with nothing but white space between (as jq writes them)."""
    decoder = json.JSONDecoder(object_pairs_hook=_once)
    place = 0
    while place < len(text):
        found = re.compile(r"\s*").match(text, place)
        place = found.end() if found else place
        if place == len(text):
            return
        try:
            value, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            yield Broken(f"no JSON from here to the end: {str(error)[:120]}")
            return
        yield _fit(value)


def _elements(open_text: Open) -> Iterator[Any]:
    """Elements of one JSON array up to where it is cut."""
    import ijson  # type: ignore[import-untyped]

    try:
        with open_text() as stream:
            for value in array_elements(_Encoded(stream), max_bytes=MAX_LINE):
                yield Broken(value) if isinstance(value, Refused) else value
    except Damaged as error:
        yield Broken(error)
    except (ijson.JSONError, ValueError, RecursionError, OverflowError) as error:
        yield Broken(f"no JSON from here to the end: {' '.join(str(error).split())[:120]}")


class _Encoded:
    """A text stream as the UTF-8 bytes that ijson reads."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        return self._stream.read(size).lstrip("\ufeff").encode("utf-8", "surrogateescape")


def _parsed(text: str) -> tuple[Any, Broken | None]:
    if NOT_DECODED.search(text):
        place = NOT_DECODED.search(text)
        return None, Broken(f"not UTF-8 at character {place.start() + 1 if place else 1}")
    try:
        value = json.loads(text, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        return None, Broken(f"no JSON: {error.msg} at line {error.lineno}, column {error.colno}")
    except RecursionError:
        return None, Broken("no JSON: nested too deeply")
    except ValueError as error:  # a key that comes twice, an integer of thousands of digits
        return None, Broken(f"no JSON: {str(error)[:120]}")
    fit = _fit(value)
    return (None, fit) if isinstance(fit, Broken) else (fit, None)


def _fit(value: Any) -> Any:
    return Broken(f"nested more than {MAX_DEPTH} levels deep") if too_deep(value) else value


def _once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:60]!r} comes twice in one object")
        found[key] = value
    return found
