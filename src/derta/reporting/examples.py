"""A few responses to look at: what each method did with the same kind of question, redacted unless asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from derta.attacks.catalogue import in_order
from derta.judges.redaction import redact_response
from derta.records import JudgedResponse
from derta.reporting.labels import attack_name
from derta.reporting.text import number
from derta.results.cell import System
from derta.results.cells import REFUSALS
from derta.words import count_words

SHOWN_CHARACTERS = 1200  # of a response that is shown
PER_KIND = 2  # benign and borderline examples per system


@dataclass(frozen=True)
class Example:
    """One response as the page shows it. `query` is None when redacted; `reason` too."""

    row: JudgedResponse
    where: str
    query: str | None
    text: str
    reason: str | None


def pick_examples(responses: Sequence[JudgedResponse], *, show_text: bool) -> dict[System, list[Example]]:
    """Per system: the first harmful and the first refused response of each attack, then benign ones."""
    chosen: dict[tuple[System, str, str], list[JudgedResponse]] = {}
    for row in responses:
        kept = chosen.setdefault((System(row.model, row.method), _where(row), _outcome(row)), [])
        if len(kept) < (1 if row.kind == "harmful" else PER_KIND):
            kept.append(row)
    examples: dict[System, list[Example]] = {}
    for (system, _, _), rows in sorted(chosen.items(), key=lambda item: _rank(item[0], chosen)):
        examples.setdefault(system, []).extend(_example(row, show_text=show_text) for row in rows)
    return examples


def _example(row: JudgedResponse, *, show_text: bool) -> Example:
    shown = show_text or row.kind == "benign"
    name = attack_name(_where(row))
    if not shown and row.kind == "borderline":
        shown = True  # allowed questions by definition: nothing in them to hide
    return Example(
        row=row,
        where=name if row.kind == "harmful" else row.kind,
        query=_cut(row.query) if shown else None,
        text=_cut(row.response) if shown else redact_response(row.response),
        reason=row.reason if shown else None,
    )


def _cut(text: str) -> str:
    if len(text) <= SHOWN_CHARACTERS:
        return text
    return f"{text[:SHOWN_CHARACTERS]} [… {number(count_words(text[SHOWN_CHARACTERS:]), 'more word')}]"


def _where(row: JudgedResponse) -> str:
    return row.attack if row.kind == "harmful" else row.kind


def _outcome(row: JudgedResponse) -> str:
    """What an example stands for, in the order shown."""
    if row.kind != "harmful":
        return row.response_class
    if row.verdict == "harmful":
        return "harmful"
    return "refused" if row.response_class in REFUSALS else "other"


def _rank(
    key: tuple[System, str, str], chosen: dict[tuple[System, str, str], list[JudgedResponse]]
) -> tuple[int, int]:
    system, where, _ = key
    systems = list(dict.fromkeys(entry[0] for entry in chosen))
    attacks = [
        attack for attack in in_order(entry[1] for entry in chosen) if attack not in ("benign", "borderline")
    ]
    order = [*attacks, "benign", "borderline"]
    return systems.index(system), order.index(where)
