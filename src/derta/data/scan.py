"""First pass: every source's rows become checked items on disk, with an index of hashes beside them.

    work/<source>/items.jsonl     one item a line
    work/<source>/rejected.jsonl  {source, file, line, reason}
    work/<source>/index.bin       one INDEX record per item
    work/<source>/tokens.bin      token hashes of all queries, one after the other (uint64)
    work/<source>/scan.json       written last: counts, and the fingerprint of all that the pass depends on

A source whose scan.json carries the right fingerprint isn't read again; a killed pass leaves none.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from derta.data.clean.filters import Filters
from derta.data.clean.text import hash_text, sequence_hash, token_hashes
from derta.data.formats.items import ITEM_FIELDS, ROLES, Item
from derta.data.formats.read import RawRow, Unreadable, parse_line
from derta.data.formats.sources import convert_row, format_of
from derta.data.recipe import SourceSettings
from derta.files import dumps, write_json

CHUNK_ROWS = 1000
CHUNK_BYTES = 4 << 20  # a chunk of long lines is closed earlier
KINDS = (None, "harmful", "benign", "borderline")

INDEX = np.dtype(
    [
        ("offset", "u8"),  # of the item's line in items.jsonl
        ("length", "u4"),  # of that line, in bytes
        ("num_tokens", "u4"),  # of the query, in tokens.bin
        ("exact", "u8"),  # hash of the query, byte for byte
        ("normal", "u8"),  # hash of the tokens of all that the user asks: the query group
        ("asked", "u8"),  # the same of the query alone, without what was said before
        ("id", "u8"),  # hash of the record's id
        ("category", "u8"),  # hash of the category; 0 = none
        ("file", "u8"),  # hash of the file's name
        ("line", "u4"),
        ("role", "u1"),  # index into ROLES
        ("kind", "u1"),  # index into KINDS
        ("has_safe", "u1"),  # a harmful item that brings its safe response
        ("has_response", "u1"),
        ("has_context", "u1"),  # turns before the query
        ("held_out", "u1"),  # the row says so itself
    ]
)


@dataclass(frozen=True)
class Scanned:
    """What a worker returns for one chunk."""

    items: bytes
    rejected: bytes
    index: bytes
    tokens: bytes
    counts: Counter[str]  # reason -> items; "kept" for the others
    names: dict[int, str]  # hash -> category or file


@dataclass(frozen=True)
class ScanWork:
    """Turns a chunk of raw rows into items; runs in the workers."""

    settings: SourceSettings
    filters: Filters
    extra: tuple[str, ...] = ()
    """Formats whose rows are made in this process, under our own field names."""

    def __call__(self, chunk: tuple[int, list[RawRow]]) -> Scanned:
        """The items and rejections of rows that are numbered from the chunk's first number."""
        first, rows = chunk
        items, rejected, tokens = bytearray(), bytearray(), bytearray()
        index: list[tuple[int, ...]] = []
        counts: Counter[str] = Counter()
        names: dict[int, str] = {}
        for number, row in enumerate(rows, start=first):
            names[hash_text(row.file)] = row.file
            for part, outcome in enumerate(self._outcomes(row.value)):
                reason = outcome if isinstance(outcome, str) else self.filters.reason(outcome)
                counts[reason_class(reason) if reason else "kept"] += 1
                if isinstance(outcome, str) or reason:
                    fault = {
                        "source": self.settings.name,
                        "file": row.file,
                        "line": row.line,
                        "reason": reason,
                    }
                    rejected += dumps(fault).encode("utf-8", "replace") + b"\n"
                    continue
                line, record, hashes = self._entry(outcome, row, f"{number}.{part}" if part else str(number))
                index.append((len(items), *record))
                items += line
                tokens += hashes
                if outcome.category is not None:
                    names[hash_text(outcome.category)] = outcome.category
        packed = np.array(index, dtype=INDEX).tobytes()
        return Scanned(bytes(items), bytes(rejected), packed, bytes(tokens), counts, names)

    def _outcomes(self, value: Any) -> list[Item | str]:
        parsed = parse_line(value) if isinstance(value, bytes) else value
        if isinstance(parsed, Unreadable):
            return [parsed.reason]
        return convert_row(parsed, self.settings, format_of(self.settings, self.extra))

    def _entry(self, item: Item, row: RawRow, number: str) -> tuple[bytes, tuple[int, ...], bytes]:
        """The item's line, its INDEX record without the offset, and its query's token hashes."""
        name = item.id or f"{self.settings.name}-{number}"
        values = {field: value for field in ITEM_FIELDS if (value := getattr(item, field)) not in (None, ())}
        if item.context:
            values["context"] = [asdict(turn) for turn in item.context]
        line = (dumps({**values, "id": name, "source": self.settings.name}) + "\n").encode("utf-8")
        hashes = token_hashes(item.asked)
        record = (
            len(line),
            len(hashes),
            hash_text(item.asked),
            sequence_hash(hashes),
            sequence_hash(token_hashes(item.query) if item.context else hashes),
            hash_text(name),
            hash_text(item.category) if item.category is not None else 0,
            hash_text(row.file),
            row.line,
            ROLES.index(item.role),
            KINDS.index(item.kind),
            int(item.safe_response is not None),
            int(item.response is not None),
            int(bool(item.context)),
            int(item.split == "held_out"),
        )
        return line, record, hashes.tobytes()


