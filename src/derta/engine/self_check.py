"""What every comparison of our way of computing with the library's plain one shares, on a loaded model.

engine   prompts that share prefixes (prefixes.py), targets scored on a packed line (scorer.py)
train    rows packed in a line, padding, the output head (training/attention/self_check.py)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from transformers import PreTrainedModel


@contextmanager
def evaluating(model: PreTrainedModel) -> Iterator[None]:
    """Without dropout and gradients, which would make any two computations differ; the mode is restored."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


def some_ids(model: PreTrainedModel, count: int) -> torch.Tensor:
    """int64[count], the same for every model of a vocabulary's size."""
    size = model.config.get_text_config().vocab_size
    return torch.randint(0, size, (count,), generator=torch.Generator().manual_seed(0))


def largest(differences: Iterable[float]) -> float:
    """The largest; NaN if one is NaN, which `max` would pass over and no tolerance allows."""
    found = list(differences)
    return math.nan if any(math.isnan(value) for value in found) else max(found, default=math.nan)
