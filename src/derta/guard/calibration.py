"""A rule's limit from benign answers alone: few of them may be stopped, and no harmful one is looked at.

The limit is a split-conformal quantile (Vovk et al. 2005; arXiv 2107.07511, section 1): with n calibration answers
of which k reach the limit, a new answer of the same kind is stopped with probability (k + 1) / (n + 1) at most. The
largest k that keeps this within the named rate is taken, so too few answers for a rate is an error, not a guess.
Cusum's drift comes from the same answers, so that its bound holds nearly, not exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from derta.errors import DataError
from derta.guard.rule import LEAST, Rule, RuleName
from derta.statistics import Rate, rate

FALSE_STOP_RATE = 0.004  # of answers
DRIFT_QUANTILE = 0.95  # of benign log hazards: cusum adds up only what is rarer than that
SLACK = 1e-6  # the last bits of a float32 probability change with the batch


def fit_rule(
    name: RuleName, hazards: Sequence[Sequence[float]], false_stop_rate: float = FALSE_STOP_RATE
) -> Rule:
    """hazards: of each benign answer, one value a step.

    Raises:
        DataError: too few answers for the rate.
    """
    n = len(hazards)
    allowed = math.floor(false_stop_rate * (n + 1) + 1e-9) - 1
    if allowed < 0:
        needed = math.ceil(1 / false_stop_rate - 1e-9) - 1
        raise DataError(
            f"guard: {n} benign answers can't show a false-stop rate of {false_stop_rate:.3g}; need {needed} or "
            "more, or a larger --rate"
        )
    drift = 0.0
    if name == "cusum":
        tokens = np.concatenate([np.asarray(answer, dtype=np.float64) for answer in hazards])
        drift = float(np.quantile(np.log(np.maximum(tokens, LEAST)), DRIFT_QUANTILE))
    open_rule = Rule(name, math.inf, drift)
    largest = sorted((max(open_rule.along(answer), default=0.0) for answer in hazards), reverse=True)
    return Rule(name, largest[allowed] + SLACK, drift)


def false_stops(rule: Rule, hazards: Sequence[Sequence[float]]) -> Rate:
    """The share of benign answers that the rule stops, with n and its 95 % interval."""
    return rate([rule.first_stop(answer) is not None for answer in hazards])
