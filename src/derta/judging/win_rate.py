"""From compared pairs to a win rate: its interval, the judge's leaning to a position, and what length explains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit

from derta.files import write_json, write_jsonl
from derta.judging.pairwise import Compared
from derta.provenance import write_manifest
from derta.results.cell import make_cell
from derta.statistics import Rate, wilson_interval

POINTS = {"win": 1.0, "tie": 0.5, "loss": 0.0}
RIDGE = 0.1  # keeps the fit finite where one side always wins
GRADIENT = 1e-8  # where the fit ends: far below the decimals that are written
Weights = npt.NDArray[np.float64]


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
    spread = math.sqrt(sum(d * d for d in differences) / len(points)) if points else 0.0
    if len(points) < 10 or spread == 0:
        return None
    won, lengths = np.array(points), np.tanh(np.array(differences) / spread)

    def loss(weights: Weights) -> tuple[float, Weights]:
        """Log loss with a ridge on (intercept, slope), and its gradient; a tie is half a win."""
        scores = weights[0] + weights[1] * lengths
        error = expit(scores) - won
        value = np.sum(np.logaddexp(0, scores) - won * scores) + RIDGE / 2 * weights @ weights
        return float(value), np.array([error.sum(), error @ lengths]) + RIDGE * weights

    fit = minimize(loss, np.zeros(2), jac=True, method="BFGS", options={"gtol": GRADIENT})
    return float(expit(fit.x[0]))


def write_comparison(
    compared: Sequence[Compared],
    out: Path,
    *,
    names: tuple[str, str],
    settings: dict[str, Any],
    files: list[Path],
) -> Path:
    """Write results.json, comparisons.jsonl (one line a pair, in order) and manifest.json; returns the first."""
    measured = win_rate(compared)
    key = (names[0], "none", "benign", f"pairwise against {names[1]}")
    cells = [make_cell(key, "win_rate", measured.rate)]
    if measured.length_controlled is not None:
        controlled = replace(measured.rate, value=measured.length_controlled, low=None, high=None)
        cells.append(make_cell(key, "win_rate:length_controlled", controlled))
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
    write_json(path, [asdict(cell) for cell in cells])
    write_manifest(out, kind="pairwise", config=settings, inputs=list(dict.fromkeys(files)), rows=len(lines))
    return path
