"""Which of the library's classes a checkpoint is loaded as, and its skeleton without weights.

A checkpoint with image or sound towers keeps its own class (`architectures` in its config.json): the text-only class
of the same family names its weights differently, so that an adapter would not find them in the original.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

Family = Literal["causal", "classifier", "encoder"]


def library_class(config: Any, family: Family = "causal") -> Any:
    """transformers' auto class that loads this checkpoint."""
    from transformers import (  # loads torch
        AutoModel,
        AutoModelForCausalLM,
        AutoModelForImageTextToText,
        AutoModelForSequenceClassification,
    )

    if family != "causal":
        return {"classifier": AutoModelForSequenceClassification, "encoder": AutoModel}[family]
    with_towers: Any = AutoModelForImageTextToText._model_mapping
    if type(config) not in with_towers:
        return AutoModelForCausalLM
    named = getattr(config, "architectures", None) or ()
    only_there = type(config) not in AutoModelForCausalLM._model_mapping
    return (
        AutoModelForImageTextToText
        if only_there or with_towers[type(config)].__name__ in named
        else AutoModelForCausalLM
    )


def empty_model(config: PreTrainedConfig, family: Family = "causal") -> Any:
    """The model on the meta device: every parameter's name and shape, no memory. None: a class of its own code."""
    import torch

    mapping = library_class(config, family)._model_mapping
    if type(config) not in mapping:
        return None
    found = mapping[type(config)]
    kind = found[0] if isinstance(found, tuple) else found
    inner = config.get_text_config() if kind.config_class is not type(config) else config
    with torch.device("meta"):
        return kind(inner)


def decoder_of(model: PreTrainedModel) -> Any:
    """The stack of layers, without the head: where a wrapper names its whole language model, what is inside that."""
    decoder = model.get_decoder()
    while decoder is not model and hasattr(decoder, "lm_head"):
        model, decoder = decoder, decoder.get_decoder()
    return decoder
