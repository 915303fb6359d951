"""One number at every position of given responses, from one forward pass: what the probes share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel

Pair = tuple[Sequence[int], Sequence[int]]
Measure = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(logits float[n, L, V], the token that follows at each place int64[n, L]) -> [n, L]."""


@torch.no_grad()
def along(
    model: PreTrainedModel,
    pairs: Sequence[Pair],
    measure: Measure,
    *,
    batch_tokens: int = 4096,
    advance: Callable[[int], None] | None = None,
) -> list[npt.NDArray[np.float64]]:
    """For each (prompt ids, response ids): the measure at t = 0 .. |response| - 1, behind prompt and response[:t].

    Rows are padded on the right, where causal attention never looks. The model's mode is restored.
    advance: called with the number of pairs of each batch that is measured.
    """
    device, was_training = model.device, model.training
    model.eval()
    measured: list[npt.NDArray[np.float64]] = [np.zeros(0)] * len(pairs)
    order = sorted(range(len(pairs)), key=lambda index: -_length(pairs[index]))
    while order:
        longest = _length(pairs[order[0]])
        batch, order = order[: max(1, batch_tokens // longest)], order[max(1, batch_tokens // longest) :]
        ids = torch.zeros(len(batch), longest + 1, dtype=torch.long, device=device)
        for row, index in enumerate(batch):
            whole = [*pairs[index][0], *pairs[index][1]]
            ids[row, : len(whole)] = torch.tensor(whole, device=device)
        logits = model(input_ids=ids[:, :-1], use_cache=False).logits.float()  # (rows, longest, V)
        values = measure(logits, ids[:, 1:])
        for row, index in enumerate(batch):
            prompt, response = pairs[index]
            start = len(prompt) - 1
            measured[index] = values[row, start : start + len(response)].double().cpu().numpy()
        if advance is not None:
            advance(len(batch))
    model.train(was_training)
    return measured


def _length(pair: Pair) -> int:
    return max(1, len(pair[0]) + len(pair[1]) - 1)
