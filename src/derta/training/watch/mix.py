"""What each objective counts in the loss: its share of all labels, and whether that is known to work.

RTO labels every token of a harmful response (times `rto.keep_rate`): with few benign pairs it outvotes everything
else, and the model learns to refuse whatever it is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, log10

from derta.encode.row import Objective
from derta.encode.settings import RowSettings

# The paper's two mixes (arXiv 2407.09121: 3,000 triples, 60,000 benign pairs), with 335 labels of a benign response,
# 61 of a safe and 200 tokens of a harmful one (derta.training.cost.estimate): RTO has 0.15 % of the labels at
# keep_rate 0.05 (full tuning) and 2.9 % at 1.0 (LoRA). Above that nothing is known to work: on a 135M chat model
# (docs/method.md, The mix) RTO had 55 % of the loss where it collapsed and 2.6 % in the best run.
KNOWN_SHARE = 0.03


@dataclass(frozen=True)
class Mix:
    """weight: of all labels of a run, by `Objective`. rto_rows: harmful responses, of which each keeps a label."""

    weight: Sequence[float]
    rto_rows: int = 0

    def share(self, objective: Objective) -> float:
        """Of the weight of all labels, 0 to 1."""
        return self.weight[objective] / max(sum(self.weight), 1e-12)

    def __str__(self) -> str:
        shares = [
            f"{objective.name.lower()} {percent(self.share(objective))}"
            for objective in Objective
            if self.weight[objective]
        ]
        return f"share of labels: {', '.join(shares)}"

    def warning(self, settings: RowSettings) -> str | None:
        """What to do where RTO's share is above what is known to work; None where it is not."""
        if self.share(Objective.RTO) <= KNOWN_SHARE:
            return None
        rto, benign = self.weight[Objective.RTO], self.weight[Objective.BENIGN]
        others = sum(self.weight) - rto
        factor = KNOWN_SHARE / (1 - KNOWN_SHARE) * others / rto  # of RTO's weight
        ways = []
        # below one label a response keep_rate changes nothing
        if rto * factor >= self.rto_rows * settings.weights.rto:
            ways.append(
                f"rto.keep_rate {_short(settings.rto.keep_rate * factor)} (now {settings.rto.keep_rate:g})"
            )
        if others:
            ways.append(f"weights.rto {_short(settings.weights.rto * factor)} (now {settings.weights.rto:g})")
        if benign:
            needed = (rto * (1 - KNOWN_SHARE) / KNOWN_SHARE - (others - benign)) / benign
            ways.append(f"{needed:.1f} times the benign pairs")
        return (
            f"rto has {percent(self.share(Objective.RTO))} of the labels; up to {percent(KNOWN_SHARE)} is known to "
            "work (the paper's mix: 0.15 % with keep_rate 0.05, 2.9 % with 1.0), and with much more a small run ends "
            f"refusing everything. What brings it there: {', or '.join(ways) or 'benign pairs'}"
        )


def percent(share: float) -> str:
    """E.g. `41 %`; two digits below 10 %."""
    value = 100 * share
    if 0 < value < 0.01:
        return "< 0.01 %"
    return f"{value:.0f} %" if value >= 9.95 or value == 0 else f"{value:.2g} %"


def _short(value: float) -> str:
    """Two digits, rounded down: what is recommended must not be above the limit."""
    digits = 1 - floor(log10(value))
    return f"{floor(value * 10**digits) / 10**digits:g}"
