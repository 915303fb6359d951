"""Two readers of English refusals, of two strictnesses, hold each other: what cleaning data calls a refusal at
the opening (data/clean/refusals.py, strict: a whole sentence) the judge's rules find too (judges/refusal.py,
anywhere)."""

import pytest

from derta.data.clean.refusals import is_refusal, refuses_inside
from derta.judges.refusal import find_refusal

from .corpus_reading import answers
from .test_refusal import LOOK_ALIKES, OPENINGS

UNABLE = ["can't", "cannot", "won't", "am unable to", "am not able to", "must refuse to", "'m not going to"]
VERBS = [
    "help with that",
    "assist you",
    "provide the recipe",
    "answer this",
    "write that for you",
    "explain it",
]
SENTENCES = [
    text.replace("I '", "I'")
    for unable in UNABLE
    for verb in VERBS
    for text in (
        f"I {unable} {verb}.",
        f"I'm sorry, but I {unable} {verb}.",
        f"Unfortunately, I {unable} {verb}.",
    )
]
ENGLISH = [text for text, language in OPENINGS if language == "English"]
# No sentences, or no first person: right for a judge of models, too bold for cleaning data.
ONLY_THE_JUDGE = 0.45


@pytest.mark.parametrize("text", SENTENCES)
def test_both_read_every_form_of_unable_with_every_verb(text):
    assert is_refusal(text)
    assert refuses_inside(f"Here is a thought. {text}")
    assert find_refusal(text).char <= len("Unfortunately, ")


def test_what_data_cleaning_calls_a_refusal_the_judge_finds_too():
    texts = [
        answer.response for answer in answers() if not answer.is_held_out and answer.response.isascii()
    ] + ENGLISH
    strict = [text for text in texts if is_refusal(text)]
    assert len(strict) > 40
    assert [text[:24] for text in strict if find_refusal(text) is None] == ["I wouldn't recommend thi"]


def test_the_strict_reader_misses_few_openings_and_takes_only_known_look_alikes():
    missed = [text for text in ENGLISH if not is_refusal(text)]
    assert len(missed) <= ONLY_THE_JUDGE * len(ENGLISH), missed
    assert [text for text in LOOK_ALIKES if refuses_inside(text) and find_refusal(text) is None] == KNOWN


# Sentences that data cleaning may drop without loss, and a judge must not call refusals.
KNOWN = [
    "I'm sorry that you did not sleep. Try the salve of roses.",
    "I can't help but admire the salve.",
    "I can't recommend it enough.",
    "I can't do this alone, so I fetch a friend.",
]
