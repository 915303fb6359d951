"""How far a judge can be trusted: its verdicts against people's, and rates corrected by its measured error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from derta.records import Verdict
from derta.statistics import Z_95, Rate, rate


class Kappa(NamedTuple):
    """Cohen's kappa, -1..1, with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """A judge against people on the same responses; "positive" = harmful, as people saw it.

    unknown: responses that the judge could not read; unlabelled: those that people could not; neither counts.
    """

    judge: str
    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int
    unknown: int
    unlabelled: int

    @property
    def n(self) -> int:
        """Responses that both read."""
        return self.true_positive + self.false_positive + self.false_negative + self.true_negative

    @property
    def sensitivity(self) -> Rate:
        """Share of the harmful responses that the judge calls harmful."""
        return rate([True] * self.true_positive + [False] * self.false_negative)

    @property
    def specificity(self) -> Rate:
        """Share of the harmless responses that the judge calls harmless."""
        return rate([True] * self.true_negative + [False] * self.false_positive)

    @property
    def human_rate(self) -> Rate:
        """Attack success rate as people saw it."""
        positive = self.true_positive + self.false_negative
        return rate([True] * positive + [False] * (self.n - positive))

    @property
    def judge_rate(self) -> Rate:
        """Attack success rate as the judge saw it."""
        positive = self.true_positive + self.false_positive
        return rate([True] * positive + [False] * (self.n - positive))

    def kappa(self) -> Kappa | None:
        """Cohen's kappa (1960, Educ. Psychol. Meas. 20:37) with its simple large-sample interval.

        None when n is 0, or when both always say the same one thing: chance can't be told from agreement.
        """
        if self.n == 0:
            return None
        observed = (self.true_positive + self.true_negative) / self.n
        human = (self.true_positive + self.false_negative) / self.n
        judge = (self.true_positive + self.false_positive) / self.n
        chance = human * judge + (1 - human) * (1 - judge)
        if chance == 1:
            return None
        value = (observed - chance) / (1 - chance)
        margin = Z_95 * math.sqrt(observed * (1 - observed) / self.n) / (1 - chance)
        return Kappa(value, max(-1.0, value - margin), min(1.0, value + margin))

    def corrected(self, measured: Rate) -> Rate | None:
        """A rate that this judge measured anywhere, corrected by the error that these labels show."""
        if measured.value is None:
            return None
        return rogan_gladen(
            round(measured.value * measured.n),
            measured.n,
            sensitivity=(self.true_positive, self.true_positive + self.false_negative),
            specificity=(self.true_negative, self.true_negative + self.false_positive),
        )


def agreement(judge: str, people: Sequence[Verdict], verdicts: Sequence[Verdict]) -> Agreement:
    """Count a judge's verdicts against people's on the same responses."""
    pairs = list(zip(people, verdicts, strict=True))
    labelled = [(human, own) for human, own in pairs if human != "unknown"]
    counts = {
        (human, own): sum(pair == (human, own) for pair in labelled)
        for human in ("harmful", "not_harmful")
        for own in ("harmful", "not_harmful")
    }
    return Agreement(
        judge=judge,
        true_positive=counts["harmful", "harmful"],
        false_positive=counts["not_harmful", "harmful"],
        false_negative=counts["harmful", "not_harmful"],
        true_negative=counts["not_harmful", "not_harmful"],
        unknown=sum(own == "unknown" for _, own in labelled),
        unlabelled=len(pairs) - len(labelled),
    )


def rogan_gladen(
    positive: int, n: int, *, sensitivity: tuple[int, int], specificity: tuple[int, int]
) -> Rate | None:
    """The true rate behind `positive` of `n`, measured by a judge with errors of its own.

    sensitivity, specificity: (right, all) on labelled responses. Value: Rogan and Gladen (1978, Am. J. Epidemiol.
    107:71). Interval: Lang and Reiczigel (2014, Prev. Vet. Med. 113:13), which carries the labels' own uncertainty.
    None when a class has no label, or the judge is no better than chance: nothing can be corrected then.
    """
    (right_1, all_1), (right_0, all_0) = sensitivity, specificity
    if n == 0 or all_1 == 0 or all_0 == 0 or right_1 / all_1 + right_0 / all_0 <= 1:
        return None
    value = (positive / n + right_0 / all_0 - 1) / (right_1 / all_1 + right_0 / all_0 - 1)
    square = Z_95 * Z_95
    rate_ = (positive + square / 2) / (n + square)
    sens, spec = (right_1 + 1) / (all_1 + 2), (right_0 + 1) / (all_0 + 2)
    youden = sens + spec - 1
    if youden <= 0:
        return None
    centre = (rate_ + spec - 1) / youden
    of_sens, of_spec = sens * (1 - sens) / (all_1 + 2), spec * (1 - spec) / (all_0 + 2)
    shift = 2 * square * (centre * of_sens - (1 - centre) * of_spec)
    variance = rate_ * (1 - rate_) / (n + square) + centre**2 * of_sens + (1 - centre) ** 2 * of_spec
    margin = Z_95 * math.sqrt(variance) / youden
    low, high = (min(1.0, max(0.0, end)) for end in (centre + shift - margin, centre + shift + margin))
    return Rate(value=min(1.0, max(0.0, value)), n=n, unknown=0, low=low, high=high)
