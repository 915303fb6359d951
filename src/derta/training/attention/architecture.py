"""What a model's architecture allows: packed rows and trunks with branches, rows apart, or nothing exact.

    tree    many rows in a line, told apart by the mask; shared trunks     attention that takes a mask of ours
    apart   one plain row a line, padded on the right, the model's own     recurrent, convolutional and other layers
            causal attention                                               that run along the line itself

Architectures of `EXACT` are compared with separate sequences in tests/training/test_architectures.py; any other one
is compared on its own weights when it is loaded (proof.py). What would be wrong is refused by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from derta.errors import ModelError
from derta.training.attention.mask import BLOCK, layer_windows
from derta.training.attention.row_attention import NAME as BY_ROW

EXACT = frozenset(
    {"llama", "mistral", "mixtral", "qwen2", "qwen3", "qwen3_moe", "gemma", "gemma2", "gemma3_text"}
    | {"phi3", "olmo2", "olmo3"}
)
LONGEST_PROOF = 1024  # tokens of a row with which proof.py makes a window bind


@dataclass(frozen=True)
class Architecture:
    """What `examine` found. apart: why rows can't share a line, None if they can."""

    model_type: str
    attention: str
    apart: str | None

    @property
    def line_multiple(self) -> int:
        """Lines are padded to a multiple of so many tokens."""
        return BLOCK if self.attention == "flex_attention" and self.apart is None else 1


def examine(config: Any, *, max_length: int, device: torch.device) -> Architecture:
    """How rows of at most `max_length` tokens can be computed on this device, from the model's config alone.

    Raises:
        ModelError: they can't be computed exactly in any form.
    """
    text = config.get_text_config()
    _refuse_both_directions(text)
    _refuse_length_dependent_positions(text, max_length)
    return Architecture(text.model_type, choose_attention(config, device), _why_apart(config, max_length))


def choose_attention(config: Any, device: torch.device) -> str:
    """The attention's name: block-sparse on a GPU, SDPA by row on a CPU, dense SDPA or eager where these can't."""
    text, model_class = config.get_text_config(), _model_class(config)
    soft_capped = getattr(text, "attn_logit_softcapping", None) is not None
    if soft_capped or not getattr(model_class, "_supports_sdpa", True):
        return "eager"
    if device.type == "cpu":
        return BY_ROW if getattr(model_class, "_supports_attention_backend", False) else "sdpa"
    dropout = getattr(text, "attention_dropout", 0.0) or 0.0  # FlexAttention has none
    supports_flex = getattr(model_class, "_supports_flex_attn", False)
    return "flex_attention" if device.type == "cuda" and supports_flex and not dropout else "sdpa"


def _model_class(config: Any) -> Any:
    """The library's class for this config; None for a model that comes with its own code."""
    return MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)


def _why_apart(config: Any, max_length: int) -> str | None:
    text = config.get_text_config()
    if getattr(_model_class(config), "_is_stateful", False):
        return f"{text.model_type} carries a state from token to token, across the rows of a line"
    odd = sorted(set(getattr(text, "layer_types", None) or ()) - {"full_attention", "sliding_attention"})
    if odd:
        return f"{text.model_type} has layers ({', '.join(odd)}) that don't follow a tree of rows"
    windows = [window for window in layer_windows(text).values() if window is not None]
    unproved = [window for window in windows if LONGEST_PROOF < window < max_length]
    if unproved and text.model_type not in EXACT:
        return (
            f"{text.model_type} has a sliding window of {unproved[0]} that was not compared with rows apart"
        )
    return None


def _refuse_both_directions(text: Any) -> None:
    if getattr(text, "use_bidirectional_attention", False) or not getattr(text, "is_causal", True):
        raise ModelError(
            f"{text.model_type}: attends in both directions (use_bidirectional_attention or is_causal in its "
            "config.json); need a causal language model"
        )


def _refuse_length_dependent_positions(text: Any, max_length: int) -> None:
    """Rotary embeddings that change with the longest row of a batch: a row's numbers would depend on its mates."""
    parameters = getattr(text, "rope_parameters", None) or {}
    nested = [value for value in parameters.values() if isinstance(value, dict)]
    for rope in nested or [parameters]:
        kind = rope.get("rope_type")
        if kind not in ("dynamic", "longrope"):
            continue
        limit = text.max_position_embeddings
        if kind == "longrope":
            limit = rope.get("original_max_position_embeddings") or limit
        if max_length > limit:
            raise ModelError(
                f"{text.model_type}: its {kind} position embeddings change for all rows of a batch when one is "
                f"longer than {limit} tokens; found max_length = {max_length}, need at most {limit}"
            )
