"""Training's progress, with the loss beside it."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from rich.console import Console
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from derta.progress import Bar, Step


class ProgressBar(TrainerCallback):
    """Steps done, last logged losses, time left; on the first process only."""

    def __init__(self, console: Console, title: str) -> None:
        self.bar = Bar(console)
        self.title = title
        self.step: Step | None = None
        self._held = ExitStack()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Draw the bar, at the step the run continues from."""
        if state.is_world_process_zero:
            self.step = self._held.enter_context(self.bar.step(f"train {self.title}", state.max_steps))
            self.step.set(done=state.global_step)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """One step further."""
        if self.step is not None:
            self.step.set(done=state.global_step)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Show the losses of each objective."""
        logs = kwargs.get("logs") or {}
        shown = [f"{name[5:]} {value:.3f}" for name, value in logs.items() if name.startswith("loss_")]
        if self.step is not None and shown:
            self.step.set(note=" ".join(shown))

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take the bar away."""
        self.stop()

    def stop(self) -> None:
        """Leave the terminal as it was, however the training ended."""
        self.step = None
        self._held.close()
