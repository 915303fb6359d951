"""Rows of any source, one by one: JSON lines, a JSON array, CSV, Parquet, a folder of them, or the hub.

Nothing is loaded whole. What can't be read is a row too: it carries the reason, and the reading goes on.
Kinder than `derta data check`, because these files are other people's: a BOM and CRLF are passed over.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import lzma
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import numpy as np

from derta.data.formats.array import Refused, array_elements
from derta.data.recipe import SourceSettings
from derta.errors import DataError
from derta.files import check_regular
from derta.records import MAX_COLUMNS, MAX_LINE_BYTES

SUFFIXES = (".jsonl", ".json", ".ndjson", ".csv", ".tsv", ".parquet")
PARQUET_BATCH = 1024  # rows decoded at a time
PARQUET_BYTES = 256 * 1024 * 1024  # of one such batch as Python values

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A place in a file that gives no row."""

    reason: str


class RawRow(NamedTuple):
    """One row before its schema is looked at; `value` may still be a line's bytes (parsed by the workers)."""

    file: str
    line: int
    value: Any


def read_source(settings: SourceSettings) -> Iterator[RawRow]:
    """All rows of a source in a fixed order.

    Raises:
        DataError: nothing there, or not readable at all.
    """
    rows = _hub_rows(settings) if settings.path is None else _path_rows(settings.path)
    yield from rows if settings.limit is None else islice(rows, settings.limit)


def source_files(path: Path) -> list[Path]:
    """The data files behind a path: itself, or what a folder holds, sorted by name.

    Raises:
        DataError: no such path, or a folder without data files.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    if not path.is_dir():
        check_regular(path)
        return [path]
    found = sorted(file for file in path.rglob("*") if file.is_file() and _suffix(file) in SUFFIXES)
    if not found:
        raise DataError(f"{path}: holds no data file; need one of {', '.join(SUFFIXES)} (.gz and .xz too)")
    return found


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


def _suffix(path: Path) -> str:
    parts = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in (".gz", ".xz")]
    return parts[-1] if parts else ""


def _path_rows(path: Path) -> Iterator[RawRow]:
    for file in source_files(path):
        suffix = _suffix(file)
        try:
            if suffix == ".parquet":
                yield from _parquet_rows(file)
            elif suffix in (".csv", ".tsv"):
                yield from _csv_rows(file, "\t" if suffix == ".tsv" else ",")
            else:
                yield from _json_rows(file)
        except (OSError, EOFError, lzma.LZMAError) as error:  # a cut .gz or .xz ends here, with a reason
            if isinstance(error, OSError) and error.errno is not None:
                raise DataError(f"{file}: can't be read: {error.strerror}") from None
            yield RawRow(str(file), 0, Unreadable(f"the compressed file is cut or damaged: {error}"))


def _open(path: Path) -> IO[bytes]:
    if path.suffix.lower() == ".gz":
        return cast("IO[bytes]", gzip.open(path, "rb"))
    return lzma.open(path, "rb") if path.suffix.lower() == ".xz" else path.open("rb")


def _json_rows(path: Path) -> Iterator[RawRow]:
    if _suffix(path) == ".json":  # published .json files hold lines as often as one array
        with _open(path) as handle:
            if handle.read(4096).removeprefix(_BOM).lstrip().startswith(b"["):
                return _array_rows(path)
    return _line_rows(path)


def _line_rows(path: Path) -> Iterator[RawRow]:
    with _open(path) as handle:
        number = 0
        while raw := handle.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(raw) > MAX_LINE_BYTES:
                length = len(raw)
                while not raw.endswith(b"\n") and (raw := handle.readline(MAX_LINE_BYTES)):
                    length += len(raw)
                reason = f"line of {length:,} bytes; at most {MAX_LINE_BYTES:,} are read"
                yield RawRow(str(path), number, Unreadable(reason))
                continue
            raw = raw.removeprefix(_BOM) if number == 1 else raw
            if raw.strip():
                yield RawRow(str(path), number, raw)


def _array_rows(path: Path) -> Iterator[RawRow]:
    """Elements of one JSON array; `line` is the element's number. A fault ends the file: the rest has no seam."""
    import ijson  # type: ignore[import-untyped]

    with _open(path) as handle:
        if handle.read(3) != _BOM:
            handle.seek(0)
        number = 0
        try:
            for value in array_elements(handle):
                number += 1
                refused = isinstance(value, Refused)
                yield RawRow(str(path), number, Unreadable(str(value)) if refused else value)
        except (ijson.JSONError, UnicodeDecodeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            yield RawRow(
                str(path), number + 1, Unreadable(f"invalid JSON array from here to its end: {reason}")
            )


class _TextLines:
    """Lines for the CSV reader: none of them, nor all those of one row, beyond the limit of a line."""

    def __init__(self, handle: io.TextIOWrapper) -> None:
        self._handle = handle
        self.taken = 0  # characters of the row so far

    def __iter__(self) -> _TextLines:
        return self

    def __next__(self) -> str:
        line = self._handle.readline(MAX_LINE_BYTES + 1)
        if not line:
            raise StopIteration
        self.taken += len(line)
        if self.taken > MAX_LINE_BYTES:
            while not line.endswith("\n") and (line := self._handle.readline(MAX_LINE_BYTES)):
                pass
            raise csv.Error(f"row of more than {MAX_LINE_BYTES:,} characters; no longer one is read")
        return line


def _csv_rows(path: Path, delimiter: str) -> Iterator[RawRow]:
    csv.field_size_limit(MAX_LINE_BYTES)
    # What isn't UTF-8 becomes lone surrogates, which the text check names.
    with io.TextIOWrapper(_open(path), encoding="utf-8-sig", errors="surrogateescape", newline="") as handle:
        lines = _TextLines(handle)
        reader = csv.reader(lines, delimiter=delimiter)
        header: list[str] | None = None
        while True:
            line = reader.line_num + 1
            lines.taken = 0
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield RawRow(str(path), line, Unreadable(f"invalid CSV: {error}"))
                continue
            if header is None:
                header = cells
                if len(header) > MAX_COLUMNS:
                    reason = f"{len(header):,} columns; at most {MAX_COLUMNS:,} are read"
                    yield RawRow(str(path), line, Unreadable(reason))
                    return
            elif cells and len(cells) != len(header):
                reason = f"{len(cells)} cells; the header has {len(header)} columns"
                yield RawRow(str(path), line, Unreadable(reason))
            elif cells:
                yield RawRow(str(path), line, dict(zip(header, cells, strict=True)))


def _parquet_rows(path: Path) -> Iterator[RawRow]:
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    number = 0
    try:
        # Texts stay in their dictionary until they are counted: a row may repeat one of 100 MB.
        texts = [field.name for field in pq.read_schema(path) if _is_text(field.type)]
        with pq.ParquetFile(path, read_dictionary=texts) as table:
            if len(table.schema_arrow) > MAX_COLUMNS:
                reason = f"{len(table.schema_arrow):,} columns; at most {MAX_COLUMNS:,} are read"
                yield RawRow(str(path), 0, Unreadable(reason))
                return
            for batch in table.iter_batches(batch_size=PARQUET_BATCH):
                for row in _parquet_values(batch):
                    number += 1
                    yield RawRow(str(path), number, row)
    except (pa.ArrowException, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())[:200]
        yield RawRow(str(path), number + 1, Unreadable(f"invalid Parquet from here on: {reason}"))


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind))


