"""The rows of one method: each made anew for its epoch, with that epoch's k and kept positions.

A *unit* is what is shuffled: one row, or the prefix and the RTO row of one triple, which therefore always meet in
the same global batch, so that one shared-trunk row and two separate rows train the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from safetensors.numpy import save_file

from derta.config import TrainRecipe
from derta.encode.objectives import (
    Branch,
    Int32,
    Objective,
    Row,
    check_never_learn_harm,
    plain_row,
    prefix_row,
    rto_row,
    trunk_row,
)
from derta.encode.records import EncodedPair, EncodedTriple
from derta.encode.refusal_token import RefusalToken
from derta.encode.sampling import draw_kept_positions, draw_prefix_length, generator
from derta.files import atomic_path

UnitKind = Literal["benign", "safe", "prefix", "rto", "derta"]


@dataclass(frozen=True)
class Unit:
    """What is shuffled as one: `num_rows` source rows of one record."""

    kind: UnitKind
    record: EncodedPair | EncodedTriple

    @property
    def num_rows(self) -> int:
        """Source rows, as the global batch counts them."""
        return 2 if self.kind == "derta" else 1


@dataclass(frozen=True)
class RowSettings:
    """What a row depends on besides its record; taken from a recipe by `row_settings`."""

    seed: int
    max_length: int
    prefix_rule: Literal["thirds", "uniform"]
    keep_rate: float
    label_end_of_text: bool
    cut_responses: bool
    shared_trunk: bool
    num_branches: int = 1


def row_settings(recipe: TrainRecipe, *, shared_trunk: bool) -> RowSettings:
    """The part of a recipe that decides what rows look like."""
    return RowSettings(
        seed=recipe.seed,
        max_length=recipe.max_length,
        prefix_rule=recipe.prefix.k,
        keep_rate=recipe.rto.keep_rate,
        label_end_of_text=recipe.rto.end_of_text,
        cut_responses=recipe.on_long == "cut",
        shared_trunk=shared_trunk,
        num_branches=recipe.prefix.branches,
    )


class RowSet:
    """All units of one method; `rows(index, epoch)` makes a unit's rows anew, with that epoch's draws."""

    def __init__(
        self, units: Sequence[Unit], settings: RowSettings, refusal: RefusalToken, end_id: int
    ) -> None:
        self.units = units
        self.settings = settings
        self.refusal = refusal
        self.end_id = end_id

    def __len__(self) -> int:
        return len(self.units)

    def rows(self, index: int, epoch: int) -> list[Row]:
        """The rows of one unit, each proved to teach no harmful token.

        Raises:
            HarmfulTargetError: a row would (an error of ours; nothing is trained on it).
        """
        unit = self.units[index]
        record = unit.record
        if isinstance(record, EncodedPair):
            objective = Objective.BENIGN if unit.kind == "benign" else Objective.SAFE
            row_id = f"{unit.kind}:{record.id}"
            room = self.settings.max_length - len(record.prompt_ids)
            rows = [self._plain(row_id, record.prompt_ids, record.response_ids, room, objective)]
        else:
            rows = self._triple_rows(unit.kind, record, epoch)
        for row in rows:
            check_never_learn_harm(row, self.refusal.ids)
        return rows

    def sizes(self, index: int, epoch: int) -> list[tuple[int, int]]:
        """(tokens, supervised entries) of each row of a unit, without making rows that are the same every epoch."""
        record = self.units[index].record
        if isinstance(record, EncodedTriple):
            return [(len(row), len(row.predict_at)) for row in self.rows(index, epoch)]
        prompt = len(record.prompt_ids)
        length = min(prompt + len(record.response_ids) + 1, self.settings.max_length)
        return [(length, length - prompt)]

    def _plain(self, row_id: str, prompt: Int32, response: Int32, room: int, objective: Objective) -> Row:
        row = plain_row(row_id, prompt, response, self.end_id, objective)
        if len(response) + 1 <= room:
            return row
        return _cut(row, self.settings.max_length)

    def _triple_rows(self, kind: UnitKind, record: EncodedTriple, epoch: int) -> list[Row]:
        harmful = self._harmful(record)
        lengths = self._prefix_lengths(record, epoch) if kind in ("prefix", "derta") else []
        rto = self._rto(record, harmful, epoch) if kind in ("rto", "derta") else None
        if kind == "derta" and self.settings.shared_trunk:
            branches = [Branch(k, self._safe_after(record, k), self.end_id) for k in lengths]
            return [trunk_row(f"derta:{record.id}", record.prompt_ids, harmful, rto=rto, branches=branches)]
        rows = [
            prefix_row(
                f"prefix:{record.id}" + (f":{number}" if number else ""),
                record.prompt_ids,
                harmful[:k],
                self._safe_after(record, k),
                self.end_id,
            )
            for number, k in enumerate(lengths)
        ]
        if rto is not None:
            rows.append(rto_row(f"rto:{record.id}", record.prompt_ids, harmful, *rto))
        return rows

    def _harmful(self, record: EncodedTriple) -> Int32:
        return record.harmful_ids[: self.settings.max_length - len(record.prompt_ids)]

    def _prefix_lengths(self, record: EncodedTriple, epoch: int) -> list[int]:
        """k of each branch; at most what leaves room for the whole safe response and its end."""
        longest_safe = max(len(ids) for ids in record.safe_ids) + 1
        room = self.settings.max_length - len(record.prompt_ids) - longest_safe
        most = max(0, min(len(record.harmful_ids), room))
        return [
            draw_prefix_length(
                generator(self.settings.seed, epoch, record.id, f"k{number or ''}"),
                most,
                self.settings.prefix_rule,
            )
            for number in range(self.settings.num_branches)
        ]

    def _safe_after(self, record: EncodedTriple, k: int) -> Int32:
        """The safe response as the refusal rule has it begin after h[:k]."""
        label = self.refusal.label_after(int(record.harmful_ids[k - 1]) if k else None)
        if label == self.refusal.start_id:
            return record.safe_ids[0]
        return record.safe_ids[2 if label == self.refusal.line_id else 1]

    def _rto(self, record: EncodedTriple, harmful: Int32, epoch: int) -> tuple[list[int], list[int]]:
        labels = self.refusal.labels_along(harmful.tolist())
        if self.settings.label_end_of_text and len(harmful) == len(record.harmful_ids):
            labels = [*labels, self.refusal.label_after(int(harmful[-1]))]
        rng = generator(self.settings.seed, epoch, record.id, "keep")
        return labels, draw_kept_positions(rng, len(labels), self.settings.keep_rate).tolist()


def save_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write rows as flat arrays with offsets (safetensors; the same rows give the same bytes)."""
    flat = {
        name: np.concatenate([getattr(row, name) for row in rows])
        for name in (
            "input_ids",
            "position_ids",
            "subtree_end",
            "is_harmful",
            "predict_at",
            "target_ids",
            "target_index",
            "weight",
            "objective",
        )
    }
    flat["row_length"] = np.array([len(row) for row in rows], dtype=np.int64)
    flat["num_entries"] = np.array([len(row.predict_at) for row in rows], dtype=np.int64)
    with atomic_path(path) as temporary:
        save_file(flat, temporary)


def _cut(row: Row, limit: int) -> Row:
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
