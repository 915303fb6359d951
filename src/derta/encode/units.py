"""What is shuffled together, and what its rows are made of.

A *unit* is one row, or several rows of one record that must meet in the same global batch (the prefix and the RTO row
of one triple, so that one shared-trunk row and two separate rows train the same). A `UnitKind` says how a record
becomes such rows; every training method names the kinds that it needs (derta.methods).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from derta.encode.row import Branch, Int32, Objective, Row, plain_row, prefix_row, rto_row, trunk_row
from derta.encode.sampling import draw_kept_positions, draw_prefix_length, generator
from derta.encode.settings import RowSettings

if TYPE_CHECKING:  # transformers
    from derta.encode.refusal_token import RefusalToken

Part = Literal["query", "benign", "safe", "prefix", "harmful"]


@dataclass(frozen=True)
class EncodedPair:
    """A query and one response, in ids; the end id is not included. thinks: the response spells out a thought."""

    id: str
    prompt_ids: Int32
    response_ids: Int32
    thinks: bool = False


@dataclass(frozen=True)
class EncodedTriple:
    """A triple in ids. safe_ids: by where the refusal begins (at the start, inside a line, after a newline).

    thinks: a response spells out a thought.
    """

    id: str
    prompt_ids: Int32
    harmful_ids: Int32
    safe_ids: tuple[Int32, Int32, Int32]
    thinks: bool = False


@dataclass(frozen=True)
class DrawnTriple:
    """A triple in one epoch, with that epoch's k and kept positions: what a method makes rows of.

    The draws depend on nothing but seed, epoch and the triple's id. shared_trunk: prompt and harmful response are
    computed once where a method asks for `trunk_row`.
    """

    record: EncodedTriple
    epoch: int
    settings: RowSettings
    refusal: RefusalToken
    end_id: int
    shared_trunk: bool = False

    @cached_property
    def harmful_ids(self) -> Int32:
        """h, as much of it as fits in `max_length`."""
        return self.record.harmful_ids[: self.settings.max_length - len(self.record.prompt_ids)]

    @cached_property
    def prefix_lengths(self) -> list[int]:
        """k of each branch; at most what leaves room for the whole safe response and its end."""
        longest_safe = max(len(ids) for ids in self.record.safe_ids) + 1
        room = self.settings.max_length - len(self.record.prompt_ids) - longest_safe
        most = max(0, min(len(self.record.harmful_ids), room))
        return [
            draw_prefix_length(
                generator(self.settings.seed, self.epoch, self.record.id, f"k{number or ''}"),
                most,
                self.settings.prefix.k,
            )
            for number in range(self.settings.prefix.branches)
        ]

    @cached_property
    def rto_labels(self) -> tuple[list[int], list[int]]:
        """The refusal id at each position of h, and the positions that are kept (`rto_row`'s last arguments)."""
        labels = self.refusal.labels_along(self.harmful_ids.tolist())
        if self.settings.rto.end_of_text and len(self.harmful_ids) == len(self.record.harmful_ids):
            labels = [*labels, self.refusal.label_after(int(self.harmful_ids[-1]))]
        rng = generator(self.settings.seed, self.epoch, self.record.id, "keep")
        return labels, draw_kept_positions(rng, len(labels), self.settings.rto.keep_rate).tolist()

    def safe_after(self, k: int) -> Int32:
        """The safe response as the refusal rule has it begin after h[:k]."""
        label = self.refusal.label_after(int(self.record.harmful_ids[k - 1]) if k else None)
        if label == self.refusal.start_id:
            return self.record.safe_ids[0]
        return self.record.safe_ids[2 if label == self.refusal.line_id else 1]

    def prefix_rows(self) -> list[Row]:
        """(q, h[:k], r) for each k: MLE with harmful response prefix."""
        return [
            prefix_row(
                f"prefix:{self.record.id}" + (f":{number}" if number else ""),
                self.record.prompt_ids,
                self.harmful_ids[:k],
                self.safe_after(k),
                self.end_id,
            )
            for number, k in enumerate(self.prefix_lengths)
        ]

    def rto_row(self) -> Row:
        """(q, h), the refusal token at each kept position of h: RTO."""
        return rto_row(f"rto:{self.record.id}", self.record.prompt_ids, self.harmful_ids, *self.rto_labels)

    def trunk_row(self, name: str) -> Row:
        """`prefix_rows` and `rto_row` as one row, whose id begins with `name`."""
        branches = [Branch(k, self.safe_after(k), self.end_id) for k in self.prefix_lengths]
        return trunk_row(
            f"{name}:{self.record.id}",
            self.record.prompt_ids,
            self.harmful_ids,
            rto=self.rto_labels,
            branches=branches,
        )


@dataclass(frozen=True)
class DrawnPair:
    """A benign pair in one epoch. refusals: the safe responses of the run's triples, in ids (without the end)."""

    record: EncodedPair
    epoch: int
    settings: RowSettings
    end_id: int
    refusals: Sequence[Int32]


@dataclass(frozen=True)
class UnitKind:
    """How a record becomes the rows of one unit.

    name: in row ids, reports and logs. rows: each row by name, with what it is made of (prefix: a part of the harmful
    response); the global batch counts so many rows. make: the rows of a triple in one epoch. None: one plain row of
    `objective` per pair, the same in every epoch. make_benign: the row of a benign pair in one epoch; a method's kind
    that has it takes the place of the plain benign row. ends: along a harmful response the end of the turn may be a
    label too, where the others allow the refusal token alone.
    """

    name: str
    rows: Mapping[str, tuple[Part, ...]]
    make: Callable[[DrawnTriple], list[Row]] | None = None
    objective: Objective = Objective.SAFE
    make_benign: Callable[[DrawnPair], Row] | None = None
    ends: bool = False

    def uses(self, part: Part) -> bool:
        """Whether one of the rows is made of it."""
        return any(part in parts for parts in self.rows.values())


BENIGN = UnitKind("benign", {"benign": ("query", "benign")}, objective=Objective.BENIGN)
SAFE = UnitKind("safe", {"safe": ("query", "safe")})
"""A plain (q, r) row."""
PREFIX = UnitKind("prefix", {"prefix": ("query", "prefix", "safe")}, DrawnTriple.prefix_rows)
RTO = UnitKind("rto", {"rto": ("query", "harmful")}, lambda triple: [triple.rto_row()])


@dataclass(frozen=True)
class Unit:
    """One record as a kind of unit: an `EncodedPair` for plain rows, else an `EncodedTriple`."""

    kind: UnitKind
    record: EncodedPair | EncodedTriple

    @property
    def name(self) -> str:
        """Distinct among all units of a run; the shuffling is drawn by it."""
        return f"{self.kind.name}:{self.record.id}"

    @property
    def num_rows(self) -> int:
        """Source rows, as the global batch counts them."""
        return len(self.kind.rows)

    def make_rows(
        self,
        epoch: int,
        settings: RowSettings,
        refusal: RefusalToken,
        end_id: int,
        *,
        shared_trunk: bool,
        refusals: Sequence[Int32] = (),
    ) -> list[Row]:
        """The unit's rows in one epoch. refusals: as in `DrawnPair`."""
        if isinstance(self.record, EncodedTriple):
            assert self.kind.make is not None, "only pairs have plain rows"
            return self.kind.make(
                DrawnTriple(self.record, epoch, settings, refusal, end_id, shared_trunk=shared_trunk)
            )
        if self.kind.make_benign is not None:
            return [self.kind.make_benign(DrawnPair(self.record, epoch, settings, end_id, refusals))]
        prompt, response = self.record.prompt_ids, self.record.response_ids
        row = plain_row(self.name, prompt, response, end_id, self.kind.objective)
        return [row if len(row) <= settings.max_length else cut(row, settings.max_length)]


def cut(row: Row, limit: int) -> Row:
    """A plain row's first `limit` tokens; targets behind the cut, the end among them, are gone."""
    keep = row.target_index < limit
    return Row(
        row_id=row.row_id,
        input_ids=row.input_ids[:limit],
        position_ids=row.position_ids[:limit],
        subtree_end=np.minimum(row.subtree_end[:limit], limit).astype(np.int32),
        is_harmful=row.is_harmful[:limit],
        predict_at=row.predict_at[keep],
        target_ids=row.target_ids[keep],
        target_index=row.target_index[keep],
        weight=row.weight[keep],
        objective=row.objective[keep],
    )
