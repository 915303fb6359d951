"""P(refusal token | q, h[:t]) at every position t of given responses: how ready the model is to refuse there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel

from derta.probe.along import Pair, along


def refusal_probability(
    model: PreTrainedModel,
    pairs: Sequence[Pair],
    refusal_ids: frozenset[int],
    *,
    batch_tokens: int = 4096,
    advance: Callable[[int], None] | None = None,
) -> list[npt.NDArray[np.float64]]:
    """For each (prompt ids, response ids): the probability of a refusal token at t = 0 .. |response| - 1.

    Position t is measured after the prompt and response[:t]; probabilities of all refusal ids are added up.
    advance: as in `along`.
    """
    chosen = torch.tensor(sorted(refusal_ids), device=model.device)

    def measure(logits: torch.Tensor, following: torch.Tensor) -> torch.Tensor:
        return (torch.logsumexp(logits[..., chosen], dim=-1) - torch.logsumexp(logits, dim=-1)).exp()

    return along(model, pairs, measure, batch_tokens=batch_tokens, advance=advance)
