"""Rows of tables: CSV and its kin, Parquet, Arrow."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import IO, Any

import numpy as np

from derta.data.formats.folders import suffix_of
from derta.data.formats.rows import DataFile, RawRow, Unreadable
from derta.records import MAX_COLUMNS, MAX_LINE_BYTES
from derta.text_files import utf8_lines

BATCH = 1024  # rows decoded at a time
BATCH_BYTES = 256 * 1024 * 1024  # of one such batch as Python values
PARQUET, ARROW_FILE, ARROW_STREAM = b"PAR1", b"ARROW1", b"\xff\xff\xff\xff"
_DELIMITERS = ",;\t|"


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


def csv_rows(file: DataFile) -> Iterator[RawRow]:
    """Rows of a table of text; the delimiter is the one that its first line has most of."""
    csv.field_size_limit(MAX_LINE_BYTES)
    with _text(file) as handle:
        first = handle.readline(MAX_LINE_BYTES)
    if len(first.strip()) == 5 and first.lower().startswith("sep="):  # Excel's own word on the delimiter
        yield from _csv_rows(file, first[4], skip=1)
    else:
        yield from _csv_rows(file, _delimiter(first, "\t" if suffix_of(file.name) == ".tsv" else ","))


def _text(file: DataFile) -> io.TextIOWrapper:
    # What isn't UTF-8 becomes lone surrogates, which the text check names.
    return io.TextIOWrapper(utf8_lines(file.stream()), encoding="utf-8", errors="surrogateescape", newline="")


def _delimiter(header: str, usual: str) -> str:
    bare = "".join(header.split('"')[::2])  # what stands between quotes is left out
    most = max(_DELIMITERS, key=lambda sign: (bare.count(sign), sign == usual))
    return most if bare.count(most) else usual


def _csv_rows(file: DataFile, delimiter: str, *, skip: int = 0) -> Iterator[RawRow]:
    with _text(file) as handle:
        lines = _TextLines(handle)
        for _ in range(skip):
            next(lines)
        reader = csv.reader(lines, delimiter=delimiter)
        header: list[str] | None = None
        while True:
            line = reader.line_num + skip + 1
            lines.taken = 0
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield file.fault(line, f"invalid CSV: {error}")
                continue
            if header is None:
                header = cells
                if len(header) > MAX_COLUMNS:
                    yield file.fault(line, _too_wide(len(header)))
                    return
            elif cells and len(cells) != len(header):
                yield file.fault(line, f"{len(cells)} cells; the header has {len(header)} columns")
            elif cells:
                yield file.row(line, dict(zip(header, cells, strict=True)))


def parquet_rows(file: DataFile) -> Iterator[RawRow]:
    """Rows of a Parquet file."""
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    number = 0
    try:
        with file.stream() as handle:
            # Texts stay in their dictionary until they are counted: a row may repeat one of 100 MB.
            texts = [
                field.name
                for field in pq.read_schema(pa.PythonFile(handle, mode="r"))
                if _is_text(field.type)
            ]
            handle.seek(0)
            with pq.ParquetFile(pa.PythonFile(handle, mode="r"), read_dictionary=texts) as table:
                if len(table.schema_arrow) > MAX_COLUMNS:
                    yield file.fault(0, _too_wide(len(table.schema_arrow)))
                    return
                for batch in table.iter_batches(batch_size=BATCH):
                    for row in _batch_rows(batch):
                        number += 1
                        yield file.row(number, row)
    except (pa.ArrowException, UnicodeDecodeError, io.UnsupportedOperation) as error:
        reason = " ".join(str(error).split())[:200]
        yield file.fault(number + 1, f"invalid Parquet from here on: {reason}")


def arrow_rows(file: DataFile) -> Iterator[RawRow]:
    """Rows of an Arrow file or stream, as `datasets` saves and caches them."""
    import pyarrow as pa

    number = 0
    try:
        with file.stream() as handle:
            for batch in _arrow_batches(handle):
                batch.validate(full=True)  # Arrow trusts its offsets: a wrong one reads past the buffer
                if batch.num_columns > MAX_COLUMNS:
                    yield file.fault(0, _too_wide(batch.num_columns))
                    return
                for start in range(0, batch.num_rows, BATCH):
                    for row in _batch_rows(batch.slice(start, BATCH)):
                        number += 1
                        yield file.row(number, row)
    except (pa.ArrowException, UnicodeDecodeError, io.UnsupportedOperation) as error:
        reason = " ".join(str(error).split())[:200]
        yield file.fault(number + 1, f"invalid Arrow from here on: {reason}")


def _arrow_batches(handle: IO[bytes]) -> Iterator[Any]:
    import pyarrow as pa

    is_file = handle.read(len(ARROW_FILE)) == ARROW_FILE
    handle.seek(0)
    if not is_file:
        yield from pa.ipc.open_stream(handle)
        return
    table = pa.ipc.open_file(pa.PythonFile(handle, mode="r"))
    for number in range(table.num_record_batches):
        yield table.get_batch(number)


def _too_wide(columns: int) -> str:
    return f"{columns:,} columns; at most {MAX_COLUMNS:,} are read"


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind))


def _batch_rows(batch: Any) -> Iterator[Any]:
    """The rows of a batch as Python values; `Unreadable` in the place of one beyond the limit of a line."""
    import pyarrow as pa
    import pyarrow.compute as pc  # type: ignore[import-untyped]

    sizes = np.zeros(batch.num_rows, dtype=np.int64)
    for column in batch.columns:
        lengths = None
        if pa.types.is_dictionary(column.type) and _is_text(column.type.value_type):
            lengths = pc.binary_length(column.dictionary).take(column.indices)
        elif _is_text(column.type):
            lengths = pc.binary_length(column)
        if lengths is not None:
            sizes += pc.fill_null(pc.cast(lengths, pa.int64()), 0).to_numpy(zero_copy_only=False)
    if not len(sizes) or (sizes.max() <= MAX_LINE_BYTES and sizes.sum() <= BATCH_BYTES):
        yield from batch.to_pylist()
        return
    for row, size in enumerate(sizes.tolist()):
        if size > MAX_LINE_BYTES:
            yield Unreadable(f"row of {size:,} bytes; at most {MAX_LINE_BYTES:,} are read")
        else:
            yield batch.slice(row, 1).to_pylist()[0]
