"""Rows of JSON: lines, one array, one value, or values one after another over several lines each."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

from derta.data.formats.array import Refused, array_elements
from derta.data.formats.folders import suffix_of
from derta.data.formats.rows import DataFile, RawRow, Unreadable
from derta.data.formats.shapes import rows_in
from derta.records import MAX_LINE_BYTES
from derta.text_files import utf8_lines

HEAD = 1 << 16  # bytes that are looked at to tell how a file is written
MAX_WHOLE = 256 << 20  # bytes of a file that is one object; Python holds some ten times as much


def parse_line(raw: bytes) -> Any:
    """The line's JSON value, or `Unreadable`."""
    if b"\x00" in raw:
        return Unreadable(f"NUL byte at column {raw.index(0) + 1}")
    try:
        return json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        return Unreadable(f"not UTF-8 at byte {error.start + 1}")
    except json.JSONDecodeError as error:
        return Unreadable(f"invalid JSON at column {error.colno}: {error.msg}")
    except RecursionError:
        return Unreadable("invalid JSON: nested too deeply")
    except ValueError as error:  # an integer of thousands of digits
        return Unreadable(f"invalid JSON: {error}")


def json_rows(file: DataFile) -> Iterator[RawRow]:
    """The rows of a JSON file. A value that is one line of many stays bytes."""
    with utf8_lines(file.stream()) as handle:
        head = _head(handle)
    begin = head.lstrip()
    first, _, rest = begin.partition(b"\n")
    is_whole = suffix_of(file.name) == ".json"
    if begin.startswith(b"[") and (is_whole or _goes_on(first)):
        return _array_rows(file)
    if begin.startswith(b"{") and (_goes_on(first) or (is_whole and not rest.strip())):
        return _whole_rows(file)
    return _line_rows(file)


def _head(handle: io.BufferedReader) -> bytes:
    """The beginning, behind blank lines."""
    head = handle.read(HEAD)
    while head and not head.strip():
        head = handle.read(HEAD)
    return head


def _goes_on(first: bytes) -> bool:
    """Whether a first line is the beginning of a value over several lines: it ends where a value would follow."""
    line = first.rstrip()
    return len(line) < HEAD - 1 and line.endswith((b"{", b"[", b",", b":")) and not _is_value(line)


def _is_value(line: bytes) -> bool:
    return not isinstance(parse_line(line), Unreadable)


def _line_rows(file: DataFile) -> Iterator[RawRow]:
    with utf8_lines(file.stream()) as handle:
        number = 0
        while raw := handle.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(raw) > MAX_LINE_BYTES:
                length = len(raw)
                while not raw.endswith(b"\n") and (raw := handle.readline(MAX_LINE_BYTES)):
                    length += len(raw)
                yield file.fault(number, f"line of {length:,} bytes; at most {MAX_LINE_BYTES:,} are read")
            elif raw.strip():
                yield file.row(number, raw)


def _array_rows(file: DataFile) -> Iterator[RawRow]:
    """Elements of one JSON array; `line` is the element's number. A fault ends the file: the rest has no seam."""
    import ijson  # type: ignore[import-untyped]

    with utf8_lines(file.stream()) as handle:
        number = 0
        try:
            for value in array_elements(handle):
                number += 1
                yield file.row(number, Unreadable(str(value)) if isinstance(value, Refused) else value)
        except (ijson.JSONError, UnicodeDecodeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            yield file.fault(number + 1, f"invalid JSON array from here to its end: {reason}")


def _whole_rows(file: DataFile) -> Iterator[RawRow]:
    """Rows of one value, or of values one after another; lines after all where the beginning is no value."""
    with utf8_lines(file.stream()) as handle:
        raw = handle.read(MAX_WHOLE + 1)
    if len(raw) > MAX_WHOLE:
        yield file.fault(1, f"an object of more than {MAX_WHOLE:,} bytes; save it as JSON lines")
        return
    try:
        values = list(_values(raw.decode("utf-8")))
    except UnicodeDecodeError:
        values = []
    if not values or (
        isinstance(values[0], Unreadable) and raw.split(b"\n", 1)[0].strip() not in (b"{", b"[")
    ):
        yield from _line_rows(file)
        return
    rows = rows_in(values[0], file.split) if len(values) == 1 else values
    for number, row in enumerate(rows, 1):
        yield file.row(number, row)


def _values(text: str) -> Iterator[Any]:
    """Values with nothing but white space between; the last one `Unreadable` where no more can be read."""
    decoder = json.JSONDecoder()
    place = 0
    while (place := _next_place(text, place)) < len(text):
        try:
            value, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            line = text.count("\n", 0, place) + 1
            yield Unreadable(f"invalid JSON from line {line} to the end: {str(error)[:120]}")
            return
        yield value


def _next_place(text: str, place: int) -> int:
    while place < len(text) and text[place] in " \t\r\n":
        place += 1
    return place
