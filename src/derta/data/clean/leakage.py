"""Evaluation questions hidden in training queries: runs of words they share.

A question's runs are its n-grams of tokens; a question shorter than n, but of four tokens or more, is one run.
A training query that holds `coverage` of a question's runs is a leak, whatever stands around them.
"""

from __future__ import annotations

import numpy as np

from derta.data.clean.duplicates import BLOCK_ROWS, Rows, take_tokens
from derta.data.clean.text import BASE, BASE_INVERSE, Hashes, mix, powers

MIN_TOKENS = 4  # a shorter question is compared whole only


def ngram_leaks(
    tokens: Hashes, starts: Rows, *, questions: Rows, training: Rows, ngram: int, coverage: float
) -> Rows:
    """For each row of `training` the position (in `questions`) of a question it holds, or -1."""
    leaks = np.full(len(training), -1, dtype=np.int64)
    sizes = starts[questions + 1] - starts[questions]
    # Short questions have their own run length, so each length is a search of its own.
    for size in sorted({*np.unique(sizes[(sizes >= MIN_TOKENS) & (sizes < ngram)]).tolist(), ngram}):
        asked = np.flatnonzero(sizes >= ngram if size == ngram else sizes == size)
        if len(asked):
            found = _leaks_of_length(
                tokens, starts, questions=questions[asked], training=training, size=size, coverage=coverage
            )
            fresh = (leaks < 0) & (found >= 0)
            leaks[fresh] = asked[found[fresh]]
    return leaks


def _leaks_of_length(
    tokens: Hashes, starts: Rows, *, questions: Rows, training: Rows, size: int, coverage: float
) -> Rows:
    runs, owners = _runs(*take_tokens(tokens, starts, questions), size)
    runs, owners = _distinct(runs, owners)
    totals = np.bincount(owners, minlength=len(questions))
    known = np.unique(runs)
    leaks = np.full(len(training), -1, dtype=np.int64)
    for begin in range(0, len(training), BLOCK_ROWS):
        block = training[begin : begin + BLOCK_ROWS]
        seen, rows = _runs(*take_tokens(tokens, starts, block), size)
        place = np.minimum(np.searchsorted(known, seen), len(known) - 1)
        hit = known[place] == seen
        for row, run in zip(*_unique_hits(rows[hit], seen[hit]), strict=True):
            leaks[begin + row] = _covered(run, runs, owners, totals, coverage)
    return leaks


def _unique_hits(rows: Rows, runs: Hashes) -> tuple[list[int], list[Hashes]]:
    """Each row that holds a known run, with the distinct runs it holds."""
    if not len(rows):
        return [], []
    order = np.argsort(rows, kind="stable")
    rows, runs = rows[order], runs[order]
    edges = np.flatnonzero(np.diff(rows)) + 1
    return rows[np.concatenate([[0], edges])].tolist(), [np.unique(part) for part in np.split(runs, edges)]


def _covered(held: Hashes, runs: Hashes, owners: Rows, totals: Rows, coverage: float) -> int:
    """The first question of whose runs enough are held, or -1."""
    first, last = np.searchsorted(runs, held, "left"), np.searchsorted(runs, held, "right")
    hits = np.concatenate([owners[low:high] for low, high in zip(first, last, strict=True)])
    counts = np.bincount(hits, minlength=len(totals))
    # 0.55 of 20 runs are 11, though 0.55 * 20 is a little more in floating point
    enough = np.flatnonzero((counts > 0) & (counts >= coverage * totals - 1e-6))
    return int(enough[0]) if len(enough) else -1


def _runs(tokens: Hashes, starts: Rows, size: int) -> tuple[Hashes, Rows]:
    """Hash of every run of `size` tokens, with its row."""
    lengths = np.diff(starts)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    position = np.arange(len(tokens)) - starts[:-1][owner]
    longest = int(lengths.max(initial=1))
    weighted = tokens * powers(BASE, longest)[position]
    before = np.concatenate([np.zeros(1, np.uint64), np.cumsum(weighted, dtype=np.uint64)])
    begins = np.flatnonzero(position + size <= lengths[owner])
    runs = (before[begins + size] - before[begins]) * powers(BASE_INVERSE, longest)[position[begins]]
    return mix(runs), owner[begins]


def _distinct(runs: Hashes, owners: Rows) -> tuple[Hashes, Rows]:
    """Sorted by run, each (run, owner) once."""
    pairs = np.unique(np.array(list(zip(runs.tolist(), owners.tolist(), strict=True)), dtype="u8,i8"))
    return pairs["f0"], pairs["f1"]
