"""Loading a judge's local model: safetensors only, its own code never run, one clear line when it fails."""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from derta.errors import ModelError


def architecture_of(path: str) -> str:
    """The class that a model folder names, e.g. LlamaForCausalLM.

    Raises:
        ModelError: no configuration there.
    """
    try:
        config = AutoConfig.from_pretrained(path)
    except (OSError, ValueError) as error:
        raise ModelError(f"judge.model: {path}: no model configuration: {_first_line(error)}") from None
    return str((config.architectures or ["unnamed"])[0])


def load_classifier(path: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A sequence classifier and its tokenizer, ready for inference.

    Raises:
        ModelError: nothing loadable there.
    """
    return _load(path, AutoModelForSequenceClassification)


def load_guard(path: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A causal guard model and its tokenizer, ready for inference.

    Raises:
        ModelError: nothing loadable there.
    """
    return _load(path, AutoModelForCausalLM)


def longest_input(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """Tokens that the model reads at most."""
    positions = getattr(model.config, "max_position_embeddings", None) or tokenizer.model_max_length
    return int(min(positions, tokenizer.model_max_length))


def _load(path: str, family: Any) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(path)
        model: PreTrainedModel = family.from_pretrained(path, dtype=dtype, use_safetensors=True)
    except (OSError, ValueError) as error:
        raise ModelError(f"judge.model: {path}: can't be loaded: {_first_line(error)}") from None
    model.to(device)  # type: ignore[arg-type]
    model.eval()
    return model, tokenizer


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
