"""The recipe of `derta train`: how rows are made (derta.encode.settings), and what is trained on them, and how."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from derta.config.paths import PathOrId
from derta.config.strict import StrictModel
from derta.encode.settings import RowSettings
from derta.methods.choice import MethodChoice, as_written, with_own_settings


class ModelSettings(StrictModel):
    """The model to tune."""

    path: PathOrId
    """Local folder or hub id of a causal LM."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Type of the loaded weights. auto: float32 (computed in bfloat16 on a GPU; smaller updates than bfloat16 can
    hold would be lost); with LoRA on a GPU, where these weights are frozen, bfloat16."""
    trust_remote_code: bool = False
    """Run Python code that comes with the model. Off: such a model is refused."""
    load_in_4bit: bool = False
    """Keep the frozen weights in 4 bits (QLoRA): a GPU, bitsandbytes and `lora` are needed."""


class DataSettings(StrictModel):
    """Training data, and how much of it."""

    triples: Path
    benign: Path
    num_triples: int | None = Field(default=None, ge=1)
    """n of the method table (docs/method.md): a method uses n triples, or 2n where its rows come from half of a
    triple. None: all that the file holds."""
    num_benign: int | None = Field(default=None, ge=0)
    """None: all benign pairs."""


class ProbeSettings(StrictModel):
    """Probability of the refusal token along held-out responses, measured while training."""

    triples: Path
    benign: Path
    every: int = Field(default=50, ge=1)
    """Optimizer steps between measurements."""
    num_rows: int = Field(default=32, ge=1)
    """Responses of each kind."""


class StopSettings(StrictModel):
    """What a training run must not do: it stops at the second probe in a row that shows it. Needs `probe`."""

    refusal_on_benign: float | None = Field(default=0.1, gt=0, le=1)
    """Highest mean P(refusal token) behind the first token of benign responses. A 135M chat model with .11 answered
    every question with "SorrySorry..."; runs that work stay below .02."""
    benign_loss_rise: float | None = Field(default=0.5, gt=0)
    """Most that the loss on held-out benign responses may rise over its start; 0.5: by half."""


class LoraSettings(StrictModel):
    """Low-rank adapters on all attention and MLP projections (paper: r 96, alpha 16, dropout 0.05). Keys from
    `target_modules` on are peft's own, under their own names."""

    r: int = Field(default=96, ge=1)
    alpha: int = Field(default=16, ge=1)
    dropout: float = Field(default=0.05, ge=0, lt=1)
    """Must be 0 where experts share one weight tensor (Mixtral and other mixtures of experts)."""
    target_modules: str | list[str] | None = None
    """Names of modules, whole or their ends, or one regular expression that whole names match. None: every projection
    of every layer. Where it is given, experts that share a tensor are left alone."""
    exclude: str | list[str] | None = None
    """Of the targets, the modules that get no adapter (peft: exclude_modules); as `target_modules`."""
    modules_to_save: list[str] | None = None
    """Modules trained whole and kept beside the adapter, e.g. [embed_tokens, lm_head]."""
    trainable_token_indices: list[int] | None = None
    """Token ids whose embeddings are trained too: a template's own tokens in a base model that never saw them."""
    use_dora: bool = False
    """DoRA (arXiv:2402.09353): magnitudes are trained apart from directions."""
    use_rslora: bool = False
    """rsLoRA (arXiv:2312.03732): the adapter is scaled by alpha / sqrt(r), not by alpha / r."""


class BatchSettings(StrictModel):
    """How rows become micro-batches. The global batch fixes the numbers; the rest only fits the machine."""

    rows: int = Field(default=128, ge=1)
    """Rows per optimizer step over all processes (paper: 128)."""
    tokens: int = Field(default=8192, ge=16)
    """Most tokens in one micro-batch of one process."""
    line_tokens: int | None = Field(default=None, ge=16)
    """Most tokens packed in one line of a micro-batch. None: `tokens`, or the longest row where attention needs a
    dense mask."""
    packing: Literal["auto", "off"] = "auto"
    """auto: several rows share a line where the architecture computes them exactly; off: each row has its own."""

    @field_validator("packing", mode="before")
    @classmethod
    def _yaml_words(cls, value: Any) -> Any:
        return _on_or_off(value)


def _on_or_off(value: Any) -> Any:
    """YAML reads a bare on or off as a truth value."""
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else value


