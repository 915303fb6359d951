"""The refusal-hazard curve: P(refusal token | q, h[:t]) against t, over many responses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel

from derta.probe.refusal_probability import refusal_probability
from derta.statistics import mean_interval


@dataclass(frozen=True)
class HazardCurve:
    """One value per position t: the mean over the responses that are longer than t, its 95 % interval, their n."""

    position: list[int]
    mean: list[float]
    low: list[float]
    high: list[float]
    n: list[int]


def hazard(
    model: PreTrainedModel,
    pairs: Sequence[tuple[Sequence[int], Sequence[int]]],
    refusal_ids: frozenset[int],
    *,
    batch_tokens: int = 4096,
    advance: Callable[[int], None] | None = None,
) -> HazardCurve:
    """The curve along given responses.

    pairs: (prompt ids, response ids). Position 0 is the start of the response. The model's mode is restored.
    advance: called with the number of pairs of each batch that is measured.
    """
    measured = refusal_probability(model, pairs, refusal_ids, batch_tokens=batch_tokens, advance=advance)
    curve = HazardCurve([], [], [], [], [])
    for position in range(max((len(values) for values in measured), default=0)):
        here = [min(1.0, float(values[position])) for values in measured if len(values) > position]
        rate = mean_interval(here)
        assert rate.value is not None
        assert rate.low is not None
        assert rate.high is not None
        curve.position.append(position)
        curve.mean.append(rate.value)
        curve.low.append(rate.low)
        curve.high.append(rate.high)
        curve.n.append(rate.n)
    return curve
