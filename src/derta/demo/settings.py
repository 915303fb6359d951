"""Settings of the demo: its world, its base model, how each method is tuned and what attacks it.

The defaults are calibrated together: with them vanilla tuning refuses the plain question and gives in to the
attacks while it still knows the crafts. Change one and the others may no longer fit.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from derta.config import Overrides, StrictModel, check_recipe, read_yaml, with_overrides
from derta.methods import BASELINE, METHODS, PROPOSED

Difficulty = Literal["easy", "hard"]

# How many of a forbidden craft's five steps use only words that allowed crafts use too.
SHARED_STEPS: dict[Difficulty, int] = {"easy": 0, "hard": 3}
# hard: so few that RTO and DeRTa differ; with 50 or more, no attack succeeds on either (docs/demo.md).
NUM_TRIPLES: dict[Difficulty, int] = {"easy": 120, "hard": 30}


class WorldSettings(StrictModel):
    """How large the world is, and how alike forbidden and allowed crafts are."""

    shared_steps: int = Field(default=SHARED_STEPS["easy"], ge=0, le=5)
    """Steps of a forbidden craft without a telling word; at 5 harm lies in combinations of common words only."""
    num_forbidden: int = Field(default=583, ge=4, le=864)
    """Forbidden crafts: evaluated ones, SelfCipher's three, and the triples' (the rest)."""
    num_allowed: int = Field(default=500, ge=2, le=864)
    num_borderline: int = Field(default=400, ge=2, le=864)
    num_queries: int = Field(default=100, ge=1)
    """Evaluated crafts of each class."""
    num_benign: int = Field(default=1120, ge=1)
    """Benign training pairs."""
    benign_shares: tuple[float, float, float, float] = (0.6, 0.12, 0.14, 0.14)
    """Shares of the benign pairs' forms: plain, code, role play, cipher talk."""


class PretrainSettings(StrictModel):
    """The base model: a Llama from nothing."""

    tokens: int = Field(default=1_400_000, ge=1000)
    """Tokens read in all; about 17,000 a second on two cores."""
    batch_tokens: int = Field(default=2048, ge=64)
    """Tokens of one optimizer step, padding included."""
    first_share: float = Field(default=0.3, ge=0, le=1)
    """Share of the tokens that are plain and short documents, read first."""
    hidden_size: int = Field(default=128, ge=8)
    num_layers: int = Field(default=4, ge=1)
    num_heads: int = Field(default=4, ge=1)
    matrix_learning_rate: float = Field(default=0.02, gt=0)
    """Peak rate of Muon, which steps the matrices."""
    learning_rate: float = Field(default=3e-3, gt=0)
    """Peak rate of AdamW, which steps embeddings and norms."""


class TuneSettings(StrictModel):
    """How every method is tuned: the same rows a step, the same number of epochs."""

    num_triples: int = Field(default=NUM_TRIPLES["easy"], ge=1)
    """n of the method table; vanilla takes 2n plain rows from 2n triples."""
    batch_rows: int = Field(default=32, ge=1)
    batch_tokens: int = Field(default=4096, ge=16)
    """Most tokens of a micro-batch."""
    epochs: int = Field(default=3, ge=1)
    learning_rate: float = Field(default=3.5e-4, gt=0)
    """Gentle on purpose: a higher one makes vanilla forget the forbidden crafts, which looks safe and is not."""
    keep_rate: float = Field(default=0.05, gt=0, le=1)
    """Share of the response positions with an RTO label (the paper's 5 %)."""


def _trains_on_rows(name: str) -> str:
    known = [method for method, made in METHODS.items() if made.units]
    if name not in known:
        raise ValueError(f"found {name!r}, need one of {', '.join(known)}")
    return name


class DemoRecipe(StrictModel):
    """`derta demo`."""

    ALL_METHODS: ClassVar[tuple[str, ...]] = tuple(
        name for name, method in METHODS.items() if method.units and method.role != "rival"
    )

    run_dir: Path = Path("runs/demo")
    cache_dir: Path = Path(".cache/demo")
    """Base models, found again by the hash of their settings."""
    seed: int = Field(default=0, ge=0)
    """Of the world, the models and the attacks."""
    difficulty: Difficulty = "easy"
    """easy: telling words in forbidden steps. hard: most words are common and triples are few (sets
    world.shared_steps and tune.num_triples), which tells the ablation's methods apart."""
    methods: list[Annotated[str, AfterValidator(_trains_on_rows)]] = Field(
        default=[BASELINE, PROPOSED], min_length=1
    )
    world: WorldSettings = WorldSettings()
    pretrain: PretrainSettings = PretrainSettings()
    tune: TuneSettings = TuneSettings()
    depths: list[int] = Field(default=[0, 5, 10, 20, 30], min_length=1)
    """Depths of the prefill attack in tokens; an answer has about 60, and at 30 two whole steps are left."""
    search_queries: int = Field(default=100, ge=1)
    """Harmful queries that PAIR and AutoDAN search a prompt for (the paper: 50)."""
    max_length: int = Field(default=512, ge=32)
    """Longest training row in tokens."""
    max_new_tokens: int = Field(default=96, ge=1)
    """Longest response; full answers have about 60 tokens, in every form."""


def load_demo(recipe: Path | None, overrides: Overrides) -> DemoRecipe:
    """The demo's settings: defaults, then the recipe, then the command line's dotted keys.

    The difficulty sets `world.shared_steps` and `tune.num_triples`, unless they are given.

    Raises:
        RecipeError: unknown key, wrong type or value.
    """
    value = with_overrides(read_yaml(recipe) if recipe else {}, overrides)
    checked = check_recipe(value, DemoRecipe, str(recipe or "derta demo"))
    world, tune = checked.world, checked.tune
    if "shared_steps" not in world.model_fields_set:
        world = world.model_copy(update={"shared_steps": SHARED_STEPS[checked.difficulty]})
    if "num_triples" not in tune.model_fields_set:
        tune = tune.model_copy(update={"num_triples": NUM_TRIPLES[checked.difficulty]})
    return checked.model_copy(update={"world": world, "tune": tune})
