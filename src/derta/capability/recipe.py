"""The recipe of `derta capability`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from derta.config import StrictModel, TargetModel
from derta.encode.settings import ChatSettings

TaskName = Literal["gsm8k", "mmlu"]
Protocol = Literal["paper", "harness"]
HARNESS_SHOTS = 5  # of both tasks, as leaderboards report them


class TaskSettings(StrictModel):
    """A benchmark: its questions, and how they are asked.

    paper    one user turn in the model's own chat format, zero-shot, greedy; the answer is read from the response
    harness  the harness's own task: raw text, few-shot; GSM8K by its strict match, MMLU by log-likelihood
    """

    name: TaskName
    file: Path
    """Questions: JSON lines, a JSON array, CSV or Parquet (docs/capability.md)."""
    protocol: Protocol = "paper"
    num_questions: int | None = Field(default=None, ge=1)
    """So many, drawn with the recipe's seed; null: all. The paper asks 500."""
    num_fewshot: int | None = Field(default=None, ge=0, le=32)
    """Worked examples before each question; default: 0 (paper), 5 (harness)."""
    fewshot_file: Path | None = None
    """Where they come from: GSM8K's training file, MMLU's dev file."""
    instruction: str | None = None
    """Stands under the question (paper). Default: none for GSM8K, to answer with a letter for MMLU."""
    max_new_tokens: int = Field(default=1024, ge=1)
    """Of one response; the harness's own task has its own bound (256)."""
    label: str | None = None
    """Name in tables; default: the name (harness: with the number of examples, e.g. gsm8k_5shot)."""

    @property
    def shots(self) -> int:
        """Worked examples before each question."""
        if self.num_fewshot is not None:
            return self.num_fewshot
        return HARNESS_SHOTS if self.protocol == "harness" else 0

    @property
    def shown(self) -> str:
        """The name in tables."""
        return self.label or (self.name if self.protocol == "paper" else f"{self.name}_{self.shots}shot")

    @model_validator(mode="after")
    def _fits(self) -> TaskSettings:
        if self.protocol == "paper" and self.shots:
            raise ValueError(
                f"num_fewshot: found {self.shots}; the paper's protocol is zero-shot; set protocol: harness"
            )
        if self.shots and self.fewshot_file is None:
            raise ValueError(f"fewshot_file: missing; {self.shots} worked examples come from there")
        if self.protocol == "harness" and self.instruction is not None:
            raise ValueError("instruction: the harness asks in its own words; leave it out")
        return self


class CapabilityGeneration(StrictModel):
    """Bounds of one batch on a local model."""

    batch_rows: int = Field(default=64, ge=1)
    batch_tokens: int = Field(default=262_144, ge=1)


class CapabilityRecipe(StrictModel):
    """`derta capability`: models x benchmarks."""

    run_dir: Path
    seed: int = Field(default=0, ge=0)
    """Of the draw of `num_questions` and of the worked examples."""
    models: list[TargetModel] = Field(min_length=1)
    tasks: Annotated[list[TaskSettings], Field(min_length=1)]
    chat: ChatSettings = ChatSettings()
    generation: CapabilityGeneration = CapabilityGeneration()
    max_unknown_rate: float = Field(default=0.05, ge=0, le=1)
    """The run ends with an error (after writing its files) if more than this share of questions could not be
    asked."""

    @model_validator(mode="after")
    def _complete(self) -> CapabilityRecipe:
        for what, names in (
            ("models", [model.name for model in self.models]),
            ("tasks", [task.shown for task in self.tasks]),
        ):
            double = sorted({name for name in names if names.count(name) > 1})
            if double:
                raise ValueError(f"{what}: name {double[0]!r} comes twice; names must be unique (label: ...)")
        for model in self.models:
            if not model.path:
                raise ValueError(
                    f"models: {model.name!r} has no `path`; capability is measured on local models"
                )
        return self
