"""A progress bar with the loss beside it."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class ProgressBar(TrainerCallback):
    """Steps done, last logged losses, time left; on the first process only."""

    def __init__(self, console: Console, title: str) -> None:
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
        )
        self.title = title
        self.task: TaskID | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Draw the bar, at the step the run continues from."""
        if state.is_world_process_zero:
            self.progress.start()
            self.task = self.progress.add_task(
                f"train {self.title}", total=state.max_steps, completed=state.global_step, note=""
            )

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """One step further."""
        if self.task is not None:
            self.progress.update(self.task, completed=state.global_step)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Show the losses of each objective."""
        logs = kwargs.get("logs") or {}
        shown = [f"{name[5:]} {value:.3f}" for name, value in logs.items() if name.startswith("loss_")]
        if self.task is not None and shown:
            self.progress.update(self.task, note=" ".join(shown))

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Leave the finished bar on the screen."""
        self.progress.stop()