class TrainRecipe(RowSettings):
    """`derta train`: one method on one model."""

    run_dir: Path
    method: MethodChoice
    """A name, with its settings in a block of that name where it has any; or {name, file, settings}."""
    model: ModelSettings
    data: DataSettings
    shared_trunk: Literal["auto", "on", "off"] = "auto"
    """Compute prompt and harmful response once for a triple's prefix and RTO rows. auto: where it is exact; on:
    refuse an architecture where it is not. The numbers are the same, but for LoRA dropout (drawn per token)."""
    lora: LoraSettings | None = None
    """None: full fine-tuning."""
    batch: BatchSettings = BatchSettings()
    probe: ProbeSettings | None = None
    stop_when: StopSettings | None = StopSettings()
    """off: a run goes on whatever its probe shows."""
    training: dict[str, Any] = Field(default_factory=dict)
    """Keys of transformers' TrainingArguments under their own names, e.g. learning_rate."""

    @model_validator(mode="before")
    @classmethod
    def _own_settings(cls, value: Any) -> Any:
        return with_own_settings(value) if isinstance(value, dict) else value

    @model_serializer(mode="wrap")
    def _as_written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return as_written(handler(self))

    @model_validator(mode="after")
    def _no_double_settings(self) -> TrainRecipe:
        for key, instead in OWNED_TRAINING_KEYS.items():
            if key in self.training:
                raise ValueError(f"training.{key}: set by derta; {instead}")
        for key, least in TRAINING_NUMBERS.items():
            _check_number(f"training.{key}", self.training.get(key), least)
        if self.model.load_in_4bit and self.lora is None:
            raise ValueError(
                "model.load_in_4bit: weights of 4 bits are frozen; add `lora:` to train adapters"
            )
        if self.shared_trunk == "on" and self.batch.packing == "off":
            raise ValueError("shared_trunk: on contradicts batch.packing: off (a trunk row is packed)")
        return self

    @field_validator("stop_when", mode="before")
    @classmethod
    def _stops(cls, value: Any) -> Any:
        return (
            {"off": None, "on": {}}.get(_on_or_off(value), value) if isinstance(value, str | bool) else value
        )

    @field_validator("shared_trunk", mode="before")
    @classmethod
    def _yaml_words(cls, value: Any) -> Any:
        return _on_or_off(value)


def _check_number(field: str, value: Any, least: float) -> None:
    """None is the library's default."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{field}: found {value!r}, need a number")
    if value < least:
        raise ValueError(f"{field}: found {value}, need {least} or more")


# TrainingArguments that decide how far weights move, with the least value that makes sense. transformers takes any
# text or number here, and what is wrong shows after hours.
TRAINING_NUMBERS = {
    "learning_rate": 0,
    "weight_decay": 0,
    "adam_beta1": 0,
    "adam_beta2": 0,
    "adam_epsilon": 0,
    "max_grad_norm": 0,
    "warmup_steps": 0,
    "num_train_epochs": 0,
    "max_steps": -1,
}

# TrainingArguments that derta sets itself, and what to write instead.
OWNED_TRAINING_KEYS = {
    "output_dir": "use `run_dir`",
    "seed": "use `seed`",
    "data_seed": "use `seed`",
    "per_device_train_batch_size": "use `batch.rows` (global) and `batch.tokens` (micro-batch)",
    "gradient_accumulation_steps": "it follows from `batch.rows` and `batch.tokens`",
    "train_sampling_strategy": "the order follows from `seed`",
    "remove_unused_columns": "rows carry their own columns",
    "label_names": "rows carry their own targets",
    "label_smoothing_factor": "the loss is derta's",
    "bf16": "use `model.dtype`",
    "fp16": "use `model.dtype` (float16 is not supported)",
    "use_cpu": "an accelerator is used where there is one; hide it with CUDA_VISIBLE_DEVICES=",
    "disable_tqdm": "the progress bar is derta's",
    "save_strategy": "use `training.save_steps`",
    "logging_strategy": "use `training.logging_steps`",
    "logging_nan_inf_filter": "a step that is not finite is skipped and written to skipped_steps.jsonl",
    "auto_find_batch_size": "micro-batches halve by themselves when memory runs out",
    "accelerator_config": "the plan shares micro-batches out",
    "dataloader_drop_last": "the plan holds every row",
    "ignore_data_skip": "a resume continues where it stopped",
    "resume_from_checkpoint": "the newest whole checkpoint of `run_dir` is taken",
    "load_best_model_at_end": "the last weights are kept",
    "save_only_model": "checkpoints hold all that a resume needs",
    "hub_token": "log in with `hf auth login`; a recipe holds no keys",
    "push_to_hub": "push the finished model folder yourself",
    "use_liger_kernel": "the loss is derta's",
}
