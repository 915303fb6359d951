"""Recipes: strict YAML, checked before anything heavy is loaded.

Unknown keys are refused with the nearest valid one; every message is `file: field: found, needed`.
"""

from __future__ import annotations

import difflib
import re
import types
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from derta.errors import RecipeError

Method = Literal["vanilla", "vanilla_half", "prefix", "rto", "derta", "dpo"]
METHODS: tuple[Method, ...] = get_args(Method)


class StrictModel(BaseModel):
    """Base of all recipe parts: immutable, unknown keys refused, numbers never NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())


Recipe = TypeVar("Recipe", bound=StrictModel)


class _Loader(yaml.SafeLoader):
    """YAML's safe loader; also reads `1e-4` (no dot, which YAML 1.1 takes for text) as a number."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


class ModelSettings(StrictModel):
    """The model to tune."""

    path: str
    """Local folder or hub id of a causal LM."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Type of the loaded weights. auto: float32 (computed in bfloat16 on a GPU; smaller updates than bfloat16 can
    hold would be lost); with LoRA on a GPU, where these weights are frozen, bfloat16."""
    trust_remote_code: bool = False
    """Run Python code that comes with the model. Off: such a model is refused."""
    load_in_4bit: bool = False
    """Keep the frozen weights in 4 bits (QLoRA): a GPU, bitsandbytes and `lora` are needed."""


class ChatSettings(StrictModel):
    """How a conversation becomes ids; one renderer serves training, attacks and evaluation."""

    template: str | None = None
    """None: the tokenizer's own chat template; "plain": a plain User/Assistant form for base models; else a
    path to a Jinja file."""


class DataSettings(StrictModel):
    """Training data, and how much of it."""

    triples: Path
    benign: Path
    num_triples: int | None = Field(default=None, ge=1)
    """n of the method table: rto, prefix and derta use n triples, vanilla 2n, vanilla_half n. None: all that
    the file holds (for vanilla: n = half of them)."""
    num_benign: int | None = Field(default=None, ge=0)
    """None: all benign pairs."""


class RefusalSettings(StrictModel):
    """What a refusal begins with, and which id stands for it."""

    text: str = "Sorry"
    """Opening of a refusal; its first token is the refusal token."""
    token: Literal["start", "contextual"] = "start"
    """start: the id at the start of a response everywhere (paper); contextual: mid-response, the id with which
    the tokenizer continues running text."""


class PrefixSettings(StrictModel):
    """MLE with harmful response prefix."""

    k: Literal["thirds", "uniform"] = "thirds"
    """thirds: k = 0 for one third of the rows, else uniform in 1..|h|; uniform: uniform in 0..|h| (eq. 2)."""
    branches: int = Field(default=1, ge=1, le=64)
    """Safe responses attached to one harmful response, each with its own k (paper: 1)."""


class RtoSettings(StrictModel):
    """Reinforced transition optimization."""

    keep_rate: float = Field(default=1.0, gt=0, le=1)
    """Share of response positions that carry the refusal label (paper: 0.05 full tuning, 1.0 LoRA)."""
    end_of_text: bool = False
    """Also label the end-of-text position (the released code does; teaches "answer fully, then apologise")."""


class ProbeSettings(StrictModel):
    """Probability of the refusal token along held-out responses, measured while training."""

    triples: Path
    benign: Path
    every: int = Field(default=50, ge=1)
    """Optimizer steps between measurements."""
    num_rows: int = Field(default=32, ge=1)
    """Responses of each kind."""


class LoraSettings(StrictModel):
    """Low-rank adapters on all attention and MLP projections (paper: r 96, alpha 16, dropout 0.05)."""

    r: int = Field(default=96, ge=1)
    alpha: int = Field(default=16, ge=1)
    dropout: float = Field(default=0.05, ge=0, lt=1)
    """Must be 0 where experts share one weight tensor (Mixtral and other mixtures of experts)."""


class DpoSettings(StrictModel):
    """The dpo baseline: one more pass from a vanilla run (paper: learning rate 5e-7 for 8B, 2e-6 for 70B)."""

    start_from: str
    """Folder of the vanilla run's model, or of its adapter (then model.path names what the adapter sits on)."""
    beta: float = Field(default=0.1, gt=0)
    """Higher: stays closer to the vanilla model."""
    preferences: Path | None = None
    """Benign pairs to keep helpfulness: JSON lines {id, benign_query, chosen, rejected}."""


