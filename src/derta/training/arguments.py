"""From a recipe's `training:` keys and the plan to transformers' TrainingArguments."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import torch
from transformers import TrainingArguments
from transformers.integrations.integration_utils import (
    INTEGRATION_TO_CALLBACK,
    get_available_reporting_integrations,
)

from derta.errors import RecipeError
from derta.methods.own import pairs_of
from derta.training.moving import check_moving
from derta.training.plan import Plan
from derta.training.recipe import TrainRecipe

NUM_CHECKPOINTS = 10  # a run leaves at least so many unless the recipe says otherwise
NUM_EPOCHS = 2  # paper
# Keys that the library takes and this trainer can't serve, and what to do instead.
NOT_HERE = {
    "eval_strategy": "there is no evaluation set here; `probe:` measures held-out triples and benign pairs",
    "do_eval": "there is no evaluation set here; `probe:` measures held-out triples and benign pairs",
    "eval_on_start": "there is no evaluation set here; `probe:` measures held-out triples and benign pairs",
    "torch_compile": "derta's forward takes rows of other lengths each step, and is not compiled; leave it out",
    "torch_compile_backend": "derta's forward is not compiled; leave it out",
    "torch_compile_mode": "derta's forward is not compiled; leave it out",
}


def num_epochs(recipe: TrainRecipe) -> float:
    """Passes over the data, possibly with a fraction.

    Raises:
        RecipeError: not a positive number.
    """
    return _positive(recipe.training, "num_train_epochs", NUM_EPOCHS)


def max_steps(recipe: TrainRecipe) -> int | None:
    """Optimizer steps, however many epochs they take (as in transformers), or None: all that the epochs hold.

    Raises:
        RecipeError: not a positive whole number (nor -1, the library's "no limit").
    """
    given = recipe.training.get("max_steps")
    if given in (None, -1):
        return None
    return _whole(recipe.training, "max_steps", 0)


def training_arguments(recipe: TrainRecipe, plan: Plan) -> TrainingArguments:
    """The library's arguments; what derta owns is set here and refused in a recipe.

    Raises:
        RecipeError: an unknown key (with the nearest valid one), a value the library refuses, or a tracker that
            is not installed.
    """
    given = dict(recipe.training)
    _check_keys(given)
    report_to = _trackers(given.pop("report_to", "none"))
    # a checkpoint falls on a logging step, so that the loss log after a resume is the same
    save_steps = _whole(given, "save_steps", max(1, plan.num_steps // NUM_CHECKPOINTS))
    logging_steps = min(_whole(given, "logging_steps", 10), save_steps, plan.num_steps)
    settings: dict[str, Any] = {
        "weight_decay": 2e-5,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0.03,
        "save_total_limit": 2,
        "dataloader_pin_memory": torch.cuda.is_available(),
        "ddp_find_unused_parameters": False,  # every weight takes part in every micro-batch, also in an empty one
        **given,
        "report_to": report_to,
        "disable_tqdm": True,
        "use_cpu": not torch.accelerator.is_available(),
        "bf16": autocasts(recipe),
        "num_train_epochs": 1,  # all epochs are in the plan, each with its own draws
        "max_steps": plan.num_steps,
        "logging_strategy": "steps",
        "logging_steps": logging_steps,
        "save_strategy": "steps",
        "save_steps": save_steps // logging_steps * logging_steps,
        "output_dir": str(recipe.run_dir / "checkpoints"),
        "seed": recipe.seed,
        "per_device_train_batch_size": 1,  # one planned micro-batch
        "gradient_accumulation_steps": plan.accumulation,
        "train_sampling_strategy": "sequential",
        "remove_unused_columns": False,
        "label_names": [],
        "logging_nan_inf_filter": False,
    }
    try:
        arguments = TrainingArguments(**settings)
    except (TypeError, ValueError, ImportError) as error:
        raise RecipeError(f"training: {str(error).strip().splitlines()[0]}") from None
    arguments._n_gpu = min(arguments.n_gpu, 1)  # never nn.DataParallel: it would cut a planned micro-batch
    os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(recipe.run_dir / "logs"))
    return arguments


def check_arguments(recipe: TrainRecipe) -> None:
    """Whether a recipe's `training:` can be used, before anything is read or written.

    Raises:
        RecipeError: an unknown key, or a value that is not what the library takes.
    """
    known = {field.name: field for field in fields(TrainingArguments) if field.init}
    _check_keys(recipe.training)
    for key, instead in NOT_HERE.items():
        if recipe.training.get(key) not in (None, False, "no"):
            raise RecipeError(f"training.{key}: found {recipe.training[key]!r}; {instead}")
    for key, value in recipe.training.items():
        numeric = isinstance(known[key].default, int | float) and not isinstance(known[key].default, bool)
        if numeric and (
            isinstance(value, str | bool) or (isinstance(value, float) and not math.isfinite(value))
        ):
            raise RecipeError(f"training.{key}: found {value!r}, need a finite number")
    if "learning_rate" in recipe.training:
        _positive(recipe.training, "learning_rate", 1.0)
    num_epochs(recipe), max_steps(recipe)
    if pairs_of(recipe.method) is None:
        plan = Plan((), num_steps=1, accumulation=1, num_tokens=1, num_slots=1)
        check_moving(training_arguments(recipe, plan))


def autocasts(recipe: TrainRecipe) -> bool:
    """Full tuning on a GPU keeps float32 weights and computes in bfloat16: an update of 2e-5 is smaller than the
    step between two bfloat16 weights and would be lost. An explicit model.dtype is taken at its word.
    """
    return torch.cuda.is_available() and recipe.lora is None and recipe.model.dtype == "auto"


def _check_keys(given: Mapping[str, Any]) -> None:
    """Whether these are the library's own arguments.

    Raises:
        RecipeError: one is not; names the nearest that is.
    """
    known = {field.name for field in fields(TrainingArguments) if field.init}
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"; did you mean `{near[0]}`?" if near else ""
            raise RecipeError(f"training.{key}: not one of transformers' TrainingArguments{hint}")


def _trackers(wanted: Any) -> list[str]:
    names = [wanted] if isinstance(wanted, str) else list(wanted or [])
    if names in (["none"], []):
        return []
    installed = get_available_reporting_integrations()
    if names == ["all"]:
        return list(installed)
    for name in names:
        if name not in INTEGRATION_TO_CALLBACK:
            known = ", ".join(sorted(INTEGRATION_TO_CALLBACK))
            raise RecipeError(f"training.report_to: unknown tracker {name!r}; known: {known}")
        if name not in installed:
            raise RecipeError(
                f"training.report_to: {name} is not installed; `pip install {name}`, or report_to: none "
                "(train_log.jsonl is written in any case)"
            )
    return names


def _positive(given: Mapping[str, Any], key: str, default: float) -> float:
    value = given.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0 or math.isinf(value):
        raise RecipeError(f"training.{key}: found {value!r}, need a positive number")
    return float(value)


def _whole(given: Mapping[str, Any], key: str, default: int) -> int:
    value = given.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise RecipeError(f"training.{key}: found {value!r}, need a positive whole number")
    return value
