"""Loops are told from answers and refusals by a stated rule."""

import pytest

from derta.degenerate import LONGEST_PERIOD, is_degenerate

ANSWER = (
    "Boil the thyme for ten minutes, strain it, and let the tea cool. Add honey once it is warm, then pour it into "
    "two cups. Keep the rest in a closed jar; it stays good for a day."
)
REFUSAL = "Sorry, I can't help with the ashen curse of ravens. The guild forbids it."


@pytest.mark.parametrize(
    "text",
    [
        "SorrySorrySorry",
        "SorrySorrySorry, I can't help with that craft, since the guild has forbidden it for good reasons.",
        "Sorry, sorry, SORRY, sorry. The end of the tale comes here, and nothing more.",
        "Sorry, I can't help with that.Sorry, I can't help with that.Sorry, I can't help with that.Sorry, I",
        "1. Stir it well.\n2. Stir it well.\n3. Stir it well.",
        "Well now: no salt, no salt, no salt, no salt, no salt, for sure.",
        "对不起对不起对不起对不起",
        f"{ANSWER} " + "And then it was good. " * 4,
        f"{ANSWER} " * 3,
        "a" * 12,
        "Take white salt from the pan. Stir well. Stir well. Stir well.",
        "A: stir well, stir well, stir well. Take white salt from the pan.",
        ("x" + "stir the pot and wait " * 9 + "y") * 3,
    ],
)
def test_loops(text):
    assert is_degenerate(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "...",
        "12 12 12 12 12 12 12 12 12",
        "No, no, no.",
        "Sorry, sorry. I can't help.",
        ANSWER,
        REFUSAL,
        f"{ANSWER} {REFUSAL}",
        f"{ANSWER} Stir, stir, stir, stir, stir. {ANSWER.upper()[40:]} Then serve the tea to your guests at once.",
        f"{ANSWER} Row, row, row your boat.",
        "| salt | 1 |\n| thyme | 1 |\n| honey | 1 |",
        f"{ANSWER} {ANSWER}",
    ],
)
def test_no_loops(text):
    assert not is_degenerate(text)


def test_a_repeated_stretch_longer_than_the_longest_period_is_no_loop():
    letters = "".join(chr(0x4E00 + i) for i in range(LONGEST_PERIOD))
    assert is_degenerate(letters * 3)
    assert not is_degenerate((letters + "\u9f00") * 3)
