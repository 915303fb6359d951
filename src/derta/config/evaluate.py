"""The recipe of `derta evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from derta.config.attacks import AttackSettings
from derta.config.strict import StrictModel
from derta.config.train import ChatSettings, RefusalSettings


class GenerationSettings(StrictModel):
    """How responses are generated (paper: greedy, at most 1,024 new tokens, no system prompt)."""

    max_new_tokens: int = Field(default=1024, ge=1)
    temperature: float = Field(default=0.0, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    batch_rows: int = Field(default=64, ge=1)
    """Most responses in flight at once on a local model."""
    batch_tokens: int = Field(default=262_144, ge=1)
    """Most tokens in the cache of a local model, padding included; bounds its memory."""


class TargetModel(StrictModel):
    """A model under test."""

    name: str
    """Shown in tables; unique."""
    method: str
    """Training method, e.g. derta; shown in tables."""
    path: str
    """Local folder or hub id."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"


class TextFiles(StrictModel):
    """Texts that attacks need, loaded at run time; none are shipped (formats: attacks/texts.py)."""

    jailbreakchat: Path | None = None
    selfcipher: Path | None = None
    completing: Path | None = None
    pair: Path | None = None
    """Attacker instructions instead of the built-in ones."""
    autodan: Path | None = None
    """Prototype prompts."""
    thesaurus: Path | None = None
    """Synonyms for AutoDAN, instead of WordNet."""
    affirmative: Path | None = None
    """Affirmative openings by query id, for PAIR and AutoDAN."""


class EvaluateRecipe(StrictModel):
    """`derta evaluate`: models x attacks, judged."""

    run_dir: Path
    seed: int = Field(default=0, ge=0)
    models: list[TargetModel] = Field(min_length=1)
    base: str | None = None
    """Untuned model (folder or hub id): the knowledge control compares every model with it."""
    chat: ChatSettings = ChatSettings()
    refusal: RefusalSettings = RefusalSettings()
    """The refusal token of the hazard curve."""
    queries: Path
    triples: Path | None = None
    """Held-out triples: their harmful responses are the prefills, and what the hazard curve runs along."""
    benign: Path | None = None
    """Held-out benign pairs, for the benign hazard curve."""
    attacks: list[AttackSettings] = Field(min_length=1)
    """{name, settings...}; a bare name takes the attack's defaults."""
    judge: dict[str, Any]
    """name: one of the judges; all other keys are that judge's settings."""
    generation: GenerationSettings = GenerationSettings()
    texts: TextFiles = TextFiles()
    max_unknown_rate: float = Field(default=0.05, ge=0, le=1)
    """The run ends with an error (after writing its files) if more than this share has no verdict."""

    @field_validator("attacks", mode="before")
    @classmethod
    def _bare_names(cls, attacks: Any) -> Any:
        if not isinstance(attacks, list):
            return attacks
        return [{"name": attack} if isinstance(attack, str) else attack for attack in attacks]

    @model_validator(mode="after")
    def _complete(self) -> EvaluateRecipe:
        named: dict[str, list[str]] = {
            "models": [model.name for model in self.models],
            "attacks": [attack.name for attack in self.attacks],
        }
        for what, names in named.items():
            double = sorted({name for name in names if names.count(name) > 1})
            if double:
                raise ValueError(f"{what}: name {double[0]!r} comes twice; names must be unique")
        for attack in self.attacks:
            if attack.name == "prefill" and self.triples is None:
                raise ValueError(
                    "triples: missing; the prefill attack takes its openings from held-out triples"
                )
            if (
                attack.name in ("jailbreakchat", "selfcipher", "autodan")
                and getattr(self.texts, attack.name) is None
            ):
                raise ValueError(
                    f"texts.{attack.name}: missing; the attack {attack.name} reads its texts from there"
                )
        return self
