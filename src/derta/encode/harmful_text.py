"""The invariant, held against the records themselves: what a row says of its tokens is not believed.

`row.check_never_learn_harm` proves that a row keeps its own promise (`is_harmful`). A method whose rows call harmful
text safe would pass it, so two more proofs look at the text:

    by context   after q h[:t] the next token of h is not learned
    by text      no WINDOW tokens in a row are learned that stand in a harmful response and in no safe one
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from derta.encode.row import Int32, Objective, Row
from derta.encode.units import EncodedPair, EncodedTriple
from derta.errors import HarmfulTargetError

# Tokens. Fewer are met by chance: a refusal of the method's own that begins with the word that h goes on with, a
# phrase ("\n2. Then the") that any text has. Of a shorter harmful response half is too much.
WINDOW = 5
# odd, so that every id counts: 2^64 over the golden ratio (Knuth's multiplicative hashing)
_BASE = np.uint64(0x9E3779B97F4A7C15)


class HarmfulText:
    """What no row of a run may teach, whatever record it was made from. Made once from all its triples."""

    def __init__(self, triples: Iterable[EncodedTriple], end_id: int) -> None:
        harmful, safe = [], []
        for triple in triples:
            harmful.append(_windows(triple.harmful_ids))
            beginnings = {id(ids): ids for ids in triple.safe_ids}.values()
            safe += [_windows(np.append(ids, end_id)) for ids in beginnings]
        self.windows = np.setdiff1d(_joined(harmful), _joined(safe))

    def check(self, row: Row) -> None:
        """Prove that a row teaches no run of harmful text. Rows of benign pairs, which no method makes, pass.

        Raises:
            HarmfulTargetError: it would; names the row.
        """
        if not len(self.windows) or bool((row.objective == Objective.BENIGN).all()):
            return
        for run in learned_runs(row):
            found = _windows(row.target_ids[run])
            at = np.minimum(np.searchsorted(self.windows, found), len(self.windows) - 1)
            hits = np.flatnonzero(self.windows[at] == found)
            if len(hits):
                _refuse(row, len(hits) + WINDOW - 1, int(run[hits[0]]))


def check_against_triple(row: Row, triple: EncodedTriple, refusal_ids: frozenset[int]) -> None:
    """Prove that the row doesn't teach the triple's harmful response, token by token behind its own beginning.

    Raises:
        HarmfulTargetError: it does, or calls a triple's text benign; names the row.
    """
    if (row.objective == Objective.BENIGN).any():
        raise HarmfulTargetError(
            f"row {row.row_id}: a row of a triple with objective BENIGN; need SAFE, PREFIX or RTO. Nothing was "
            "trained on it"
        )
    teaches = _continues(row, np.concatenate([triple.prompt_ids, triple.harmful_ids]), len(triple.prompt_ids))
    teaches &= ~np.isin(row.target_ids, list(refusal_ids))
    if not teaches.any():
        return
    for run in learned_runs(row):  # the safe response may by chance go on as the harmful one does
        targets = row.target_ids[run]
        if any(np.array_equal(targets[: len(ids)], ids[: len(targets)]) for ids in triple.safe_ids):
            teaches[run] = False
    count = int(teaches.sum())
    if count >= min(WINDOW, -(-len(triple.harmful_ids) // 2)) and count:
        _refuse(row, count, int(np.flatnonzero(teaches)[0]))


def check_against_pair(row: Row, pair: EncodedPair, end_id: int) -> None:
    """Prove that a row made of a benign pair teaches the pair's response (as much as fits) and nothing else.

    Raises:
        HarmfulTargetError: it teaches other text, or calls it anything but benign.
    """
    whole = np.append(pair.response_ids, end_id)
    count = len(row.target_ids)
    if (row.objective != Objective.BENIGN).any() or not np.array_equal(row.target_ids, whole[:count]):
        raise HarmfulTargetError(
            f"row {row.row_id}: a row of a benign pair that teaches something else than the pair's response. Nothing "
            "was trained on it"
        )


def learned_runs(row: Row) -> list[npt.NDArray[np.intp]]:
    """Entries whose targets stand in the row, in runs of tokens that follow each other."""
    learned = np.flatnonzero(row.objective != Objective.RTO)
    learned = learned[np.argsort(row.target_index[learned], kind="stable")]
    breaks = np.flatnonzero(row.predict_at[learned[1:]] != row.target_index[learned[:-1]]) + 1
    return [run for run in np.split(learned, breaks) if len(run)]


def _continues(row: Row, text: Int32, start: int) -> npt.NDArray[np.bool_]:
    """For each entry: whether it teaches text[t], t >= start, behind a context that is text[:t]."""
    length = len(row)
    # a token's ancestors are those before it whose subtree reaches behind it
    step = np.zeros(length + 1, dtype=np.int64)
    step[1:] = 1
    np.subtract.at(step, row.subtree_end, 1)
    depth = np.cumsum(step)[:length]
    other = np.flatnonzero((depth >= len(text)) | (row.input_ids != text[np.minimum(depth, len(text) - 1)]))
    step = np.zeros(length + 1, dtype=np.int64)
    np.add.at(step, other, 1)
    np.subtract.at(step, row.subtree_end[other], 1)
    is_beginning = np.cumsum(step)[:length] == 0
    following = depth[row.predict_at] + 1
    next_token = text[np.minimum(following, len(text) - 1)]
    inside = (following >= start) & (following < len(text))
    found: npt.NDArray[np.bool_] = is_beginning[row.predict_at] & inside & (row.target_ids == next_token)
    return found


def _windows(ids: Int32) -> npt.NDArray[np.uint64]:
    """A hash of every WINDOW tokens in a row."""
    count = max(0, len(ids) - WINDOW + 1)
    found = np.zeros(count, dtype=np.uint64)
    for offset in range(WINDOW):
        found = found * _BASE + ids[offset : offset + count].astype(np.uint64) + np.uint64(1)
    return found


def _joined(parts: Sequence[npt.NDArray[np.uint64]]) -> npt.NDArray[np.uint64]:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.uint64)


def _refuse(row: Row, count: int, entry: int) -> None:
    raise HarmfulTargetError(
        f"row {row.row_id}: {count} supervised targets would teach a harmful response of the triples; the first: "
        f"entry {entry} at index {int(row.predict_at[entry])} predicts id {int(row.target_ids[entry])}. Nothing was "
        "trained on it; rows of a method learn safe text and refusal tokens only"
    )