class BatchSettings(StrictModel):
    """How rows become micro-batches. The global batch fixes the numbers; the rest only fits the machine."""

    rows: int = Field(default=128, ge=1)
    """Rows per optimizer step over all processes (paper: 128)."""
    tokens: int = Field(default=8192, ge=16)
    """Most tokens in one micro-batch of one process."""
    line_tokens: int | None = Field(default=None, ge=16)
    """Most tokens packed in one line of a micro-batch. None: the longest row (CPU, dense mask) or `tokens`
    (GPU, block-sparse mask)."""
    packing: Literal["auto", "off"] = "auto"
    """auto: several rows share a line where the architecture computes them exactly; off: each row has its own."""

    @field_validator("packing", mode="before")
    @classmethod
    def _yaml_words(cls, value: Any) -> Any:
        return _on_or_off(value)


def _on_or_off(value: Any) -> Any:
    """YAML reads a bare on or off as a truth value."""
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else value


class TrainRecipe(StrictModel):
    """`derta train`: one method on one model."""

    run_dir: Path
    seed: int = Field(default=0, ge=0)
    method: Method
    model: ModelSettings
    chat: ChatSettings = ChatSettings()
    data: DataSettings
    refusal: RefusalSettings = RefusalSettings()
    prefix: PrefixSettings = PrefixSettings()
    rto: RtoSettings = RtoSettings()
    shared_trunk: Literal["auto", "on", "off"] = "auto"
    """Compute prompt and harmful response once for a triple's prefix and RTO rows. auto: where it is exact; on:
    refuse an architecture where it is not. The numbers are the same, but for LoRA dropout (drawn per token)."""
    lora: LoraSettings | None = None
    """None: full fine-tuning."""
    dpo: DpoSettings | None = None
    """Needed by method dpo alone."""
    max_length: int = Field(default=1024, ge=8)
    """Longest row in tokens; what is cut off is counted and reported."""
    on_long: Literal["drop", "cut"] = "drop"
    """What happens to a benign or safe response whose end does not fit: drop the row, or train on what fits,
    without an end-of-text target (as the paper's code does). Both are counted and reported."""
    max_dropped_rate: float = Field(default=0.01, ge=0, le=1)
    """The run stops if more than this share of rows lose all their labels to `max_length`."""
    batch: BatchSettings = BatchSettings()
    probe: ProbeSettings | None = None
    training: dict[str, Any] = Field(default_factory=dict)
    """Keys of transformers' TrainingArguments under their own names, e.g. learning_rate."""

    @model_validator(mode="after")
    def _no_double_settings(self) -> TrainRecipe:
        for key, instead in OWNED_TRAINING_KEYS.items():
            if key in self.training:
                raise ValueError(f"training.{key}: set by derta; {instead}")
        if (self.method == "dpo") != (self.dpo is not None):
            found = "it is missing" if self.dpo is None else f"found method: {self.method}"
            raise ValueError(
                f"dpo: settings of method dpo, {found}; dpo.start_from names a vanilla run's model"
            )
        if self.model.load_in_4bit and self.lora is None:
            raise ValueError(
                "model.load_in_4bit: weights of 4 bits are frozen; add `lora:` to train adapters"
            )
        if self.shared_trunk == "on" and self.batch.packing == "off":
            raise ValueError("shared_trunk: on contradicts batch.packing: off (a trunk row is packed)")
        return self

    @field_validator("shared_trunk", mode="before")
    @classmethod
    def _yaml_words(cls, value: Any) -> Any:
        return _on_or_off(value)


# TrainingArguments that derta sets itself, and what to write instead.
OWNED_TRAINING_KEYS = {
    "output_dir": "use `run_dir`",
    "seed": "use `seed`",
    "data_seed": "use `seed`",
    "per_device_train_batch_size": "use `batch.rows` (global) and `batch.tokens` (micro-batch)",
    "gradient_accumulation_steps": "it follows from `batch.rows` and `batch.tokens`",
    "train_sampling_strategy": "the order follows from `seed`",
    "remove_unused_columns": "rows carry their own columns",
    "label_names": "rows carry their own targets",
    "label_smoothing_factor": "the loss is derta's",
    "bf16": "use `model.dtype`",
    "fp16": "use `model.dtype` (float16 is not supported)",
    "use_cpu": "an accelerator is used where there is one; hide it with CUDA_VISIBLE_DEVICES=",
    "disable_tqdm": "the progress bar is derta's",
    "save_strategy": "use `training.save_steps`",
    "logging_strategy": "use `training.logging_steps`",
    "logging_nan_inf_filter": "a step that is not finite is skipped and written to skipped_steps.jsonl",
    "auto_find_batch_size": "micro-batches halve by themselves when memory runs out",
    "accelerator_config": "the plan shares micro-batches out",
    "dataloader_drop_last": "the plan holds every row",
    "ignore_data_skip": "a resume continues where it stopped",
    "resume_from_checkpoint": "the newest whole checkpoint of `run_dir` is taken",
    "load_best_model_at_end": "the last weights are kept",
    "save_only_model": "checkpoints hold all that a resume needs",
    "push_to_hub": "push the finished model folder yourself",
    "use_liger_kernel": "the loss is derta's",
}


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


