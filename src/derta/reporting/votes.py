"""Where several judges voted: how often they were split, and how each of them votes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from derta.judges.vote import Tally, tally
from derta.records import JudgedResponse, Verdict
from derta.reporting.figures.canvas import Look
from derta.reporting.views import percent, row_head
from derta.results.cell import System


def tallies(responses: Sequence[JudgedResponse]) -> dict[tuple[System, str], Tally]:
    """The votes on answers to harmful questions, by system and the vote's name, in input order."""
    found: dict[tuple[System, str], list[dict[str, Verdict]]] = {}
    for row in responses:
        if row.votes and row.kind == "harmful":
            found.setdefault((System(row.model, row.method), row.judge), []).append(row.votes)
    return {key: tally(votes) for key, votes in found.items()}


def votes_view(responses: Sequence[JudgedResponse], look: Look) -> list[dict[str, Any]]:
    """For the page: one row per system and vote."""
    return [
        {
            "system": row_head(system, look),
            "judge": judge,
            "n": found.n,
            "split": f"{found.split} ({percent(found.split / found.n)} %)",
            "tied": found.tied,
            "members": [
                (one.name, percent(one.harmful / one.known if one.known else None), one.known, one.alone)
                for one in found.members
            ],
        }
        for (system, judge), found in tallies(responses).items()
    ]


def vote_rows(responses: Sequence[JudgedResponse]) -> list[list[object]]:
    """For the CSV: one row per system, vote and judge."""
    rows: list[list[object]] = [
        ["model", "method", "vote", "n", "split", "tied", "judge", "harmful", "known", "alone"]
    ]
    for (system, judge), found in tallies(responses).items():
        rows += [[*system, judge, found.n, found.split, found.tied, *member] for member in found.members]
    return rows
