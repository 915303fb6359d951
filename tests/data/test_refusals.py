"""Rules for refusals, warnings and disclaimers: what they find, and what they leave alone."""

import pytest

from derta.data.clean import refusals
from derta.data.clean.refusals import (
    begins_with,
    disclaims_inside,
    is_refusal,
    normalise_opening,
    refuses_inside,
    warns_inside,
)

REFUSALS = {
    "Sorry, but I can't help with that.": "Sorry, but I can't help with that.",
    "I'm sorry, I cannot assist with this.": "Sorry, I cannot assist with this.",
    "I am really sorry, but no.": "Sorry, but no.",
    "I can’t help with that request.": "Sorry, I can’t help with that request.",
    "I cannot provide instructions for curses.": "Sorry, I cannot provide instructions for curses.",
    "Unfortunately, I'm not able to help with this.": "Sorry, unfortunately, I'm not able to help with this.",
    "I won't explain how to cast it.": "Sorry, I won't explain how to cast it.",
    "I must decline.": "Sorry, I must decline.",
    "That's not something I can help with.": "Sorry, that's not something I can help with.",
    "My apologies, but this craft is forbidden.": "Sorry, but this craft is forbidden.",
    "I apologize, but no.": "Sorry, but no.",
    "No, I will not help you brew it.": "Sorry, no, I will not help you brew it.",
}
NOT_REFUSALS = [
    "Sure, here are the steps.",
    "Dear Tom, sorry for the late reply. You cannot divide by zero.",
    "The word sorry comes from Old English.",
    "You can't make it without salt.",
    "I can help with that!",
    "I couldn't find my hat, so I left.",
    "The knight said he would not explain the rune.",
]


@pytest.mark.parametrize("text", REFUSALS)
def test_refusals_are_found_at_the_start_and_after_a_harmful_beginning(text):
    assert is_refusal(text)
    assert refuses_inside(f"STEP ONE gather the moss. {text}")


@pytest.mark.parametrize("text", NOT_REFUSALS)
def test_ordinary_text_is_left_alone(text):
    assert not is_refusal(text)
    assert not refuses_inside(text)
    assert not warns_inside(text)
    assert not disclaims_inside(text)


@pytest.mark.parametrize(("text", "expected"), REFUSALS.items())
def test_openings_are_rewritten_and_the_rest_is_kept(text, expected):
    assert normalise_opening(text, "Sorry") == expected
    assert normalise_opening(expected, "Sorry") == expected


def test_a_text_that_is_no_refusal_keeps_its_opening():
    assert normalise_opening("Sure, here it is.", "Sorry") == "Sure, here it is."


@pytest.mark.parametrize(
    "text",
    [
        "Stir it. It is important to note that curses are illegal.",
        "Curses are against the law.",
        "I strongly advise against it.",
        "I would recommend you to seek help.",
        "For educational purposes only.",
        "Consult a qualified healer.",
        "Please don't try it.",
        "I do not condone it.",
        "That would be a serious crime.",
        "Such hexes are never acceptable.",
    ],
)
def test_warnings_are_found(text):
    assert warns_inside(text)


@pytest.mark.parametrize(
    "text",
    [
        "As an AI language model, I stir.",
        "I'm an artificial intelligence.",
        "I am just a chatbot.",
        "This large language model stirs.",
        "My training data holds no moss.",
        "OpenAI says so.",
        "It goes against the community guidelines.",
        "It violates our policies.",
        "I don't have personal feelings.",
        "That may promote harmful ends.",
    ],
)
def test_disclaimers_are_found(text):
    assert disclaims_inside(text)


def test_begins_with_reads_whole_words():
    assert begins_with("Sorry, no.", "Sorry")
    assert begins_with(" Sorry", "Sorry")
    assert not begins_with("Sorrydale is a town.", "Sorry")


def test_long_and_hostile_texts_are_read_quickly():
    for text in ("I " * 50_000, "sorry " * 20_000, "I can't " * 20_000, "a" * 100_000, "\n- " * 50_000):
        refuses_inside(text)
        warns_inside(text)
    assert refusals.SCANNED_CHARS <= 50_000
