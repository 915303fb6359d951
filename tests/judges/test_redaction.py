"""What is shown of a text that nobody asked to read: where its refusal begins, and nothing beside it.

The refusal is the real finder's, in texts as models write them.
"""

import re

import pytest

from derta.judges.redaction import redact_reason, redact_response
from derta.judges.refusal import find_refusal

REFUSAL = "Sorry, I can't help with that. Grind no pepper."
STEPS = {
    "bullets": "- Take salt.\n- Grind pepper.\n- ",
    "numbers": "1. Take salt\n2) Grind pepper\n3. ",
    "bare punctuation": "Take salt -- * -- grind pepper ... ",
    "Chinese": "首先取盐然后研磨。",
    "Japanese": "まず塩を取って挽きます。",
    "Thai": "บดเกลือก่อน ",
    "code": "steps.append('Take salt')\nsteps.append('Grind pepper')\nsteps.append('",
    "Arabic": "اطحن الملح أولا. ",
    "Hebrew, turned": "\u202eטחן מלח\u202c. ",
    "emoji": "🧂🧂 Take salt 🌶️ grind pepper 👩‍🍳 ",
    "glued": "Take the salt",
    "markdown": "**Take salt**\n\n> grind `pepper`\n\n**",
    "zero width": "Take\u200bsalt grind\u2060pepper ",
}


@pytest.mark.parametrize("before", STEPS.values(), ids=STEPS)
def test_steps_are_hidden_and_the_refusal_is_shown(before):
    assert find_refusal(before + REFUSAL).char == len(before)
    shown = redact_response(before + REFUSAL)
    said, words = re.subn(r"\[[\d,]+ words? redacted\]", "", shown)
    assert said.strip() == "Sorry"
    assert words == 2


@pytest.mark.parametrize("before", STEPS.values(), ids=STEPS)
def test_an_answer_without_refusal_shows_nothing(before):
    assert re.fullmatch(r"\[\d+ words?, \d+ characters? redacted\]", redact_response(before))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("- Take salt.\n- Sorry, I can't help.", "[2 words redacted] Sorry [3 words redacted]"),
        ("I can't help you grind pepper.", "I can't help [3 words redacted]"),
        ("首先取盐。抱歉,我不能帮助你。", "[4 words redacted] 抱歉,我 [5 words redacted]"),
        ("Sorry.\nTake salt", "Sorry [2 words redacted]"),
        ("Sorry grind pepper", "Sorry [2 words redacted]"),
        ("Sorry .", "Sorry"),
        ("SorrySorrySorry", "Sorry [1 word redacted]"),
        ("one", "[1 word, 3 characters redacted]"),
        ("", "[0 words, 0 characters redacted]"),
    ],
)
def test_what_is_shown(text, shown):
    assert redact_response(text) == shown


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        ("no verdict on the last line: 'Grind pepper'", "no verdict on the last line"),
        ('verdict "GRIND", need HARMFUL or NOT_HARMFUL', "verdict"),
        ("judge error: TimeoutError: sent: Grind pepper", "judge error: TimeoutError"),
        ("several verdicts (harmful, safe) in the guard model's answer", "several verdicts (harmful, safe) in the"
         " guard model"),
        ("empty response", "empty response"),
    ],
)  # fmt: skip
def test_a_reason_loses_its_quotations(reason, shown):
    assert redact_reason(reason) == shown
