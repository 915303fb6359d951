"""Rows of any source, one by one: files of many kinds, packed or not, a folder or an archive of them, or the hub.

What a file is, its first bytes tell; its name only where they can't (CSV). Nothing is loaded whole but a JSON file
that is one object. What can't be read is a row too: it carries the reason, and the reading goes on.
Kinder than `derta data check`, because these files are other people's: a BOM and CRLF are passed over.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO

from derta.data.formats.folders import PACKED, SUFFIXES, of_split, source_files, suffix_of, wanted_split
from derta.data.formats.json_rows import json_rows, parse_line
from derta.data.formats.rows import DataFile, RawRow, Unreadable
from derta.data.formats.tables import (
    ARROW_FILE,
    ARROW_STREAM,
    PARQUET,
    arrow_rows,
    csv_rows,
    parquet_rows,
)
from derta.data.recipe import SourceSettings
from derta.errors import DataError
from derta.text_files import Damaged, blocks

__all__ = ["RawRow", "Unreadable", "parse_line", "read_source", "source_files"]

_ZIP = b"PK\x03\x04"
_NO_TABLES = (  # where in a file, what stands there, what the file is
    (0, b"SQLite format 3", "an SQLite data base; export the table as CSV"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it"),
    (0, b"Rar!", "a RAR archive; unpack it"),
    (0, b"\x89HDF", "an HDF5 file; save it as Parquet"),
    (0, b"\x93NUMPY", "a NumPy array; save it as Parquet or JSON lines"),
    (0, b"Obj\x01", "an Avro file; save it as Parquet"),
    (0, b"ORC", "an ORC file; save it as Parquet"),
    (0, b"\x80\x04\x95", "a pickle, which can run code and is never read; save it as Parquet"),
    (0, b"\x80\x05\x95", "a pickle, which can run code and is never read; save it as Parquet"),
    (0, b"%PDF", "a PDF; bring a table"),
    (0, b"<!DOCTYPE", "a web page, perhaps a download that failed; fetch the file itself"),
    (0, b"<html", "a web page, perhaps a download that failed; fetch the file itself"),
    (0, b"version https://git-lfs", "a pointer to a file in Git LFS; fetch the file itself (git lfs pull)"),
    (257, b"ustar", "a tar archive; unpack it, and name its folder"),
)


def read_source(settings: SourceSettings) -> Iterator[RawRow]:
    """All rows of a source in a fixed order.

    Raises:
        DataError: nothing there, or not readable at all.
    """
    rows = _hub_rows(settings) if settings.path is None else _path_rows(settings)
    yield from rows if settings.limit is None else islice(rows, settings.limit)


def _path_rows(settings: SourceSettings) -> Iterator[RawRow]:
    split = wanted_split(settings)
    for path in source_files(settings):
        file = DataFile(str(path), partial(_opened, path), split)
        try:
            yield from _file_rows(file, settings)
        except OSError as error:
            raise DataError(f"{path}: can't be read: {error.strerror or error}") from None


def _opened(path: Path) -> IO[bytes]:
    return path.open("rb")


def _file_rows(file: DataFile, settings: SourceSettings) -> Iterator[RawRow]:
    """The rows of one file; what ends too early, or can't be unpacked, is its last one."""
    number = 0
    try:
        head = b""
        with file.stream() as handle:
            for block in blocks(handle):
                head += block
                if len(head) >= 512:
                    break
        for row in _known_rows(file, head, settings):
            number = row.line
            yield row
    except Damaged as error:
        yield file.fault(number + 1, str(error))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        yield file.fault(number + 1, f"the zip archive is cut, damaged or locked: {str(error)[:100]}")


def _known_rows(file: DataFile, head: bytes, settings: SourceSettings) -> Iterator[RawRow]:
    for place, mark, what in _NO_TABLES:
        if head[place:].startswith(mark):
            return iter([file.fault(1, what)])
    suffix = suffix_of(file.name)
    if head.startswith(_ZIP) and suffix != ".parquet":
        return _zip_rows(file, settings)
    if head.startswith(PARQUET) or suffix == ".parquet":
        return parquet_rows(file)
    if head.startswith((ARROW_FILE, ARROW_STREAM)) or suffix == ".arrow":
        return arrow_rows(file)
    return csv_rows(file) if suffix in (".csv", ".tsv") else json_rows(file)


def _zip_rows(file: DataFile, settings: SourceSettings) -> Iterator[RawRow]:
    """The rows of an archive's data files, by their names; an archive in it is not opened."""
    if "!" in file.name:
        yield file.fault(1, "a zip archive inside a zip archive; unpack it")
        return
    with zipfile.ZipFile(file.stream()) as archive:
        inside = [info.filename for info in archive.infolist() if not info.is_dir()]
        if "xl/workbook.xml" in inside:
            yield file.fault(1, "an Excel workbook; save its sheet as CSV")
            return
        names = sorted(name for name in inside if suffix_of(name) in SUFFIXES and "__MACOSX" not in name)
        if not names:
            shown = ", ".join(sorted(inside)[:5])
            reason = f"a zip archive without a data file ({', '.join(SUFFIXES)}, {', '.join(PACKED)} too)"
            yield file.fault(1, f"{reason}; it holds {shown or 'nothing'}")
            return
        for name in of_split(names, settings, file.name):
            member = DataFile(f"{file.name}!{name}", partial(archive.open, name), file.split)
            yield from _file_rows(member, settings)


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
