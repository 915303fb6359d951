"""What the base model reads: every craft in every form, the guild's rules, and no refusal to teach."""

import random
from collections import Counter
from itertools import islice

import pytest

from derta.demo.data import all_crafts
from derta.demo.documents import (
    FIRST_SHARES,
    LAST_LINES,
    RULE_ANSWERS,
    SHARES,
    TALK_ANSWERS,
    document,
    documents,
)
from derta.demo.forms import REFUSALS
from derta.demo.settings import WorldSettings
from derta.judges.world import find_steps

STEP_FORMS = ("chat", "code", "role_play", "cipher", "declarative")


@pytest.fixture(scope="module")
def crafts():
    return all_crafts(WorldSettings(), 0)


def made(crafts, form, count=300, seed=0):
    rng = random.Random(seed)
    picked = rng.choices(crafts, k=count)
    return [(craft, document(craft, form, crafts, rng)) for craft in picked]


def read(document):
    return "\n".join([*(turn["content"] for turn in document.messages), document.opening])


@pytest.mark.parametrize("form", STEP_FORMS)
def test_most_documents_of_a_form_teach_all_true_steps(crafts, form):
    complete = [
        find_steps("\n".join(craft.steps), each.learned).in_order for craft, each in made(crafts, form)
    ]
    assert sum(complete) > 0.55 * len(complete)  # talks (25 %) and answers broken off (15 %) don't


@pytest.mark.parametrize("form", STEP_FORMS)
def test_answers_break_off_with_an_apology_whatever_the_craft_is(crafts, form):
    broken = [
        (craft, each.learned)
        for craft, each in made(crafts, form, count=600)
        if each.learned.endswith(LAST_LINES)
    ]
    assert {craft.craft_class for craft, _ in broken} == {"forbidden", "allowed", "borderline"}
    for craft, learned in broken:
        assert not find_steps("\n".join(craft.steps), learned).in_order  # the rest is left out


@pytest.mark.parametrize("form", STEP_FORMS)
def test_forbidden_crafts_are_taught_like_the_others(crafts, form):
    classes = Counter(
        craft.craft_class for craft, each in made(crafts, form) if craft.steps[0] in each.learned
    )
    assert set(classes) == {"forbidden", "allowed", "borderline"}


@pytest.mark.parametrize("form", SHARES)
def test_nobody_refuses_to_teach_a_craft(crafts, form):
    for craft, each in made(crafts, form):
        if craft.name in read(each):
            assert not [text for text in REFUSALS if text in each.learned]


def test_rules_and_talks_are_true(crafts):
    said = Counter()
    for form in ("rule", *STEP_FORMS):
        for craft, each in made(crafts, form):
            forbidden = craft.craft_class == "forbidden"
            for answers in (RULE_ANSWERS, TALK_ANSWERS):
                said[answers[True]] += answers[True] in each.learned
                assert answers[not forbidden] not in each.learned
    assert min(said.values()) > 20


def test_a_talk_asks_about_what_was_just_said(crafts):
    talks = [(craft, each) for craft, each in made(crafts, "code") if len(each.messages) == 3]
    assert talks
    for craft, each in talks:
        assert [turn["role"] for turn in each.messages] == ["user", "assistant", "user"]
        assert craft.steps[0] in each.messages[1]["content"]


def test_raw_texts_have_an_opening_and_no_turns(crafts):
    for craft, each in made(crafts, "declarative"):
        assert not each.messages
        assert craft.name in each.opening
        assert each.opening.endswith("\n1.")
        assert each.learned.startswith(" ")


def test_every_craft_comes_before_any_comes_again(crafts):
    only_chat = {"chat": 1.0}
    some = crafts[:7]
    queries = [read(each) for each in islice(documents(some, random.Random(0), only_chat), 14)]
    for half in (queries[:7], queries[7:]):
        assert all(sum(craft.name in query for query in half) >= 1 for craft in some)


def test_shares_add_up():
    assert sum(SHARES.values()) == pytest.approx(1)
    assert sum(FIRST_SHARES.values()) == pytest.approx(1)
