"""train_log.jsonl: an entry of the log as it comes, the whole once more at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from derta.files import append_jsonl, write_jsonl

FILE = "train_log.jsonl"
CLOCK = (
    "train_runtime",
    "train_samples_per_second",
    "train_steps_per_second",
    "total_flos",
    "train_loss",
    "epoch",
)


class LossLog(TrainerCallback):
    """Writes the file while the run goes (first process): after a resume it holds what its checkpoint held."""

    def __init__(self, run_dir: Path) -> None:
        self.path = run_dir / FILE

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begin with what the checkpoint knows."""
        if state.is_world_process_zero:
            write_jsonl(self.path, log_entries(state))

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """The newest entry."""
        if state.is_world_process_zero:
            append_jsonl(self.path, log_entries(state, since=len(state.log_history) - 1))


def log_entries(state: TrainerState, since: int = 0) -> list[dict[str, Any]]:
    """The log's entries without what depends on the clock; keys sorted, as a resume reads them back."""
    entries = [
        {name: value for name, value in sorted(entry.items()) if name not in CLOCK}
        for entry in state.log_history[since:]
    ]
    return [entry for entry in entries if len(entry) > 1]
