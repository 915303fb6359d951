"""Near-duplicate queries: one word changed, added or left out, or much the same word pairs.

Two ways, each sure of what the other misses:
- short queries (up to 32 tokens): a token sequence with one token left out has a hash; two queries that share
  such a hash differ in one token. Exact, whatever the token.
- all queries: MinHash (Broder 1997) over pairs of neighbouring tokens, 128 permutations in 16 bands of 8; a
  bucket's candidates are compared by their signatures.
Rows are taken in order and the first of its kind stays, so the result doesn't depend on processes or chunks.
Memory: signatures and keys lie in files; what is held grows by about 200 bytes a row.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from derta.data.clean.text import BASE, BASE_INVERSE, Hashes, mix, powers
from derta.data.recipe import NearDuplicateSettings

Rows = npt.NDArray[np.int64]

NUM_PERMUTATIONS = 128
BAND_ROWS = 8
NUM_BANDS = NUM_PERMUTATIONS // BAND_ROWS
MAX_DELETION_TOKENS = 32  # longer: MinHash finds a changed word in 99 % of the cases
BLOCK_ROWS = 20_000  # rows whose signatures are made at a time
MAX_COMPARED = 32  # earlier rows of one bucket that a row is compared with

_random = np.random.Generator(
    np.random.PCG64(20240712)
)  # any fixed seed: signatures are never stored for long
_A = _random.integers(0, 1 << 63, NUM_PERMUTATIONS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
_B = _random.integers(0, 1 << 63, NUM_PERMUTATIONS, dtype=np.uint64)


def take_tokens(tokens: Hashes, starts: Rows, rows: Rows) -> tuple[Hashes, Rows]:
    """The tokens of some rows, one after the other, and where each begins (one more entry than rows)."""
    lengths = starts[rows + 1] - starts[rows]
    ends = np.concatenate([[0], np.cumsum(lengths)])
    positions = np.arange(ends[-1]) - np.repeat(ends[:-1], lengths) + np.repeat(starts[rows], lengths)
    return np.asarray(tokens[positions], dtype=np.uint64), ends


def near_duplicates(
    tokens: Hashes, starts: Rows, rows: Rows, *, settings: NearDuplicateSettings, num_fixed: int, work: Path
) -> Rows:
    """For each of `rows` the position (in `rows`) of the earlier one that it nearly repeats, or -1.

    num_fixed: so many first rows always stay (evaluation questions). work: folder for the signatures.
    """
    lengths = starts[rows + 1] - starts[rows]
    compared = np.flatnonzero(lengths >= settings.min_words).astype(np.int64)
    found = np.full(len(rows), -1, dtype=np.int64)
    if len(compared) < 2:
        return found
    deletion = _deletion_events(tokens, starts, rows, compared)
    work.mkdir(parents=True, exist_ok=True)
    path = work / "signatures.bin"
    signatures, bands = _signatures(tokens, starts, rows[compared], path)
    similar = _band_events(bands, compared)
    slot = np.full(len(rows), -1, dtype=np.int64)
    slot[compared] = np.arange(len(compared))
    seen: dict[int, int] = {}
    buckets: dict[int, list[int]] = {}
    for row, one_word, alike in _by_row(deletion, similar):
        twin = -1 if row < num_fixed else next((seen[key] for key in one_word if key in seen), -1)
        if twin < 0 and row >= num_fixed:
            twin = _most_alike(signatures, slot, row, alike, buckets, settings.similarity)
        if twin >= 0:
            found[row] = twin
            continue
        for key in one_word:
            seen.setdefault(key, row)
        for key in alike:
            bucket = buckets.setdefault(key, [])
            if len(bucket) < MAX_COMPARED:
                bucket.append(row)
    del signatures, bands
    for file in (path, path.with_suffix(".bands")):
        file.unlink(missing_ok=True)
    return found


def _most_alike(
    signatures: Any, slot: Rows, row: int, keys: list[int], buckets: dict[int, list[int]], similarity: float
) -> int:
    candidates = sorted({other for key in keys for other in buckets.get(key, ())})
    if not candidates:
        return -1
    same = (signatures[slot[candidates]] == signatures[slot[row]]).mean(axis=1)
    best = int(same.argmax())
    return candidates[best] if same[best] >= similarity else -1


def _deletion_events(tokens: Hashes, starts: Rows, rows: Rows, compared: Rows) -> tuple[Rows, Hashes]:
    """(position, key) of every shared hash of a query with at most one token left out."""
    lengths = starts[rows[compared] + 1] - starts[rows[compared]]
    short = compared[lengths <= MAX_DELETION_TOKENS]
    keys, owners = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    for begin in range(0, len(short), BLOCK_ROWS):
        block = short[begin : begin + BLOCK_ROWS]
        block_keys, block_owner = _deletion_keys(*take_tokens(tokens, starts, rows[block]))
        keys.append(block_keys)
        owners.append(block[block_owner])
    return _shared(np.concatenate(owners), np.concatenate(keys))


def _deletion_keys(tokens: Hashes, starts: Rows) -> tuple[Hashes, Rows]:
    """Hash of each whole sequence and of each with one token left out, with the row's number."""
    lengths = np.diff(starts)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    position = np.arange(len(tokens)) - starts[:-1][owner]
    weighted = tokens * powers(BASE, int(lengths.max(initial=1)))[position]
    before = np.concatenate([np.zeros(1, np.uint64), np.cumsum(weighted, dtype=np.uint64)])
    head = before[:-1] - before[starts[:-1]][owner]
    tail = before[starts[1:]][owner] - before[1:]
    whole = before[starts[1:]] - before[starts[:-1]]
    without = head + tail * np.uint64(BASE_INVERSE)  # what follows moves one place to the front
    return mix(np.concatenate([whole, without])), np.concatenate([np.arange(len(lengths)), owner])


