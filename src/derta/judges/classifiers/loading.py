"""Loading a judge's local model: what the recipe's judge.model names, ready for inference."""

from __future__ import annotations

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from derta.models import load_config, load_model, load_tokenizer

SETTING = "judge.model"


def architecture_of(path: str) -> str:
    """The class that a model folder names, e.g. LlamaForCausalLM.

    Raises:
        ModelError: no configuration there.
    """
    return str((load_config(path, setting=SETTING).architectures or ["unnamed"])[0])


def load_classifier(path: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A sequence classifier and its tokenizer, ready for inference.

    Raises:
        ModelError: nothing loadable there.
    """
    tokenizer = load_tokenizer(path, setting=SETTING)
    return load_model(path, family="classifier", setting=SETTING), tokenizer


def load_guard(path: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A causal guard model and its tokenizer, ready for inference.

    Raises:
        ModelError: nothing loadable there.
    """
    tokenizer = load_tokenizer(path, setting=SETTING)
    return load_model(path, setting=SETTING), tokenizer


def longest_input(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """Tokens that the model reads at most."""
    positions = getattr(model.config, "max_position_embeddings", None) or tokenizer.model_max_length
    return int(min(positions, tokenizer.model_max_length))
