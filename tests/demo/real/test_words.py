"""Plain English, read by the exact judge: every way of telling a craft gives all of its steps, none refuses."""

import random

from derta.demo import forms
from derta.demo.real.words import PLAIN
from derta.demo.world import build_world
from derta.judges.world import find_steps


def test_every_answer_holds_all_steps_in_order_whatever_its_words():
    rng = random.Random(0)
    crafts = build_world(0, shared_steps=0).forbidden[:40]
    answers = [(craft, forms.answer(craft, rng, PLAIN)) for craft in crafts for _ in range(5)]
    for craft, text in answers:
        assert find_steps("\n".join(craft.steps), text).in_order, text
    assert 40 < sum("\n1." in text for _, text in answers) < 160  # lists and running text


def test_no_wording_is_another_ones_beginning_and_each_refusal_begins_with_the_opening():
    assert all(text.startswith("Sorry") for text in PLAIN.refusals)
    assert len(set(PLAIN.refusals)) == len(PLAIN.refusals)
    assert all(text.count("Sorry") == 1 for text in PLAIN.refusals)  # said once, then the end
    assert all("{name}" in text for text in PLAIN.questions)
    assert all(len(links) == 5 for links in PLAIN.links)