def _signatures(tokens: Hashes, starts: Rows, rows: Rows, path: Path) -> tuple[Any, Any]:
    """MinHash signatures (low 16 bits, one row each) and band hashes (one line per band), in files."""
    signatures = np.memmap(path, dtype=np.uint16, mode="w+", shape=(len(rows), NUM_PERMUTATIONS))
    bands = np.memmap(path.with_suffix(".bands"), dtype=np.uint64, mode="w+", shape=(NUM_BANDS, len(rows)))
    for begin in range(0, len(rows), BLOCK_ROWS):
        block, block_starts = take_tokens(tokens, starts, rows[begin : begin + BLOCK_ROWS])
        lowest = minhash(block, block_starts)
        signatures[begin : begin + len(lowest)] = lowest.astype(np.uint16)
        for band in range(NUM_BANDS):
            part = lowest[:, band * BAND_ROWS : (band + 1) * BAND_ROWS].astype(np.uint64)
            key = np.full(len(part), band + 1, dtype=np.uint64)
            for column in range(BAND_ROWS):
                key = mix(key * np.uint64(BASE) + part[:, column])
            bands[band, begin : begin + len(lowest)] = key
    return signatures, bands


def minhash(tokens: Hashes, starts: Rows) -> npt.NDArray[np.uint32]:
    """Signatures (rows, permutations) of queries of two tokens or more, over pairs of neighbours."""
    pairs = mix(tokens[:-1] * np.uint64(BASE) + tokens[1:])
    inside = np.ones(len(pairs), dtype=bool)
    inside[starts[1:-1] - 1] = False  # a pair across two queries
    pairs = pairs[inside]
    first = starts[:-1] - np.arange(len(starts) - 1)
    lowest = np.empty((len(starts) - 1, NUM_PERMUTATIONS), dtype=np.uint32)
    for i in range(NUM_PERMUTATIONS):
        lowest[:, i] = np.minimum.reduceat(
            ((pairs * _A[i] + _B[i]) >> np.uint64(32)).astype(np.uint32), first
        )
    return lowest


def _band_events(bands: Any, compared: Rows) -> tuple[Rows, Hashes]:
    events = [_shared(compared, np.asarray(bands[band])) for band in range(NUM_BANDS)]
    return np.concatenate([rows for rows, _ in events]), np.concatenate([keys for _, keys in events])


def _shared(rows: Rows, keys: Hashes) -> tuple[Rows, Hashes]:
    """Only the keys that occur more than once."""
    ordered = np.sort(keys)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(twice):
        return rows[:0], keys[:0]
    place = np.minimum(np.searchsorted(twice, keys), len(twice) - 1)
    kept = twice[place] == keys
    return rows[kept], keys[kept]


def _by_row(
    deletion: tuple[Rows, Hashes], similar: tuple[Rows, Hashes]
) -> Iterator[tuple[int, list[int], list[int]]]:
    """(row, its one-word keys, its band keys) in the order of the rows."""
    rows = np.concatenate([deletion[0], similar[0]])
    keys = np.concatenate([deletion[1], similar[1]])
    is_band = np.arange(len(rows)) >= len(deletion[0])
    order = np.lexsort((is_band, rows))
    rows, keys, is_band = rows[order], keys[order], is_band[order]
    edges = np.flatnonzero(np.diff(rows)) + 1
    for begin, end in zip([0, *edges], [*edges, len(rows)], strict=True):
        if begin < end:
            seam = begin + int((~is_band[begin:end]).sum())
            yield int(rows[begin]), keys[begin:seam].tolist(), keys[seam:end].tolist()
