"""The rule of who sees whom, as a dense mask (attention.py says what the rule means)."""

from __future__ import annotations

import torch


def tree_mask(
    subtree_end: torch.Tensor, position_ids: torch.Tensor | None = None, window: int | None = None
) -> torch.Tensor:
    """Boolean mask, True = seen. subtree_end, position_ids: int64[R, S]; returns bool[R, 1, S, S] (query, key)."""
    width = subtree_end.shape[1]
    index = torch.arange(width, device=subtree_end.device)
    causal = index[:, None] >= index[None, :]  # (query, key)
    seen = causal & (index[None, :, None] < subtree_end[:, None, :])  # (R, query, key)
    if window is not None:
        assert position_ids is not None
        seen &= (position_ids[:, :, None] - position_ids[:, None, :]) < window
    return seen[:, None]
