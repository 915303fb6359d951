"""The results cell: one number of a report, how it is rounded, and the rate of rows that may share a question.

Whatever writes a results.json (report, judge, over-refusal, pairwise, calibrate) makes its cells here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypedDict

from derta.statistics import Rate, rate, wilson_interval

NO_ATTACK = "none"  # attack and judge of a cell that comes from neither
DECIMALS = 6  # of every number in results.json


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One number of a report.

    value, low, high: fractions 0..1 (words for `refusal_position:*`); None when nothing was readable.
    n: readable outcomes; unknown: the others. Both 0: the attack does not apply to the model, so none was asked for.
    """

    model: str
    method: str
    attack: str
    judge: str
    metric: str
    value: float | None
    n: int
    unknown: int
    low: float | None
    high: float | None

    @property
    def is_inapplicable(self) -> bool:
        """Whether the attack can't be made on this model at all; that is neither a success nor a failure."""
        return self.metric == "asr" and self.n == self.unknown == 0

    def bounds(self) -> tuple[float, float] | None:
        """The rate if every unknown were a failure, and if every one were a success."""
        return Rate(value=self.value, n=self.n, unknown=self.unknown, low=self.low, high=self.high).bounds()


class System(NamedTuple):
    """A model under test and the method that trained it."""

    model: str
    method: str


def systems_of(cells: Iterable[Cell]) -> list[System]:
    """The models under test, in the order in which they first appear."""
    return list(dict.fromkeys(System(cell.model, cell.method) for cell in cells))


def make_cell(key: tuple[str, str, str, str], metric: str, measured: Rate) -> Cell:
    """The cell of (model, method, attack, judge), its numbers rounded."""
    model, method, attack, judge = key
    return Cell(
        model=model, method=method, attack=attack, judge=judge, metric=metric, **rounded_rate(measured)
    )


class RoundedRate(TypedDict):
    """A rate's fields as results.json has them."""

    value: float | None
    n: int
    unknown: int
    low: float | None
    high: float | None


def rounded_rate(measured: Rate) -> RoundedRate:
    """The rate's numbers, rounded."""
    return {
        "value": rounded(measured.value),
        "n": measured.n,
        "unknown": measured.unknown,
        "low": rounded(measured.low),
        "high": rounded(measured.high),
    }


def rounded(value: float | None) -> float | None:
    """The one rounding of results."""
    return None if value is None else round(value, DECIMALS)


def clustered_rate(outcomes: Sequence[bool | None], clusters: Sequence[str]) -> Rate:
    """A rate whose rows may share a question (depths, templates, seeds).

    The value is over all rows; the interval is Wilson's at the number of distinct questions, as if the rows of
    one question always agreed. That is the widest it can be: never more certain than the questions allow.
    """
    pooled = rate(outcomes)
    questions = len({name for name, outcome in zip(clusters, outcomes, strict=True) if outcome is not None})
    if pooled.value is None or questions == pooled.n:
        return pooled
    low, high = wilson_interval(pooled.value * questions, questions)
    return Rate(value=pooled.value, n=pooled.n, unknown=pooled.unknown, low=low, high=high)


def readable_helpfulness(helpful: Sequence[bool | None], refused: Sequence[bool | None]) -> list[bool | None]:
    """Helpfulness as a judge read it, or nothing at all where it read refusals alone.

    A judge that knows only that a refusal does not help (span, refusal) leaves all answers unread: a rate over
    those few refusals would be 0 % of a model that helps. It is not measured then.
    """
    rows = list(zip(helpful, refused, strict=True))
    reads_answers = any(own is not None for own, is_refusal in rows if not is_refusal)
    leaves_answers = any(own is None for own, is_refusal in rows if is_refusal is False)
    return list(helpful) if reads_answers or not leaves_answers else [None] * len(rows)
