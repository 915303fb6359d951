"""A file as the values that it holds, whatever it is packed in: the same for results and for questions.

JSON lines, one JSON array, one JSON object; CSV, TSV, Parquet; a zip archive (opened by its format); plain text
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from derta.data.formats.read import Unreadable, read_source
from derta.data.recipe import SourceSettings
from derta.errors import DataError
from derta.results.json_values import MAX_LINE, Broken, json_values
from derta.text_files import (
    NOT_DECODED,
    Damaged,
    Encoding,
    blocks,
    encoding_of,
    open_bytes,
    text_stream,
)

Shape = Literal["JSON lines", "JSON array", "JSON object", "table", "zip archive", "text"]
HEADS = 50  # values from the beginning by which a format is recognised
_BINARY = (
    (b"SQLite format 3\x00", "an SQLite database; export its rows as JSON"),
    (b"%PDF", "a PDF file"),
    (b"\x80\x04\x95", "a pickle, which is never read; save it as JSON"),
    (b"\x89HDF", "an HDF5 file; save it as JSON or CSV"),
    (b"ARROW1", "an Arrow file; save it as Parquet or JSON lines"),
)


@dataclass(frozen=True)
class Document:
    """A file's values in order; a place that gives none is `Broken`. encoding: "" for UTF-8."""

    path: Path
    shape: Shape
    values: list[Any]
    encoding: str = ""

    @property
    def heads(self) -> list[Any]:
        """The first values that can be read."""
        good = (value for value in self.values if not isinstance(value, Broken))
        return [value for value, _ in zip(good, range(HEADS), strict=False)]

    @property
    def whole(self) -> dict[Any, Any] | None:
        """The one object that the file is, if it is one."""
        value = self.values[0] if self.shape == "JSON object" else None
        return value if isinstance(value, dict) else None

    def holding(self, values: list[Any]) -> Document:
        """The same file, of which only these values count."""
        return replace(self, shape="JSON array", values=values)


def open_document(path: Path) -> Document:
    """Read a file's values.

    Raises:
        DataError: it can't be opened, or holds nothing that can be read.
    """
    if path.is_dir():
        raise DataError(f"{path}: can't be read: a folder; name its files")
    with open_bytes(path) as handle:
        try:
            magic = next(blocks(handle), b"")[:64]
        except Damaged as error:
            raise DataError(f"{path}: {error}") from None
    if not magic:
        raise DataError(f"{path}: holds no rows; the file is empty")
    found = next((what for start, what in _BINARY if magic.startswith(start)), None)
    if found:
        raise DataError(f"{path}: {found}")
    if magic.startswith(b"PK\x03\x04"):
        return Document(path, "zip archive", [])
    if magic.startswith(b"PAR1"):
        return Document(path, "table", list(_parquet(path)))
    try:
        return _text_document(path)
    except Damaged as error:  # before the first row; behind it, the rows say it at its place
        raise DataError(f"{path}: {error}") from None


def _text_document(path: Path) -> Document:
    encoding = encoding_of(path)

    def open_text() -> io.TextIOWrapper:
        return text_stream(path, encoding)

    suffixes = {suffix.lower() for suffix in path.suffixes}
    if suffixes & {".csv", ".tsv"}:
        return _table(path, encoding, open_text)
    with open_text() as stream:
        begin = stream.read(4096).lstrip("\ufeff \t\r\n")
    if begin[:1] in ("{", "[", '"') or suffixes & {".json", ".jsonl", ".ndjson"}:
        found = json_values(open_text)
        if isinstance(found, Broken):
            raise DataError(
                f"{path}: {found}; need JSON lines, one JSON array, or one object that holds the rows"
            )
        return Document(path, found.shape, found.values, encoding.shown)  # type: ignore[arg-type]
    if not begin:
        raise DataError(f"{path}: holds no rows; the file is empty")
    if _is_header(begin.partition("\n")[0]):
        return _table(path, encoding, open_text)
    return Document(path, "text", list(_text_lines(open_text)), encoding.shown)


def _is_header(line: str) -> bool:
    """Whether a file's first line reads as names of columns, not as a sentence with commas."""
    cells = re.split(r"[,;\t]", line.strip())
    return len(cells) > 1 and all(
        re.fullmatch(r"\s*\"?[A-Za-z_][\w.-]*( \w+){0,2}\"?\s*", cell) for cell in cells
    )


def _text_lines(open_text: Callable[[], io.TextIOWrapper]) -> Iterator[Any]:
    try:
        with open_text() as stream:
            while line := stream.readline(MAX_LINE):
                text = line.strip("\ufeff \t\r\n")
                if text:
                    yield Broken("not UTF-8") if NOT_DECODED.search(text) else text
    except Damaged as error:
        yield Broken(error)


def _table(path: Path, encoding: Encoding, open_text: Callable[[], io.TextIOWrapper]) -> Document:
    with open_text() as stream:
        first = stream.readline(MAX_LINE).lstrip("\ufeff")
    delimiter = max("\t;,", key=lambda mark: (_header_cells(first, mark), mark == ","))
    rows = list(_csv_rows(path, open_text, delimiter))
    return Document(path, "table", rows, encoding.shown)


def _header_cells(line: str, delimiter: str) -> int:
    try:
        return len(next(csv.reader([line], delimiter=delimiter), []))
    except csv.Error:
        return 0


def _csv_rows(path: Path, open_text: Callable[[], io.TextIOWrapper], delimiter: str) -> Iterator[Any]:
    """Rows as objects. Strict: a quote that never ends would swallow the rows behind it."""
    csv.field_size_limit(MAX_LINE)
    header: list[str] | None = None
    with open_text() as stream:
        reader = csv.reader(stream, delimiter=delimiter, strict=True)
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield Broken(f"lines {line} to {reader.line_num}: no CSV: {error}")
                continue
            except Damaged as error:
                yield Broken(error)
                return
            if not any(cell.strip() for cell in cells):
                continue
            if header is None:
                header = _header(path, cells)
            else:
                yield _csv_row(header, cells, line)


def _header(path: Path, cells: list[str]) -> list[str]:
    names = [cell.lstrip("\ufeff").strip() for cell in cells]
    double = next((name for name in names if name and names.count(name) > 1), None)
    if double is not None:
        raise DataError(f"{path}: the column {double[:60]!r} comes twice; rename one")
    return [name or f"column {number}" for number, name in enumerate(names, 1)]


def _csv_row(header: list[str], cells: list[str], line: int) -> Any:
    if len(cells) != len(header):
        return Broken(f"line {line}: {len(cells)} cells; the header has {len(header)} columns")
    if any(NOT_DECODED.search(cell) for cell in cells):
        return Broken(f"line {line}: not UTF-8")
    return dict(zip(header, cells, strict=True))


def _parquet(path: Path) -> Iterator[Any]:
    for row in read_source(SourceSettings(name="results", format="columns", path=path)):
        yield Broken(row.value.reason) if isinstance(row.value, Unreadable) else row.value


def archive_members(path: Path) -> list[str]:
    """The names in a zip archive.

    Raises:
        DataError: it is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise DataError(f"{path}: the zip archive is cut or damaged: {error}") from None
