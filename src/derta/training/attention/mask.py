"""Who sees whom in a packed line: one rule for plain rows, packed rows and trunks with branches.

    query q sees key k  iff  k <= q < subtree_end[k]  and  position[q] - position[k] < window of the layer

A window counts positions along the tree path, not places in the packed line: the tokens behind a branch start
where the branch started. transformers would infer documents from jumps in position_ids and cut a branch off its
trunk; passing our own mask switches that off. The same rule takes four forms:

    sdpa              boolean, True = seen          exact on CPU and GPU
    sdpa_by_row       cut into rows                 CPU; memory and time follow the rows (row_attention.py)
    eager             additive, 0 = seen            a boolean mask would be *added* here: silently wrong
    flex_attention    block-sparse, blocks of 128   GPU; memory and time follow the tree, not S x S

Letters: R lines, S tokens of a line, B = S / 128 blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.attention.flex_attention import BlockMask

from derta.errors import ModelError
from derta.training.attention.row_attention import NAME as BY_ROW
from derta.training.attention.row_attention import row_mask
from derta.training.attention.tree_mask import tree_mask

BLOCK = 128  # tokens of a FlexAttention block; lines are padded to a multiple of it
SUPPORTED_IMPLEMENTATIONS = ("sdpa", BY_ROW, "eager", "flex_attention")
SPARSE = (BY_ROW, "flex_attention")  # a line may be as long as the micro-batch

Mask = torch.Tensor | BlockMask
Windows = Mapping[str, int | None]


@dataclass(frozen=True)
class TreeAttention:
    """How one model's attention is told the tree.

    implementation: transformers' name. windows: by kind of layer, as the model's config calls them; None = sees
    everything in its path.
    """

    implementation: str
    windows: Windows

    def masks(
        self, subtree_end: torch.Tensor, position_ids: torch.Tensor, dtype: torch.dtype
    ) -> Mask | dict[str, Mask]:
        """The mask of one micro-batch, or one for each kind of layer where a window binds.

        subtree_end, position_ids: int64[R, S]. dtype: of the hidden states (for additive masks).
        """
        reach = int(position_ids.max()) + 1  # no path is longer
        binding = {
            kind: window if window is not None and window < reach else None
            for kind, window in self.windows.items()
        }
        made = {
            window: self._mask(subtree_end, position_ids, window, dtype) for window in set(binding.values())
        }
        if len(made) == 1:  # all layers see the same; every architecture takes a single mask
            return next(iter(made.values()))
        return {kind: made[window] for kind, window in binding.items()}

    def _mask(
        self, subtree_end: torch.Tensor, position_ids: torch.Tensor, window: int | None, dtype: torch.dtype
    ) -> Mask:
        if self.implementation == "flex_attention":
            return block_mask(subtree_end, position_ids, window)
        if self.implementation == BY_ROW:
            return row_mask(subtree_end, position_ids, window)
        seen = tree_mask(subtree_end, position_ids, window)
        if self.implementation == "sdpa":
            return seen
        # the smallest finite number, not -inf: every token sees itself, so no row of the softmax is all masked
        return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(
            ~seen, torch.finfo(dtype).min
        )


def tree_attention(config: Any) -> TreeAttention:
    """What a loaded model needs, from its (text) config.

    Raises:
        ModelError: its attention takes no mask of ours.
    """
    implementation = config._attn_implementation
    if implementation not in SUPPORTED_IMPLEMENTATIONS:
        raise ModelError(
            f"{config.model_type}: attention {implementation!r} takes no mask of ours; need one of "
            f"{', '.join(SUPPORTED_IMPLEMENTATIONS)}"
        )
    return TreeAttention(implementation, layer_windows(config))


def layer_windows(config: Any) -> dict[str, int | None]:
    """The sliding window of each kind of attention layer, in positions; None = unlimited."""
    window = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None)
    if kinds is None:  # one kind of layer; `use_sliding_window` may switch the window off
        return {"full_attention": window if getattr(config, "use_sliding_window", True) else None}
    return {kind: window if kind == "sliding_attention" else None for kind in sorted(set(kinds))}


def block_mask(subtree_end: torch.Tensor, position_ids: torch.Tensor, window: int | None) -> BlockMask:
    """The same rule for FlexAttention, made without any S x S tensor. S is a multiple of 128.

    A pair of blocks is listed as *partial* unless no pair of its tokens can see each other (bounds from the
    blocks' largest subtree end and their positions: never too few blocks), and as *full* (no test per token) if
    all of its pairs surely do.
    """
    lines, width = subtree_end.shape
    assert width % BLOCK == 0, f"lines of {width} tokens; need a multiple of {BLOCK}"
    end = subtree_end.view(lines, -1, BLOCK)  # (R, B, 128)
    position = position_ids.view(lines, -1, BLOCK)
    first = torch.arange(0, width, BLOCK, device=end.device)  # index of each block's first token
    below = first[:, None] > first[None, :]  # (query block, key block)
    some = (below | (first[:, None] == first[None, :])) & (
        end.amax(-1)[:, None, :] > first[None, :, None]
    )  # (R, query block, key block)
    every = below & (end.amin(-1)[:, None, :] >= first[None, :, None] + BLOCK)
    if window is not None:
        some &= position.amin(-1)[:, :, None] - position.amax(-1)[:, None, :] < window
        every &= position.amax(-1)[:, :, None] - position.amin(-1)[:, None, :] < window
    partial_count, partial_index = _listed(some & ~every)
    full_count, full_index = _listed(every)
    return BlockMask.from_kv_blocks(
        partial_count,
        partial_index,
        full_count,
        full_index,
        BLOCK_SIZE=BLOCK,
        mask_mod=_mask_rule(subtree_end, position_ids, window),
        seq_lengths=(width, width),
    )


def _mask_rule(
    subtree_end: torch.Tensor, position_ids: torch.Tensor, window: int | None
) -> Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]:
    """The rule for one pair of tokens, in the form FlexAttention compiles."""

    reach = window or 0

    def in_tree(
        line: torch.Tensor, head: torch.Tensor, query: torch.Tensor, key: torch.Tensor
    ) -> torch.Tensor:
        return (key <= query) & (query < subtree_end[line, key])

    def in_tree_and_window(
        line: torch.Tensor, head: torch.Tensor, query: torch.Tensor, key: torch.Tensor
    ) -> torch.Tensor:
        near = position_ids[line, query] - position_ids[line, key] < reach
        return in_tree(line, head, query, key) & near

    return in_tree if window is None else in_tree_and_window


def _listed(blocks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Per query block: how many key blocks, and their indices first. blocks: bool[R, B, B]; int32, one head."""
    order = torch.argsort(blocks.to(torch.int8), dim=-1, descending=True, stable=True)
    return blocks.sum(-1).to(torch.int32)[:, None], order.to(torch.int32)[:, None].contiguous()
