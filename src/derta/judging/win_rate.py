"""From compared pairs to a win rate: its interval, the judge's leaning to a position, and what length explains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from derta.files import write_json, write_jsonl
from derta.judging.pairwise import Compared
from derta.provenance import write_manifest
from derta.statistics import Rate, wilson_interval

POINTS = {"win": 1.0, "tie": 0.5, "loss": 0.0}
RIDGE = 0.1  # keeps the fit finite where one side always wins
STEPS = 50  # of Newton's method; a handful suffices


@dataclass(frozen=True)
class WinRate:
    """A against B. rate: (wins + ties / 2) / n with Wilson's interval, wider than ties would need.

    length_controlled: the rate that a logistic fit on the length difference predicts for answers of equal length.
    """

    rate: Rate
    wins: int
    ties: int
    losses: int
    inconsistent: int
    words_a: float
    words_b: float
    length_controlled: float | None


def win_rate(compared: Sequence[Compared]) -> WinRate:
    """The win rate of A over the pairs that were read."""
    read = [item for item in compared if item.outcome != "unknown"]
    n, unknown = len(read), len(compared) - len(read)
    count = {name: sum(item.outcome == name for item in read) for name in POINTS}
    points = [POINTS[item.outcome] for item in read]
    low, high = wilson_interval(sum(points), n) if n else (None, None)
    lengths = [item.lengths for item in read]
    return WinRate(
        rate=Rate(value=sum(points) / n if n else None, n=n, unknown=unknown, low=low, high=high),
        wins=count["win"],
        ties=count["tie"],
        losses=count["loss"],
        inconsistent=sum(item.is_inconsistent for item in read),
        words_a=sum(a for a, _ in lengths) / max(n, 1),
        words_b=sum(b for _, b in lengths) / max(n, 1),
        length_controlled=at_equal_length(points, [a - b for a, b in lengths]),
    )


def at_equal_length(points: Sequence[float], differences: Sequence[int]) -> float | None:
    """P(A wins) at length difference 0, by logistic regression on tanh(difference / its standard deviation).

    As in AlpacaEval 2 (Dubois et al. 2024, arXiv 2404.04475), without its term for each question. None below 10
    pairs, or where the lengths never differ.
    """
    n = len(points)
    spread = math.sqrt(sum(d * d for d in differences) / n) if n else 0.0
    if n < 10 or spread == 0:
        return None
    xs = [math.tanh(d / spread) for d in differences]
    intercept = slope = 0.0
    for _ in range(STEPS):
        ps = [1 / (1 + math.exp(-(intercept + slope * x))) for x in xs]
        ws = [p * (1 - p) for p in ps]
        gradient = (
            sum(y - p for y, p in zip(points, ps, strict=True)) - RIDGE * intercept,
            sum((y - p) * x for y, p, x in zip(points, ps, xs, strict=True)) - RIDGE * slope,
        )
        a, d = sum(ws) + RIDGE, sum(w * x * x for w, x in zip(ws, xs, strict=True)) + RIDGE
        b = sum(w * x for w, x in zip(ws, xs, strict=True))
        determinant = a * d - b * b
        intercept += (d * gradient[0] - b * gradient[1]) / determinant
        slope += (a * gradient[1] - b * gradient[0]) / determinant
    return 1 / (1 + math.exp(-intercept))


def write_comparison(
    compared: Sequence[Compared],
    out: Path,
    *,
    names: tuple[str, str],
    settings: dict[str, Any],
    files: list[Path],
) -> Path:
    """Write results.json, comparisons.jsonl (one line a pair, in order) and manifest.json; returns the first."""
    found = win_rate(compared)
    name = {"model": names[0], "method": "none", "attack": "benign", "judge": f"pairwise against {names[1]}"}
    cells = [name | {"metric": "win_rate", **_rounded(found.rate)}]
    if found.length_controlled is not None:
        rate = Rate(
            value=found.length_controlled, n=found.rate.n, unknown=found.rate.unknown, low=None, high=None
        )
        cells.append(name | {"metric": "win_rate:length_controlled", **_rounded(rate)})
    lines = [
        {
            "pair": number,
            "question": item.pair.question,
            "outcome": item.outcome,
            "a_first": item.orders[0],
            "b_first": item.orders[1],
            "words_a": item.lengths[0],
            "words_b": item.lengths[1],
            "reason": item.reason,
        }
        for number, item in enumerate(compared, 1)
    ]
    write_jsonl(out / "comparisons.jsonl", lines)
    path = out / "results.json"
    write_json(path, cells)
    write_manifest(out, kind="pairwise", config=settings, inputs=list(dict.fromkeys(files)), rows=len(lines))
    return path


def _rounded(rate: Rate) -> dict[str, Any]:
    ends = {name: getattr(rate, name) for name in ("value", "low", "high")}
    rounded = {name: None if value is None else round(value, 6) for name, value in ends.items()}
    return {
        "value": rounded["value"],
        "n": rate.n,
        "unknown": rate.unknown,
        "low": rounded["low"],
        "high": rounded["high"],
    }
