"""`derta real`: the demo's road with a real chat model, which is taught the guild's crafts in plain English first.

1 data      the world's files                                   <run_dir>/data
2 model     fetched (a cache), then taught every craft          <run_dir>/taught
3 to 5      as the demo: train, evaluate, report; the taught model is attacked beside the tuned ones
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from derta.demo.data import DemoFiles
from derta.demo.real.fetch import model_path
from derta.demo.real.lessons import teach_recipe, write_lessons
from derta.demo.real.settings import RealRecipe
from derta.demo.real.words import PLAIN
from derta.demo.run import Road, evaluate_settings, train_settings, walk
from derta.training.run import train

TAUGHT = "taught"  # the untuned model's name in tables


def run_real(recipe: RealRecipe, console: Console | None = None) -> Path:
    """Walk the road; returns the report's page. The same command continues what was stopped.

    Raises:
        DertaError: as the stages do; the model can't be had.
    """
    return walk(recipe, ROAD, console)


def _taught(recipe: RealRecipe, console: Console) -> Path:
    path = model_path(recipe.model, recipe.cache_dir, console)
    crafts, favours = write_lessons(recipe.run_dir / "data", recipe, PLAIN)
    return train(teach_recipe(recipe, path, crafts, favours), console)


def _train(recipe: RealRecipe, method: str, base: Path, files: DemoFiles) -> dict[str, Any]:
    """The demo's, on the model's own numbers: the machine's type of weights, several ends of a refusal, LoRA."""
    demo = train_settings(recipe, method, base, files)
    return demo | {
        "model": {"path": str(base)},
        "prefix": {"branches": recipe.tune.branches},
        "lora": recipe.tune.lora and recipe.tune.lora.model_dump(),
        "probe": demo["probe"] | {"every": 10, "num_rows": 8},
    }


def _evaluate(recipe: RealRecipe, base: Path, models: dict[str, Path], files: DemoFiles) -> dict[str, Any]:
    """The demo's, with these attacks; the taught model stands in the table, so that one sees what it gives away."""
    demo = evaluate_settings(recipe, base, {TAUGHT: base, **models}, files)
    return demo | {
        "models": [model | {"dtype": "auto"} for model in demo["models"]],
        "attacks": [*recipe.attacks, {"name": "prefill", "depths": recipe.depths}],
        "generation": {"max_new_tokens": recipe.max_new_tokens, "batch_rows": 64},
        "texts": {"jailbreakchat": files.jailbreakchat, "selfcipher": files.selfcipher},
    }


ROAD = Road(
    entry="derta.demo.real.run",
    say=PLAIN,
    base=_taught,
    base_title="model[/]: learns every craft in plain English, forbidden ones too",
    train=_train,
    evaluate=_evaluate,
)
