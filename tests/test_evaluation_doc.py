"""The recipes of docs/evaluation.md are valid, and say what the text around them says."""

import re
from pathlib import Path

import yaml

from derta.config import check_recipe
from derta.evaluation.recipe import EvaluateRecipe

DOC = Path(__file__).parent.parent / "docs/evaluation.md"
BLOCKS = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", DOC.read_text(), re.S)]


def test_the_three_recipes_are_valid():
    local, served, closed = (check_recipe(block, EvaluateRecipe, str(DOC)) for block in BLOCKS[:3])
    assert all(model.path for model in local.models)
    assert served.models[0].endpoint.sends == "ids"
    assert (served.seeds, [judge["name"] for judge in served.judges]) == ([0, 1, 2], ["span", "rubric"])
    assert closed.models[1].inspect.model == "openai/gpt-4o"
    assert closed.budget.money == 20


def test_the_closed_endpoint_lacks_what_the_text_says():
    from derta.evaluation.targets import why_not

    closed = check_recipe(BLOCKS[2], EvaluateRecipe, str(DOC))
    lacking = [attack.name for attack in closed.attacks if why_not(attack, closed.models[1])]
    assert lacking == ["completing", "prefill"]


def test_the_settings_that_the_text_names_exist():
    text = DOC.read_text()
    assert "endpoint.check_prompt" in text
    assert EvaluateRecipe.model_fields["max_unknown_rate"].default == 0.05


def test_the_interval_at_zero_of_two_hundred():
    from derta.statistics import wilson_interval

    assert round(100 * wilson_interval(0, 200)[1], 1) == 1.9


def test_the_table_of_needs_is_the_codes():
    from derta.attacks import ATTACKS

    rows = re.findall(
        r"^\| (direct.*|completing.*|prefill.*|autodan.*) \| (.*?) \| yes \| (.*?) \| (.*?) \|$",
        DOC.read_text(),
        re.M,
    )
    named = {name: row[1:] for row in rows for name in re.split(r"[,;] | and ", row[0])}
    assert {attack.own_name() for attack in ATTACKS} <= set(named)
    for attack in ATTACKS:
        served, closed = attack.NEEDS == "weights", attack.NEEDS != "chat"
        expected = ("n/a" if served else "yes", "n/a" if closed else "yes")
        assert named[attack.own_name()][1:] == expected, attack


def test_the_multiturn_recipe_is_valid():
    change = {"attacks": BLOCKS[3]["attacks"], "benign": "data/benign.held_out.jsonl"}
    check_recipe(BLOCKS[0] | change, EvaluateRecipe, str(DOC))
