"""Rates that carry their n, their unknowns and their interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Z_95 = 1.959963984540054  # two-sided 95 % quantile of the standard normal


@dataclass(frozen=True, kw_only=True)
class Rate:
    """A share of `n` readable outcomes, with its 95 % interval.

    value, low, high: fractions 0..1, or None when nothing was readable (n == 0).
    n: outcomes read; unknown: outcomes that could not be read and are in no numerator.
    """

    value: float | None
    n: int
    unknown: int
    low: float | None
    high: float | None

    def bounds(self) -> tuple[float, float] | None:
        """The rate if every unknown were a failure, and if every one were a success."""
        total = self.n + self.unknown
        if total == 0:
            return None
        hits = round((self.value or 0.0) * self.n)
        return hits / total, (hits + self.unknown) / total


def wilson_interval(hits: float, n: int, z: float = Z_95) -> tuple[float, float]:
    """Wilson score interval for `hits` successes of `n` (Wilson 1927, JASA 22:209).

    Raises:
        ValueError: n < 1 or hits outside 0..n.
    """
    if n < 1 or not 0 <= hits <= n:
        raise ValueError(f"need 0 <= hits <= n and n >= 1, got hits={hits}, n={n}")
    share = hits / n
    centre = share + z * z / (2 * n)
    margin = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low = 0.0 if hits == 0 else max(0.0, (centre - margin) / scale)
    high = 1.0 if hits == n else min(1.0, (centre + margin) / scale)
    return low, high


def rate(outcomes: Sequence[bool | None]) -> Rate:
    """The share of True among the readable outcomes; None counts as unknown."""
    read = [outcome for outcome in outcomes if outcome is not None]
    unknown = len(outcomes) - len(read)
    if not read:
        return Rate(value=None, n=0, unknown=unknown, low=None, high=None)
    hits = sum(read)
    low, high = wilson_interval(hits, len(read))
    return Rate(value=hits / len(read), n=len(read), unknown=unknown, low=low, high=high)


def mean_interval(values: Sequence[float]) -> Rate:
    """Mean of fractions with a normal 95 % interval, clipped to 0..1 (for scores that are not yes/no)."""
    n = len(values)
    if n == 0:
        return Rate(value=None, n=0, unknown=0, low=None, high=None)
    mean = sum(values) / n
    variance = sum((value - mean) ** 2 for value in values) / (n - 1) if n > 1 else 0.0
    margin = Z_95 * math.sqrt(variance / n)
    return Rate(value=mean, n=n, unknown=0, low=max(0.0, mean - margin), high=min(1.0, mean + margin))


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """Difference of two rates on the same questions: first minus second, with a 95 % interval."""

    value: float
    n: int
    low: float
    high: float


def paired_difference(
    first: Sequence[bool | None], second: Sequence[bool | None], clusters: Sequence[str] | None = None
) -> PairedDifference | None:
    """Difference of two methods on the same questions (Newcombe 1998, Stat. Med. 17:2635, method 10).

    Pairs with an unknown on either side are left out; None when no pair is left.
    clusters: the question of each pair, where questions repeat; the interval is then the one at the number of
    distinct questions, as if the pairs of one question always agreed.

    Raises:
        ValueError: the sequences differ in length.
    """
    names = range(len(first)) if clusters is None else clusters
    if not len(first) == len(second) == len(names):
        raise ValueError(f"paired outcomes differ in length: {len(first)}, {len(second)} and {len(names)}")
    read = [
        (a, b, name)
        for a, b, name in zip(first, second, names, strict=True)
        if a is not None and b is not None
    ]
    if not read:
        return None
    n = len({name for _, _, name in read})
    weight = n / len(read)  # of one pair, in questions
    both = weight * sum(a and b for a, b, _ in read)
    only_first = weight * sum(a and not b for a, b, _ in read)
    only_second = weight * sum(b and not a for a, b, _ in read)
    neither = weight * sum(not a and not b for a, b, _ in read)
    rate_1, rate_2 = (both + only_first) / n, (both + only_second) / n
    low_1, high_1 = wilson_interval(both + only_first, n)
    low_2, high_2 = wilson_interval(both + only_second, n)
    # phi: correlation of the pairs, with Newcombe's continuity correction for a positive numerator
    product = (both + only_first) * (only_second + neither) * (both + only_second) * (only_first + neither)
    numerator = float(both * neither - only_first * only_second)
    if numerator > 0:
        numerator = max(numerator - n / 2, 0.0)
    phi = numerator / math.sqrt(product) if product else 0.0
    down_1, up_1, down_2, up_2 = rate_1 - low_1, high_1 - rate_1, rate_2 - low_2, high_2 - rate_2
    difference = rate_1 - rate_2
    low = difference - math.sqrt(max(0.0, down_1**2 - 2 * phi * down_1 * up_2 + up_2**2))
    high = difference + math.sqrt(max(0.0, up_1**2 - 2 * phi * up_1 * down_2 + down_2**2))
    return PairedDifference(value=difference, n=len(read), low=max(-1.0, low), high=min(1.0, high))
