"""White-box probes against a model whose distribution is known by construction."""

import math

import pytest
import torch

from derta.probe.hazard import hazard
from derta.probe.knowledge import knowledge, log_likelihoods

SORRY, PAIRS = 7, [([0, 3, 4], [5, 6, 8]), ([0, 3], [9]), ([0], [5, 6])]


def by_hand(model, prompt, response):
    """Softmax after prompt + response[:t], one forward per position."""
    rows = []
    for t in range(len(response)):
        ids = torch.tensor([[*prompt, *response[:t]]])
        rows.append(model(input_ids=ids).logits[0, -1].double().softmax(-1))
    return rows


def test_hazard_is_the_refusal_probability_at_each_position(tiny_model):
    curve = hazard(tiny_model, PAIRS, frozenset({SORRY, 11}), batch_tokens=4)
    with torch.no_grad():
        expected = [[float(p[SORRY] + p[11]) for p in by_hand(tiny_model, *pair)] for pair in PAIRS]
    assert curve.position == [0, 1, 2]
    assert curve.n == [3, 2, 1]
    first = [row[0] for row in expected]
    assert curve.mean[0] == pytest.approx(sum(first) / 3, rel=1e-4)
    assert curve.mean[1] == pytest.approx((expected[0][1] + expected[2][1]) / 2, rel=1e-4)
    assert curve.mean[2] == pytest.approx(expected[0][2], rel=1e-4)
    assert curve.low[0] <= curve.mean[0] <= curve.high[0]


def test_knowledge_takes_the_refusal_out(tiny_model):
    with torch.no_grad():
        rows = [by_hand(tiny_model, *pair) for pair in PAIRS]
    expected = [
        [math.log(float(p[token] / (1 - p[SORRY]))) for p, token in zip(row, pair[1], strict=True)]
        for row, pair in zip(rows, PAIRS, strict=True)
    ]
    measured = log_likelihoods(tiny_model, PAIRS, frozenset({SORRY}), batch_tokens=4)
    for row, wanted in zip(measured, expected, strict=True):
        assert row == pytest.approx(wanted, rel=1e-4)
    means = [sum(row) / len(row) for row in expected]
    result = knowledge(tiny_model, PAIRS, frozenset({SORRY}))
    assert result.value == pytest.approx(math.exp(sum(means) / 3), rel=1e-4)
    assert result.n == 3
    assert result.low < result.value < result.high


def test_a_refusing_model_keeps_its_knowledge(tiny_model):
    before = knowledge(tiny_model, PAIRS, frozenset({SORRY}))
    with torch.no_grad():  # a bias of +9 on the refusal token at every position
        head = tiny_model.lm_head
        biased = torch.nn.Linear(head.in_features, head.out_features, bias=True)
        biased.weight.copy_(head.weight)
        biased.bias.zero_()
        biased.bias[SORRY] = 9.0
        tiny_model.lm_head = biased
    after = knowledge(tiny_model, PAIRS, frozenset({SORRY}))
    assert hazard(tiny_model, PAIRS, frozenset({SORRY})).mean[0] > 0.5
    assert after.value == pytest.approx(before.value, rel=1e-4)


def test_refusal_tokens_in_the_response_and_no_rows(tiny_model):
    measured = log_likelihoods(tiny_model, [([0, 3], [SORRY, 5]), ([0], [])], frozenset({SORRY}))
    assert [len(row) for row in measured] == [1, 0]
    assert knowledge(tiny_model, [], frozenset({SORRY})) is None
    assert hazard(tiny_model, [], frozenset({SORRY})).position == []
