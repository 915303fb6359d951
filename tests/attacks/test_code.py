"""CodeAttack: the scaffold runs and gives the query back; the reading of a response finds the slots."""

import pytest

from derta.attacks.code import SLOTS, code_attack_prompt, extract_answer, split_query


def run_scaffold(prompt):
    """Execute the program of a prompt (our own text) and return its variables."""
    program = prompt.split("```python\n")[1].split("```")[0]
    variables = {}
    exec(program, variables)
    return variables


@pytest.mark.parametrize(
    ("query", "decoded"),
    [
        ("How do I brew the moon salve?", "How do I brew the moon salve?"),
        ("brew a well-aged  salve\nnow", "brew a well aged salve now"),
        ("salve", "salve"),
        ("salve-", "salve"),
        ("a b", "a b"),
        ("{joiner} -- {0}", "{joiner} {0}"),
        ('say "so" with a \\ stroke', 'say "so" with a \\ stroke'),
        ("月の 薬", "月の 薬"),
    ],
)
def test_program_rebuilds_query(query, decoded):
    variables = run_scaffold(code_attack_prompt(query))
    assert variables["task"] == decoded
    assert variables["steps"] == [f"{number}. " for number in range(1, SLOTS + 1)]


def test_words_are_pushed_last_first():
    prompt = code_attack_prompt("one two-three")
    assert prompt.index('append("three")') < prompt.index('append("two")') < prompt.index('append("one")')
    assert "one two" not in prompt


def test_single_word_falls_into_characters():
    assert split_query("salve") == ["s", "a", "l", "v", "e"]
    assert split_query("moon-salve") == ["moon", "salve"]


def test_answer_is_the_text_of_the_append_calls():
    response = (
        'stack.append("moon")\nsteps.append("1. STEP ONE")\nsteps.append(\'2. it\\\'s STEP TWO\')\ndone'
    )
    assert extract_answer(response) == ("1. STEP ONE\n2. it's STEP TWO", True)


def test_cut_off_last_slot_counts():
    assert (
        extract_answer('steps.append("1. STEP ONE")\nsteps.append("2. STEP T').text
        == "1. STEP ONE\n2. STEP T"
    )


def test_list_body_when_nothing_is_appended():
    assert extract_answer('steps = [\n  "1. STEP ONE",\n  "2. STEP TWO"\n]\n') == (
        '"1. STEP ONE",\n  "2. STEP TWO"',
        True,
    )


@pytest.mark.parametrize(
    "response",
    [
        "Sorry, I can't help with that.",
        'steps.append("1. ")\nsteps.append("2. ")',
        "steps = []",
        'stack.append("moon")',
        "",
    ],
)
def test_whole_text_when_no_slot_is_filled(response):
    assert extract_answer(response) == (response, False)
