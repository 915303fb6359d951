"""Two models' answers to the same questions, compared by a judge model that sees each pair in both orders.

    order 1   ANSWER 1 = A, ANSWER 2 = B        a win needs both orders: a judge that always takes the first one
    order 2   ANSWER 1 = B, ANSWER 2 = A        prefers nobody, and gives ties

The material is fenced and the verdict read as in rubric.py. A pair with an order that could not be read is unknown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from derta.errors import DataError
from derta.files import dumps, sha256_text
from derta.judges.fence import code_of, fenced
from derta.judges.refusal import find_refusal
from derta.judges.reply import Unreadable, needs_code, read_verdict
from derta.judges.rubric import USUAL, Asking, ask_model
from derta.judges.rubric_texts import PAIR_RUBRIC
from derta.keyed_log import SampleStore
from derta.results.rows import ResultRow
from derta.words import count_words

if TYPE_CHECKING:
    from inspect_ai.model import Model

Outcome = Literal["win", "tie", "loss", "unknown"]  # of A
WORDS = ("FIRST", "SECOND", "TIE")
AT_ONCE = 8  # pairs that wait at the same time; each asks twice


@dataclass(frozen=True)
class Pair:
    """Two answers to one question; None where there is none, and `problem` says why."""

    question: str
    a: str | None
    b: str | None
    problem: str | None = None


@dataclass(frozen=True)
class Compared:
    """A pair with its outcome. orders: what was said with A first, and with B first; None: not read.

    reason: why it is unknown, or "same text".
    """

    pair: Pair
    outcome: Outcome
    orders: tuple[str | None, str | None]
    reason: str | None = None

    @property
    def is_inconsistent(self) -> bool:
        """The two orders name different winners: the judge went by the position."""
        return self.orders in (("FIRST", "FIRST"), ("SECOND", "SECOND"))

    @property
    def lengths(self) -> tuple[int, int]:
        """Words of both answers."""
        return count_words(self.pair.a or ""), count_words(self.pair.b or "")


def pair_rows(rows_a: Sequence[ResultRow], rows_b: Sequence[ResultRow]) -> list[Pair]:
    """The pairs in the order of A: rows with the same question; a question's rows in their order.

    Raises:
        DataError: a question that only one of the two answers.
    """
    by_question: dict[str, list[ResultRow]] = {}
    for row in rows_b:
        by_question.setdefault(_same(row.query.query), []).append(row)
    pairs = []
    for row in rows_a:
        found = by_question.get(_same(row.query.query))
        if not found:
            raise DataError(
                f"{row.file}: row {row.row}: no answer to this question in the other file: {_shown(row)}"
            )
        pairs.append(_pair(row, found.pop(0)))
    left = [row for rows in by_question.values() for row in rows]
    if left:
        raise DataError(
            f"{left[0].file}: row {left[0].row}: no answer to this question in the other file: {_shown(left[0])}"
        )
    return pairs


def _pair(a: ResultRow, b: ResultRow) -> Pair:
    problems = [
        f"answer {name}: {row.problem or 'no response' if row.response is None else 'empty'}"
        for name, row in (("A", a), ("B", b))
        if not (row.response or "").strip()
    ]
    return Pair(a.query.query, a.response, b.response, problems[0] if problems else None)


def _same(question: str) -> str:
    return " ".join(question.split())


def _shown(row: ResultRow) -> str:
    return repr(row.query.query[:80]) if row.query.query else "(the row names no question)"


async def compare(
    pairs: Sequence[Pair],
    model: Model,
    *,
    asking: Asking = USUAL,
    log: PairLog | None = None,
    advance: Callable[[], None] = lambda: None,
) -> list[Compared]:
    """Compare every pair, in both orders; the result has the pairs' order and number."""
    room = asyncio.Semaphore(AT_ONCE)

    async def ask(question: str, first: str, second: str) -> str | Unreadable:
        known = log.get(question, first, second) if log else None
        if known is not None:
            return known
        said = await _ask_order(model, question, first, second, asking)
        if log and not isinstance(said, Unreadable):
            log.put(question, first, second, said)
        return said

    async def one(pair: Pair) -> Compared:
        async with room:
            compared = await _compare_one(pair, ask)
        advance()
        return compared

    return list(await asyncio.gather(*(one(pair) for pair in pairs)))


async def _compare_one(pair: Pair, ask: Callable[[str, str, str], Awaitable[str | Unreadable]]) -> Compared:
    if pair.problem or pair.a is None or pair.b is None:
        return Compared(pair, "unknown", (None, None), pair.problem)
    if pair.a.strip() == pair.b.strip():
        return Compared(pair, "tie", (None, None), "same text")
    a_first, b_first = await asyncio.gather(
        ask(pair.question, pair.a, pair.b), ask(pair.question, pair.b, pair.a)
    )
    if isinstance(a_first, Unreadable):
        return Compared(
            pair, "unknown", (None, None if isinstance(b_first, Unreadable) else b_first), a_first.reason
        )
    if isinstance(b_first, Unreadable):
        return Compared(pair, "unknown", (a_first, None), b_first.reason)
    return Compared(pair, outcome_of(a_first, b_first), (a_first, b_first))


def outcome_of(a_first: str, b_first: str) -> Outcome:
    """A wins if both orders name it, loses if both name B; all else is a tie."""
    if (a_first, b_first) == ("FIRST", "SECOND"):
        return "win"
    return "loss" if (a_first, b_first) == ("SECOND", "FIRST") else "tie"


async def _ask_order(
    model: Model, question: str, first: str, second: str, asking: Asking
) -> str | Unreadable:
    material = [question, first, second]
    code = code_of(*material)
    blocks = (("QUESTION", question or "(not given)"), ("ANSWER 1", first), ("ANSWER 2", second))
    text = "\n\n".join(fenced(title, body, code) for title, body in blocks)
    output = await ask_model(model, PAIR_RUBRIC.format(code=code), text, asking)
    if isinstance(output, Unreadable):
        return output
    said = read_verdict(output.completion, WORDS, code, code_required=needs_code(*material))
    if isinstance(said, Unreadable) and find_refusal(output.completion) is not None:
        return Unreadable(f"the judge refused ({said.reason})")
    return said


class PairLog:
    """Readable verdicts on disk as they come, by the hash of the judge's settings and the texts in their order."""

    def __init__(self, path: Path, settings: object) -> None:
        self._settings = dumps(settings)
        self._log = SampleStore(path)

    def get(self, *texts: str) -> str | None:
        """What was said of these texts in this order, if it is known."""
        found = self._log.get("compared", self._key(*texts))
        return None if found is None else str(found["said"])

    def put(self, *texts_and_said: str) -> None:
        """Keep what was said (the last argument)."""
        *texts, said = texts_and_said
        self._log.put("compared", self._key(*texts), {"said": said})

    def _key(self, *texts: str) -> str:
        return sha256_text(dumps([self._settings, *texts]))
