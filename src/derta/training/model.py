"""Load a model for training: right type, right attention, no resize, no code from strangers."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from derta.errors import ModelError
from derta.model_classes import decoder_of
from derta.model_files import check_weight_files
from derta.models import load_config as read_config
from derta.models import load_weights
from derta.training.attention.architecture import Architecture, choose_attention, examine
from derta.training.attention.mask import SPARSE
from derta.training.attention.self_check import prove_exact
from derta.training.lora import add_lora, four_bit
from derta.training.loss import install_supervised_forward
from derta.training.recipe import ModelSettings, TrainRecipe


def pad_id(tokenizer: PreTrainedTokenizerBase, vocabulary: int | None = None) -> int:
    """An id to fill lines with; padding is never seen and never a target, so any id of the embedding will do.

    vocabulary: its rows; a pad token that was added without them would stop the run.
    """
    for candidate in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if candidate is not None and (vocabulary is None or candidate < vocabulary):
            return int(candidate)
    return 0


def load_config(settings: ModelSettings) -> Any:
    """The model's config; weights are not touched.

    Raises:
        ModelError: none there, pickled weights only, or code that comes with the model would have to run.
    """
    if Path(settings.path, "adapter_config.json").exists():
        raise ModelError(
            f"model.path {settings.path}: an adapter; training starts from a whole model. Merge it first "
            "(peft: merge_and_unload, then save_pretrained)"
        )
    check_weight_files(settings.path, "model.path")
    return read_config(settings.path, trust_code=settings.trust_remote_code, setting="model.path")


def architecture_of(recipe: TrainRecipe, device: torch.device) -> Architecture:
    """How the recipe's model computes rows on this device.

    Raises:
        ModelError: it can't, or not as the recipe asks.
    """
    found = examine(load_config(recipe.model), max_length=recipe.max_length, device=device)
    if recipe.batch.packing == "off":
        found = replace(found, apart="batch.packing is off")
    if recipe.shared_trunk == "on" and found.apart:
        raise ModelError(f"shared_trunk: on is not possible: {found.apart}; set shared_trunk: auto")
    return found


def shares_trunks(recipe: TrainRecipe, architecture: Architecture) -> bool:
    """Whether a triple's prefix and RTO rows are one row."""
    return recipe.shared_trunk != "off" and architecture.apart is None


def line_tokens(recipe: TrainRecipe, architecture: Architecture) -> int | None:
    """Most tokens packed in a line; None = the longest row, 0 = each row has its own line."""
    if architecture.apart is not None:
        return 0
    if recipe.batch.line_tokens is None and architecture.attention in SPARSE:
        return recipe.batch.tokens
    return recipe.batch.line_tokens


def model_for_training(
    recipe: TrainRecipe, architecture: Architecture, device: torch.device, *, keep_hidden: bool = False
) -> Any:
    """The recipe's model, its forward taught the supervision list, adapters in it if the recipe has `lora`.

    keep_hidden: as in `install_supervised_forward`.

    Raises:
        ModelError: it can't be loaded or computed exactly.
    """
    model = load_model(recipe.model, device=device, frozen=recipe.lora is not None)
    prove_exact(model, packed=architecture.apart is None)
    install_supervised_forward(model, packed=architecture.apart is None, keep_hidden=keep_hidden)
    return model if recipe.lora is None else add_lora(model, recipe.lora)


def load_model(settings: ModelSettings, *, device: torch.device, frozen: bool = False) -> PreTrainedModel:
    """The causal LM of a recipe, in training mode; frozen: only adapters will be trained.

    Raises:
        ModelError: nothing loadable there, or code that comes with the model would have to run.
    """
    config = load_config(settings)
    loading: dict[str, Any] = {}
    if settings.load_in_4bit:
        loading = {"quantization_config": four_bit(device), "device_map": {"": device}}
    elif getattr(config, "quantization_config", None) is not None and not frozen:
        raise ModelError(
            f"model.path {settings.path}: its weights are quantised and can't be trained themselves; add `lora:` or "
            "take the unquantised model"
        )
    model = load_weights(
        settings.path,
        config,
        dtype=resolve_dtype(settings.dtype, device, frozen=frozen),
        attention=choose_attention(config, device),
        trust_code=settings.trust_remote_code,
        setting="model.path",
        **loading,
    )
    if not loading and not _sharded_by_launcher():
        model.to(device)  # type: ignore[arg-type]
    _freeze_other_senses(model)
    model.train()
    return model


def _sharded_by_launcher() -> bool:
    """FSDP and DeepSpeed bring each process its part; the whole model may not fit one device."""
    names = ("ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED")
    return any(os.environ.get(name, "").lower() == "true" for name in names)


def resolve_dtype(
    name: Literal["auto", "float32", "bfloat16"], device: torch.device, *, frozen: bool = False
) -> torch.dtype:
    """auto: bfloat16 for frozen weights on a GPU, else float32.

    Weights that are trained stay float32 (the trainer computes in bfloat16 on a GPU): an update of 2e-5 is smaller
    than the step between two bfloat16 weights and would be lost.
    """
    if name == "auto":
        return torch.bfloat16 if device.type != "cpu" and frozen else torch.float32
    return torch.float32 if name == "float32" else torch.bfloat16


def _freeze_other_senses(model: PreTrainedModel) -> None:
    """Image and sound towers of a multimodal model see no text and get no gradient; DDP would wait for one."""
    head = model.get_output_embeddings()
    text = {id(parameter) for part in (decoder_of(model), head) for parameter in part.parameters()}
    for parameter in model.parameters():
        if id(parameter) not in text:
            parameter.requires_grad_(False)
