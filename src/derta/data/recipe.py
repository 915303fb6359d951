"""The recipe of `derta data build`: what to read, what to keep, how much of it, and what must not leak."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from derta.calls import TokenLimit
from derta.config import StrictModel
from derta.config.paths import PathOrId, at_home
from derta.records import QueryKind

Use = Literal["triples", "benign", "queries", "decontaminate"]


class SourceSettings(StrictModel):
    """One source: a local file or folder, or a hub id."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$")
    """Written to `source` of every record; unique in the recipe."""
    format: str
    """Schema of the rows, e.g. beavertails, alpaca, xstest, columns (docs/data.md lists them)."""
    path: Annotated[Path, AfterValidator(at_home)] | None = None
    """File, folder or pattern (JSON of many shapes, CSV, Parquet, Arrow, zip; .gz, .xz, .zst, .bz2 too)."""
    hub: str | None = None
    """Hub id, read through `datasets`; needs the network."""
    subset: str | None = None
    """Configuration of a hub data set; with `path`, of a folder whose README.md or folders name it."""
    split: str = "train"
    """Also of a folder, a pattern or an archive: the files whose names say so. all: every file."""
    revision: str | None = None
    """Commit of a hub data set; without it the build can't be repeated when the set changes."""
    use: Use | None = None
    """triples, benign: only such rows; queries: the questions alone, for evaluation; decontaminate: compared
    with, never written. None: as the rows are."""
    kind: QueryKind | None = None
    """Kind of this source's queries, where the schema doesn't say it."""
    exchange: Literal["first", "last"] = "first"
    """formats sharegpt and evol_instruct: which question of a conversation is taken with its answer; what was said
    before it is its context."""
    columns: dict[str, str] = Field(default_factory=dict)
    """format `columns`: our field -> the file's column, or a place inside one: `messages.0.content`."""
    where: dict[str, list[str | int | float | bool]] = Field(default_factory=dict)
    """Keep only rows whose column holds one of these values (numbers as numbers, others as lower-case text)."""
    categories: list[str] | None = None
    """Keep only these categories."""
    limit: int | None = Field(default=None, ge=1)
    """Read only the first so many rows."""
    num: int | None = Field(default=None, ge=1)
    """Draw at most so many records after cleaning (evaluation queries: of this source)."""
    licence: str | None = None
    """Licence of your own file, for the card; known formats bring theirs."""

    @model_validator(mode="after")
    def _one_origin(self) -> SourceSettings:
        if self.path is not None and self.hub is not None:
            raise ValueError(f"source {self.name}: set `path` or `hub`, not both")
        if self.path is not None and self.revision is not None:
            raise ValueError(f"source {self.name}: `revision` belongs to `hub`; a file is as it is on disk")
        return self


class LengthSettings(StrictModel):
    """Limits of a text, in words."""

    min_words: int = Field(default=1, ge=1)
    max_words: int = Field(default=2000, ge=1)

    @model_validator(mode="after")
    def _ordered(self) -> LengthSettings:
        if self.min_words > self.max_words:
            raise ValueError(f"min_words {self.min_words} is above max_words {self.max_words}")
        return self


class ModelCalls(StrictModel):
    """A model that is asked, and how; any Inspect model."""

    model: str | None = None
    """Inspect model name, e.g. openai-api/local/llama or hf/path."""
    base_url: str | None = None
    """Endpoint, where the provider takes one; keys come from the environment only."""
    max_tokens: int = Field(default=256, ge=1)
    token_limit: TokenLimit = "max_tokens"
    """The name under which the endpoint takes max_tokens: max_tokens or max_completion_tokens."""
    temperature: float | None = Field(default=0.7, ge=0)
    """null: not sent, for an endpoint that refuses the setting."""
    max_connections: int = Field(default=16, ge=1)
    max_attempts: int = Field(default=6, ge=1)
    """Calls per query before it is given up."""
    max_minutes: float = Field(default=15, gt=0)
    """No further call for a query is made so long after the first."""
    timeout: float = Field(default=120, gt=0)
    """Seconds per call."""
    budget: int | None = Field(default=None, ge=1)
    """Most calls of this build, retries included; then it stops, and the same command goes on."""


class ModelFilter(ModelCalls):
    """A model that says of every pair drawn whether its answer refuses, warns or moralises."""

    model: str
    max_tokens: int = Field(default=512, ge=1)
    temperature: float | None = Field(default=0, ge=0)
    question: str | None = None
    """Another question than ours, answered by yes (the pair goes) or no."""


