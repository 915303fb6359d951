"""Load a model for training: right type, right attention, no resize, no code from strangers."""

from __future__ import annotations

from typing import Any, Literal

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from derta.config import ModelSettings
from derta.errors import ModelError


def load_tokenizer(path: str, *, trust_remote_code: bool = False) -> PreTrainedTokenizerBase:
    """The tokenizer of a local folder or hub id.

    Raises:
        ModelError: nothing loadable there.
    """
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            path, trust_remote_code=trust_remote_code
        )
    except (OSError, ValueError) as error:
        raise ModelError(f"model.path {path}: no tokenizer could be loaded: {_first_line(error)}") from None
    return tokenizer


def pad_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """An id to fill lines with; padding is never seen and never a target, so any id will do."""
    for candidate in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if candidate is not None:
            return int(candidate)
    return 0


def load_model(settings: ModelSettings, *, device: torch.device) -> PreTrainedModel:
    """The causal LM of a recipe, in training mode, with SDPA attention (exact with a boolean mask).

    Raises:
        ModelError: nothing loadable there, or code that comes with the model would have to run.
    """
    try:
        config = AutoConfig.from_pretrained(settings.path, trust_remote_code=settings.trust_remote_code)
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            settings.path,
            config=config,
            dtype=resolve_dtype(settings.dtype, device),
            attn_implementation="sdpa",
            use_safetensors=True,
            trust_remote_code=settings.trust_remote_code,
        )
    except (OSError, ValueError) as error:
        raise ModelError(f"model.path {settings.path}: can't be loaded: {_first_line(error)}") from None
    _refuse_binding_window(config.get_text_config())
    model.to(device)  # type: ignore[arg-type]
    model.train()
    return model


def resolve_dtype(name: Literal["auto", "float32", "bfloat16"], device: torch.device) -> torch.dtype:
    """auto: bfloat16 on an accelerator, float32 on a CPU."""
    if name == "auto":
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    return torch.float32 if name == "float32" else torch.bfloat16


def _refuse_binding_window(config: Any) -> None:
    if getattr(config, "model_type", "") == "gemma2":
        raise ModelError(
            "gemma2 needs eager attention, which is wrong with a boolean mask; not supported yet"
        )


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]
