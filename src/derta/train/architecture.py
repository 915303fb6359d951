"""What a model's architecture allows: packed rows and trunks with branches, rows apart, or nothing exact.

    tree    many rows in a line, told apart by the mask; shared trunks     attention that takes a mask of ours
    apart   one plain row a line, padded on the right, the model's own     recurrent, convolutional and other layers
            causal attention                                               that run along the line itself

Architectures of `EXACT` are compared with separate sequences in tests/train/test_architectures.py; any other one
that seems to allow trees is compared on its own weights when it is loaded. What would be wrong is refused by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from derta.encode.objectives import Branch, Objective, plain_row, trunk_row
from derta.errors import ModelError
from derta.train.attention import BLOCK, Windows, layer_windows, tree_attention, tree_mask
from derta.train.collate import collate

EXACT = frozenset(
    {"llama", "mistral", "mixtral", "qwen2", "qwen3", "qwen3_moe", "gemma", "gemma2", "gemma3_text"}
    | {"phi3", "olmo2", "olmo3"}
)
LONGEST_PROOF = 1024  # tokens
PROOF_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 1e-2}  # relative, per token


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
    """transformers' name of the attention: block-sparse on a GPU, dense SDPA on a CPU, eager where neither can."""
    text = config.get_text_config()
    if getattr(text, "attn_logit_softcapping", None) is not None:
        return "eager"
    dropout = getattr(text, "attention_dropout", 0.0) or 0.0  # FlexAttention has none
    supports_flex = getattr(_model_class(config), "_supports_flex_attn", False)
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


@torch.no_grad()
def prove_exact(model: PreTrainedModel) -> None:
    """Compare a line of two rows, one with a branch, with its three sequences apart, on the loaded weights.

    Raises:
        ModelError: they differ, or the model can't be run so.
    """
    text = model.config.get_text_config()
    if text.model_type in EXACT or any(parameter.is_meta for parameter in model.parameters()):
        return
    decoder = model.get_decoder()
    was_training = model.training
    model.eval()
    try:
        error = _tree_error(decoder, text)
    except (TypeError, ValueError, RuntimeError, IndexError, KeyError) as fault:
        raise ModelError(_unproved(text, f"it stops with: {str(fault).splitlines()[0]}")) from None
    finally:
        model.train(was_training)
    if not error <= PROOF_TOLERANCE.get(model.dtype, 5e-2):
        raise ModelError(_unproved(text, f"hidden states differ by {error:.1e}"))


def _unproved(text: Any, finding: str) -> str:
    return (
        f"{text.model_type}: rows packed in one line are not computed as they are apart ({finding}); set "
        "batch.packing: off, which trains each row in a line of its own"
    )


def _tree_error(decoder: Any, text: Any) -> float:
    """Largest relative difference of a token's hidden state, packed against apart."""
    attention = tree_attention(text)
    length = max([16, *(window + 4 for window in _small_windows(attention.windows))])  # so that they bind
    device = next(decoder.parameters()).device
    generator = torch.Generator().manual_seed(0)
    draw = torch.randint(0, text.vocab_size, (2 * length + 16,), generator=generator)
    first, branch, rest, second = (part.tolist() for part in draw.split([length, 8, 8, length]))
    tree = trunk_row("proof", first, rest, rto=None, branches=[Branch(0, branch, 0)])
    plain = plain_row("proof", second[:1], second[1:], 0, Objective.BENIGN)
    multiple = BLOCK if attention.implementation == "flex_attention" else 1
    batch = collate([[tree, plain]], 0, 1.0, frozenset(), multiple=multiple)
    ids, position, end = (batch[name].to(device) for name in ("input_ids", "position_ids", "subtree_end"))
    masks = attention.masks(end, position, decoder.dtype)
    packed = decoder(input_ids=ids, position_ids=position, attention_mask=masks, use_cache=False)
    hidden = packed.last_hidden_state[0].float()  # (S, d)
    seen = tree_mask(end)[0, 0]
    worst = 0.0
    for leaf in range(len(tree) + len(plain)):
        if end[0, leaf] != leaf + 1:
            continue
        path = seen[leaf].nonzero()[:, 0]  # the sequence that ends in this leaf
        alone = decoder(input_ids=ids[:, path], use_cache=False).last_hidden_state[0].float()
        difference = (hidden[path] - alone).norm(dim=-1) / alone.norm(dim=-1).clamp_min(1e-6)
        worst = max(worst, float(difference.max()))
    return worst


def _small_windows(windows: Windows) -> list[int]:
    """Windows that a comparison of short rows can make bind."""
    return [window for window in windows.values() if window is not None and window <= LONGEST_PROOF]
