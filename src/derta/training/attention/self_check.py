"""Our way of computing against the library's plain one, on a loaded model whose architecture no test knows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import PreTrainedModel

from derta.encode.row import Branch, Objective, plain_row, trunk_row
from derta.engine.self_check import evaluating, largest, some_ids
from derta.errors import ModelError
from derta.model_classes import decoder_of
from derta.training.attention.architecture import EXACT, LONGEST_PROOF
from derta.training.attention.mask import BLOCK, Windows, tree_attention
from derta.training.attention.tree_mask import tree_mask
from derta.training.collate import collate
from derta.training.loss import head_factor, soft_capped

PROOF_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 1e-2}  # relative, per token


def prove_exact(model: PreTrainedModel, *, packed: bool) -> None:
    """Compare our way of computing with the library's plain one, on the loaded weights.

    packed: a line of two rows, one with a branch, with its three sequences apart; else a row with padding behind
    it and without. And the logits of our head with the model's own. Known architectures (`EXACT`) are not run.

    Raises:
        ModelError: they differ, or the model can't be run so.
    """
    text = model.config.get_text_config()
    known = text.model_type in EXACT and head_factor(text) == 1
    if known or any(parameter.is_meta for parameter in model.parameters()):
        return
    with evaluating(model):
        _prove(model, text, "its output head is not computed as the model itself does", _head_error)
        if packed:
            what = "rows packed in one line are not computed as they are apart; batch.packing: off may help"
            _prove(model, text, what, _tree_error)
        else:
            _prove(model, text, "padding behind a row changes the row", _padding_error)


def _prove(
    model: PreTrainedModel, text: Any, claim: str, measure: Callable[[PreTrainedModel, Any], float]
) -> None:
    try:
        error = measure(model, text)
    except (TypeError, ValueError, RuntimeError, LookupError, AttributeError) as fault:
        finding = str(fault).split("\n", 1)[0]
        raise ModelError(f"{text.model_type}: {claim} (it stops with: {finding})") from None
    if not error <= PROOF_TOLERANCE.get(model.dtype, 5e-2):
        raise ModelError(f"{text.model_type}: {claim} (relative difference {error:.1e})")


def _head_error(model: PreTrainedModel, text: Any) -> float:
    ids = some_ids(model, 12)[None].to(model.device)
    hidden = decoder_of(model)(input_ids=ids, use_cache=False).last_hidden_state
    head = model.get_output_embeddings()
    ours = soft_capped((hidden * head_factor(text)) @ head.weight.T, text)
    return _relative(ours[0], model(input_ids=ids, use_cache=False).logits[0])


def _padding_error(model: PreTrainedModel, text: Any) -> float:
    ids = some_ids(model, 24)[None].to(model.device)
    padded = torch.cat([ids, ids[:, :1].expand(1, 9)], dim=1)
    decoder = decoder_of(model)
    alone = decoder(input_ids=ids, use_cache=False).last_hidden_state[0]
    return _relative(decoder(input_ids=padded, use_cache=False).last_hidden_state[0, :24], alone)


def _tree_error(model: PreTrainedModel, text: Any) -> float:
    decoder = decoder_of(model)
    attention = tree_attention(text)
    length = max([16, *(window + 4 for window in _small_windows(attention.windows))])  # so that they bind
    draw = some_ids(model, 2 * length + 16)
    first, branch, rest, second = (part.tolist() for part in draw.split([length, 8, 8, length]))
    tree = trunk_row("proof", first, rest, rto=None, branches=[Branch(0, branch, 0)])
    plain = plain_row("proof", second[:1], second[1:], 0, Objective.BENIGN)
    multiple = BLOCK if attention.implementation == "flex_attention" else 1
    batch = collate([[tree, plain]], 0, 1.0, frozenset(), multiple=multiple)
    ids, position, end = (
        batch[name].to(model.device) for name in ("input_ids", "position_ids", "subtree_end")
    )
    masks = attention.masks(end, position, model.dtype)
    packed = decoder(input_ids=ids, position_ids=position, attention_mask=masks, use_cache=False)
    hidden = packed.last_hidden_state[0]  # (S, d)
    seen = tree_mask(end)[0, 0]
    differences = []
    for leaf in range(len(tree) + len(plain)):
        if end[0, leaf] != leaf + 1:
            continue
        path = seen[leaf].nonzero()[:, 0]  # the sequence that ends in this leaf
        alone = decoder(input_ids=ids[:, path], use_cache=False).last_hidden_state[0]
        differences.append(_relative(hidden[path], alone))
    return largest(differences)


def _relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest relative difference of a token's vector; both [tokens, features]."""
    difference = (found.float() - expected.float()).norm(dim=-1)
    return float((difference / expected.float().norm(dim=-1).clamp_min(1e-6)).max())


def _small_windows(windows: Windows) -> list[int]:
    """Windows that a comparison of short rows can make bind."""
    return [window for window in windows.values() if window is not None and window <= LONGEST_PROOF]
