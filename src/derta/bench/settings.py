"""What a bench runs: methods, attacks, seeds, and the demo's settings for everything else."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from derta.attacks.catalogue import read_attack
from derta.config import Overrides, StrictModel, check_recipe, read_yaml, with_overrides
from derta.demo.settings import DemoRecipe, load_demo
from derta.methods import BASELINE, METHODS, PROPOSED

ALL_METHODS = tuple(name for name, method in METHODS.items() if method.units)
QUICK_METHODS = (BASELINE, PROPOSED, "counter")
# In the demo's world an answer has about 60 tokens; 300 are several of them joined.
ATTACKS: tuple[Any, ...] = (
    "direct",
    "code",
    "jailbreakchat",
    "selfcipher",
    "completing",
    {"name": "prefill", "depths": [0, 10, 30, 300], "join": True},
    "ban_refusal",
    "past_refusal",
    {"name": "rap", "ranks": [5, 20]},
    {"name": "insertion", "before": [4, 8], "spans": [4, 12]},
    {"name": "best_of_n", "tries": 20},
)


def _known(name: str) -> str:
    if name not in ALL_METHODS:
        raise ValueError(f"found {name!r}, need one of {', '.join(ALL_METHODS)}")
    return name


def _readable(attack: Any) -> Any:
    read_attack(attack)
    return attack


class BenchRecipe(StrictModel):
    """`derta bench`. The defaults are the quick bench."""

    run_dir: Path = Path("runs/bench")
    cache_dir: Path = Path(".cache/demo")
    """Base models, one a seed; shared with the demo."""
    methods: list[Annotated[str, AfterValidator(_known)]] = Field(default=[*QUICK_METHODS], min_length=1)
    attacks: list[Annotated[Any, AfterValidator(_readable)]] = Field(default=[*ATTACKS], min_length=1)
    """As in a recipe of `derta evaluate`."""
    seeds: list[int] = Field(default=[0], min_length=1)
    """Each has a world, a base model and triples of its own."""
    num_queries: int = Field(default=50, ge=1)
    """Evaluated crafts of each class, a seed."""
    demo: dict[str, Any] = Field(default_factory=dict)
    """Settings of `derta demo` in place of its defaults: difficulty, world, pretrain, tune, ..."""


def load_bench(recipe: Path | None, overrides: Overrides) -> BenchRecipe:
    """Defaults, then the recipe, then the command line's dotted keys.

    Raises:
        RecipeError: unknown key, wrong type or value.
    """
    value = with_overrides(read_yaml(recipe) if recipe else {}, overrides)
    checked = check_recipe(value, BenchRecipe, str(recipe or "derta bench"))
    demo_of(checked, checked.seeds[0])  # a wrong demo setting shows before anything runs
    return checked


def demo_of(recipe: BenchRecipe, seed: int) -> DemoRecipe:
    """The demo that is this seed's part of the grid.

    Raises:
        RecipeError: a setting of `demo` is wrong.
    """
    given = {
        **recipe.demo,
        "seed": seed,
        "methods": list(recipe.methods),
        "run_dir": str(recipe.run_dir / f"seed-{seed}"),
        "cache_dir": str(recipe.cache_dir),
    }
    made = load_demo(None, given)
    if "num_queries" in made.world.model_fields_set:
        return made
    world = made.world.model_copy(update={"num_queries": recipe.num_queries})
    return made.model_copy(update={"world": world})
