"""A thin transformers.Trainer: our loss, one logged loss per objective, checkpoints without pickle.

Schedules, optimizers, accumulation, data parallelism, adapters and trackers are the library's.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from derta.encode.row import Objective
from derta.errors import RunError
from derta.methods.contract import Term
from derta.training.checkpoints.checkpoint import latest_whole, load_optimizer, load_random_state
from derta.training.checkpoints.saving import check_processes, load_shard, save_checkpoint, sharding
from derta.training.collate import Batch
from derta.training.cost.memory import is_out_of_memory
from derta.training.loss import as_float
from derta.training.processes import on_every, on_first
from derta.training.step_guard import StepGuard, StepSums

# entries of a batch that the model's forward does not take, and those that travel as bits
NOT_FOR_THE_MODEL = ("objective", "micro_batch", "is_harmful")
FLOATS = ("weight", "denominator")


class RefusalTrainer(Trainer):
    """Trains on micro-batches that carry their own supervision list and their step's denominator."""

    loss_is_scaled_for_ga = True  # divided by the global batch's supervised weight already

    def __init__(
        self, *arguments: Any, guard: StepGuard, terms: Sequence[Term] = (), **settings: Any
    ) -> None:
        super().__init__(*arguments, **settings)
        self.guard = guard
        self.terms = terms
        self.sums = StepSums(self.args.device, self.accelerator.num_processes, len(terms))
        self._moving_step = 0

    @property
    def optimizer_is_moving(self) -> bool:
        """A step has begun to change weights and is not over: if it breaks there, they can't be saved."""
        return self._moving_step > self.state.global_step

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """The micro-batch's share of the global token mean (data parallelism averages, so times processes)."""
        outputs: Any = model(
            **{name: value for name, value in inputs.items() if name not in NOT_FOR_THE_MODEL}
        )
        batch = {name: as_float(value) if name in FLOATS else value for name, value in inputs.items()}
        further = [_term(term, batch, outputs.hidden) for term in self.terms]
        whole = sum(further, outputs.loss)
        self.guard.see(inputs["micro_batch"], whole)
        self.sums.add(outputs.entry_loss, batch["weight"], batch["objective"], batch["denominator"], further)
        if self.is_deepspeed_enabled and not torch.isfinite(whole):
            raise RunError(
                "loss is not finite, and DeepSpeed applies a step before it can be judged; stopped"
            )
        loss = whole * self.accelerator.num_processes
        return (loss, outputs) if return_outputs else loss

    def training_step(self, *arguments: Any, **settings: Any) -> torch.Tensor:
        """A loss that is not finite must not poison the library's running sum; ours is logged."""
        return torch.nan_to_num(super().training_step(*arguments, **settings), 0.0, 0.0, 0.0)

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        """Called once a step, between the last backward pass and the optimizer: the place to judge the step."""
        norm = super()._get_grad_norm(model, grad_norm)
        self._moving_step = self.state.global_step + 1
        if self.is_deepspeed_enabled:  # its backward pass has applied the step already
            self.guard.forget()
            self.sums.end_step(applied=True)
        else:
            applied = self.guard.judge(model, self._moving_step, float(norm), self.accelerator)
            self.sums.end_step(applied=applied)
        return norm

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Put the mean losses of the steps applied since the last log in the place of the library's running mean."""
        is_step_entry, is_due = "loss" in logs, self.control.should_log
        if is_step_entry:
            sums = self.accelerator.reduce(self.sums.take(), reduction="sum").cpu()
            logs.pop("loss")
            if sums[1, -1] > 0:
                logs = {"loss": float(sums[0, -1] / sums[1, -1]), **logs}
            for objective in Objective:
                if sums[1, objective] > 0:
                    mean = sums[0, objective] / sums[1, objective]
                    logs[f"loss_{objective.name.lower()}"] = float(mean)
            for column, term in enumerate(self.terms, start=len(Objective)):
                if sums[1, -1] > 0:
                    logs[f"loss_{term.name}"] = float(sums[0, column] / sums[1, -1])
            if not math.isfinite(logs.get("grad_norm", 0.0)):
                logs.pop("grad_norm")
        super().log(logs, start_time)
        if (
            not is_step_entry
        ):  # a probe's entry does not take the place of the loss that is due at the same step
            self.control.should_log = is_due

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Write a checkpoint aside and publish it whole (the library's own is neither atomic nor pickle-free)."""
        save_checkpoint(self)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        """Shards are read by `ResumeCallback`, once optimizer and wrapped model exist."""
        if sharding(self) != "fsdp":
            super()._load_from_checkpoint(resume_from_checkpoint, model)


def _term(term: Term, batch: Batch, hidden: torch.Tensor) -> torch.Tensor:
    """A method's further term; its own code may be wrong.

    Raises:
        RunError: it can't be computed, or is no scalar.
    """
    try:
        value = term.loss(batch, hidden)
    except Exception as error:  # whatever the method's code raises
        if is_out_of_memory(error):
            raise
        told = str(error).split("\n", 1)[0]
        raise RunError(f"term {term.name} of the method: {type(error).__name__}: {told}") from error
    if not isinstance(value, torch.Tensor) or value.shape != ():
        found = f"shape {list(value.shape)}" if isinstance(value, torch.Tensor) else type(value).__name__
        raise RunError(f"term {term.name} of the method: need a scalar tensor, found {found}")
    return value


def newest_checkpoint(trainer: Trainer, console: Console) -> str | None:
    """The newest whole checkpoint in the trainer's folder, the trainer made ready to continue from it.

    Raises:
        RunError: its shards don't fit this launch.
    """
    assert trainer.args.output_dir is not None
    folder = Path(trainer.args.output_dir)
    checkpoint, told = on_first(lambda: latest_whole(folder))
    for line in told:
        console.print(line)
    if checkpoint is None:
        return None
    check_processes(checkpoint, trainer)
    console.print(f"continuing from {checkpoint}")
    trainer.add_callback(ResumeCallback(checkpoint, trainer))
    return str(checkpoint)


class ResumeCallback(TrainerCallback):
    """Restores what the trainer does not read itself: optimizer, schedule, and the random state of the first step."""

    def __init__(self, checkpoint: Path, trainer: Trainer) -> None:
        self.checkpoint = checkpoint
        self.trainer = trainer
        self.restored_random_state = False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Optimizer and schedule, after the trainer has made them."""
        if args.should_save and isinstance(self.trainer, RefusalTrainer):
            self.trainer.guard.resume(state.global_step)
        if sharding(self.trainer) == "deepspeed":
            return  # the library has read its own
        on_every(lambda: self._load(kwargs["optimizer"]))
        stored = json.loads((self.checkpoint / "scheduler.json").read_text(encoding="utf-8"))
        kwargs["lr_scheduler"].load_state_dict(stored)

    def _load(self, optimizer: torch.optim.Optimizer) -> None:
        if sharding(self.trainer) == "fsdp":
            assert isinstance(self.trainer.model, nn.Module)
            load_shard(self.checkpoint, self.trainer.model, optimizer, self.trainer.args.process_index)
        else:
            load_optimizer(self.checkpoint, optimizer)

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Random state of a checkpoint at an epoch's end: the next one's data loader has yet to draw its seed."""
        if float(state.epoch or 0.5).is_integer():
            self._restore_random_state(args)

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Random state, after the data loader has drawn its own seed."""
        self._restore_random_state(args)

    def _restore_random_state(self, args: TrainingArguments) -> None:
        if not self.restored_random_state:
            load_random_state(self.checkpoint, args.process_index)
            self.restored_random_state = True
