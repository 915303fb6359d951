"""The rank of the true harmful token: what lies behind a refusal that takes the probability alone.

    rank_t = how many tokens are likelier than h_t behind q, h[:t]          0: it is the likeliest

A model under which most ranks are small can be led along its harmful answer step by step (the attack `rap`), whatever
its hazard says. No generation: one forward pass a response.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel

from derta.probe.along import Pair, along


def harm_ranks(
    model: PreTrainedModel,
    pairs: Sequence[Pair],
    *,
    batch_tokens: int = 4096,
    advance: Callable[[int], None] | None = None,
) -> list[npt.NDArray[np.int64]]:
    """For each (prompt ids, response ids): the rank of the response's token at t = 0 .. |response| - 1.

    advance: as in `along`.
    """

    def measure(logits: torch.Tensor, following: torch.Tensor) -> torch.Tensor:
        true = logits.gather(-1, following[..., None])
        return (logits > true).sum(-1)

    found = along(model, pairs, measure, batch_tokens=batch_tokens, advance=advance)
    return [values.astype(np.int64) for values in found]


def share_within(ranks: Sequence[npt.NDArray[np.int64]], k: int) -> float | None:
    """The share of all positions whose true token is among the k likeliest; None without any."""
    count = sum(len(values) for values in ranks)
    return sum(int((values < k).sum()) for values in ranks) / count if count else None
