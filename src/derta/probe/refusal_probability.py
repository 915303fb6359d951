"""P(refusal token | q, h[:t]) at every position t of given responses: how ready the model is to refuse there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel


@torch.no_grad()
def refusal_probability(
    model: PreTrainedModel,
    pairs: Sequence[tuple[Sequence[int], Sequence[int]]],
    refusal_ids: frozenset[int],
    *,
    batch_tokens: int = 4096,
    advance: Callable[[int], None] | None = None,
) -> list[npt.NDArray[np.float64]]:
    """For each (prompt ids, response ids): the probability of a refusal token at t = 0 .. |response| - 1.

    Position t is measured after the prompt and response[:t]; probabilities of all refusal ids are added up.
    Rows are padded on the right, where causal attention never looks. The model's mode is restored.
    advance: called with the number of pairs of each batch that is measured.
    """
    device, was_training = model.device, model.training
    model.eval()
    measured: list[npt.NDArray[np.float64]] = [np.zeros(0)] * len(pairs)
    order = sorted(range(len(pairs)), key=lambda index: -_length(pairs[index]))
    chosen = torch.tensor(sorted(refusal_ids), device=device)
    while order:
        longest = _length(pairs[order[0]])
        batch, order = order[: max(1, batch_tokens // longest)], order[max(1, batch_tokens // longest) :]
        ids = torch.zeros(len(batch), longest, dtype=torch.long, device=device)
        for row, index in enumerate(batch):
            prompt, response = pairs[index]
            whole = [*prompt, *response][:-1] if len(response) else list(prompt)
            ids[row, : len(whole)] = torch.tensor(whole, device=device)
        logits = model(input_ids=ids, use_cache=False).logits.float()  # (rows, longest, V)
        log_p = torch.logsumexp(logits[..., chosen], dim=-1) - torch.logsumexp(logits, dim=-1)
        for row, index in enumerate(batch):
            prompt, response = pairs[index]
            start = len(prompt) - 1
            measured[index] = log_p[row, start : start + len(response)].exp().double().cpu().numpy()
        if advance is not None:
            advance(len(batch))
    model.train(was_training)
    return measured


def _length(pair: tuple[Sequence[int], Sequence[int]]) -> int:
    return max(1, len(pair[0]) + len(pair[1]) - 1)