class DirectAttack(StrictModel):
    """The plain query; asked for harmful, benign and borderline queries alike."""

    name: Literal["direct"] = "direct"


class CodeAttack(StrictModel):
    """The query as words on a stack, the answer as slots of a list."""

    name: Literal["code"] = "code"


class JailbreakChatAttack(StrictModel):
    """The query in a template from the file texts.jailbreakchat."""

    name: Literal["jailbreakchat"] = "jailbreakchat"
    cross_product: bool = False
    """Every query in every template, instead of one template drawn per query."""
    placeholder: str = "[INSERT PROMPT HERE]"
    """Where a template takes the query."""


class SelfCipherAttack(StrictModel):
    """A role and demonstrations from the file texts.selfcipher, then the query."""

    name: Literal["selfcipher"] = "selfcipher"
    mode: Literal["paper", "original"] = "paper"
    """paper: all in one user turn; original: role and demonstrations of the query's category in the system turn."""


class CompletingAttack(StrictModel):
    """The query's opening as raw text; openings may come from the file texts.completing."""

    name: Literal["completing"] = "completing"
    bos: bool = True
    """Keep the beginning-of-text token."""


class PrefillAttack(StrictModel):
    """The assistant turn is opened with the first tokens of the triples' harmful responses."""

    name: Literal["prefill"] = "prefill"
    depths: list[int] = Field(default=[0, 5, 10, 20, 40, 80, 160], min_length=1)
    """Tokens of the harmful response; responses that are too short for a depth are left out there, and counted."""

    @field_validator("depths")
    @classmethod
    def _depths_ascend(cls, depths: list[int]) -> list[int]:
        if depths != sorted(set(depths)) or depths[0] < 0:
            raise ValueError(f"found {depths}, need different depths >= 0 in ascending order")
        return depths


class PairAttack(StrictModel):
    """An attacker model rewrites the query in parallel conversations, guided by a judge's score."""

    name: Literal["pair"] = "pair"
    attacker: str
    """Any Inspect model, e.g. openai/gpt-4o-mini."""
    search_judge: str = "judge"
    """Any Inspect model, asked for a score of 1 to 10; judge: the recipe's own judge (harmful 10, else 1)."""
    preset: Literal["20x3", "3x3", "5x20", "30x3"] = "20x3"
    """Streams x iterations (paper: 20x3)."""
    streams: int | None = Field(default=None, ge=1)
    """Instead of the preset's."""
    iterations: int | None = Field(default=None, ge=1)
    """Instead of the preset's."""
    num_queries: int | None = Field(default=50, ge=1)
    """The first so many harmful queries (paper: 50). None: all."""
    affirmative: str = "Sure, here is"
    """How an answer that does not refuse begins, where the file texts.affirmative has no text for the query."""
    attempts: int = Field(default=5, ge=1)
    """Tries until the attacker's answer can be read."""
    kept_exchanges: int = Field(default=4, ge=0)
    """Latest exchanges that the attacker sees again."""
    target_tokens: int = Field(default=150, ge=1)
    """Most new tokens of the model under test while searching."""
    attacker_tokens: int = Field(default=500, ge=1)
    attacker_temperature: float = Field(default=1.0, ge=0)
    attacker_top_p: float = Field(default=0.9, gt=0, le=1)
    max_connections: int = Field(default=64, ge=1)
    """Requests in flight at once to the attacker, and to the search judge."""

    @property
    def size(self) -> tuple[int, int]:
        """(streams, iterations)."""
        streams, iterations = (int(number) for number in self.preset.split("x"))
        return self.streams or streams, self.iterations or iterations


