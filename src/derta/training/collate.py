"""Micro-batches: planned lines of rows become tensors, each batch checked once more for harmful targets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from derta.encode.harmful_text import HarmfulText
from derta.encode.row import Row, check_never_learn_harm
from derta.encode.row_set import RowSet
from derta.training.plan import MicroBatch, Plan

Batch = dict[str, torch.Tensor]


class MicroBatches(Dataset[Batch]):
    """The run's micro-batches by index; made from records when asked for, the same whoever asks."""

    def __init__(self, rows: RowSet, plan: Plan, pad_id: int, multiple: int = 1) -> None:
        self.rows = rows
        self.plan = plan
        self.pad_id = pad_id
        self.multiple = multiple

    def __len__(self) -> int:
        return len(self.plan.micro_batches)

    def __getitem__(self, index: int) -> Batch:
        planned = self.plan.micro_batches[index]
        batch = collate(
            self.lines(planned),
            self.pad_id,
            planned.denominator,
            self.rows.allowed,
            self.rows.harmful,
            multiple=self.multiple,
        )
        batch["micro_batch"] = torch.tensor(index)
        return batch

    def lines(self, planned: MicroBatch) -> list[list[Row]]:
        """The rows of each line."""
        units = {unit: self.rows.rows(unit, planned.epoch) for line in planned.lines for unit, _ in line}
        return [[units[unit][number] for unit, number in line] for line in planned.lines]


def collate(
    lines: Sequence[Sequence[Row]],
    pad_id: int,
    denominator: float,
    refusal_ids: frozenset[int],
    harmful: HarmfulText | None = None,
    *,
    multiple: int = 1,
) -> Batch:
    """Pack rows into R lines of S tokens, padding-free within a line; S is a multiple of `multiple`.

    harmful: what no row of the run may teach, beside what the row itself calls harmful.

    Returns input_ids, position_ids, subtree_end int64[R, S]; is_harmful bool[R, S]; predict_at (flat index into
    R x S), target_ids, objective int64[E]; weight float32[E]; denominator float32[]. Padding sees only itself and
    predicts nothing.

    Raises:
        HarmfulTargetError: a row would teach a harmful token; the batch is not made.
    """
    for line in lines:
        for row in line:
            check_never_learn_harm(row, refusal_ids)
            if harmful is not None:
                harmful.check(row)
    height = max(1, len(lines))
    width = max((sum(len(row) for row in line) for line in lines), default=1)
    width = -(-width // multiple) * multiple
    input_ids = np.full((height, width), pad_id, dtype=np.int64)
    position_ids = np.zeros((height, width), dtype=np.int64)
    subtree_end = np.tile(np.arange(1, width + 1, dtype=np.int64), (height, 1))
    is_harmful = np.zeros((height, width), dtype=np.bool_)
    entries: dict[str, list[np.ndarray]] = {name: [] for name in ("at", "target", "weight", "objective")}
    for number, line in enumerate(lines):
        start = 0
        for row in line:
            stop = start + len(row)
            input_ids[number, start:stop] = row.input_ids
            position_ids[number, start:stop] = row.position_ids
            subtree_end[number, start:stop] = row.subtree_end + start
            is_harmful[number, start:stop] = row.is_harmful
            entries["at"].append(row.predict_at.astype(np.int64) + (number * width + start))
            entries["target"].append(row.target_ids.astype(np.int64))
            entries["weight"].append(row.weight)
            entries["objective"].append(row.objective.astype(np.int64))
            start = stop
    return {
        "input_ids": torch.from_numpy(input_ids),
        "position_ids": torch.from_numpy(position_ids),
        "subtree_end": torch.from_numpy(subtree_end),
        "is_harmful": torch.from_numpy(is_harmful),
        "predict_at": torch.from_numpy(_joined(entries["at"], np.int64)),
        "target_ids": torch.from_numpy(_joined(entries["target"], np.int64)),
        "weight": torch.from_numpy(_joined(entries["weight"], np.float32)),
        "objective": torch.from_numpy(_joined(entries["objective"], np.int64)),
        "denominator": torch.tensor(denominator, dtype=torch.float32),
    }


def _joined(parts: list[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=dtype)
