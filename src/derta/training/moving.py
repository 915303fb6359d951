"""Whether the optimizer and schedule that a recipe asks for can be made, tried on one number before anything else."""

from __future__ import annotations

from typing import Any

import torch
from transformers import Trainer, TrainingArguments, get_scheduler

from derta.errors import RecipeError
from derta.model_files import first_line

# Schedules that change only when an evaluation reports a metric; without one they would stay where they begin.
WANT_METRICS = ("reduce_lr_on_plateau", "greedy")
FEW_STEPS = 100  # any number: no schedule needs another


def check_moving(arguments: TrainingArguments) -> None:
    """Make both as the trainer will, for a single weight.

    Raises:
        RecipeError: the key, and what the library says is missing.
    """
    name = getattr(arguments.lr_scheduler_type, "value", arguments.lr_scheduler_type)
    if name in WANT_METRICS:
        raise RecipeError(
            f"training.lr_scheduler_type: {name} waits for the library's evaluation, and there is none here "
            "(`probe:` is derta's); take cosine, linear or constant_with_warmup"
        )
    settings: Any = arguments.lr_scheduler_kwargs
    optimizer = _made(
        f"training.optim: {getattr(arguments.optim, 'value', arguments.optim)}", lambda: _optimizer(arguments)
    )
    _made(
        f"training.lr_scheduler_type: {name}",
        lambda: get_scheduler(
            name,
            optimizer=optimizer,
            num_warmup_steps=arguments.get_warmup_steps(FEW_STEPS),
            num_training_steps=FEW_STEPS,
            scheduler_specific_kwargs=settings,
        ),
    )


def _optimizer(arguments: TrainingArguments) -> torch.optim.Optimizer:
    kind, settings = Trainer.get_optimizer_cls_and_kwargs(arguments)
    made: torch.optim.Optimizer = kind([torch.nn.Parameter(torch.zeros(1))], **settings)
    return made


def _made(what: str, make: Any) -> Any:
    try:
        return make()
    except Exception as error:  # each optimizer's library raises its own kinds
        raise RecipeError(
            f"{what}: can't be used: {first_line(error)}; set what it asks for under `training:` "
            "(optim_args, lr_scheduler_kwargs), install its library, or leave the key out"
        ) from None
