"""A thin transformers.Trainer: our loss, one logged loss per objective, checkpoints without pickle.

Schedules, optimizers, accumulation, data parallelism, adapters and trackers are the library's.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from derta.encode.objectives import Objective
from derta.files import write_json
from derta.train.checkpoint import (
    load_optimizer,
    load_random_state,
    publish,
    rotate,
    save_optimizer,
    save_random_state,
)
from derta.train.collate import Batch


class RefusalTrainer(Trainer):
    """Trains on micro-batches that carry their own supervision list and their step's denominator."""

    loss_is_scaled_for_ga = True  # divided by the global batch's supervised weight already

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        # sums over entries since the last log, by objective: loss and weight
        self._objective_sums = torch.zeros(2, len(Objective), dtype=torch.float64)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """The micro-batch's share of the global token mean (data parallelism averages, so times processes)."""
        outputs = model(
            **{name: value for name, value in inputs.items() if name not in ("objective", "micro_batch")}
        )
        weight = inputs["weight"].double()
        for row, values in enumerate((outputs.entry_loss.double() * weight, weight)):
            self._objective_sums[row].index_add_(0, inputs["objective"].cpu(), values.cpu())
        loss = outputs.loss * self.accelerator.num_processes
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the mean loss of each objective since the last log."""
        if "loss" in logs:
            sums = self.accelerator.reduce(self._objective_sums.to(self.args.device), reduction="sum").cpu()
            for objective in Objective:
                if sums[1, objective] > 0:
                    mean = sums[0, objective] / sums[1, objective]
                    logs[f"loss_{objective.name.lower()}"] = float(mean)
            self._objective_sums.zero_()
        super().log(logs, start_time)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Write a checkpoint aside and publish it whole (the library's own is neither atomic nor pickle-free)."""
        assert self.args.output_dir is not None
        assert self.optimizer is not None
        assert self.lr_scheduler is not None
        folder = Path(self.args.output_dir)
        temporary = folder / f".checkpoint-{self.state.global_step}.tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        assert isinstance(self.model, nn.Module)
        self.model.save_pretrained(temporary)  # type: ignore[operator]
        save_optimizer(temporary, self.optimizer)
        write_json(temporary / "scheduler.json", self.lr_scheduler.state_dict())
        save_random_state(temporary)
        self.state.save_to_json(str(temporary / "trainer_state.json"))
        publish(temporary, folder / f"checkpoint-{self.state.global_step}")
        rotate(folder, self.args.save_total_limit or 2)


class ResumeCallback(TrainerCallback):
    """Restores what the trainer does not read itself: optimizer, schedule, and the random state of the first step."""

    def __init__(self, checkpoint: Path) -> None:
        self.checkpoint = checkpoint
        self.restored_random_state = False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Optimizer and schedule, after the trainer has made them."""
        load_optimizer(self.checkpoint, kwargs["optimizer"])
        stored = json.loads((self.checkpoint / "scheduler.json").read_text(encoding="utf-8"))
        kwargs["lr_scheduler"].load_state_dict(stored)

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Random state, after the data loader has drawn its own seed."""
        if not self.restored_random_state:
            load_random_state(self.checkpoint)
            self.restored_random_state = True