MAX_REASON = 120  # characters of a reason in the card
_PARTICULAR = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\[.*\]""")
# What follows their colon quotes the file.
_TOLD_BY_LIBRARIES = (
    "invalid JSON array",
    "invalid JSON from",
    "invalid Parquet",
    "invalid Arrow",
    "invalid CSV",
    "the packed file",
    "the zip archive",
)


def reason_class(reason: str) -> str:
    """The reason without what is particular to one row, so that a card can count it and shows no text of the data."""
    general = _PARTICULAR.sub("...", reason.split(";", 1)[0])
    if general.startswith(_TOLD_BY_LIBRARIES):
        general = general.split(":", 1)[0]
    return re.sub(r"\b\d[\d,]*\b(?! words)", "#", general)[:MAX_REASON]


def chunks(rows: Iterable[RawRow]) -> Iterator[tuple[int, list[RawRow]]]:
    """(number of the first row, rows), numbered from 1."""
    first, held, size = 1, [], 0
    for row in rows:
        held.append(row)
        size += len(row.value) if isinstance(row.value, bytes) else 0
        if len(held) >= CHUNK_ROWS or size >= CHUNK_BYTES:
            yield first, held
            first, held, size = first + len(held), [], 0
    if held:
        yield first, held


def write_scan(folder: Path, results: Iterable[Scanned], fingerprint: dict[str, Any]) -> dict[str, Any]:
    """Write a source's pass, in the order of the results, and its scan.json last; returns that."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "scan.json").unlink(missing_ok=True)
    counts: Counter[str] = Counter()
    found_names: dict[int, str] = {}
    size = 0
    with ExitStack() as stack:
        names = ("items.jsonl", "rejected.jsonl", "index.bin", "tokens.bin")
        items, rejected, index, tokens = (stack.enter_context((folder / name).open("wb")) for name in names)
        for result in results:
            entries = np.frombuffer(result.index, dtype=INDEX).copy()
            entries["offset"] += np.uint64(size)
            size += len(result.items)
            items.write(result.items)
            rejected.write(result.rejected)
            index.write(entries.tobytes())
            tokens.write(result.tokens)
            counts.update(result.counts)
            found_names.update(result.names)
        for handle in (items, rejected, index, tokens):
            handle.flush()
            os.fsync(handle.fileno())
    kept = counts.pop("kept", 0)
    summary = {
        "fingerprint": fingerprint,
        "read": kept + counts.total(),
        "kept": kept,
        "rejected": counts.total(),
        "reasons": dict(sorted(counts.items())),
        "names": {str(key): found_names[key] for key in sorted(found_names)},
    }
    write_json(folder / "scan.json", summary)
    return summary


def finished_scan(folder: Path, fingerprint: dict[str, Any]) -> dict[str, Any] | None:
    """The summary of a pass that is complete and still fits, or None."""
    try:
        summary = json.loads((folder / "scan.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return summary if summary.get("fingerprint") == fingerprint else None