class AutoDanAttack(StrictModel):
    """Prompts bred on the model's own probabilities, from the prototypes in the file texts.autodan."""

    name: Literal["autodan"] = "autodan"
    num_queries: int | None = Field(default=50, ge=1)
    """The first so many harmful queries (paper: 50). None: all."""
    affirmative: str = "Sure, here is"
    """How an answer that does not refuse begins, where the file texts.affirmative has no text for the query."""
    mutation_model: str | None = None
    """Any Inspect model; None: synonyms mutate."""
    population: int = Field(default=64, ge=2)
    steps: int = Field(default=100, ge=1)
    elites: float = Field(default=0.1, ge=0, lt=1)
    """Share of the population that stays as it is (at least one prompt)."""
    paragraph_every: int = Field(default=5, ge=1)
    """Every so many steps paragraph level, the others sentence level."""
    crossover: float = Field(default=0.5, ge=0, le=1)
    crossover_points: int = Field(default=5, ge=1)
    mutation: float = Field(default=0.01, ge=0, le=1)
    replacements: int = Field(default=5, ge=1)
    """Most words replaced in a paragraph at the sentence level."""
    search_tokens: int = Field(default=64, ge=1)
    """Most new tokens of the answer that tells whether to stop."""
    batch_tokens: int = Field(default=4096, ge=1)
    """Tokens of one packed line of prompts to score; bounds memory."""


AttackSettings = Annotated[
    DirectAttack
    | CodeAttack
    | JailbreakChatAttack
    | SelfCipherAttack
    | CompletingAttack
    | PrefillAttack
    | PairAttack
    | AutoDanAttack,
    Field(discriminator="name"),
]


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


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        RecipeError: the file is missing, is not YAML, or holds no mapping.
    """
    try:
        value = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except OSError as error:
        raise RecipeError(f"{path}: can't be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: not UTF-8 at byte {error.start + 1}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise RecipeError(f"{where}: not YAML: {getattr(error, 'problem', error)}") from None
    if not isinstance(value, dict):
        raise RecipeError(f"{path}: need a mapping of settings, found {type(value).__name__}")
    return value


def parse_value(text: str) -> Any:
    """A setting from the command line, read as YAML (`1e-4` is a number, `[1, 2]` a list).

    Raises:
        RecipeError: not YAML.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError:
        raise RecipeError(f"{text!r}: not a YAML value") from None


def load_recipe(path: Path, model: type[Recipe], overrides: dict[str, Any] | None = None) -> Recipe:
    """Read and check a recipe.

    overrides: dotted keys that replace the file's values (from the command line).

    Raises:
        RecipeError: unreadable file, unknown key (with the nearest valid one), wrong type or contradiction.
    """
    value = read_yaml(path)
    for key, override in (overrides or {}).items():
        _set(value, key.split("."), override)
    return check_recipe(value, model, str(path))


def check_recipe(value: dict[str, Any], model: type[Recipe], where: str) -> Recipe:
    """The recipe in `value`; `where` names its origin in messages.

    Raises:
        RecipeError: as `load_recipe`.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        lines = [f"{where}: {_explain(fault, model)}" for fault in error.errors()]
        raise RecipeError("\n".join(lines)) from None


def _set(value: dict[str, Any], keys: list[str], override: Any) -> None:
    for key in keys[:-1]:
        value = value.setdefault(key, {})
        if not isinstance(value, dict):
            raise RecipeError(f"override {'.'.join(keys)}: `{key}` is not a mapping")
    value[keys[-1]] = override


def _explain(fault: Any, model: type[BaseModel]) -> str:
    location = [str(part) for part in fault["loc"]]
    field = ".".join(location) or "recipe"
    if fault["type"] == "extra_forbidden":
        owner = _model_at(model, fault["loc"][:-1])
        names = sorted(owner.model_fields) if owner else []
        near = difflib.get_close_matches(location[-1], names, n=1, cutoff=0.5)
        hint = f"did you mean `{near[0]}`?" if near else f"valid keys: {', '.join(names)}"
        return f"{field}: unknown key; {hint}"
    if fault["type"] == "missing":
        return f"{field}: missing; it must be set"
    if fault["type"] == "value_error":
        return str(fault["ctx"]["error"]) if field == "recipe" else f"{field}: {fault['ctx']['error']}"
    message = fault["msg"][0].lower() + fault["msg"][1:]
    return f"{field}: found {fault['input']!r}, {message}"


def _model_at(model: type[BaseModel], location: tuple[Any, ...]) -> type[BaseModel] | None:
    """The recipe part that a fault's path points into, through lists, dicts and unions."""
    current: Any = model
    for part in location:
        candidates = _models(current)
        owners = [owner for owner in candidates if isinstance(part, str) and part in owner.model_fields]
        if owners:
            current = owners[0].model_fields[part].annotation
        elif isinstance(part, str) and any(owner.__name__ == part for owner in candidates):
            current = next(owner for owner in candidates if owner.__name__ == part)
    found = _models(current)
    return found[0] if found else None


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, types.UnionType, list, dict, tuple, Annotated):
        return [model for argument in get_args(annotation) for model in _models(argument)]
    return []
