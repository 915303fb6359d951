"""The refusal's place in the model's own tokens."""

import pytest

from derta.encode.chat import ChatRenderer
from derta.evaluation.over_refusal import tokens_before_refusal

REFUSAL = "Sorry, I can't help with that."


@pytest.mark.parametrize("lead", ["", "Grind the wax with thyme by moonlight. ", "1. 薬 を Grind.\n"])
def test_tokens_before_the_refusal(tiny_tokenizer, lead):
    renderer = ChatRenderer.of(tiny_tokenizer)
    before = tiny_tokenizer(lead, add_special_tokens=False)["input_ids"]
    ids = [*before, *tiny_tokenizer(REFUSAL, add_special_tokens=False)["input_ids"]]
    assert tokens_before_refusal(renderer, ids, lead + REFUSAL) == len(before)


def test_no_refusal_has_no_position(tiny_tokenizer):
    assert tokens_before_refusal(ChatRenderer.of(tiny_tokenizer), [5, 6], "Grind") is None
