"""Which rows meet in which micro-batch, decided before training from (seed, epoch) alone.

The global batch (`batch.rows` source rows, in a seeded order) fixes the numbers; how it is cut into lines,
micro-batches and processes only fits the machine. Every step's denominator (its supervised weight over all
processes and micro-batches) is known here, so the token mean is exact without any communication.

    step  -> lines          best fit of its rows into lines of at most `line_tokens`
    lines -> micro-batches  a fixed number per step, `accumulation` x `world_size`; balanced, some may be empty
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np

from derta.encode.row import Objective
from derta.encode.row_set import LabelWeight, RowSet
from derta.encode.sampling import seeded_order
from derta.errors import RunError

# (unit, which of its rows)
RowRef = tuple[int, int]
PackedLine = tuple[RowRef, ...]


@dataclass(frozen=True)
class MicroBatch:
    """Lines that one process computes at once. denominator: supervised weight of the whole global batch."""

    step: int
    epoch: int
    lines: tuple[PackedLine, ...]
    denominator: float


@dataclass(frozen=True)
class Plan:
    """All micro-batches of a run in order: step by step, and within a step in the order processes take them.

    accumulation: micro-batches of each process in a step. num_tokens: real tokens of all rows. num_slots:
    tokens computed, padding included. longest_row: tokens; no micro-batch can be smaller. label_weight: of all
    labels, by `Objective`.
    """

    micro_batches: tuple[MicroBatch, ...]
    num_steps: int
    accumulation: int
    num_tokens: int
    num_slots: int
    longest_row: int = 1
    label_weight: tuple[float, ...] = (0.0,) * len(Objective)

    @property
    def efficiency(self) -> float:
        """Real tokens over computed ones (1.0 = no padding)."""
        return self.num_tokens / max(1, self.num_slots)


@dataclass(frozen=True)
class _Step:
    epoch: int
    lines: list[PackedLine]
    lengths: list[int]  # tokens of each line
    weight: LabelWeight
    longest_row: int


def plan_batches(
    rows: RowSet,
    *,
    num_epochs: float,
    batch_rows: int,
    micro_batch_tokens: int,
    line_tokens: int | None,
    world_size: int = 1,
    max_steps: int | None = None,
) -> Plan:
    """Plan a run.

    num_epochs: passes over the rows; of a broken last one, its first steps. max_steps: as many steps, however many
    passes they take (as in transformers). batch_rows: source rows of a global batch. micro_batch_tokens: most tokens,
    padding included, that one process computes at once. line_tokens: most tokens packed in a line; None = the longest
    row, 0 = each row has its own line.

    Raises:
        RunError: no rows, or a row longer than a micro-batch.
    """
    if not len(rows):
        raise RunError("no row to train on; see the row report above for what was dropped")
    steps: list[_Step] = []
    for epoch in count() if max_steps is not None else range(math.ceil(num_epochs)):
        whole = _epoch_steps(rows, epoch, batch_rows, micro_batch_tokens, line_tokens)
        share = 1.0 if max_steps is not None else min(1.0, num_epochs - epoch)
        steps += whole[: math.ceil(share * len(whole))]
        if max_steps is not None and len(steps) >= max_steps:
            break
    steps = steps[:max_steps]
    longest = max(max(step.lengths) for step in steps)
    lines_at_once = max(1, micro_batch_tokens // longest)
    accumulation = max(-(-len(step.lines) // (lines_at_once * world_size)) for step in steps)
    micro_batches: list[MicroBatch] = []
    slots = 0
    for number, step in enumerate(steps):
        for lines, padded in _share_out(step, accumulation * world_size):
            micro_batches.append(MicroBatch(number, step.epoch, lines, float(step.weight.sum())))
            slots += padded
    tokens = sum(sum(step.lengths) for step in steps)
    longest_row = max(step.longest_row for step in steps)
    weight = tuple(np.sum([step.weight for step in steps], axis=0).tolist())
    return Plan(tuple(micro_batches), len(steps), accumulation, tokens, slots, longest_row, weight)


def _epoch_steps(
    rows: RowSet, epoch: int, batch_rows: int, micro_batch_tokens: int, line_tokens: int | None
) -> list[_Step]:
    order = seeded_order([unit.name for unit in rows.units], rows.settings.seed, f"epoch {epoch}")
    batches: list[list[int]] = []
    taken = 0
    for unit in order:
        if taken // batch_rows == len(batches):
            batches.append([])
        batches[-1].append(unit)
        taken += rows.units[unit].num_rows
    return [_pack_step(rows, epoch, units, micro_batch_tokens, line_tokens) for units in batches]


def _pack_step(
    rows: RowSet, epoch: int, units: Sequence[int], micro_batch_tokens: int, line_tokens: int | None
) -> _Step:
    references: list[RowRef] = []
    lengths: list[int] = []
    weight = np.zeros(len(Objective))
    for unit in units:
        for number, (tokens, labels) in enumerate(rows.sizes(unit, epoch)):
            references.append((unit, number))
            lengths.append(tokens)
            weight = weight + labels
    longest = max(lengths)
    if longest > micro_batch_tokens:
        name = rows.units[references[lengths.index(longest)][0]].record.id
        raise RunError(
            f"record {name}: a row of {longest} tokens does not fit batch.tokens = {micro_batch_tokens}; raise it"
        )
    capacity = max(longest, min(line_tokens or longest, micro_batch_tokens))
    packed = [[index] for index in range(len(lengths))] if line_tokens == 0 else best_fit(lengths, capacity)
    packed.sort(key=lambda line: -sum(lengths[index] for index in line))
    return _Step(
        epoch,
        [tuple(references[index] for index in line) for line in packed],
        [sum(lengths[index] for index in line) for line in packed],
        weight,
        longest,
    )


def best_fit(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Best-fit decreasing: indices of `lengths` in lines of at most `capacity`, deterministic."""
    lines: list[list[int]] = []
    room: list[tuple[int, int]] = []  # (free tokens, line), sorted
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        at = bisect_left(room, (lengths[index], -1))
        if at == len(room):
            lines.append([index])
            insort(room, (capacity - lengths[index], len(lines) - 1))
            continue
        free, line = room.pop(at)
        lines[line].append(index)
        insort(room, (free - lengths[index], line))
    return lines


def _share_out(step: _Step, parts: int) -> list[tuple[tuple[PackedLine, ...], int]]:
    """Cut a step's lines, longest first, into `parts` runs of equal count; each with its padded size."""
    shared = []
    for part in range(parts):
        start, stop = (part * len(step.lines) // parts, (part + 1) * len(step.lines) // parts)
        padded = (stop - start) * step.lengths[start] if stop > start else 0
        shared.append((tuple(step.lines[start:stop]), padded))
    return shared