def _parquet_values(batch: Any) -> Iterator[Any]:
    """The rows of a batch as Python values; `Unreadable` in the place of one beyond the limit of a line."""
    import pyarrow as pa
    import pyarrow.compute as pc  # type: ignore[import-untyped]

    sizes = np.zeros(batch.num_rows, dtype=np.int64)
    for column in batch.columns:
        if pa.types.is_dictionary(column.type):
            lengths = pc.binary_length(column.dictionary).take(column.indices)
            sizes += pc.fill_null(pc.cast(lengths, pa.int64()), 0).to_numpy(zero_copy_only=False)
    if not len(sizes) or (sizes.max() <= MAX_LINE_BYTES and sizes.sum() <= PARQUET_BYTES):
        yield from batch.to_pylist()
        return
    for row, size in enumerate(sizes.tolist()):
        if size > MAX_LINE_BYTES:
            yield Unreadable(f"row of {size:,} bytes; at most {MAX_LINE_BYTES:,} are read")
        else:
            yield batch.slice(row, 1).to_pylist()[0]


def _hub_rows(settings: SourceSettings) -> Iterator[RawRow]:
    import datasets
    from huggingface_hub.errors import HfHubHTTPError

    where = f"hub:{settings.hub}"
    try:
        rows = datasets.load_dataset(
            settings.hub, settings.subset, split=settings.split, revision=settings.revision, streaming=True
        )
        for number, row in enumerate(rows, start=1):
            yield RawRow(where, number, row)
    except (OSError, ValueError, datasets.exceptions.DatasetsError, HfHubHTTPError) as error:
        reason = " ".join(str(error).split())[:300]
        raise DataError(
            f"{where}: can't be read: {reason}\nif the set is gated, accept its terms on its page and log in "
            "(`hf auth login`); without a network, download it elsewhere and set `path`"
        ) from None
