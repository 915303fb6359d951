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

from derta.data.recipe import SourceSettings
from derta.errors import DataError
from derta.records import MAX_LINE_BYTES

SUFFIXES = (".jsonl", ".json", ".ndjson", ".csv", ".tsv", ".parquet")
PARQUET_BATCH = 1024  # rows decoded at a time
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
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f"{path}: no such file or folder")
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
            for value in ijson.items(handle, "item", use_float=True):
                number += 1
                yield RawRow(str(path), number, value)
        except (ijson.JSONError, UnicodeDecodeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            yield RawRow(
                str(path), number + 1, Unreadable(f"invalid JSON array from here to its end: {reason}")
            )


def _csv_rows(path: Path, delimiter: str) -> Iterator[RawRow]:
    csv.field_size_limit(MAX_LINE_BYTES)
    # What isn't UTF-8 becomes lone surrogates, which the text check names.
    with io.TextIOWrapper(_open(path), encoding="utf-8-sig", errors="surrogateescape", newline="") as handle:
        reader = csv.reader(handle, delimiter=delimiter)
        header: list[str] | None = None
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield RawRow(str(path), line, Unreadable(f"invalid CSV: {error}"))
                continue
            if header is None:
                header = cells
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
        with pq.ParquetFile(path) as table:
            for batch in table.iter_batches(batch_size=PARQUET_BATCH):
                for row in batch.to_pylist():
                    number += 1
                    yield RawRow(str(path), number, row)
    except (pa.ArrowException, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())[:200]
        yield RawRow(str(path), number + 1, Unreadable(f"invalid Parquet from here on: {reason}"))


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
