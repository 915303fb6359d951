"""What is drawn at random for a row: counter-based from (seed, epoch, row id, purpose).

No global random state: the same row gets the same k and the same kept positions whatever the batch size, the
number of workers or processes, the order of rows, and after a resume.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import numpy as np
import numpy.typing as npt


def generator(seed: int, epoch: int, row_id: str, purpose: str) -> np.random.Generator:
    """A generator of its own for one decision about one row in one epoch."""
    digest = hashlib.sha256(f"{seed}\x1f{epoch}\x1f{row_id}\x1f{purpose}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest[:16], dtype=np.uint64)))


def draw_prefix_length(rng: np.random.Generator, most: int, rule: Literal["thirds", "uniform"]) -> int:
    """Draw k, the tokens of harmful prefix, from 0..most (most = |h|, or what `max_length` leaves room for).

    uniform: every k in 0..most alike (paper, eq. 2). thirds: k = 0 with probability 1/3, else uniform in
    1..most (the released code's rule, in tokens instead of words). With most = 0, k = 0.
    """
    if most == 0:
        return 0
    if rule == "uniform":
        return int(rng.integers(0, most, endpoint=True))
    return 0 if rng.random() < 1 / 3 else int(rng.integers(1, most, endpoint=True))


def draw_kept_positions(rng: np.random.Generator, count: int, keep_rate: float) -> npt.NDArray[np.int64]:
    """Which of `count` response positions carry the RTO label; each with `keep_rate`, at least one.

    Drawn over response positions only ("dropout on Sorry"; the released code draws over the padded row).
    """
    if keep_rate >= 1:
        return np.arange(count)
    kept = np.flatnonzero(rng.random(count) < keep_rate)
    return kept if len(kept) else rng.integers(0, count, size=1)


def seeded_order(ids: list[str], seed: int, purpose: str) -> list[int]:
    """Indices of `ids` in an order that depends on the seed and each id alone (not on the file's order)."""
    keys = [hashlib.sha256(f"{seed}\x1f{purpose}\x1f{name}".encode()).digest() for name in ids]
    return sorted(range(len(ids)), key=keys.__getitem__)
