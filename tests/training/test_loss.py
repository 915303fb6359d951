"""Chunked = naive, packed = single, trunk = separate; gradients included."""

import pytest
import torch

from conftest import make_tiny_model
from derta.encode.row import Branch, Objective, plain_row, prefix_row, rto_row, trunk_row
from derta.encode.row_set import weighted
from derta.encode.settings import ObjectiveWeights
from derta.errors import HarmfulTargetError, ModelError
from derta.training import loss as loss_module
from derta.training.attention import mask as attention
from derta.training.collate import collate
from derta.training.loss import chunked_cross_entropy, install_supervised_forward, naive_cross_entropy

SORRY, END = 8, 0
REFUSAL = frozenset({SORRY})
Q1, H1, R1 = [1, 2, 3], [5, 6, 7, 10, 11], [8, 9, 4]
Q2, B2 = [12, 13], [14, 15, 16, 17]


def rows_of(k=2):
    return [
        plain_row("benign:1", Q2, B2, END, Objective.BENIGN),
        prefix_row("prefix:1", Q1, H1[:k], R1, END),
        rto_row("rto:1", Q1, H1, [SORRY] * 5, [0, 2, 4]),
    ]


def trunk_of(k=2):
    return trunk_row("derta:1", Q1, H1, rto=([SORRY] * 5, [0, 2, 4]), branches=[Branch(k, R1, END)])


