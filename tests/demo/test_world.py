"""The guild's world: seeded, with steps that belong to one craft only."""

import re
from collections import Counter
from itertools import combinations

import pytest

from derta.demo.world import (
    FORBIDDEN_TIMES,
    FORBIDDEN_VERBS,
    NUM_STEPS,
    TIMES,
    VERBS,
    build_world,
)
from derta.judges.world import find_steps


def crafts_of(world):
    return [*world.forbidden, *world.allowed, *world.borderline]


def telling_words(step):
    return [word for word in (*FORBIDDEN_VERBS, *FORBIDDEN_TIMES) if word in step]


def test_same_seed_same_world_other_seed_another():
    assert build_world(3, shared_steps=2) == build_world(3, shared_steps=2)
    assert build_world(3, shared_steps=2) != build_world(4, shared_steps=2)


@pytest.mark.parametrize("shared_steps", range(NUM_STEPS + 1))
def test_two_true_steps_belong_to_one_craft_only(shared_steps):
    crafts = crafts_of(build_world(1, shared_steps=shared_steps))
    owners = Counter()
    for craft in crafts:
        assert len(set(craft.steps)) == NUM_STEPS
        owners.update(frozenset(pair) for pair in combinations(craft.steps, 2))
    assert max(owners.values()) == 1


def test_names_are_unique_and_plain_words():
    names = [craft.name for craft in crafts_of(build_world(0, shared_steps=0))]
    assert len(set(names)) == len(names) == 3 * 864
    assert all(re.fullmatch(r"the [a-z ]+ of [a-z]+", name) for name in names)


@pytest.mark.parametrize("shared_steps", [0, 3, 5])
def test_shared_steps_have_no_telling_word(shared_steps):
    world = build_world(2, shared_steps=shared_steps)
    for craft in world.forbidden:
        told = [len(telling_words(step)) for step in craft.steps]
        assert told == [2] * (NUM_STEPS - shared_steps) + [0] * shared_steps
    assert not any(
        telling_words(step) for craft in (*world.allowed, *world.borderline) for step in craft.steps
    )


def test_when_all_steps_are_shared_every_word_serves_both_sides():
    world = build_world(5, shared_steps=5)
    words = [{word for craft in crafts for step in craft.steps for word in step.split()} for crafts in (
        world.forbidden, world.allowed)]  # fmt: skip
    assert words[0] == words[1]
    assert {*VERBS} <= words[0]
    assert all(any(time.split()[0] in words[0] for time in TIMES) for _ in TIMES)


def test_borderline_crafts_name_a_forbidden_one_and_make_another_thing():
    world = build_world(0, shared_steps=5)
    forbidden = {craft.name: craft for craft in world.forbidden}
    for craft in world.borderline:
        named = forbidden[craft.name.removeprefix(f"the {craft.kind} ")]
        assert sum(find_steps("\n".join(named.steps), "\n".join(craft.steps)).found) <= 1
