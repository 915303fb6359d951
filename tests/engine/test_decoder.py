"""The decode loop: same ids as transformers' own generate, whoever shares the batch."""

import random

import pytest
import torch
from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from derta.engine.decoder import Decoder, Request, generate
from derta.errors import ModelError

VOCABULARY, CONTEXT, END = 120, 128, 1
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT,
    "initializer_range": 0.3,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": END,
}
WINDOWED = {"sliding_window": 6, "layer_types": ["sliding_attention", "full_attention"]}
ARCHITECTURES = {
    "llama": {},
    "mistral": {"sliding_window": 6},
    "qwen2": {"use_sliding_window": True, "max_window_layers": 0, **WINDOWED},
    "qwen3": {"head_dim": 8},
    "gemma3_text": {"head_dim": 8, **WINDOWED},
    "olmo2": {},
    "phi3": {},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": CONTEXT},
    "mixtral": {"num_local_experts": 4},
}


def make(architecture):
    torch.manual_seed(1)
    config = CONFIG_MAPPING[architecture](**SIZES, **ARCHITECTURES[architecture])
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


def make_requests(count, seed=0, **settings):
    rng = random.Random(seed)
    return [
        Request(
            tuple(rng.randrange(2, VOCABULARY) for _ in range(rng.randint(1, 40))),
            max_new_tokens=rng.randint(1, 24),
            **settings,
        )
        for _ in range(count)
    ]


@pytest.fixture(scope="module", params=ARCHITECTURES)
def model(request):
    return make(request.param)


def test_same_ids_as_transformers(model):
    requests = make_requests(12)
    ours = generate(model, requests, stop_ids={END}, batch_rows=5)
    for request, answer in zip(requests, ours, strict=True):
        reference = model.generate(
            torch.tensor([request.ids]),
            attention_mask=torch.ones(1, len(request.ids), dtype=torch.long),
            max_new_tokens=request.max_new_tokens,
            do_sample=False,
        )[0, len(request.ids) :].tolist()
        stopped = reference[-1] == END
        assert list(answer.ids) == (reference[:-1] if stopped else reference)
        assert answer.stop_reason == ("stop" if stopped else "max_tokens")


@pytest.mark.parametrize("settings", [{}, {"temperature": 1.3, "top_p": 0.9, "seed": 5}])
def test_batch_mates_change_nothing(model, settings):
    requests = make_requests(70, **settings)
    alone = generate(model, requests, stop_ids={END}, batch_rows=1)
    assert alone == generate(model, requests, stop_ids={END}, batch_rows=7)
    assert alone == generate(model, requests, stop_ids={END}, batch_rows=64)
    assert len({answer.ids for answer in alone}) > 35  # the outputs do vary


def test_late_requests_join_the_batch(model):
    requests = make_requests(30)
    alone = generate(model, requests, stop_ids={END}, batch_rows=1)
    decoder = Decoder(model, stop_ids={END}, batch_rows=8)
    answers, most_live = {}, 0
    for index, request in enumerate(requests):  # one new request every other step
        decoder.submit(index, request)
        answers.update(decoder.step())
        answers.update(decoder.step())
        most_live = max(most_live, len(decoder._rows))
    while decoder.busy:
        answers.update(decoder.step())
    assert [answers[index] for index in range(30)] == alone
    assert most_live > 1


def test_draws_follow_the_seed():
    model = make("llama")
    first, again, other = (
        generate(model, make_requests(10, temperature=1.0, seed=seed), stop_ids={END}) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_a_narrow_nucleus_is_greedy():
    model = make("llama")
    greedy = generate(model, make_requests(10), stop_ids={END})
    assert generate(model, make_requests(10, temperature=1.0, top_p=1e-6), stop_ids={END}) == greedy


def test_batch_tokens_bound_the_rows():
    model = make("llama")
    decoder = Decoder(model, stop_ids=(), batch_rows=64, batch_tokens=100)
    for index in range(9):
        decoder.submit(index, Request((5,) * 10, max_new_tokens=10))
    decoder.step()
    assert len(decoder._rows) == 5  # 5 rows x 20 columns


def test_context_is_respected():
    model = make("llama")
    (answer,) = generate(model, [Request((5,) * (CONTEXT - 3), max_new_tokens=50)], stop_ids=())
    assert (len(answer.ids), answer.stop_reason) == (3, "model_length")
    with pytest.raises(ModelError, match=f"prompt of {CONTEXT} tokens: the model's context holds {CONTEXT}"):
        generate(model, [Request((5,) * CONTEXT, max_new_tokens=1)], stop_ids=())
    with pytest.raises(ModelError, match="empty prompt"):
        generate(model, [Request((), max_new_tokens=1)], stop_ids=())


def test_nothing_to_do():
    assert generate(make("llama"), [], stop_ids=()) == []


def test_recurrent_layers_are_refused():
    model = make("llama")
    model.config.layer_types = ["linear_attention", "full_attention"]
    with pytest.raises(ModelError, match="linear_attention"):
        generate(model, make_requests(1), stop_ids=())
