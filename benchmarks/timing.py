"""Fair timing: two ways of computing side by side in one process, interleaved A B A B, ratios of neighbours."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Ratio:
    """Median of the paired ratios time(slow) / time(fast), with the smallest and largest pair."""

    ratio: float
    min: float
    max: float

    def as_dict(self, *, floor: float, aim: float, **facts: object) -> dict[str, object]:
        """One entry of a benchmark's JSON."""
        return {
            "ratio": round(self.ratio, 4),
            "min": round(self.min, 4),
            "max": round(self.max, 4),
            "floor": floor,
            "aim": aim,
            **facts,
        }


def seconds(run: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def both_seconds(run: Callable[[], object]) -> tuple[float, float]:
    """Wall time and CPU time of one call."""
    start, cpu_start = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - start, time.process_time() - cpu_start


class CpuTimes:
    """CPU seconds of the runs of `paired`, beside its wall times: other load on the machine moves them far less."""

    def __init__(self, fast: Callable[[], object], slow: Callable[[], object]) -> None:
        self._spent: dict[str, list[float]] = {"fast": [], "slow": []}
        self.fast = self._watched("fast", fast)
        self.slow = self._watched("slow", slow)

    def as_dict(self) -> dict[str, float]:
        """Median, smallest and largest ratio of the pairs, as `Ratio` has them of wall times."""
        ratios = [slow / fast for fast, slow in zip(self._spent["fast"], self._spent["slow"], strict=True)]
        found = {"ratio": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}
        return {name: round(value, 4) for name, value in found.items()}

    def _watched(self, name: str, run: Callable[[], object]) -> Callable[[], None]:
        def timed() -> None:
            start = time.process_time()
            run()
            self._spent[name].append(time.process_time() - start)

        return timed


def paired(
    fast: Callable[[], object], slow: Callable[[], object], *, pairs: int, warmup: int = 1, per: float = 1.0
) -> Ratio:
    """Time `fast` and `slow` alternately; the ratio says how many times longer `slow` takes.

    per: work done by `slow` over work done by `fast`, when they do not process the same number of tokens.
    """
    for _ in range(warmup):
        fast(), slow()
    ratios = []
    for number in range(pairs):
        # swap the order every other pair, so that neither always runs on the warmer machine
        first, second = (fast, slow) if number % 2 == 0 else (slow, fast)
        times = {first: seconds(first), second: seconds(second)}
        ratios.append(times[slow] / times[fast] / per)
    return Ratio(statistics.median(ratios), min(ratios), max(ratios))
