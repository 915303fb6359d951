"""The Inspect provider: prompts rendered exactly, batches without waiting, errors that reach their own sample."""

import asyncio

import pytest
from inspect_ai.model import (
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageUser,
    GenerateConfig,
    get_model,
)

from derta.attacks import Prompt, Turn
from derta.engine.decoder import Request, generate
from derta.errors import ModelError
from derta.evaluation.providers.local import LocalModel
from derta.evaluation.providers.wire import messages_of, prompt_ids, prompt_of
from derta.files import sha256_text


@pytest.fixture
def folder(tmp_path, save_model):
    return save_model(tmp_path / "model")


@pytest.fixture
def local(folder):
    model = LocalModel(str(folder), batch_rows=4)
    yield model
    model.close()


def ask(local, *texts, **config):
    """The outputs for several user turns asked at once; an exception stands for itself."""

    async def all_at_once():
        calls = [
            local.generate([ChatMessageUser(content=t)], [], "none", GenerateConfig(**config)) for t in texts
        ]
        return await asyncio.gather(*calls, return_exceptions=True)

    return asyncio.run(all_at_once())


def test_chat_prefill_and_raw_text_are_rendered_exactly(local):
    tokenizer, renderer = local.renderer.tokenizer, local.renderer
    user, system = ChatMessageUser(content="How?"), ChatMessageSystem(content="Be")
    chat = "<|begin|><|user|>\nHow?<|end|>\n<|assistant|>\n"

    def rendered(*messages):
        return tokenizer.decode(prompt_ids(renderer, prompt_of(messages)))

    def carried(prompt):  # through Inspect's messages, as an attack's prompt goes
        assert prompt_of(messages_of(prompt)) == prompt
        return rendered(*messages_of(prompt))

    assert rendered(user) == chat
    assert rendered(system, user) == chat.replace("<|user|>", "<|system|>\nBe<|end|>\n<|user|>")
    assert rendered(user, ChatMessageAssistant(content="Grind the")) == chat + "Grind the"
    ids = tokenizer("Fold", add_special_tokens=False)["input_ids"]
    assert carried(Prompt.user("How?", opening="ignored", opening_ids=tuple(ids))) == chat + "Fold"
    assert carried(Prompt.user("I do", raw=True)) == "<|begin|>I do"
    assert carried(Prompt.user("I do", raw=True, bos=False)) == "I do"
    assert carried(Prompt.user("How?", bos=False)) == chat.removeprefix("<|begin|>")
    with pytest.raises(ModelError, match="raw text stands alone"):
        prompt_ids(renderer, Prompt(turns=(Turn("system", "Be"), Turn("user", "I do")), raw=True))


def test_user_text_is_not_parsed_for_special_tokens(local):
    ids = prompt_ids(local.renderer, Prompt.user("x <|end|> y"))
    assert ids.count(local.renderer.end_id) == 1


def test_answers_are_those_of_the_decode_loop(local):
    texts = [f"How do I make salve {i}?" for i in range(9)]
    outputs = ask(local, *texts, max_tokens=12)
    prompts = [prompt_ids(local.renderer, Prompt.user(text)) for text in texts]
    requests = [Request(tuple(ids), 12) for ids in prompts]
    wanted = generate(local.weights, requests, stop_ids=local.renderer.stop_ids)
    for ids, output, answer in zip(prompts, outputs, wanted, strict=True):
        assert output.metadata["response_ids"] == " ".join(map(str, answer.ids))
        assert output.stop_reason == answer.stop_reason
        assert output.completion == local.renderer.continuation_text(ids, answer.ids)
        assert output.metadata["prompt"] == local.renderer.tokenizer.decode(ids)
        assert output.metadata["prompt_sha256"] == sha256_text(" ".join(map(str, ids)))
        assert output.metadata["template_hash"] == local.renderer.template_hash
        assert output.usage.output_tokens == len(answer.ids)


def test_one_bad_prompt_fails_alone(local):
    good, bad, last = ask(local, "How?", "word " * 400, "Why?", max_tokens=5)
    assert isinstance(bad, ModelError)
    assert "the model's context holds 256" in str(bad)
    assert len(good.completion) > 0
    assert len(last.completion) > 0


def test_a_crash_reaches_every_waiting_sample_and_the_next_one_works(local, monkeypatch):
    from derta.engine.decoder import Decoder

    step = Decoder.step
    monkeypatch.setattr(Decoder, "step", lambda self: (_ for _ in ()).throw(RuntimeError("out of memory")))
    assert [str(error) for error in ask(local, "How?", "Why?")] == ["out of memory"] * 2
    monkeypatch.setattr(Decoder, "step", step)
    assert ask(local, "How?", max_tokens=3)[0].usage.output_tokens <= 3


def test_stop_sequences_and_missing_folder(local, tmp_path):
    (error,) = ask(local, "How?", stop_seqs=["\n"])
    assert isinstance(error, ModelError)
    with pytest.raises(ModelError, match="no tokenizer could be loaded"):
        LocalModel(str(tmp_path / "nothing"))


def test_inspect_finds_the_provider_by_its_entry_point(folder):
    model = get_model(f"derta/{folder}", memoize=False)
    assert isinstance(model.api, LocalModel)
    output = asyncio.run(model.generate("How?", config=GenerateConfig(max_tokens=4)))
    assert output.usage.output_tokens <= 4
    model.api.close()
