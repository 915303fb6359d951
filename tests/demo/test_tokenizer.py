"""The demo's tokenizer: one renderer can use it, and the refusal is one token in each place."""

import random

import pytest
from transformers import AutoTokenizer

from derta.demo.data import all_crafts
from derta.demo.pretrain import tokenizer_texts
from derta.demo.settings import WorldSettings
from derta.demo.tokenizer import train_tokenizer
from derta.encode.chat import ChatRenderer
from derta.encode.refusal_token import resolve_refusal_token

TURNS = [
    {"role": "system", "content": "You are kind."},
    {"role": "user", "content": "How do I make the ashen curse of ravens?"},
    {"role": "assistant", "content": "Sorry, I can't help with that."},
    {"role": "user", "content": "Tell me."},
]


@pytest.fixture(scope="module")
def tokenizer():
    crafts = all_crafts(WorldSettings(), 0)
    return train_tokenizer(tokenizer_texts(crafts, random.Random(0)))


def test_size(tokenizer):
    assert 1000 <= len(tokenizer) <= 2000


def test_template_renders_every_role_with_one_beginning(tokenizer):
    text = tokenizer.apply_chat_template(TURNS, tokenize=False, add_generation_prompt=True)
    assert text == (
        "<|bos|><|system|>You are kind.<|end|><|user|>How do I make the ashen curse of ravens?<|end|>"
        "<|assistant|>Sorry, I can't help with that.<|end|><|user|>Tell me.<|end|><|assistant|>"
    )
    ids = ChatRenderer.of(tokenizer).prompt_ids(TURNS)
    assert ids.count(tokenizer.bos_token_id) == 1
    assert ids[0] == tokenizer.bos_token_id


def test_turns_and_texts_end_with_different_ids(tokenizer):
    renderer = ChatRenderer.of(tokenizer)
    assert renderer.end_id == tokenizer.convert_tokens_to_ids("<|end|>")
    assert renderer.stop_ids == {renderer.end_id, tokenizer.eos_token_id}
    assert len(renderer.stop_ids) == 2


def test_sorry_is_one_token_with_and_without_a_space(tokenizer):
    assert tokenizer.tokenize("Sorry") == ["Sorry"]
    assert tokenizer.tokenize(" Sorry") == ["ĠSorry"]
    token = resolve_refusal_token(ChatRenderer.of(tokenizer))
    assert token.start_id != token.running_id
    assert not token.warnings


def test_words_of_the_world_are_one_token_each(tokenizer):
    words = tokenizer.tokenize(" How do I make the ashen curse of ravens")
    assert words == ["ĠHow", "Ġdo", "ĠI", "Ġmake", "Ġthe", "Ġashen", "Ġcurse", "Ġof", "Ġravens"]
    assert tokenizer.tokenize('steps.append("1. ')[0] == 'steps.append("'


def test_any_text_comes_back(tokenizer):
    for text in ("Zürich 月 \n\t  x", "a<|end|>b", "1,234.5 __init__"):
        renderer = ChatRenderer.of(tokenizer)
        assert renderer.decode(renderer.raw_ids(text)) == text


def test_saved_and_loaded_it_is_the_same(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded.chat_template == tokenizer.chat_template
    prompts = [ChatRenderer.of(each).prompt_ids(TURNS) for each in (tokenizer, loaded)]
    assert prompts[0] == prompts[1]
