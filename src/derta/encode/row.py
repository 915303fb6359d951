"""One training row: ids and what is learned from them, born together (paper eq. 2; docs/method.md).

A row is a token list plus a *supervision list*: entries (predict_at, target_ids, weight, objective), meaning
"the hidden state at index predict_at predicts target_ids". One position can have two entries, which a `labels`
list can't say: at the junction after h[:k] both the refusal token (RTO) and r_1 (MLE) are right.

    plain     q r END                 r and END are targets                          benign, safe
    prefix    q h[:k] r END           r and END are targets, h[:k] never             prefix
    rto       q h                     at each kept position of h: the refusal token  rto
    trunk     q h[:k] (r END) h[k:]   both of the last two in one row: r is a branch
                                      that sees q and h[:k], and h[k:] does not see r

For q = [1 2], h = [5 6 7], r = [8 9], END = 0, refusal token 8, k = 1, trunk row (index of each token above it):

    index         0  1  2  3  4  5  6  7        predict_at  target        predict_at  target
    input_ids     1  2  5  8  9  0  6  7        2           8 (prefix)    1           8 (rto, for h_1)
    position_ids  0  1  2  3  4  5  3  4        3           9 (prefix)    2           8 (rto, for h_2)
    subtree_end   8  8  8  6  6  6  8  8        4           0 (prefix)    6           8 (rto, for h_3)

The tree is stored as `subtree_end`: token `key` is seen by token `query` iff key <= query < subtree_end[key].

Invariant: a token of a harmful response is never its own label. `check_never_learn_harm` proves it for every
row where rows are made, and the collator proves it again for every batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from derta.errors import HarmfulTargetError

# HF convention: `labels` are aligned with `input_ids`, the model shifts, -100 = no target
IGNORE_INDEX = -100
NO_TOKEN = -1  # target_index of an RTO entry: its target stands nowhere in the row

Int32 = npt.NDArray[np.int32]
Ids = Sequence[int] | Int32


class Objective(IntEnum):
    """Which term of the loss an entry belongs to; values are stored in rows as uint8."""

    BENIGN = 0
    SAFE = 1
    PREFIX = 2
    RTO = 3


@dataclass(frozen=True)
class Row:
    """One training row of L tokens with S supervised entries.

    input_ids, position_ids, subtree_end: int32[L]; is_harmful: bool[L], token of a harmful response.
    predict_at, target_ids, target_index: int32[S], indices into the row; target_index = where the target
    token stands in the row (NO_TOKEN for RTO). weight: float32[S]; objective: uint8[S].
    """

    row_id: str
    input_ids: Int32
    position_ids: Int32
    subtree_end: Int32
    is_harmful: npt.NDArray[np.bool_]
    predict_at: Int32
    target_ids: Int32
    target_index: Int32
    weight: npt.NDArray[np.float32]
    objective: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.input_ids)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Row) and all(
            np.array_equal(getattr(self, field.name), getattr(other, field.name)) for field in fields(Row)
        )

    def labels(self) -> list[int]:
        """The row as HF `labels`; only for rows with one target a position (not trunk rows).

        Raises:
            ValueError: a position has two targets.
        """
        labels = [IGNORE_INDEX] * len(self)
        for at, target in zip(self.predict_at.tolist(), self.target_ids.tolist(), strict=True):
            index = at + 1  # aligned with input_ids: the label at i is predicted from i - 1
            if index >= len(labels):
                raise ValueError(f"row {self.row_id}: a target after the last token has no place in `labels`")
            if labels[index] != IGNORE_INDEX or self.position_ids[index] != self.position_ids[at] + 1:
                raise ValueError(f"row {self.row_id}: a trunk row has no `labels` form")
            labels[index] = target
        return labels


class _Builder:
    """Appends segments in depth-first order; each call adds tokens together with their supervision."""

    def __init__(self) -> None:
        self.length = 0
        self.segments: list[tuple[int, int, int]] = []  # (start, stop, parent index) of each segment
        self.ids: list[Ids] = []
        self.positions: list[Int32] = []
        self.harmful: list[npt.NDArray[np.bool_]] = []
        self.entries: list[tuple[Int32, Int32, Int32, Objective]] = []

    def add(
        self,
        ids: Ids,
        *,
        parent: int,
        harmful: bool = False,
        objective: Objective | None = None,
    ) -> int:
        """Append `ids` after token `parent` (-1: at the root), each its parent's target if an objective is given.

        Returns the index of the last token, the parent of what continues this segment.
        """
        if not len(ids):
            return parent
        start, count = self.length, len(ids)
        depth = 0 if parent < 0 else self._position(parent) + 1
        self.ids.append(ids)
        self.positions.append(np.arange(depth, depth + count, dtype=np.int32))
        self.harmful.append(np.full(count, harmful))
        self.segments.append((start, start + count, parent))
        self.length += count
        if objective is not None:
            assert parent >= 0, "a row's first token has nothing that predicts it"
            index = np.arange(start, start + count, dtype=np.int32)
            predict_at = index - 1
            predict_at[0] = parent
            self.entries.append((predict_at, np.asarray(ids, dtype=np.int32), index, objective))
        return start + count - 1

    def add_entries(self, predict_at: Sequence[int], target_ids: Sequence[int], objective: Objective) -> None:
        """Targets that stand nowhere in the row (the refusal token along a harmful response)."""
        at = np.asarray(predict_at, dtype=np.int32)
        self.entries.append(
            (
                at,
                np.asarray(target_ids, dtype=np.int32),
                np.full(len(at), NO_TOKEN, dtype=np.int32),
                objective,
            )
        )

    def build(self, row_id: str) -> Row:
        count = [len(entry[0]) for entry in self.entries]
        return Row(
            row_id=row_id,
            input_ids=np.concatenate([np.asarray(ids, dtype=np.int32) for ids in self.ids]),
            position_ids=np.concatenate(self.positions),
            subtree_end=self._subtree_end(),
            is_harmful=np.concatenate(self.harmful),
            predict_at=np.concatenate([entry[0] for entry in self.entries]),
            target_ids=np.concatenate([entry[1] for entry in self.entries]),
            target_index=np.concatenate([entry[2] for entry in self.entries]),
            weight=np.ones(sum(count), dtype=np.float32),
            objective=np.repeat(np.array([entry[3] for entry in self.entries], dtype=np.uint8), count),
        )

    def _position(self, index: int) -> int:
        segment = self._segment_of(index)
        return int(self.positions[segment][index - self.segments[segment][0]])

    def _segment_of(self, index: int) -> int:
        return next(i for i, (start, stop, _) in enumerate(self.segments) if start <= index < stop)

    def _subtree_end(self) -> Int32:
        end = np.zeros(self.length, dtype=np.int32)
        for start, stop, parent in self.segments:
            end[start:stop] = stop
            while parent >= 0:  # every ancestor's subtree reaches at least to here
                above, _, grandparent = self.segments[self._segment_of(parent)]
                end[above : parent + 1] = np.maximum(end[above : parent + 1], stop)
                parent = grandparent
        return end


def plain_row(row_id: str, prompt_ids: Ids, response_ids: Ids, end_id: int, objective: Objective) -> Row:
    """q r END; r and END are targets."""
    builder = _Builder()
    last = builder.add(prompt_ids, parent=-1)
    builder.add([*response_ids, end_id], parent=last, objective=objective)
    return builder.build(row_id)


def prefix_row(
    row_id: str,
    prompt_ids: Ids,
    harmful_prefix_ids: Ids,
    safe_ids: Ids,
    end_id: int,
) -> Row:
    """q h[:k] r END; r and END are targets (MLE with harmful response prefix)."""
    builder = _Builder()
    last = builder.add(prompt_ids, parent=-1)
    last = builder.add(harmful_prefix_ids, parent=last, harmful=True)
    builder.add([*safe_ids, end_id], parent=last, objective=Objective.PREFIX)
    return builder.build(row_id)


def rto_row(
    row_id: str,
    prompt_ids: Ids,
    harmful_ids: Ids,
    labels: Sequence[int],
    kept: Sequence[int],
) -> Row:
    """q h; at each kept position t of h the label is labels[t], a refusal token (RTO).

    labels: one refusal id for each of the |h| positions, or |h| + 1 with the end-of-text position.
    kept: positions t, 0-based, of which entries are made.
    """
    return trunk_row(row_id, prompt_ids, harmful_ids, rto=(labels, kept), branches=())


@dataclass(frozen=True)
class Branch:
    """A safe response attached after h[:prefix_length]; safe_ids without the end id."""

    prefix_length: int
    safe_ids: Ids
    end_id: int


def trunk_row(
    row_id: str,
    prompt_ids: Ids,
    harmful_ids: Ids,
    *,
    rto: tuple[Sequence[int], Sequence[int]] | None,
    branches: Sequence[Branch],
) -> Row:
    """q and h as one trunk, with every branch's safe response attached at its own h[:k].

    rto: (labels, kept) as in `rto_row`, or None for no RTO entries.
    """
    builder = _Builder()
    last = builder.add(prompt_ids, parent=-1)
    trunk = [last]  # index of the token before h_1, then of h_1, h_2, ...
    done = 0
    for branch in sorted(branches, key=lambda branch: branch.prefix_length):
        last = _extend(builder, trunk, harmful_ids[done : branch.prefix_length])
        done = branch.prefix_length
        builder.add([*branch.safe_ids, branch.end_id], parent=last, objective=Objective.PREFIX)
    _extend(builder, trunk, harmful_ids[done:])
    if rto is not None:
        labels, kept = rto
        builder.add_entries([trunk[t] for t in kept], [labels[t] for t in kept], Objective.RTO)
    return builder.build(row_id)


def _extend(builder: _Builder, trunk: list[int], ids: Ids) -> int:
    last = builder.add(ids, parent=trunk[-1], harmful=True)
    trunk.extend(range(last - len(ids) + 1, last + 1))
    return last


def check_never_learn_harm(row: Row, refusal_ids: frozenset[int]) -> None:
    """Prove that the row teaches no harmful token.

    Every entry is either RTO with a refusal id as target, or its target is the token itself that follows in
    the row, and that token is in no harmful response.

    Raises:
        HarmfulTargetError: an entry does neither; the message names the row and the entry.
    """
    is_rto = row.objective == Objective.RTO
    wrong_rto = is_rto & ~np.isin(row.target_ids, list(refusal_ids))
    index = np.where(is_rto, 0, row.target_index)
    follows = (
        (index > row.predict_at)
        & (index < row.subtree_end[row.predict_at])
        & (row.position_ids[index] == row.position_ids[row.predict_at] + 1)
        & (row.input_ids[index] == row.target_ids)
    )
    wrong_mle = ~is_rto & (row.is_harmful[index] | ~follows)
    wrong = np.flatnonzero(wrong_rto | wrong_mle)
    if len(wrong):
        entry = int(wrong[0])
        kind = Objective(int(row.objective[entry])).name.lower()
        raise HarmfulTargetError(
            f"row {row.row_id}: {len(wrong)} supervised target(s) would teach harmful text; the first: entry "
            f"{entry} ({kind}) at index {int(row.predict_at[entry])} predicts id {int(row.target_ids[entry])}, "
            f"allowed inside a harmful response: {sorted(refusal_ids)}. Nothing was trained on it; this row "
            "was not made by derta.encode, or was changed afterwards"
        )
