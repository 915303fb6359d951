"""Attention on a CPU that computes only the rows of a packed line, not the blocks between them.

A dense S x S mask makes SDPA compute every pair of a line's tokens: of a line of eight rows seven eighths for
nothing, and half of the rest lies above the diagonal. Here the line is cut into pieces that can't see each other:

    a plain row              its own causal SDPA, no mask
    a trunk with branches    the trunk as a plain row; each branch attends to its part of the trunk and to itself
    short rows               joined up to `JOINED` tokens, SDPA with a mask
    where a window binds     SDPA with a mask

So a whole micro-batch can be one line, without padding and without anything of the size S x S.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from derta.training.attention.tree_mask import tree_mask

NAME = "sdpa_by_row"
JOINED = 64  # tokens; a call of SDPA costs about as much as the pairs of so many

_ATTRIBUTE = "derta_pieces"


class Part(NamedTuple):
    """Tokens of a piece that attend together. queries, keys: int64 places in the piece; mask as in `Piece`."""

    queries: torch.Tensor
    keys: torch.Tensor
    mask: torch.Tensor | None


class Piece(NamedTuple):
    """Tokens of a line that see none of its other tokens.

    mask: bool[1, 1, queries, keys]; None = causal. parts: instead of a mask; restore: the place of each of the
    piece's tokens among those of the parts.
    """

    length: int
    mask: torch.Tensor | None
    parts: tuple[Part, ...] = ()
    restore: torch.Tensor | None = None


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
            continue
        seen = tree_mask(inside[None], steps[None], window)
        parts = _parts(inside, seen) if length > JOINED and not plain else ()
        restore = torch.cat([part.queries for part in parts]).argsort() if parts else None
        made.append(Piece(length, None if parts else seen, parts, restore))
    return made


def _parts(end: torch.Tensor, seen: torch.Tensor) -> tuple[Part, ...]:
    """A trunk and its branches apart; nothing if a branch has branches of its own. end: int64[length]."""
    index = torch.arange(len(end))
    on_trunk = end == len(end)  # seen to the end: the trunk, and a branch behind the whole of it
    trunk = index[on_trunk]
    made = [_part(trunk, trunk, seen)]
    for stop in end[~on_trunk].unique():
        branch = index[end == stop]
        if int(branch[0]) + len(branch) != int(stop):
            return ()
        made.append(_part(branch, torch.cat([trunk[trunk < branch[0]], branch]), seen))
    return tuple(made)


def _part(queries: torch.Tensor, keys: torch.Tensor, seen: torch.Tensor) -> Part:
    mask = seen[:, :, queries[:, None], keys]
    is_causal = len(queries) == len(keys) and int(mask.sum()) == len(keys) * (len(keys) + 1) // 2
    return Part(queries, keys, None if is_causal else mask)


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
        done.append(torch.cat([_attended(*part, dropout=dropout, scaling=scaling) for part in parts], dim=1))
    return torch.cat(done), None


def _attended(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    piece: Piece | Part,
    *,
    dropout: float,
    scaling: float | None,
) -> torch.Tensor:
    """One piece or part; tensors [heads, tokens, features]; returns [1, tokens, heads, features]."""
    if isinstance(piece, Piece) and piece.restore is not None:
        outs = [
            _attended(
                query[:, part.queries],
                key[:, part.keys],
                value[:, part.keys],
                part,
                dropout=dropout,
                scaling=scaling,
            )
            for part in piece.parts
        ]
        return torch.cat(outs, dim=1)[:, piece.restore]
    out = functional.scaled_dot_product_attention(
        query[None],
        key[None],
        value[None],
        attn_mask=piece.mask,
        is_causal=piece.mask is None,
        dropout_p=dropout,
        scale=scaling,
        enable_gqa=len(query) != len(key),
    )
    return out.transpose(1, 2)


AttentionInterface.register(NAME, attend_by_row)
AttentionMaskInterface.register(NAME, sdpa_mask)
