"""Packed scoring: equal to full forward passes, prefixes computed once, logits at target positions only."""

import random

import pytest
import torch
from transformers import MistralConfig, MistralForCausalLM

from conftest import make_tiny_model
from derta.engine import node_attention
from derta.engine import scorer as target_logprob
from derta.engine.scorer import TargetScorer, packed_scores, plain_scores
from derta.engine.token_tree import build_tree, split_by_tokens
from derta.errors import ModelError


def random_pairs(seed, vocab=60, count=30):
    """Prompts that share nothing, a long prefix, or everything; a prompt that is a prefix of another."""
    rng = random.Random(seed)
    trunks = [[rng.randrange(vocab) for _ in range(rng.randrange(1, 40))] for _ in range(4)]
    pairs = []
    for _ in range(count):
        prompt = rng.choice(trunks)[: rng.randrange(1, 40)] + [
            rng.randrange(vocab) for _ in range(rng.randrange(30))
        ]
        pairs.append((prompt, [rng.randrange(vocab) for _ in range(rng.randrange(1, 6))]))
    return [*pairs, pairs[0], (pairs[1][0], pairs[0][1])]


@pytest.mark.parametrize("batch_tokens", [1, 64, 4096])
def test_equals_full_forward_passes(batch_tokens):
    model = make_tiny_model(60)
    pairs = random_pairs(0)
    expected = plain_scores(model, pairs)
    assert packed_scores(model, pairs, batch_tokens=batch_tokens) == pytest.approx(expected, abs=1e-5)


def test_definition_by_hand():
    model = make_tiny_model(60)
    prompt, target = [5, 6, 7], [8, 9]
    logits = model(torch.tensor([[5, 6, 7, 8]])).logits[0].log_softmax(-1)
    expected = (logits[2, 8] + logits[3, 9]).item() / 2
    assert TargetScorer(model).score([(prompt, target)]) == pytest.approx([expected], abs=1e-5)


def test_sliding_window():
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=60,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        sliding_window=9,
        initializer_range=0.3,
    )
    model = MistralForCausalLM(config).eval()
    pairs = random_pairs(1)
    assert TargetScorer(model).is_packed
    assert packed_scores(model, pairs, batch_tokens=512) == pytest.approx(
        plain_scores(model, pairs), abs=1e-5
    )


def test_shared_prefix_stands_once():
    trunk = list(range(20))
    tree = build_tree([[*trunk, 30, 31], [*trunk, 40], [50, 51], [*trunk, 40]])
    assert sorted(tree.ids) == sorted([*trunk, 30, 31, 40, 50, 51])
    for places, sequence in zip(
        tree.places, [[*trunk, 30, 31], [*trunk, 40], [50, 51], [*trunk, 40]], strict=True
    ):
        assert [tree.ids[place] for place in places] == sequence
        assert [tree.position_ids[place] for place in places] == list(range(len(sequence)))


def test_short_shared_runs_are_repeated():
    tree = build_tree([[1, 2, 3], [1, 2, 4]])
    assert len(tree.ids) == 6
    assert all(not node.above for node in tree.nodes)


def test_lines_keep_to_the_budget_and_lose_nothing():
    sequences = [prompt for prompt, _ in random_pairs(2)]
    groups = split_by_tokens(sequences, 100)
    assert sorted(index for group in groups for index in group) == list(range(len(sequences)))
    assert all(len(group) == 1 or len(build_tree([sequences[i] for i in group], min_shared=1).ids) <= 100
               for group in groups)  # fmt: skip


def test_logits_of_target_positions_only(monkeypatch):
    model = make_tiny_model(60)
    rows = []
    hook = model.lm_head.register_forward_hook(lambda _m, _i, output: rows.append(output.shape[-2]))
    packed_scores(model, [([1] * 50, [2, 3]), ([4] * 60, [5])], batch_tokens=4096)
    hook.remove()
    assert rows == [3]


def test_model_that_ignores_the_tree_is_scored_plainly(monkeypatch):
    model = make_tiny_model(60)

    def ignores_tree(module, query, key, value, attention_mask, scaling=None, **kwargs):
        out = torch.nn.functional.scaled_dot_product_attention(
            query, key, value, is_causal=True, scale=scaling, enable_gqa=True
        )
        return out.transpose(1, 2), None

    node_attention.AttentionInterface.register(node_attention.NAME, ignores_tree)
    try:
        scorer = TargetScorer(model)
        assert not scorer.is_packed
        pairs = random_pairs(3, count=4)
        assert scorer.score(pairs) == plain_scores(model, pairs)
    finally:
        node_attention.AttentionInterface.register(node_attention.NAME, node_attention.attend_by_node)


def test_attention_and_mode_are_restored():
    model = make_tiny_model(60).train()
    before = model.config._attn_implementation
    TargetScorer(model).score([([1, 2], [3])])
    assert model.training
    assert model.config._attn_implementation == before


@pytest.mark.parametrize("pair", [([], [1]), ([1], []), ([1] * 255, [2, 3])])
def test_unusable_pairs_are_refused(pair):
    with pytest.raises(ModelError):
        TargetScorer(make_tiny_model(60)).score([pair])


def test_nothing_asked_nothing_computed(monkeypatch):
    monkeypatch.setattr(target_logprob, "_attends_along_trees", lambda model: True)
    assert TargetScorer(make_tiny_model(60)).score([]) == []


def test_numbers_that_are_none_do_not_pass_the_self_check(monkeypatch):
    """The largest of a number and NaN is the number, for Python's max."""
    model = make_tiny_model(60)
    honest = target_logprob.packed_scores
    monkeypatch.setattr(
        target_logprob,
        "packed_scores",
        lambda *args, **kwargs: [*honest(*args, **kwargs)[:-1], float("nan")],
    )
    assert not TargetScorer(model).is_packed


def test_the_self_check_is_made_without_dropout():
    assert TargetScorer(make_tiny_model(60, attention_dropout=0.5).train()).is_packed
