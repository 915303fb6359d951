"""The rank of the true token, against its definition: one forward pass a position."""

import numpy as np
import pytest
import torch

from derta.probe.rank import harm_ranks, share_within

PAIRS = [([5, 6, 7], [8, 9, 10, 11]), ([3], [4]), ([9, 9], list(range(20, 40)))]


def by_definition(model, prompt, response):
    ranks = []
    for t, token in enumerate(response):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([[*prompt, *response[:t]]])).logits[0, -1]
        ranks.append(sorted(logits.tolist(), reverse=True).index(float(logits[token])))
    return ranks


@pytest.mark.parametrize("batch_tokens", [4096, 8])
def test_ranks_are_the_definitions(tiny_model, batch_tokens):
    found = harm_ranks(tiny_model, PAIRS, batch_tokens=batch_tokens)
    assert [ranks.tolist() for ranks in found] == [by_definition(tiny_model, *pair) for pair in PAIRS]
    assert len({rank for ranks in found for rank in ranks.tolist()}) > 10


def test_the_share_within_k():
    ranks = [np.array([0, 4, 5]), np.array([19, 20])]
    assert [share_within(ranks, k) for k in (1, 5, 20)] == [1 / 5, 2 / 5, 4 / 5]
    assert share_within([], 5) is None
