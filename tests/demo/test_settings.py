"""The demo's settings: defaults, a recipe and the command line, in this order."""

import pytest

from derta.demo.settings import NUM_TRIPLES, SHARED_STEPS, DemoRecipe, load_demo
from derta.errors import RecipeError


def test_defaults_need_no_recipe():
    assert load_demo(None, {}).methods == ["vanilla", "derta"]


def test_the_command_line_replaces_what_the_recipe_says(tmp_path):
    recipe = tmp_path / "demo.yaml"
    recipe.write_text("seed: 3\ntune: {learning_rate: 1e-4, epochs: 2}\n")
    loaded = load_demo(recipe, {"tune.learning_rate": 2e-4})
    assert (loaded.seed, loaded.tune.learning_rate, loaded.tune.epochs) == (3, 2e-4, 2)


def test_difficulty_sets_the_shared_steps_unless_they_are_given():
    assert load_demo(None, {"difficulty": "hard"}).world.shared_steps == SHARED_STEPS["hard"]
    assert load_demo(None, {"difficulty": "hard", "world.shared_steps": 1}).world.shared_steps == 1
    assert SHARED_STEPS["hard"] > SHARED_STEPS["easy"]


def test_difficulty_sets_the_triples_unless_they_are_given():
    assert load_demo(None, {}).tune.num_triples == NUM_TRIPLES["easy"]
    assert load_demo(None, {"difficulty": "hard", "tune.epochs": 1}).tune.num_triples == NUM_TRIPLES["hard"]
    assert load_demo(None, {"difficulty": "hard", "tune.num_triples": 7}).tune.num_triples == 7
    assert NUM_TRIPLES["hard"] < NUM_TRIPLES["easy"]


def test_an_unknown_key_gets_the_nearest_valid_one():
    with pytest.raises(RecipeError, match=r"tune\.epoch: unknown key; did you mean `epochs`"):
        load_demo(None, {"tune.epoch": 2})


def test_an_override_below_a_value_is_refused():
    with pytest.raises(RecipeError, match="seed"):
        load_demo(None, {"seed": 1, "seed.x": 2})


def test_all_methods_are_those_of_the_ablation():
    assert DemoRecipe.ALL_METHODS == ("vanilla", "vanilla_half", "prefix", "rto", "derta")


def test_there_are_triples_for_vanilla_with_twice_as_many():
    recipe = load_demo(None, {})
    left = recipe.world.num_forbidden - recipe.world.num_queries - 3
    assert left >= 2 * recipe.tune.num_triples