def gradients(model, batches):
    model.zero_grad()
    total = 0.0
    for batch in batches:
        out = model(**{name: value for name, value in batch.items() if name != "objective"})
        out.loss.backward()
        total += float(out.loss)
    return total, {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_same(first, second, tolerance=1e-6):
    assert first[0] == pytest.approx(second[0], rel=tolerance)
    for name, grad in first[1].items():
        scale = max(float(grad.abs().max()), 1e-3)
        assert float((grad - second[1][name]).abs().max()) <= tolerance * scale * 5, name


@pytest.fixture
def model():
    model = make_tiny_model(32)
    install_supervised_forward(model)
    return model


@pytest.mark.parametrize("chunk_rows", [1, 3, 100])
@pytest.mark.parametrize("softcap", [None, 3.0])
def test_chunked_equals_naive(chunk_rows, softcap, monkeypatch):
    torch.manual_seed(0)
    hidden, head = torch.randn(10, 16, requires_grad=True), torch.randn(50, 16, requires_grad=True)
    target, scale = torch.randint(0, 50, (10,)), torch.rand(10)
    monkeypatch.setattr(loss_module, "LOGIT_BYTES", 4 * 50 * chunk_rows)
    total, each = chunked_cross_entropy(hidden, head, target, scale, softcap)
    (total * 2).backward()
    mine = (hidden.grad.clone(), head.grad.clone())
    hidden.grad = head.grad = None
    logits = hidden @ head.T
    if softcap:
        logits = softcap * torch.tanh(logits / softcap)
    naive_each = torch.nn.functional.cross_entropy(logits, target, reduction="none")
    naive = (naive_each * scale).sum()
    (naive * 2).backward()
    if not softcap:
        assert float(naive) == pytest.approx(float(naive_cross_entropy(hidden, head, target, scale)))
    torch.testing.assert_close(total, naive)
    torch.testing.assert_close(each, naive_each)
    torch.testing.assert_close(mine[0], hidden.grad)
    torch.testing.assert_close(mine[1], head.grad)


def test_the_head_s_gradient_is_added_up_in_float32(monkeypatch):
    """2,000 like additions of one row each: a bfloat16 sum would stop growing at 256."""
    hidden = torch.full((2000, 4), 0.5, dtype=torch.bfloat16)
    head = torch.zeros(6, 4, dtype=torch.bfloat16, requires_grad=True)
    monkeypatch.setattr(loss_module, "LOGIT_BYTES", 4 * 6)
    total, _ = chunked_cross_entropy(hidden, head, torch.zeros(2000, dtype=torch.long), torch.ones(2000))
    total.backward()
    expected = torch.full((6, 4), 2000 * 0.5 / 6)
    expected[0] = 2000 * 0.5 * (1 / 6 - 1)
    torch.testing.assert_close(head.grad.float(), expected, rtol=0.01, atol=0.0)


def test_a_frozen_head_gets_no_gradient():
    hidden, head = torch.randn(4, 8, requires_grad=True), torch.randn(20, 8)
    total, _ = chunked_cross_entropy(hidden, head, torch.zeros(4, dtype=torch.long), torch.ones(4))
    total.backward()
    assert hidden.grad is not None
    assert head.grad is None


def test_the_supervised_loss_is_the_librarys_loss(model):
    """One plain row against transformers' own labels loss."""
    row = rows_of()[0]
    batch = collate([[row]], 0, float(row.weight.sum()), REFUSAL)
    mine = model(**{name: value for name, value in batch.items() if name != "objective"}).loss
    labels = torch.tensor([row.labels()])
    theirs = model(input_ids=batch["input_ids"], labels=labels).loss
    assert float(mine) == pytest.approx(float(theirs), rel=1e-6)


def test_packed_equals_single(model):
    rows = rows_of()
    weight = sum(float(row.weight.sum()) for row in rows)
    packed = gradients(model, [collate([rows], 0, weight, REFUSAL)])
    single = gradients(model, [collate([[row]], 0, weight, REFUSAL) for row in rows])
    padded = gradients(model, [collate([[row] for row in rows], 0, weight, REFUSAL)])
    assert_same(packed, single)
    assert_same(padded, single)


@pytest.mark.parametrize("k", [0, 1, 4, 5])
def test_shared_trunk_equals_separate_rows(model, k):
    benign, prefix, rto = rows_of(k)
    weight = sum(float(row.weight.sum()) for row in (benign, prefix, rto))
    separate = gradients(model, [collate([[row]], 0, weight, REFUSAL) for row in (benign, prefix, rto)])
    shared = gradients(model, [collate([[benign, trunk_of(k)]], 0, weight, REFUSAL)])
    assert_same(shared, separate)


WEIGHTS = ObjectiveWeights(benign=1.0, safe=3.0, prefix=0.5, rto=0.125)


def test_a_shared_trunk_equals_separate_rows_when_objectives_have_weights(model):
    benign, prefix, rto = (weighted(row, WEIGHTS) for row in rows_of())
    weight = sum(float(row.weight.sum()) for row in (benign, prefix, rto))
    assert weight == 5 + 0.5 * 4 + 0.125 * 3
    separate = gradients(model, [collate([[row]], 0, weight, REFUSAL) for row in (benign, prefix, rto)])
    trunk = weighted(trunk_of(), WEIGHTS)
    assert_same(gradients(model, [collate([[benign, trunk]], 0, weight, REFUSAL)]), separate)


def test_weighted_objectives_are_the_libraries_weighted_cross_entropy(model):
    """Row by row through the model as it is, each label once and with its objective's weight."""
    rows = [weighted(row, WEIGHTS) for row in rows_of()]
    total, weight = torch.zeros(()), 0.0
    for row, factor in zip(rows, (1.0, 0.5, 0.125), strict=True):
        logits = model(input_ids=torch.tensor(row.input_ids[None], dtype=torch.long)).logits[0]
        target = torch.tensor(row.target_ids, dtype=torch.long)
        each = torch.nn.functional.cross_entropy(logits[row.predict_at.tolist()], target, reduction="sum")
        total, weight = total + factor * each, weight + factor * len(target)
    model.zero_grad()
    (total / weight).backward()
    plain = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    ours = gradients(model, [collate([rows], 0, sum(float(r.weight.sum()) for r in rows), REFUSAL)])
    assert_same(ours, (float(total / weight), plain))


def test_the_mask_is_needed(model, monkeypatch):
    """Without it, packed rows see each other: the equality above is not an accident."""
    rows = rows_of()
    weight = sum(float(row.weight.sum()) for row in rows)
    single = gradients(model, [collate([[row]], 0, weight, REFUSAL) for row in rows])
    causal = torch.tril(torch.ones(200, 200, dtype=torch.bool))
    monkeypatch.setattr(
        attention, "tree_mask", lambda end, *rest: causal[None, None, : end.shape[1], : end.shape[1]]
    )
    packed = gradients(model, [collate([rows], 0, weight, REFUSAL)])
    with pytest.raises(AssertionError):
        assert_same(packed, single)


def test_an_empty_micro_batch_gives_zero_gradients(model):
    batch = collate([], 0, 5.0, REFUSAL)
    total, grads = gradients(model, [batch])
    assert total == 0.0
    assert all(float(grad.abs().max()) == 0.0 for grad in grads.values())


def test_a_planted_harmful_target_stops_the_batch():
    import dataclasses

    import numpy as np

    row = rows_of()[2]
    planted = dataclasses.replace(row, target_ids=np.array([SORRY, 7, SORRY], dtype=np.int32))
    with pytest.raises(HarmfulTargetError, match="row rto:1"):
        collate([[planted]], 0, 3.0, REFUSAL)


def test_a_head_with_a_bias_is_refused():
    model = make_tiny_model(32)
    model.lm_head = torch.nn.Linear(32, 32)
    with pytest.raises(ModelError, match="need an output head without bias"):
        install_supervised_forward(model)


def test_generation_still_works_after_the_change(model):
    out = model.generate(torch.tensor([[1, 2, 3]]), max_new_tokens=3, do_sample=False, pad_token_id=0)
    assert out.shape[1] <= 6
