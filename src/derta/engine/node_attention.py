"""Attention over a `TokenTree`, as an attention implementation of transformers: one exact SDPA call a node.

No mask of the whole line is made: the cost is that of the paths. The tree of the current forward pass comes
through a context variable, because not every architecture hands extra arguments down to its attention.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from transformers import AttentionInterface, PreTrainedModel

from derta.engine.token_tree import Node

NAME = "sdpa_by_node"

_nodes: ContextVar[Sequence[Node]] = ContextVar("derta_nodes_of_line")


@contextmanager
def attention_by_node(model: PreTrainedModel) -> Iterator[None]:
    """Let a model attend along trees while the block runs."""
    before = model.config._attn_implementation
    model.set_attn_implementation(NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


@contextmanager
def nodes_of_line(nodes: Sequence[Node]) -> Iterator[None]:
    """Name the nodes of the line that the forward pass inside the block computes.

    Behind a key/value cache places count from the cache's first column, and nodes above may lie in it.
    """
    token = _nodes.set(nodes)
    try:
        yield
    finally:
        _nodes.reset(token)


def attend_by_node(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """query (1, heads, T, size), key and value (1, key heads, cached + T, size) -> (1, T, heads, size)."""
    cached = key.shape[2] - query.shape[2]
    output = query.new_empty(1, query.shape[2], query.shape[1], value.shape[3])
    for node in _nodes.get():
        keys, values = (
            torch.cat([states[:, :, start:end] for start, end in node.path], dim=2) if node.above else
            states[:, :, node.start : node.end]
            for states in (key, value)
        )  # fmt: skip
        mask = _node_mask(node, sliding_window, query.device)
        attended = torch.nn.functional.scaled_dot_product_attention(
            query[:, :, node.start - cached : node.end - cached],
            keys,
            values,
            attn_mask=mask,
            is_causal=mask is None,
            scale=scaling,
            enable_gqa=key.shape[1] != query.shape[1],
        )
        output[:, node.start - cached : node.end - cached] = attended.transpose(1, 2)
    return output, None


def _node_mask(node: Node, sliding_window: int | None, device: torch.device) -> torch.Tensor | None:
    """Boolean (tokens of the node, tokens of its path), True = seen; None where plain causal attention does it."""
    length, depth = node.end - node.start, node.depth
    is_short = sliding_window is None or depth + length <= sliding_window
    if not node.above and is_short:
        return None
    seen = torch.ones(length, depth + length, dtype=torch.bool, device=device).tril(depth)
    if not is_short:
        assert sliding_window is not None
        seen &= seen.new_ones(seen.shape).triu(depth - sliding_window + 1)
    return seen


AttentionInterface.register(NAME, attend_by_node)
