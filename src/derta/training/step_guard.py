"""A step whose loss or gradient is not finite is not applied; three in a row stop the run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from derta.encode.row import Objective
from derta.errors import RunError
from derta.files import append_jsonl, read_finished, write_jsonl
from derta.training.collate import MicroBatches

MOST_IN_A_ROW = 3
FILE = "skipped_steps.jsonl"


class StepSums:
    """What the log needs of the applied steps: loss and weight by objective, and the mean loss of a step.

    A tensor [2, objectives + terms + 1] in float64 on the device, so that nothing waits for a number: weighted loss
    and weight of each objective, the sum of each further term, and in the last column the steps' losses and their
    number.
    """

    def __init__(self, device: torch.device, num_processes: int, num_terms: int = 0) -> None:
        self.applied = torch.zeros(2, len(Objective) + num_terms + 1, dtype=torch.float64, device=device)
        self.pending = torch.zeros_like(self.applied)
        self.num_processes = num_processes

    @torch.no_grad()
    def add(
        self,
        entry_loss: torch.Tensor,
        weight: torch.Tensor,
        objective: torch.Tensor,
        denominator: Any,
        terms: Sequence[torch.Tensor] = (),
    ) -> None:
        """Take in one micro-batch. entry_loss, weight: float[E]; objective: int64[E]; terms: scalars."""
        weight = weight.double()
        weighted = entry_loss.double() * weight
        self.pending[0].index_add_(0, objective, weighted)
        self.pending[1].index_add_(0, objective, weight)
        self.pending[0, -1] += weighted.sum() / denominator
        for column, term in enumerate(terms, start=len(Objective)):
            self.pending[0, column] += term.double()
            self.pending[0, -1] += term.double()

    def end_step(self, *, applied: bool) -> None:
        """The step is over: keep its sums, or forget them."""
        if applied:
            self.pending[1, -1] += 1 / self.num_processes
            self.applied += self.pending
        self.pending.zero_()

    def take(self) -> torch.Tensor:
        """The sums since the last call (of this process)."""
        sums = self.applied.clone()
        self.applied.zero_()
        return sums


class StepGuard:
    """Judges each step before the optimizer moves, on all processes alike."""

    def __init__(self, run_dir: Path, micro_batches: MicroBatches) -> None:
        self.path = run_dir / FILE
        self.micro_batches = micro_batches
        self.in_a_row = 0
        # [micro-batch index, loss is finite] of this process's step so far
        self._seen: list[torch.Tensor] = []

    def resume(self, step: int) -> None:
        """Forget what was skipped behind the checkpoint that the run continues from (first process)."""
        if self.path.exists():
            entries = read_finished(self.path, "step")
            write_jsonl(self.path, [entry for entry in entries if entry["step"] <= step])

    def see(self, index: torch.Tensor, loss: torch.Tensor) -> None:
        """Remember one micro-batch."""
        self._seen.append(torch.stack([index.long(), torch.isfinite(loss.detach()).long()]))

    def forget(self) -> None:
        """The step was applied without being judged."""
        self._seen.clear()

    def judge(self, model: nn.Module, step: int, grad_norm: float, accelerator: Any) -> bool:
        """Whether to apply step number `step` (from 1). If not, its gradients are dropped: an optimizer passes over
        parameters without one, so neither weights nor its state change.

        Raises:
            RunError: the third such step in a row.
        """
        seen = accelerator.gather(torch.stack(self._seen))  # (micro-batches of the step, 2)
        self._seen.clear()
        finite_loss = bool(seen[:, 1].all())
        if finite_loss and math.isfinite(grad_norm):
            self.in_a_row = 0
            return True
        model.zero_grad(set_to_none=True)
        self.in_a_row += 1
        reason = f"gradient norm is {grad_norm}" if finite_loss else "loss is not finite"
        suspects = self._row_ids([index for index, finite in seen.tolist() if not finite])
        rows = self._row_ids([index for index, _ in seen.tolist()])
        if accelerator.is_main_process:
            entry = {"step": step, "reason": reason, "suspects": suspects, "rows": rows}
            append_jsonl(self.path, [entry])
        if self.in_a_row >= MOST_IN_A_ROW:
            raise RunError(
                f"step {step}: {reason}, {MOST_IN_A_ROW} steps in a row; nothing was applied. Rows are listed in "
                f"{self.path}; look at them, lower training.learning_rate, or use model.dtype: float32"
            )
        return False

    def _row_ids(self, indices: list[int]) -> list[str]:
        planned = [self.micro_batches.plan.micro_batches[index] for index in sorted(indices)]
        return [row.row_id for micro in planned for line in self.micro_batches.lines(micro) for row in line]
