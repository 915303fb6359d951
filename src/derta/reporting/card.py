"""The data card on the page: what the runs' data files are made of (`derta data build` writes data_card.json).

A card is found beside the data files that a run's manifest names, or in the run's `data` folder. The manifest's
hashes tell whether the files that were used are still the ones that the card describes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from derta.errors import DataError

NAME = "data_card.json"
MAX_BYTES = 4 << 20  # a card holds counts; one of this size is no card
SHOWN_COUNTS = 24  # categories, reasons: the most frequent ones

Count = Annotated[int, Field(ge=0)]


@dataclass(frozen=True, kw_only=True)
class Source:
    """One source of the build: what was read, and what became of it."""

    name: str
    format: str
    licence: str
    read: Count
    kept: Count
    rejected: Count
    reasons: dict[str, Count]


@dataclass(frozen=True, kw_only=True)
class Leaks:
    """Training rows that are evaluation questions: how many, and whether they were dropped or kept."""

    found: Count
    action: str


@dataclass(frozen=True, kw_only=True)
class File:
    """One written file: its rows, counted."""

    rows: Count
    by_source: dict[str, Count] = field(default_factory=dict)
    by_kind: dict[str, Count] = field(default_factory=dict)
    by_category: dict[str, Count] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class DataCard:
    """What the page shows of a card; other fields are passed over, so that newer cards stay readable."""

    sources: list[Source]
    read: Count
    kept: Count
    rejected: Count
    leaks: Leaks
    files: dict[str, File]
    hashes: dict[str, str]


@dataclass(frozen=True)
class RunCard:
    """A card, the name of its folder, and the hashes of the files that runs took from there."""

    name: str
    card: DataCard
    used: dict[str, set[str]]


def find_cards(run_dirs: Sequence[Path], inputs: Sequence[Mapping[str, str]]) -> list[RunCard]:
    """The cards of the runs, each once. `inputs`: path -> SHA-256, as in each run's manifest.

    Raises:
        DataError: a card that can't be read, as `file: reason`.
    """
    folders = [folder for run in run_dirs for folder in (run / "data", run)]
    folders += [Path(path).parent for named in inputs for path in named]
    found = []
    for folder in {path.resolve(): path for path in folders}:
        if (folder / NAME).is_file():
            used: dict[str, set[str]] = {}
            for path, digest in _inside(folder, inputs):
                used.setdefault(path.name, set()).add(digest)
            found.append(RunCard(f"{folder.parent.name}/{folder.name}", read_card(folder / NAME), used))
    return found


def read_card(path: Path) -> DataCard:
    """The card of a file.

    Raises:
        DataError: it is none.
    """
    again = "build the data again, or take the file away"
    if path.stat().st_size > MAX_BYTES:
        raise DataError(f"{path}: above {MAX_BYTES:,} bytes, which is no data card; {again}")
    try:
        return TypeAdapter(DataCard).validate_json(path.read_bytes(), strict=True)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in fault["loc"]) or "file"
        raise DataError(f"{path}: field `{where}`: {fault['msg'].lower()}; {again}") from None


def card_view(found: RunCard) -> dict[str, Any]:
    """What the template lays out."""
    card = found.card
    return {
        "name": found.name,
        "card": card,
        "sources": [(source, counted(source.reasons)) for source in card.sources],
        "files": [
            {
                "name": name,
                "rows": file.rows,
                "sources": counted(file.by_source),
                "counts": counted(file.by_kind) or counted(file.by_category),
                "hash": card.hashes.get(name, "")[:12],
                "changed": not found.used.get(name, set()) <= {card.hashes.get(name)},
            }
            for name, file in card.files.items()
        ],
    }


def counted(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """(name, count), most frequent first; beyond `SHOWN_COUNTS` they are added up."""
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    rest = ordered[SHOWN_COUNTS:]
    return ordered[:SHOWN_COUNTS] + ([(f"{len(rest)} others", sum(n for _, n in rest))] if rest else [])


def _inside(folder: Path, inputs: Sequence[Mapping[str, str]]) -> Iterator[tuple[Path, str]]:
    for named in inputs:
        for path, digest in named.items():
            if Path(path).parent.resolve() == folder:
                yield Path(path), digest
