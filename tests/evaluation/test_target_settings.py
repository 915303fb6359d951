"""Recipes of targets, seeds, judges and budgets: one form each, and errors that say where and what to do."""

import pytest

from derta.config import check_recipe
from derta.errors import RecipeError
from derta.evaluation.recipe import EvaluateRecipe
from derta.evaluation.targets import why_not

BASE = {
    "run_dir": "r",
    "models": [{"name": "m", "method": "x", "path": "p"}],
    "queries": "q.jsonl",
    "attacks": ["direct"],
    "judge": {"name": "refusal"},
}
SERVED = {"url": "http://localhost:8000/v1/", "model": "s", "tokenizer": "t"}


def check(**changes):
    wanted = {**BASE, **changes}
    return check_recipe(
        {key: value for key, value in wanted.items() if value != "absent"}, EvaluateRecipe, "r"
    )


def model(**settings):
    return [{"name": "m", "method": "x", **settings}]


def test_one_seed_and_one_judge_are_lists_of_one():
    recipe = check(seed=4)
    assert (recipe.seeds, recipe.judges) == ([4], [{"name": "refusal"}])
    assert check().seeds == [0]


def test_several_seeds_and_judges_have_a_first():
    recipe = check(
        seeds=[2, 5], judge="absent", judges=[{"name": "span"}, {"name": "span", "label": "again"}]
    )
    assert (recipe.seed, recipe.judge) == (2, {"name": "span"})
    assert check_recipe(recipe.model_dump(mode="json"), EvaluateRecipe, "r") == recipe


def test_a_url_loses_its_slash_and_a_bare_name_is_an_inspect_model():
    assert check(models=model(endpoint=SERVED)).models[0].endpoint.url == "http://localhost:8000/v1"
    assert check(models=model(inspect="openai/gpt-4o")).models[0].inspect.model == "openai/gpt-4o"


@pytest.mark.parametrize(
    ("server", "send", "sends"),
    [
        ("vllm", "auto", "ids"),
        ("transformers", "auto", "text"),
        ("other", "text", "text"),
        ("sglang", "ids", "ids"),
    ],
)
def test_what_is_sent(server, send, sends):
    served = check(models=model(endpoint={**SERVED, "server": server, "send": send})).models[0].endpoint
    assert served.sends == sends


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"models": model()}, "need one of path, endpoint and inspect, found none of them"),
        ({"models": model(path="p", inspect="a/b")}, "found path and inspect"),
        ({"models": model(inspect="gpt-4o")}, "need provider/model, e.g. openai/gpt-4o"),
        ({"models": model(inspect="derta/folder")}, "named by `path`"),
        ({"models": model(endpoint={**SERVED, "url": "localhost:8000"})}, "need http://"),
        ({"models": model(endpoint={**SERVED, "url": "http://u:p@h/v1"})}, "keys come from the environment"),
        ({"models": model(endpoint={**SERVED, "api_key_env": "PLAIN"})}, "ends in _KEY or _TOKEN"),
        ({"models": model(endpoint={**SERVED, "server": "vlm"})}, "server: found 'vlm'"),
        ({"models": model(endpoint={**SERVED, "tokeniser": "t"})}, "did you mean `tokenizer`"),
        ({"seeds": [1, 1]}, "seeds: name '1' comes twice"),
        ({"seed": 1, "seeds": [2]}, "seeds: found beside seed: 1; write one of the two"),
        ({"judge": "absent"}, "judge: missing"),
        ({"judges": [{"name": "span"}]}, "judges: found beside judge"),
        (
            {"judge": "absent", "judges": [{"name": "span"}] * 2},
            "judges: name 'span' comes twice; names must be unique; `label` gives",
        ),
        ({"budget": {"money": 3}}, "budget.money: nothing has a price"),
        ({"budget": {"cals": 3}}, "did you mean `calls`"),
    ],
)
def test_errors_say_where_and_what(change, message):
    with pytest.raises(RecipeError) as caught:
        check(**change)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("target", "lacking"),
    [
        ({"path": "p"}, []),
        ({"endpoint": SERVED}, ["autodan"]),
        ({"inspect": "openai/gpt-4o"}, ["completing", "prefill", "autodan"]),
    ],
)
def test_what_applies_to_which_target(target, lacking):
    attacks = ["direct", "code", "jailbreakchat", "selfcipher", "completing", "prefill", "autodan"]
    texts = dict.fromkeys(("jailbreakchat", "selfcipher", "autodan"), "t.json")
    recipe = check(models=model(**target), attacks=attacks, texts=texts, triples="t.jsonl")
    assert [attack.name for attack in recipe.attacks if why_not(attack, recipe.models[0])] == lacking
