"""Attention on a CPU that computes only the rows of a packed line, not the blocks between them.

A dense S x S mask makes SDPA compute every pair of a line's tokens: of a line of eight rows seven eighths for
nothing, and half of the rest lies above the diagonal. Here the line is cut into pieces that can't see each other:

    a plain row              its own causal SDPA, no mask
    a trunk with branches,   SDPA with a mask of the piece's size
    or a window that binds
    short rows               joined up to `JOINED` tokens, SDPA with a mask

So a whole micro-batch can be one line, without padding and without anything of the size S x S.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from derta.train.tree_mask import tree_mask

NAME = "sdpa_by_row"
JOINED = 64  # tokens; a call of SDPA costs about as much as the pairs of so many

_ATTRIBUTE = "derta_pieces"


class Piece(NamedTuple):
    """Tokens of a line that see none of its other tokens. mask: bool[1, 1, length, length]; None = causal."""

    length: int
    mask: torch.Tensor | None


def row_mask(subtree_end: torch.Tensor, position_ids: torch.Tensor, window: int | None) -> torch.Tensor:
    """What carries a micro-batch's pieces through the decoder. subtree_end, position_ids: int64[R, S].

    A 4-D tensor, because decoders hand those on untouched, and of int8, because SDPA refuses it: where a decoder
    makes a copy and the pieces are lost, it stops instead of computing something else. It has no memory of its own.
    """
    lines, width = subtree_end.shape
    carrier = torch.zeros((), dtype=torch.int8).expand(lines, 1, width, width)
    pieces = [_pieces(*line, window) for line in zip(subtree_end, position_ids, strict=True)]
    setattr(carrier, _ATTRIBUTE, pieces)
    return carrier


def _pieces(end: torch.Tensor, position: torch.Tensor, window: int | None) -> list[Piece]:
    """Of one line; end, position: int64[S]."""
    made = []
    for start, stop in _cuts(end):
        inside, steps = end[start:stop] - start, position[start:stop]
        length = stop - start
        plain = bool((inside == length).all())
        if plain and (window is None or length <= window):
            made.append(Piece(length, None))
        else:
            made.append(Piece(length, tree_mask(inside[None], steps[None], window)))
    return made


def _cuts(end: torch.Tensor) -> list[tuple[int, int]]:
    """(start, stop) of the line's rows, short neighbours joined."""
    reach = end.cummax(0).values  # no token up to here is seen beyond
    stops = (torch.nonzero(reach == torch.arange(1, len(end) + 1))[:, 0] + 1).tolist()
    cuts: list[tuple[int, int]] = []
    start = 0
    for stop in stops:
        if cuts and stop - cuts[-1][0] <= JOINED:
            cuts[-1] = (cuts[-1][0], stop)
        else:
            cuts.append((start, stop))
        start = stop
    return cuts


def attend_by_row(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **told: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' attention function; without pieces (generation, say) it is the library's own SDPA.

    query [R, heads, S, features], key and value [R, heads or fewer, S, features]; returns ([R, S, heads, features],
    None).
    """
    lines: list[list[Piece]] | None = getattr(attention_mask, _ATTRIBUTE, None)
    if lines is None:
        whole: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **told
        )
        return whole
    done = []
    # unbind, split and one cat: a slice for each piece would cost a gradient of the whole's size for each
    for *line, pieces in zip(query.unbind(), key.unbind(), value.unbind(), lines, strict=True):
        lengths = [piece.length for piece in pieces]
        parts = zip(*(tensor.split(lengths, dim=-2) for tensor in line), pieces, strict=True)
        attended = [
            functional.scaled_dot_product_attention(
                q[None],
                k[None],
                v[None],
                attn_mask=piece.mask,
                is_causal=piece.mask is None,
                dropout_p=dropout,
                scale=scaling,
                enable_gqa=query.shape[1] != key.shape[1],
            )
            for q, k, v, piece in parts
        ]
        done.append(torch.cat([part.transpose(1, 2) for part in attended], dim=1))
    return torch.cat(done), None


AttentionInterface.register(NAME, attend_by_row)
AttentionMaskInterface.register(NAME, sdpa_mask)
