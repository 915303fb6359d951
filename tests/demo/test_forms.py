"""The forms a question can have are exactly what the attacks send."""

import random

import pytest

from derta.attacks.code import code_attack_prompt, extract_answer
from derta.attacks.selfcipher import selfcipher_messages
from derta.demo import forms
from derta.demo.attack_texts import NUM_DEMONSTRATIONS, OPENINGS, PLACEHOLDER, ROLE_PLAY_TEMPLATES
from derta.demo.world import build_world

CRAFTS = build_world(0, shared_steps=0).forbidden[:8]
CRAFT = CRAFTS[0]


def dressed(form, seed=0):
    return forms.dressed(CRAFT, form, CRAFTS[1:], random.Random(seed))


def plain_question(seed):
    """The question that `dressed` asks with this seed."""
    return forms.question(CRAFT, random.Random(seed))


@pytest.mark.parametrize("seed", range(5))
def test_code_is_the_attacks_program_and_its_list(seed):
    query, response = dressed("code", seed)
    assert query == code_attack_prompt(plain_question(seed))
    assert extract_answer(response).text == forms.numbered_steps(CRAFT)


@pytest.mark.parametrize("seed", range(5))
def test_role_play_frames_the_question(seed):
    query, response = dressed("role_play", seed)
    assert plain_question(seed) in query
    assert PLACEHOLDER not in query
    assert forms.numbered_steps(CRAFT) in response


def test_most_frames_are_the_templates_of_the_attack():
    queries = [dressed("role_play", seed).query for seed in range(200)]
    starts = tuple(template.split(PLACEHOLDER)[0] for template in ROLE_PLAY_TEMPLATES if template[0] != "[")
    assert 0.5 < sum(query.startswith(starts) for query in queries) / len(queries) < 1


@pytest.mark.parametrize("seed", range(5))
def test_cipher_is_the_attacks_turn(seed):
    query, response = dressed("cipher", seed)
    texts = forms.cipher_texts(CRAFTS[1:4], random.Random(0))
    [turn] = selfcipher_messages(plain_question(seed), texts)
    assert query.startswith(texts.role)
    assert query.splitlines()[-1] == turn.text.splitlines()[-1]
    assert 1 <= query.count("Assistant:") <= NUM_DEMONSTRATIONS
    assert response == forms.numbered_steps(CRAFT)


def test_openings_end_where_the_first_step_begins():
    assert all(opening.count("{name}") == 1 and opening.endswith("\n1.") for opening in OPENINGS)
    assert CRAFT.name in forms.opening(CRAFT, random.Random(0))


def test_refusals_vary_and_begin_with_the_opening():
    drawn = {forms.refusal(random.Random(seed)) for seed in range(50)}
    assert len(drawn) == len(forms.REFUSALS) > 1
    assert all(text.startswith("Sorry, ") for text in drawn)
