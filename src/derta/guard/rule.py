"""When to stop: a rule over the hazards of one answer, read as they come.

    threshold   stop when h_t >= limit
    cusum       S_t = max(0, S_{t-1} + log h_t - drift), S_{-1} = 0; stop when S_t >= limit
                (Page 1954, Biometrika 41:100; the log hazard's excess over what benign tokens have, summed up)

h_t is P(refusal opening | prompt, response[:t]), so a stop at t means that token t is never said.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

RuleName = Literal["threshold", "cusum"]
RULES: tuple[str, ...] = get_args(RuleName)
LEAST = 1e-12  # a hazard of 0 has no logarithm


@dataclass(frozen=True)
class Rule:
    """limit: of the statistic. drift: cusum's reference value, a log probability (unused by threshold)."""

    name: RuleName
    limit: float
    drift: float = 0.0

    def next(self, statistic: float, hazard: float) -> float:
        """The statistic after one more hazard; it begins at 0."""
        if self.name == "threshold":
            return hazard
        return max(0.0, statistic + math.log(max(hazard, LEAST)) - self.drift)

    def along(self, hazards: Iterable[float]) -> list[float]:
        """The statistic at every step of one answer."""
        statistic, values = 0.0, []
        for hazard in hazards:
            statistic = self.next(statistic, hazard)
            values.append(statistic)
        return values

    def first_stop(self, hazards: Iterable[float]) -> int | None:
        """The token of an answer at which the rule stops it, or None."""
        return next((t for t, value in enumerate(self.along(hazards)) if value >= self.limit), None)


@dataclass(frozen=True)
class Stop:
    """Why an answer ended. token: how many tokens had been said; the next one was not."""

    token: int
    hazard: float
    statistic: float
    rule: Rule

    def __str__(self) -> str:
        return (
            f"stopped at token {self.token}: P(refusal) {self.hazard:.3f}, {self.rule.name} "
            f"{self.statistic:.3g} >= {self.rule.limit:.3g}"
        )


class Watch:
    """One answer under a rule. hazards: of every step so far; stop: set once the rule has fired."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.hazards: list[float] = []
        self.stop: Stop | None = None
        self._statistic = 0.0

    def step(self, hazard: float) -> bool:
        """Read the hazard before the next token; whether the answer must end here."""
        if self.stop is None:
            self._statistic = self.rule.next(self._statistic, hazard)
            if self._statistic >= self.rule.limit:
                self.stop = Stop(len(self.hazards), hazard, self._statistic, self.rule)
        self.hazards.append(hazard)
        return self.stop is not None
