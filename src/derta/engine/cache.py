"""A key/value cache whose rows come and go: grown in blocks, compacted, merged on the left-padded side.

Every row is right-aligned: its padding, then its tokens, so the newest token of all rows is in the last
column. Sliding-window layers keep all columns and let the mask hide the old ones (exact, simple).
"""

from __future__ import annotations

from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

BLOCK = 64  # columns by which a buffer grows; copying is then rare


class GrowingLayer(CacheLayerMixin):
    """Keys and values of one layer in a buffer (rows, heads, capacity, head size), `length` columns in use."""

    is_sliding = False
    is_croppable = True

    def __init__(self) -> None:
        super().__init__()
        self.length = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Make the buffers, with room for the tokens at hand and one block more."""
        self.dtype, self.device = key_states.dtype, key_states.device
        self.keys = _grown(key_states[:, :, :0], key_states.shape[2] + BLOCK)
        self.values = _grown(value_states[:, :, :0], value_states.shape[2] + BLOCK)
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append columns; returns views of all columns in use."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self.keys is not None
        assert self.values is not None
        start, end = self.length, self.length + key_states.shape[2]
        if end > self.keys.shape[2]:
            capacity = max(end + BLOCK, self.keys.shape[2] * 5 // 4)
            self.keys, self.values = (_grown(states, capacity) for states in self.states)
        self.keys[:, :, start:end] = key_states
        self.values[:, :, start:end] = value_states
        self.length = end
        return self.states

    @property
    def states(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of the columns in use."""
        assert self.keys is not None
        assert self.values is not None
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """(columns that the mask must cover, offset of the first)."""
        return self.length + query_length, 0

    def get_seq_length(self) -> int:
        """Columns in use, padding included."""
        return self.length

    def get_max_length(self) -> int:
        """No maximum."""
        return -1


def new_cache() -> Cache:
    """An empty cache; its layers appear as the model asks for them."""
    return Cache(layer_class_to_replicate=GrowingLayer)


def keep_rows(cache: Cache, rows: torch.Tensor, first_column: int) -> None:
    """Keep these rows, and the columns from `first_column` on (those before are padding in all of them)."""
    for layer in _layers(cache):
        layer.keys, layer.values = (states[rows, :, first_column:].contiguous() for states in layer.states)
        layer.length -= first_column


def append_rows(cache: Cache, other: Cache) -> None:
    """Add the rows of `other` below; the shorter of the two gets columns of padding on its left."""
    for layer, added in zip(_layers(cache), _layers(other), strict=True):
        columns = max(layer.length, added.length)
        pairs = zip(layer.states, added.states, strict=True)
        layer.keys, layer.values = (_stacked(above, below, columns) for above, below in pairs)
        layer.length = columns


def keep_columns(cache: Cache, columns: torch.Tensor) -> None:
    """Keep these columns of all rows, in this order."""
    for layer in _layers(cache):
        layer.keys, layer.values = (states.index_select(2, columns) for states in layer.states)
        layer.length = len(columns)


def rows_along(cache: Cache, places: torch.Tensor) -> Cache:
    """Rows made of the columns of a cache of one row. places: (rows, columns), the column each one is taken from."""
    rows = new_cache()
    for number, layer in enumerate(_layers(cache)):
        keys, values = (states[0][:, places].transpose(0, 1) for states in layer.states)
        rows.update(keys, values, number)
    return rows


def _layers(cache: Cache) -> list[GrowingLayer]:
    layers = [layer for layer in cache.layers if isinstance(layer, GrowingLayer)]
    assert len(layers) == len(cache.layers), "a cache of another kind got in"
    return layers


def _grown(states: torch.Tensor, capacity: int) -> torch.Tensor:
    """A buffer of zeros with `states` in its first columns. Zeros, since 0 x garbage (NaN) would be NaN."""
    rows, heads, columns, size = states.shape
    buffer = states.new_zeros(rows, heads, capacity, size)
    buffer[:, :, :columns] = states
    return buffer


def _stacked(above: torch.Tensor, below: torch.Tensor, columns: int) -> torch.Tensor:
    """Both row sets in one buffer of `columns` + BLOCK, right-aligned at `columns`."""
    rows = above.shape[0] + below.shape[0]
    buffer = above.new_zeros(rows, above.shape[1], columns + BLOCK, above.shape[3])
    buffer[: above.shape[0], :, columns - above.shape[2] : columns] = above
    buffer[above.shape[0] :, :, columns - below.shape[2] : columns] = below
    return buffer
