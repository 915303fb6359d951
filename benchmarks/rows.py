"""The fixed length file: benign rows lognormal mean 350, CV .7, cap 1024; triples q 15, r 60, h 150-250."""

from __future__ import annotations

import math

import numpy as np

from derta.encode.row import Branch, Objective, Row, plain_row, prefix_row, rto_row, trunk_row
from derta.encode.sampling import draw_kept_positions, draw_prefix_length, generator

END, REFUSAL = 0, 1
REFUSAL_IDS = frozenset({REFUSAL})


def benign_lengths(
    count: int, seed: int = 0, *, mean: float = 350, cv: float = 0.7, cap: int = 1024
) -> list[int]:
    """Token lengths of whole benign rows."""
    sigma = math.sqrt(math.log(1 + cv * cv))
    drawn = np.random.default_rng(seed).lognormal(math.log(mean) - sigma**2 / 2, sigma, count)
    return np.clip(drawn, 24, cap).astype(int).tolist()


def benign_rows(lengths: list[int], vocab_size: int, seed: int = 0) -> list[Row]:
    """Rows with about two thirds of their tokens in the response, as chat data has."""
    rng = np.random.default_rng(seed)
    rows = []
    for number, length in enumerate(lengths):
        ids = rng.integers(2, vocab_size, length - 1)
        prompt = max(4, length // 3)
        rows.append(plain_row(f"benign:{number}", ids[:prompt], ids[prompt:], END, Objective.BENIGN))
    return rows


def triple_rows(
    count: int, vocab_size: int, *, branches: int = 1, keep_rate: float = 0.05, seed: int = 0
) -> tuple[list[Row], list[Row]]:
    """(separate rows, shared-trunk rows) of the same triples with the same draws."""
    rng = np.random.default_rng(seed)
    separate: list[Row] = []
    shared: list[Row] = []
    for number in range(count):
        query, harmful = rng.integers(2, vocab_size, 15), rng.integers(2, vocab_size, rng.integers(150, 251))
        safe = np.concatenate([[REFUSAL], rng.integers(2, vocab_size, 58)])
        draws = [
            draw_prefix_length(generator(seed, 0, str(number), f"k{branch}"), len(harmful), "thirds")
            for branch in range(branches)
        ]
        kept = draw_kept_positions(generator(seed, 0, str(number), "keep"), len(harmful), keep_rate).tolist()
        labels = [REFUSAL] * len(harmful)
        separate += [prefix_row(f"prefix:{number}:{k}", query, harmful[:k], safe, END) for k in draws]
        separate.append(rto_row(f"rto:{number}", query, harmful, labels, kept))
        shared.append(
            trunk_row(
                f"derta:{number}",
                query,
                harmful,
                rto=(labels, kept),
                branches=[Branch(k, safe, END) for k in draws],
            )
        )
    return separate, shared


def real_tokens(rows: list[Row]) -> int:
    """Tokens without padding."""
    return sum(len(row) for row in rows)
