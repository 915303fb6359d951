import pytest

from derta.encode.chat import ChatRenderer
from derta.encode.refusal_token import describe, resolve_refusal_token


@pytest.fixture
def renderer(tiny_tokenizer):
    return ChatRenderer.of(tiny_tokenizer)


def test_ids_are_those_of_the_rendered_text(renderer, tiny_tokenizer):
    token = resolve_refusal_token(renderer, "Sorry")
    assert tiny_tokenizer.decode([token.start_id]) == "Sorry"
    assert token.line_id == token.start_id  # after a newline the word stands without a space
    assert token.running_id != token.start_id
    assert tiny_tokenizer.decode([token.running_id]).startswith(" ")


def test_a_bare_space_before_the_word_is_no_refusal(renderer, tiny_tokenizer):
    """This vocabulary has no ` Sorry`: inside a line a refusal begins with a space, as any word does."""
    token = resolve_refusal_token(renderer, "Sorry")
    assert tiny_tokenizer.decode([token.running_id]) == " "
    assert token.ids == {token.start_id}
    contextual = resolve_refusal_token(renderer, "Sorry", "contextual")
    assert contextual.ids == {token.start_id, token.running_id}  # there it is a label


def test_the_paper_rule_labels_every_position_alike(renderer):
    token = resolve_refusal_token(renderer, "Sorry", "start")
    response = renderer.response_ids([{"role": "user", "content": "x"}], "1. Grind\nthe wax")
    assert token.labels_along(response) == [token.start_id] * len(response)


def test_the_contextual_rule_depends_on_the_token_before(renderer, tiny_tokenizer):
    token = resolve_refusal_token(renderer, "Sorry", "contextual")
    newline = tiny_tokenizer("\n", add_special_tokens=False)["input_ids"]
    word = tiny_tokenizer("wax", add_special_tokens=False)["input_ids"]
    response = [*word, *newline, *word]
    labels = token.labels_along(response)
    assert len(labels) == len(response)
    assert labels[0] == token.start_id
    assert labels[1 : len(word)] == [token.running_id] * (len(word) - 1)
    assert labels[len(word)] == token.running_id  # follows the word's last piece
    assert labels[len(word) + 1] == token.line_id  # follows the newline


def test_an_opening_of_several_tokens_is_warned_about(renderer):
    token = resolve_refusal_token(renderer, "Unfortunately")
    assert any("not the whole word 'Unfortunately'" in warning for warning in token.warnings)
    assert not any("at the start" in w for w in resolve_refusal_token(renderer, "Sorry").warnings)


def test_description_names_ids_and_texts(renderer):
    token = resolve_refusal_token(renderer)
    assert describe(token).startswith(f"refusal token (start): start {token.start_id} 'Sorry'")
