"""`derta data check`: every fault of the three files as `file:line: reason`, and what is allowed but odd."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from derta.data.card import read_card
from derta.data.clean.refusals import begins_with, is_refusal, refuses_inside
from derta.data.clean.text import sequence_hash, token_hashes
from derta.errors import DataError
from derta.records import BenignPair, Problem, Query, Triple, detect_kind, read_records
from derta.thoughts import part
from derta.words import count_words

FEW_OPENINGS = 0.5  # below this share of safe responses with the opening there is a warning
SHORT_HARMFUL = 3  # words; a shorter harmful response has hardly a prefix
SHOWN_LINES = 5

Place = tuple[Path, int]


@dataclass
class Checked:
    """What a check found.

    problems: faults, which training refuses; warnings: one line each; counts: good records per file.
    """

    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    counts: dict[Path, int] = field(default_factory=dict)


def check_files(paths: Sequence[Path], *, opening: str = "Sorry") -> Checked:
    """Read every file to its end, in constant memory but for one hash per query.

    paths: files, or folders that `derta data build` wrote (their data card names their files).
    opening: what a refusal is to begin with. A file that can't be opened is a problem at line 1.
    """
    found = Checked()
    queries: dict[int, tuple[Place, bool]] = {}
    files = []
    for path in paths:
        inside = _files_of(path)
        if not inside:
            found.problems.append(Problem(path, 1, "a folder without a data file; build it again"))
        files += inside
    for path in files:
        try:
            kind: type[Any] = detect_kind(path)
        except DataError as error:
            found.problems.append(Problem(path, 1, _bare(error, path)))
            kind = Triple  # its lines still name their own faults
        try:
            _check_file(path, kind, found, queries, opening)
        except DataError as error:
            if not found.problems or found.problems[-1].path != path:
                found.problems.append(Problem(path, 1, _bare(error, path)))
    return found


def _files_of(path: Path) -> list[Path]:
    if not (path / "data_card.json").is_file():
        return [path]
    return [path / name for name in read_card(path)["files"]]


def _bare(error: DataError, path: Path) -> str:
    return str(error).removeprefix(f"{path}:").removeprefix("1:").strip()


def _check_file(
    path: Path, kind: type[Any], found: Checked, queries: dict[int, tuple[Place, bool]], opening: str
) -> None:
    odd: dict[str, list[int]] = {}
    totals: Counter[str] = Counter()
    for line, outcome in read_records(path, kind):
        if isinstance(outcome, Problem):
            found.problems.append(outcome)
            continue
        totals["records"] += 1
        for what in _oddities(outcome):
            odd.setdefault(what, []).append(line)
        if isinstance(outcome, Triple):
            totals["safe"] += 1
            totals["opened"] += begins_with(outcome.safe_response, opening)
        twin = _same_query(outcome, (path, line), queries)
        if twin:
            odd.setdefault(twin, []).append(line)
    found.counts[path] = totals["records"]
    found.warnings += [f"{path}: {what}: {_lines(lines)}" for what, lines in odd.items()]
    if totals["safe"] and totals["opened"] < FEW_OPENINGS * totals["safe"]:
        share = totals["opened"] / totals["safe"]
        found.warnings.append(
            f'{path}: only {share:.0%} of {totals["safe"]} safe responses begin with "{opening}"; nothing then '
            "teaches what follows it: set safe_responses.normalise_opening, or refusal.text to their own opening"
        )


def _oddities(record: Triple | BenignPair | Query) -> Iterator[str]:
    """What is allowed but rarely meant."""
    answers = [getattr(record, name, "") for name in ("safe_response", "harmful_response", "response")]
    if any(answer[:1].isspace() for answer in answers):
        yield "response that begins with white space, which training drops where it merges with the prompt"
    if any(part(answer).thought for answer in answers):
        yield "response that thinks aloud (`<think>` and its like), which training drops"
    if isinstance(record, Triple):
        if not is_refusal(record.safe_response):
            yield "safe response that is no refusal by the rules"
        if refuses_inside(record.harmful_response):
            yield "harmful response with a refusal inside"
        if count_words(record.harmful_response) < SHORT_HARMFUL:
            yield f"harmful response of less than {SHORT_HARMFUL} words"
    elif isinstance(record, BenignPair) and is_refusal(record.response):
        yield "benign response that opens by refusing"


def _same_query(
    record: Triple | BenignPair | Query, place: Place, queries: dict[int, tuple[Place, bool]]
) -> str | None:
    """How the record repeats an earlier one's query (but for case, blanks and stops), or None."""
    text = record.harmful_query if isinstance(record, Triple) else None
    text = record.benign_query if isinstance(record, BenignPair) else text
    text = record.query if isinstance(record, Query) else text
    assert text is not None
    said = [turn.content for turn in getattr(record, "context", ()) if turn.role == "user"]
    text = "\n".join([*said, text])
    (path, line), evaluates = place, isinstance(record, Query)
    (other, other_line), other_evaluates = queries.setdefault(
        sequence_hash(token_hashes(text)), (place, evaluates)
    )[:2]
    if (other, other_line) == (path, line):
        return None
    if evaluates != other_evaluates:
        return f"query also in {other}: training and evaluation share it"
    return "query that an earlier line has" if other == path else f"query also in {other}"


def _lines(lines: list[int]) -> str:
    shown = ", ".join(map(str, lines[:SHOWN_LINES]))
    word = "line" if len(lines) == 1 else "lines"
    return f"{word} {shown}" + (f" and {len(lines) - SHOWN_LINES} more" if len(lines) > SHOWN_LINES else "")
