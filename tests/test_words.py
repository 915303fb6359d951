"""One word rule for all counts, and the counts that use it."""

import random

import pytest

from derta.words import WORD, count_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 0),
        (" \n\t", 0),
        ("- Take salt.\n- Grind pepper.", 4),
        ("it can't be step-by-step , no", 5),
        ("1. 取盐 and honey -- *", 5),
        ("1盐)", 2),
        ("取盐Sorry", 3),
        ("お茶を煮る", 5),
        ("ชาร้อน", 5),  # letters; the tone mark stands on one of them
        ("ຊາ ຮ້ອນ", 5),
        ("소금을 갈아라", 2),
        ("नमक पीसो", 2),
        ("اطحن الملح", 2),
        ("naïve café", 2),
        ("🧂 salt 🧂🧂", 1),
        ("step('salt', 2)", 2),
        ("_ __ -- …", 0),
    ],
)
def test_what_a_word_is(text, words):
    assert count_words(text) == words


def test_marks_stay_on_their_letters():
    assert WORD.findall("ที่นี่ မြန်") == ["ที่", "นี่", "မြ", "န်"]


def test_the_quick_rule_for_ascii_is_the_same_rule():
    draw = random.Random(0)
    for _ in range(3000):
        text = "".join(draw.choice("abZ19 .,-_\n\t'()\x00\x1c") for _ in range(draw.randint(0, 24)))
        assert count_words(text) == len(WORD.findall(text)), repr(text)


def test_lengths_of_data_are_counted_by_the_same_rule():
    from derta.data.clean.filters import _length
    from derta.data.recipe import LengthSettings

    limits = LengthSettings(min_words=4, max_words=5)
    assert _length("query", "如何泡茶", limits) is None
    assert _length("query", "a b c - - -", limits) == "query shorter than 4 words"
