"""Who sees whom in a packed line: one rule for plain rows, packed rows and trunks with branches.

    query q sees key k  iff  k <= q < subtree_end[k]

transformers would infer documents from jumps in position_ids and cut a branch off its trunk; passing our own
4-D mask switches that off.
"""

from __future__ import annotations

import torch


def tree_mask(subtree_end: torch.Tensor) -> torch.Tensor:
    """Boolean mask for SDPA, True = seen. subtree_end: int[R, S]; returns bool[R, 1, S, S] (query, key)."""
    width = subtree_end.shape[1]
    index = torch.arange(width, device=subtree_end.device)
    causal = index[:, None] >= index[None, :]  # (query, key)
    inside = index[None, :, None] < subtree_end[:, None, :]  # (R, query, key)
    return (causal & inside)[:, None]