class TripleSettings(StrictModel):
    """Triples: filters, and how many."""

    num: int | None = Field(default=None, ge=1)
    """None: all that pass."""
    balance: Literal["none", "even"] = "even"
    """even: every category gives the same number until it is used up; none: drawn from all alike."""
    query: LengthSettings = LengthSettings(min_words=3, max_words=256)
    harmful_response: LengthSettings = LengthSettings(min_words=10, max_words=1000)
    reject_refusals: bool = True
    """Refuse harmful responses that hold a refusal or a warning, by rule: RTO must not teach after them."""
    filter: ModelFilter | None = None
    """A model's word on the same, for the triples drawn."""


class SafeResponseSettings(ModelCalls):
    """Safe responses for harmful queries that lack one, written by `model`; without it they are rejected."""

    system_prompt: str = (
        "The user asks for something that must not be given. Decline in two or three sentences. Begin with "
        '"{opening}", say in your own words why not, and name a harmless alternative where there is one.'
    )
    check: bool = True
    """Refuse safe responses that are no refusals by the rules of refusals.py."""
    opening: str = "Sorry"
    """What a refusal begins with; also what the share in the card is counted for."""
    normalise_opening: bool = False
    """Rewrite apologies in other words at the start of a safe response to `opening`."""


class BorderlineSettings(StrictModel):
    """Allowed look-alikes of forbidden queries, trained on as benign rows."""

    num: int = Field(ge=1)
    """Look-alikes moved from the borderline sources to the benign rows; the others stay for evaluation."""
    model: str | None = None
    """Inspect model that answers those without a response. None: only those that bring one are used."""
    base_url: str | None = None
    max_tokens: int = Field(default=512, ge=1)


class BenignSettings(StrictModel):
    """Benign pairs: filters, and how many."""

    num: int | None = Field(default=None, ge=1)
    query: LengthSettings = LengthSettings(max_words=1000)
    response: LengthSettings = LengthSettings()
    uncensored: bool = True
    """Refuse responses with refusals, disclaimers or talk of being a model (the paper's "uncensored" set)."""
    filter: ModelFilter | None = None
    """A model's word on whether a response refuses or moralises, for the pairs drawn."""
    borderline: BorderlineSettings | None = None


class HeldOutSettings(StrictModel):
    """Rows set aside, by query group: for probes while training, and as prefills in evaluation."""

    triples: int = Field(default=0, ge=0)
    benign: int = Field(default=0, ge=0)


class NearDuplicateSettings(StrictModel):
    """When two different queries count as one."""

    min_words: int = Field(default=6, ge=2)
    """Shorter queries are compared exactly and normalised only: one word of them is much of the meaning."""
    similarity: float = Field(default=0.75, gt=0, le=1)
    """Jaccard similarity of the word pairs, estimated by MinHash."""


class LeakageSettings(StrictModel):
    """Training rows that are (nearly) an evaluation question."""

    action: Literal["drop", "keep"] = "drop"
    """keep: the rows stay, are listed all the same, and the card says so."""
    ngram: int = Field(default=8, ge=3)
    """Length in words of the runs that are looked up."""
    coverage: float = Field(default=0.5, gt=0, le=1)
    """Share of an evaluation question's runs found in one training query that makes it a leak."""


class CleanSettings(StrictModel):
    """Duplicates, leakage, language."""

    language: Literal["any", "en"] = "any"
    near_duplicates: NearDuplicateSettings | None = NearDuplicateSettings()
    """None: only exact and normalised duplicates go (as for text from a grammar)."""
    leakage: LeakageSettings = LeakageSettings()


class CardSettings(StrictModel):
    """The data card."""

    tokenizer: PathOrId | None = None
    """Folder or hub id whose tokens the length histograms count. None: words."""


class DataRecipe(StrictModel):
    """`derta data build`: sources to triples.jsonl, benign.jsonl and queries.jsonl."""

    out: Path
    seed: int = Field(default=0, ge=0)
    split: Literal["drawn", "given"] = "drawn"
    """drawn: by seed. given: rows keep the order of the sources, and `split: held_out` in a row (formats records and
    columns) says which are held out; nothing is drawn or balanced."""
    num_processes: int = Field(default=2, ge=1)
    """Changes the time, never the bytes."""
    sources: list[SourceSettings] = Field(min_length=1)
    triples: TripleSettings = TripleSettings()
    safe_responses: SafeResponseSettings = SafeResponseSettings()
    benign: BenignSettings = BenignSettings()
    held_out: HeldOutSettings = HeldOutSettings()
    clean: CleanSettings = CleanSettings()
    card: CardSettings = CardSettings()

    @model_validator(mode="after")
    def _unique_names(self) -> DataRecipe:
        names = [source.name for source in self.sources]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"sources: the name {twice[0]!r} is used twice; names must be unique")
        return self

    @model_validator(mode="after")
    def _split_once(self) -> DataRecipe:
        if self.split == "given" and (self.held_out.triples or self.held_out.benign):
            raise ValueError(
                "held_out: with `split: given` the rows say which are held out; leave `held_out` away"
            )
        return self
