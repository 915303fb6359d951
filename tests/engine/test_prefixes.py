"""Prompts that begin alike are computed once, and answered as if each stood alone."""

import random

import pytest
import torch

from conftest import make_tiny_model
from derta.engine.decoder import Decoder, Request, generate
from derta.engine.prefixes import LINE_TOKENS, Prefixes, can_share

from .test_decoder import ARCHITECTURES, END, VOCABULARY, make


def draw_ids(rng, count):
    return tuple(rng.randrange(2, VOCABULARY) for _ in range(count))


def make_requests(count, seed=0, **settings):
    """Prompts out of three heads, some of which go on with a common second part; a few are repeated whole."""
    rng = random.Random(seed)
    heads = [draw_ids(rng, length) for length in (30, 41, 5)]
    middle = draw_ids(rng, 20)
    prompts = []
    for _ in range(count):
        ids = rng.choice(heads) + (middle if rng.random() < 0.5 else ()) + draw_ids(rng, rng.randint(1, 12))
        prompts.append(rng.choice(prompts) if prompts and rng.random() < 0.1 else ids)
    return [Request(ids, max_new_tokens=rng.randint(1, 12), **settings) for ids in prompts]


@pytest.fixture(scope="module", params=ARCHITECTURES)
def model(request):
    return make(request.param)


@pytest.mark.parametrize("settings", [{}, {"temperature": 1.3, "top_p": 0.9, "seed": 5}])
def test_sharing_changes_no_answer(model, settings):
    assert can_share(model)
    requests = make_requests(50, **settings)
    plain = generate(model, requests, stop_ids={END}, batch_rows=1, share_prefixes=False)
    assert plain == generate(model, requests, stop_ids={END}, batch_rows=1)
    assert plain == generate(model, requests, stop_ids={END}, batch_rows=7)
    assert plain == generate(model, requests, stop_ids={END}, batch_rows=64, batch_tokens=3000)  # forgets
    assert len({answer.ids for answer in plain}) > 25


def test_rows_hold_what_a_plain_forward_pass_would():
    model = make("qwen2")  # a sliding layer and a full one
    prompts = [request.ids for request in make_requests(20)]
    tree = Prefixes(model, 10_000)
    tree.prefill(prompts[:5])
    cache, logits = tree.prefill(prompts[5:])
    for row, ids in enumerate(prompts[5:]):
        with torch.no_grad():
            wanted = model(input_ids=torch.tensor([ids]), use_cache=True)
        torch.testing.assert_close(logits[row], wanted.logits[0, -1], atol=1e-4, rtol=1e-4)
        keys = cache.layers[1].states[0][row, :, -len(ids) :]
        torch.testing.assert_close(keys, wanted.past_key_values.layers[1].keys[0], atol=1e-4, rtol=1e-4)


def test_every_token_of_a_common_beginning_is_computed_once():
    head = tuple(range(2, 62))
    tree = Prefixes(make("llama"), 10_000)
    tree.prefill([(*head, 70, 71), (*head, 80)])
    assert tree.computed == 60 + 2 + 1
    tree.prefill([(*head, 90, 91, 92)])
    assert tree.computed == 63 + 3
    tree.prefill([head])  # known to the end: only the last token, for its logits
    assert tree.computed == 66 + 1
    tree.prefill([(*head[:30], 99)])  # leaves in the middle
    assert tree.computed == 67 + 1


def test_the_longest_unused_beginnings_are_forgotten():
    rng = random.Random(0)
    kept, unused, new = (draw_ids(rng, 60) for _ in range(3))
    tree = Prefixes(make("llama"), 170)
    tree.prefill([(*kept, 1), (*unused, 1)])
    tree.prefill([(*kept, 2)])
    tree.prefill([(*new, 1)])  # 184 tokens: too many
    assert tree._columns <= 170
    before = tree.computed
    tree.prefill([(*kept, 3)])
    assert tree.computed == before + 1
    tree.prefill([(*unused, 3)])
    assert tree.computed == before + 1 + 61


def test_long_lines_are_cut(monkeypatch):
    monkeypatch.setattr("derta.engine.prefixes.LINE_TOKENS", 50)
    assert LINE_TOKENS > 50
    model = make("mistral")
    requests = make_requests(20)
    whole = generate(model, requests, stop_ids={END}, share_prefixes=False)
    assert generate(model, requests, stop_ids={END}) == whole


def test_prefilled_counts_all_tokens_and_padding():
    requests = [Request((5,) * length, 1) for length in (40, 30)]
    model = make("llama")
    counts = []
    for share in (True, False):
        decoder = Decoder(model, stop_ids=(), share_prefixes=share)
        for index, request in enumerate(requests):
            decoder.submit(index, request)
        decoder.step()
        counts.append(decoder.prefilled)
    assert counts == [40 + 1, 2 * 40]


@pytest.mark.parametrize("what", ["eager", "longrope", "deaf"])
def test_what_can_not_be_shared_exactly_is_left_out(what):
    model = make("llama")
    if what == "eager":
        model.set_attn_implementation("eager")
    elif what == "longrope":
        model.config.rope_parameters = {"rope_type": "longrope", "rope_theta": 10_000.0}
    else:  # positions are not listened to: the check of the numbers finds it
        forward = model.forward

        def deaf(position_ids=None, logits_to_keep=0, **rest):
            return forward(position_ids=None, logits_to_keep=logits_to_keep, **rest)

        model.forward = deaf
    assert not can_share(model)


def test_the_self_check_is_made_without_dropout():
    model = make_tiny_model(60, attention_dropout=0.5).train()
    assert can_share(model)
    assert model.training
