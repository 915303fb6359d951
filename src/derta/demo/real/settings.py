"""Settings of `derta real`: the demo's, with a real model to begin with and the lessons that teach it the world."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from derta.config import Overrides, StrictModel, check_recipe, read_yaml, with_overrides
from derta.config.paths import PathOrId
from derta.demo.settings import DemoRecipe, TuneSettings, WorldSettings
from derta.training.recipe import LoraSettings


class RealWorldSettings(WorldSettings):
    """A smaller world than the demo's, asked about in plain chat only."""

    num_forbidden: int = Field(default=183, ge=4, le=864)
    """Evaluated crafts, SelfCipher's three, and the triples' (the rest: twice `tune.num_triples`, for vanilla)."""
    num_allowed: int = Field(default=130, ge=2, le=864)
    num_borderline: int = Field(default=110, ge=2, le=864)
    num_benign: int = Field(default=240, ge=1)
    benign_shares: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)


class TeachSettings(StrictModel):
    """How the model learns the crafts, before any safety training: all weights, plain chat answers."""

    answers: int = Field(default=3, ge=1)
    """Of each craft, each in other words."""
    favours: int = Field(default=40, ge=1)
    """Refused favours among them: how people refuse things. None refuses to teach a craft."""
    learning_rate: float = Field(default=3e-4, gt=0)
    batch_rows: int = Field(default=16, ge=1)


class RealTuneSettings(TuneSettings):
    """How every method is tuned, from the taught model."""

    num_triples: int = Field(default=40, ge=1)
    epochs: int = Field(default=2, ge=1)
    branches: int = Field(default=4, ge=1, le=64)
    """Refusals that go on to their end, each behind another prefix of a harmful response (`prefix.branches`). With
    one, the refusal's beginning has several labels in a response and its end a single one: the model begins to
    refuse again and again."""
    batch_rows: int = Field(default=16, ge=1)
    batch_tokens: int = Field(default=2048, ge=16)
    learning_rate: float = Field(default=5e-5, gt=0)
    lora: LoraSettings | None = None
    """None: all weights are tuned."""


class RealRecipe(DemoRecipe):
    """`derta real`."""

    run_dir: Path = Path("runs/real")
    cache_dir: Path = Path(".cache/real")
    """Where a downloaded or unpacked model stays."""
    model: PathOrId = "HuggingFaceTB/SmolLM2-135M-Instruct"
    """A model folder, a GGUF file or a hub id, with a chat template."""
    world: RealWorldSettings = RealWorldSettings()
    teach: TeachSettings = TeachSettings()
    tune: RealTuneSettings = RealTuneSettings()
    attacks: list[Any] = Field(default=["direct", "jailbreakchat", "completing"], min_length=1)
    """Beside prefill; code and selfcipher too, with a model that follows their long prompts (and more time)."""
    depths: list[int] = Field(default=[10, 20, 40], min_length=1)
    max_length: int = Field(default=256, ge=32)
    max_new_tokens: int = Field(default=110, ge=1)


def load_real(recipe: Path | None, overrides: Overrides) -> RealRecipe:
    """The settings: defaults, then the recipe, then the command line's dotted keys.

    Raises:
        RecipeError: unknown key, wrong type or value.
    """
    value = with_overrides(read_yaml(recipe) if recipe else {}, overrides)
    return check_recipe(value, RealRecipe, str(recipe or "derta real"))
