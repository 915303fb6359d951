"""Every shipped recipe is valid, each by its own kind, and those of the paper have the paper's numbers."""

from pathlib import Path

import pytest

from derta.config import load_recipe
from derta.evaluation.recipe import EvaluateRecipe
from derta.training.recipe import TrainRecipe

FOLDER = Path(__file__).parent.parent / "recipes"
RECIPES = sorted(FOLDER.glob("*.yaml"))


def load(path):
    if path.name.startswith("data_"):
        from derta.data.recipe import DataRecipe

        return load_recipe(path, DataRecipe)
    if path.name.startswith("capability"):
        from derta.capability.recipe import CapabilityRecipe

        return load_recipe(path, CapabilityRecipe)
    if path.name.startswith("demo"):
        from derta.demo.settings import load_demo

        return load_demo(path, {})
    if path.name.startswith("real"):
        from derta.demo.real.settings import load_real

        return load_real(path, {})
    return load_recipe(path, EvaluateRecipe if path.name.startswith("redteam") else TrainRecipe)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_shipped_recipe_is_valid_and_says_how_it_is_run(path):
    load(path)
    text = path.read_text(encoding="utf-8")
    assert text.startswith("#")
    assert "derta " in text.split("\n\n")[0]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_training_keys_are_the_librarys(path):
    recipe = load(path)
    if isinstance(recipe, TrainRecipe):
        from transformers import TrainingArguments

        assert set(recipe.training) <= set(TrainingArguments.__dataclass_fields__)


@pytest.mark.parametrize(
    ("name", "learning_rate", "max_length", "keep_rate", "lora"),
    [
        ("llama3_8b_full", 2e-5, 1024, 0.05, None),
        ("mistral_7b_full", 2e-5, 1024, 0.05, None),
        ("llama3_70b_lora", 1e-4, 512, 1.0, (96, 16, 0.05)),
        ("llama3_8b_instruct_lora", 1e-4, 512, 1.0, (96, 16, 0.05)),
        ("mixtral_8x7b_lora", 1e-4, 512, 1.0, (96, 16, 0.0)),
    ],
)
def test_the_papers_hyper_parameters(name, learning_rate, max_length, keep_rate, lora):
    recipe = load(FOLDER / f"{name}.yaml")
    assert recipe.method.name == "derta"
    assert recipe.batch.rows == 128
    assert (recipe.data.num_triples, recipe.data.num_benign) == (3000, 60_000)
    assert recipe.training["learning_rate"] == learning_rate
    assert recipe.training["weight_decay"] == 2e-5
    assert recipe.training["lr_scheduler_type"] == "cosine"
    assert recipe.training["warmup_steps"] == (0.03 if lora is None else 0)
    assert (recipe.max_length, recipe.rto.keep_rate) == (max_length, keep_rate)
    assert (recipe.lora and (recipe.lora.r, recipe.lora.alpha, recipe.lora.dropout)) == lora
    if name == "llama3_8b_instruct_lora":
        assert recipe.training["max_steps"] == 100
    else:
        assert recipe.training["num_train_epochs"] == 2
