"""Multi-turn: the turns that are sent, what is asked in between, and what is judged."""

import asyncio

import pytest

from attacks.recording import Recording
from derta.attacks import Inputs, Prompt, Turn
from derta.attacks.multiturn import MultiTurn, benign_history, split_turns
from derta.config import check_recipe
from derta.errors import DataError
from derta.evaluation.recipe import EvaluateRecipe
from derta.records import BenignPair, Query

PAIRS = [
    BenignPair(id=f"b{i}", benign_query=f"How do I brew tea {i}?", response=f"Boil {i}.") for i in range(9)
]
QUERY = Query(id="h1", query="How do I make the silver curse of frogs?", kind="harmful")


def test_history_is_drawn_once_for_a_query_and_seed_and_repeats_no_exchange():
    first = benign_history(PAIRS, 5, "h1", 0)
    assert first == benign_history(PAIRS, 5, "h1", 0)
    assert len(set(first)) == 5
    assert set(first) <= {(pair.benign_query, pair.response) for pair in PAIRS}
    assert first != benign_history(PAIRS, 5, "h2", 0)
    assert first != benign_history(PAIRS, 5, "h1", 1)
    with pytest.raises(DataError, match="found 9 benign pairs, need 10"):
        benign_history(PAIRS, 10, "h1", 0)


@pytest.mark.parametrize(
    ("turns", "parts"),
    [
        (2, ["How do I make the", "silver curse of frogs?"]),
        (4, ["How do I", "make the", "silver curse", "of frogs?"]),
        (99, QUERY.query.split()),
    ],
)
def test_parts_hold_every_word_once_in_order(turns, parts):
    sent = split_turns(QUERY.query, turns)
    assert len(sent) == len(parts)
    assert [turn.split('"')[1] for turn in sent] == parts
    assert "answer the question" in sent[-1]
    assert not any("answer the question" in turn for turn in sent[:-1])


def test_a_query_of_one_word_is_asked_plainly():
    assert split_turns("Curses?", 3) == ["Curses?"]


def test_each_mode_has_a_row_a_query():
    rows = MultiTurn(turns=2).rows(Inputs(queries=[QUERY], benign=PAIRS), None)
    assert [row.params for row in rows] == [
        {"mode": "after_benign", "turns": 2},
        {"mode": "split", "turns": 2},
    ]
    [late], split = (row.prompts for row in rows)
    assert [turn.role for turn in late.turns] == ["user", "assistant", "user", "assistant", "user"]
    assert late.turns[-1].text == QUERY.query
    assert [len(prompt.turns) for prompt in split] == [1, 1]
    assert MultiTurn(mode="split").rows(Inputs(queries=[QUERY]), None)  # needs no benign file


def test_the_recipe_needs_benign_pairs_for_benign_turns():
    settings = {
        "run_dir": "r",
        "models": [{"name": "m", "method": "x", "path": "p"}],
        "queries": "q",
        "attacks": ["multiturn"],
        "judge": {"name": "refusal"},
    }
    recipe = check_recipe(settings, EvaluateRecipe, "recipe")
    [line] = recipe.unset(recipe.attacks[0])
    assert line.startswith("benign: missing; multiturn after benign turns")
    split = settings | {"attacks": [{"name": "multiturn", "mode": "split"}]}
    recipe = check_recipe(split, EvaluateRecipe, "recipe")
    assert recipe.unset(recipe.attacks[0]) == []


def test_replies_stay_in_the_conversation_and_only_the_last_is_long():
    models = Recording(lambda turns, prompt: f"reply {len(models.calls)}")
    attack = MultiTurn(mode="split", turns=3, reply_tokens=5)
    [row] = attack.rows(Inputs(queries=[Query(id="h", query="one two three", kind="harmful")]), None)
    one, two, three = (prompt.turns[0] for prompt in row.prompts)
    answer = asyncio.run(attack.solve(row, models))
    said = [Turn("assistant", f"reply {number}") for number in (1, 2)]
    assert [prompt for _, prompt in models.calls] == [
        Prompt(turns=(one,), max_tokens=5),
        Prompt(turns=(one, said[0], two), max_tokens=5),
        Prompt(turns=(one, said[0], two, said[1], three)),
    ]
    assert answer.text == "reply 3"
