"""The dry run agrees with the paper's runs worked out by hand, and with the plan where there are data."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from derta.config import check_recipe, load_recipe
from derta.errors import ModelError, RecipeError
from derta.training.cost.dry_run import dry_run
from derta.training.cost.estimate import (
    GIB,
    activation_bytes,
    assumed_rows,
    estimate,
    flop_per_token,
    memory_parts,
)
from derta.training.cost.shapes import LLAMA_8B, LLAMA_70B, MIXTRAL, shape_of
from derta.training.encoding import records_and_method
from derta.training.preparation import prepare
from derta.training.recipe import TrainRecipe
from training_world import make_world, settings

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """No data beside the recipes."""
    monkeypatch.chdir(tmp_path)


def recipe_of(name, **changes):
    return load_recipe(RECIPES / f"{name}.yaml", TrainRecipe, changes)


def near(value):
    return pytest.approx(value, rel=0.1)


def test_shapes_count_the_published_parameters():
    assert pytest.approx(8.03e9, rel=0.001) == LLAMA_8B.parameters
    assert pytest.approx(70.55e9, rel=0.001) == LLAMA_70B.parameters
    assert pytest.approx(46.7e9, rel=0.001) == MIXTRAL.parameters
    assert pytest.approx(7.50e9, rel=0.001) == LLAMA_8B.matmul_weights
    assert pytest.approx(1.243e9, rel=0.001) == LLAMA_70B.lora_weights(96)


def test_the_8b_recipe_costs_what_was_worked_out_by_hand():
    recipe = recipe_of("llama3_8b_full")
    plain = recipe_of("llama3_8b_full", **{"training.gradient_checkpointing": False})
    rows = assumed_rows(recipe)
    assert rows.tokens == near(44.1e6)
    assert rows.steps == near(1031)
    assert rows.by_objective == {"benign": 120_000, "prefix": 6000, "rto": 6000}
    assert flop_per_token(plain, LLAMA_8B, 350) == near(45.3e9)
    assert flop_per_token(recipe, LLAMA_8B, 350) == near(59.2e9)
    made, made_plain = estimate(recipe, rows), estimate(plain, rows)
    assert made_plain.flop == near(2.00e18)
    assert made_plain.seconds_at_full_rate == near(42 * 60)
    assert made_plain.seconds - made_plain.optimizer_seconds == near(76 * 60)
    assert made.seconds_at_full_rate == near(55 * 60)
    assert made.optimizer_seconds == near(54)
    assert made.memory["weights, gradients, optimizer"] == near(119.7)
    assert activation_bytes(plain, LLAMA_8B) == near(5.7e6)
    assert activation_bytes(recipe, LLAMA_8B) == near(0.26e6)


def test_the_70b_recipe_costs_what_was_worked_out_by_hand():
    recipe = recipe_of("llama3_70b_lora")
    plain = recipe_of("llama3_70b_lora", **{"training.gradient_checkpointing": False})
    parts = memory_parts(recipe, LLAMA_70B, 1)
    assert parts["frozen weights"] / GIB == near(131.4)
    assert parts["adapters, gradients, optimizer"] / GIB == near(18.5)
    assert flop_per_token(plain, LLAMA_70B, 350) == near(285e9)
    assert flop_per_token(recipe, LLAMA_70B, 350) == near(425e9)
    assert estimate(plain, assumed_rows(plain)).seconds_at_full_rate == near(4.4 * 3600)
    assert not estimate(recipe, assumed_rows(recipe)).fits
    assert estimate(recipe, assumed_rows(recipe), num_gpus=8).fits
    four_bit = recipe_of("llama3_70b_lora", **{"model.load_in_4bit": True})
    assert memory_parts(four_bit, LLAMA_70B, 1)["frozen weights"] / GIB == near(36)


@pytest.mark.parametrize(
    "name", [path.stem for path in RECIPES.glob("*_*b_*.yaml") if "data" not in path.stem]
)
def test_every_recipe_of_the_paper_can_be_estimated_without_its_model_and_data(name, capsys):
    made = dry_run(recipe_of(name), Console(width=200, force_terminal=False), num_gpus=8)
    out = capsys.readouterr().out
    assert "row counts and lengths are assumed" in out
    assert "steps" in out
    assert "peak memory on each of 8 x H200" in out
    assert made.fits


def test_rows_are_counted_where_there_are_data(tmp_path, tiny_tokenizer, capsys):
    world = make_world(tmp_path, tiny_tokenizer)
    recipe = check_recipe(settings(world), TrainRecipe, "test")
    made = dry_run(recipe, Console(width=200, force_terminal=False))
    records, method = records_and_method(recipe)
    plan = prepare(recipe, method, records).plan
    assert (made.rows.tokens, made.rows.slots, made.rows.steps) == (
        plan.num_tokens,
        plan.num_slots,
        plan.num_steps,
    )
    assert made.rows.exact
    assert "assumed" not in capsys.readouterr().out
    assert not (world / "run").exists(), "a dry run leaves nothing"


def test_a_config_gives_the_shape(tmp_path):
    config = {
        "hidden_size": 64,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "intermediate_size": 128,
        "num_hidden_layers": 3,
        "vocab_size": 100,
        "tie_word_embeddings": True,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    shape = shape_of(str(tmp_path))
    # q 8 x 16 = 128, kv 2 x 16 = 32; a layer: 2 x 64 x 128 + 2 x 64 x 32 + 3 x 64 x 128 = 45,056
    assert shape.parameters == 3 * 45_056 + 6400
    (tmp_path / "config.json").write_text('{"hidden_size": 64}')
    with pytest.raises(ModelError, match=r"config\.json: has no num_attention_heads"):
        shape_of(str(tmp_path))


def test_what_is_not_known_is_named():
    with pytest.raises(ModelError, match=r"nobody/model.*hf download"):
        shape_of("nobody/model")
    recipe = recipe_of("llama3_8b_full")
    with pytest.raises(RecipeError, match=r"GPU B300 x 1: need .*H200"):
        estimate(recipe, assumed_rows(recipe), gpu="B300")
