"""The recipe of `derta evaluate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SerializeAsAny, WrapValidator, field_validator, model_validator

from derta.attacks.catalogue import read_attack, text_names
from derta.attacks.contract import Attack
from derta.config.paths import PathOrId, judge_at_home
from derta.config.strict import StrictModel, unknown_key
from derta.config.targets import TargetModel
from derta.encode.settings import ChatSettings, RefusalSettings
from derta.records import QueryKind


class GenerationSettings(StrictModel):
    """How responses are generated (paper: greedy, at most 1,024 new tokens, no system prompt)."""

    max_new_tokens: int = Field(default=1024, ge=1)
    temperature: float = Field(default=0.0, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    batch_rows: int = Field(default=64, ge=1)
    """Most responses in flight at once on a local model."""
    batch_tokens: int = Field(default=262_144, ge=1)
    """Most tokens in the cache of a local model, padding included; bounds its memory. Up to an eighth more is kept
    of earlier prompts, whose beginnings later ones may share."""


class Price(StrictModel):
    """US dollars, or any one currency, for a million tokens."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)


class Budget(StrictModel):
    """Most that one `derta evaluate` may ask of models that are not computed here: targets, attackers, judges.

    What is spent, the calls that failed included, is counted anew each time the command runs.
    """

    calls: int | None = Field(default=None, ge=1)
    tokens: int | None = Field(default=None, ge=1)
    """Read and written together."""
    money: float | None = Field(default=None, gt=0)
    """In the currency of `prices`."""


AttackEntry = Annotated[SerializeAsAny[Attack], WrapValidator(lambda value, _: read_attack(value))]


class EvaluateRecipe(StrictModel):
    """`derta evaluate`: models x attacks x judges x seeds."""

    run_dir: Path
    seed: int = Field(default=0, ge=0)
    """Of one run; `seeds: [0, 1, 2]` instead makes one of each."""
    seeds: list[Annotated[int, Field(ge=0)]] = Field(default=[], validate_default=True)
    models: list[TargetModel] = Field(min_length=1)
    base: PathOrId | None = None
    """Untuned model (folder or hub id): the knowledge control compares every model with it."""
    chat: ChatSettings = ChatSettings()
    refusal: RefusalSettings = RefusalSettings()
    """The refusal token of the hazard curve."""
    queries: Path
    """Questions: queries.jsonl, a published set as it is (HarmBench, AdvBench, JailbreakBench, StrongREJECT, XSTest,
    OR-Bench, Do-Not-Answer), a table or JSON with a column of questions, or plain text, one a line."""
    kind: QueryKind | None = None
    """What the questions are where their file does not say it (default: harmful)."""
    limit: int | None = Field(default=None, ge=1)
    """Only so many of the questions, the first ones: for a first look."""
    triples: Path | None = None
    """Held-out triples: their harmful responses are the prefills, and what the hazard curve runs along."""
    benign: Path | None = None
    """Held-out benign pairs, for the benign hazard curve."""
    attacks: list[AttackEntry] = Field(min_length=1)
    """{name, settings...}; a bare name takes the attack's defaults."""
    judge: dict[str, Any]
    """name: one of the judges; label: its name in tables (default: name); all other keys are its settings.
    `judges: [{...}, {...}]` instead has every response read by each of them; the first one guides PAIR."""
    judges: list[dict[str, Any]] = Field(default_factory=list)
    generation: GenerationSettings = GenerationSettings()
    texts: dict[str, Path] = Field(default_factory=dict)
    """Texts that attacks need, loaded at run time; none are shipped (formats: attacks/texts.py)."""
    max_unknown_rate: float = Field(default=0.05, ge=0, le=1)
    """The run ends with an error (after writing its files) if more than this share has no verdict."""
    budget: Budget | None = None
    prices: dict[str, Price] = Field(default_factory=dict)
    """By the name of a target, or by an Inspect model (attacker, judge), e.g. openai/gpt-4o."""

    @model_validator(mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        """`seed` and `judge` are the first of `seeds` and `judges`; each may be given in one form only."""
        if not isinstance(value, dict):
            return value
        value = dict(value)
        for one, many, default in (("seed", "seeds", 0), ("judge", "judges", None)):
            several = value.get(many)
            if not several:
                chosen = value.get(one, default)
                value[many] = [] if chosen is None else [chosen]
            elif not isinstance(several, list):
                continue  # the field's own message is clear
            elif value.setdefault(one, several[0]) != several[0]:
                raise ValueError(f"{many}: found beside {one}: {value[one]!r}; write one of the two")
        return value

    @field_validator("texts")
    @classmethod
    def _known_texts(cls, texts: dict[str, Path]) -> dict[str, Path]:
        known = text_names()
        for name in texts:
            if name not in known:
                raise ValueError(f"{name}: {unknown_key(name, known)}")
        return texts

    @field_validator("judges")
    @classmethod
    def _judges_at_home(cls, judges: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [judge_at_home(judge) for judge in judges]

    @model_validator(mode="after")
    def _complete(self) -> EvaluateRecipe:
        named: dict[str, list[str]] = {
            "models": [model.name for model in self.models],
            "attacks": [attack.name for attack in self.attacks],
            "judges": [str(judge.get("label", judge.get("name"))) for judge in self.judges],
            "seeds": [str(seed) for seed in self.seeds],
        }
        hint = dict.fromkeys(named, "") | {"judges": "; `label` gives a judge another one"}
        for what, names in named.items():
            double = sorted({name for name in names if names.count(name) > 1})
            if double:
                raise ValueError(f"{what}: name {double[0]!r} comes twice; names must be unique{hint[what]}")
        if self.budget is not None and self.budget.money is not None and not self.prices:
            raise ValueError(
                "budget.money: nothing has a price; name prices, or use budget.calls or budget.tokens"
            )
        return self

    def unset(self, attack: Attack) -> list[str]:
        """What to say of each file that an attack needs and the recipe does not name."""
        found = {field: why for field, why in attack.files().items() if self.file(field) is None}
        return [f"{field}: missing; {why} (formats: docs/evaluation.md)" for field, why in found.items()]

    def file(self, field: str) -> Path | None:
        """The file that a field names, e.g. `triples` or `texts.NAME`."""
        owner, _, name = field.rpartition(".")
        path: Path | None = self.texts.get(name) if owner else getattr(self, name)
        return path


def settings_without_recipe(models: Sequence[str]) -> dict[str, Any]:
    """What `derta evaluate --model PATH --queries FILE` runs: a recipe's settings but queries and run_dir.

    models: a folder, an adapter's folder or a hub id each, or name=path; unnamed, a model is called by its folder.
    Without one, `models` stays unset.
    """
    settings: dict[str, Any] = {"attacks": ["direct", "code"], "judge": {"name": "span"}}
    return settings | ({"models": [_target(model) for model in models]} if models else {})


def _target(model: str) -> dict[str, str]:
    name, equals, path = model.partition("=")
    if not (equals and name and path) or "/" in name or Path(model).exists():
        parts = [part for part in Path(model).parts if part not in ("/", "..")]
        inner = len(parts) > 1 and parts[-1] in ("model", "adapter")  # of a run folder: the run tells more
        name, path = (parts[-2] if inner else parts[-1]) if parts else model, model
    return {"name": name, "method": name, "path": path}
