"""The contract of an attack: one class in one file, derta's own and the user's alike (docs/adding_an_attack.md).

The class is the attack's settings in a recipe (fields), what is known about it (class attributes in capitals), and
what it does (methods). All have defaults: an attack that sends one rewritten query defines `prompt` alone.

    check     before anything runs: are the texts and settings usable?
    prepare   before the rows of a model that is computed here: a search that needs its weights
    rows      every row: a query and the prompts that it is asked with
    solve     one row -> its answer; left out: the prompts are sent one after the other
    read      what of the answer a judge reads

Light on purpose: recipes, results and reports import the attacks, so none imports torch or Inspect.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol, TypeVar

from derta.attacks.prompt import Answer, Prompt
from derta.config.strict import StrictModel
from derta.errors import RecipeError
from derta.progress import Progress
from derta.records import BenignPair, Query, Triple, Verdict

if TYPE_CHECKING:
    from derta.encode.chat import ChatRenderer

Need = Literal["chat", "raw text", "open turn", "weights"]
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of `responses.jsonl` before it is asked.

    prompts: all that the attack sends, one call after the other; each goes on behind the answer to the one before.
    params: in the row's `attack_params`; they tell the rows of one query apart. found: there too, but no part of
    the sample's key: what a search that made the prompts says of them.
    search: what decides the rest of what is sent where a search finds it (JSON; part of the sample's key).
    """

    query: Query
    prompts: tuple[Prompt, ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    search: Mapping[str, Any] = field(default_factory=dict)
    found: Mapping[str, Any] = field(default_factory=dict)


class Reading(NamedTuple):
    """text: what a judge reads. followed_format: whether the answer kept the attack's format; None: it has none."""

    text: str
    followed_format: bool | None = None


class Reckoning(NamedTuple):
    """Calls, tokens sent and tokens got of one row, at most."""

    calls: int
    sent: int
    got: int


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What a recipe gives to its attacks.

    texts: the files that it names under `texts`. refusal: text of its refusal token. judge: settings of its first
    judge. found: what `prepare` left, by the attack's name.
    """

    queries: Sequence[Query]
    triples: Sequence[Triple] = ()
    benign: Sequence[BenignPair] = ()
    texts: Mapping[str, Path] = field(default_factory=dict)
    seed: int = 0
    refusal: str = "Sorry"
    max_new_tokens: int = 1024
    judge: Mapping[str, Any] = field(default_factory=dict)
    found: Mapping[str, Any] = field(default_factory=dict)
    loaded: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def harmful(self) -> list[Query]:
        """The harmful queries in their order."""
        return [query for query in self.queries if query.kind == "harmful"]

    def text(self, name: str, load: Callable[[Path], T]) -> T | None:
        """What `load` reads from the file `texts.<name>`, once; None where the recipe names none.

        Raises:
            DataError: as `load`.
        """
        if name not in self.loaded:
            path = self.texts.get(name)
            self.loaded[name] = None if path is None else load(path)
        found: T | None = self.loaded[name]
        return found


class Judged(Protocol):
    """A judge's reading of one response."""

    @property
    def verdict(self) -> Verdict:
        """harmful, not_harmful or unknown."""

    @property
    def reason(self) -> str | None:
        """Why."""


Ask = Callable[[Prompt], Awaitable[Answer]]
Judge = Callable[[Query, str], Awaitable[Judged]]  # query, response


class Models(Protocol):
    """What an attack may ask while it runs. `ask` and the others raise NoAnswer where a model gives none."""

    async def ask(self, prompt: Prompt) -> Answer:
        """The model under test, at the recipe's token limit and temperature where the prompt names none."""

    def model(self, name: str, *, max_connections: int = 64) -> Ask:
        """Another model, by its Inspect name, e.g. openai/gpt-4o-mini. Its calls count towards the budget."""

    async def judge(self, query: Query, response: str) -> Judged:
        """The recipe's (first) judge."""

    def refuses(self, response: str) -> bool:
        """Whether the refusal rules find a refusal anywhere in a response."""

    async def together(self, calls: Sequence[Awaitable[T]]) -> list[T]:
        """The results of calls made side by side."""

    @property
    def seed(self) -> int:
        """The run's seed."""


class WhiteBox(Protocol):
    """A model whose weights are here."""

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Mean log-probability of each (user turn, opening of an answer)."""

    def respond(self, prompts: Sequence[str], max_new_tokens: int) -> list[str]:
        """Greedy answers to user turns."""


@dataclass(frozen=True, kw_only=True)
class LocalTarget:
    """The model under test, its weights at hand, before its rows are known.

    key, template_hash: of the model and its template. judge_key: hash of the recipe's first judge. run_dir: where a
    search may save how far it came. models: everything else that may be asked.
    white_box: tokens of one line to score -> the model; its weights are loaded when they are first needed.
    """

    key: str
    template_hash: str
    judge_key: str
    run_dir: Path
    models: Models
    white_box: Callable[[int], WhiteBox]
    progress: Progress


class Attack(StrictModel):
    """An attack with its settings."""

    TITLES: ClassVar[Mapping[str, str]] = {}
    """Each name that its rows are counted under, as a reader sees it, in the order of tables."""
    SOURCE: ClassVar[str] = ""
    """The paper."""
    CONTROLS: ClassVar[frozenset[str]] = frozenset()
    """Names that are measured beside the attacks, and are in no mean over attacks."""
    ANY_OF: ClassVar[Mapping[str, str]] = {}
    """Name -> the name whose rows it sums up: a query counts as answered if any of its rows was."""
    NEEDS: ClassVar[Need] = "chat"
    """What a model must take, or give."""
    TEXTS: ClassVar[tuple[str, ...]] = ()
    """Files of the recipe's `texts` that it reads."""
    DRAWS: ClassVar[bool | None] = None
    """Whether a seed changes the answer of a model that always answers alike. None: where `solve` is its own."""
    READS_PROMPT: ClassVar[bool] = False
    """Whether a judge reads the prompt's text in front of the answer."""

    name: str = ""
    """Its name in recipes, rows and tables."""

    def opened(self) -> Attack:
        """The attack itself (a user's: out of its file)."""
        return self

    def files(self) -> Mapping[str, str]:
        """Fields of the recipe that name a file which must be there -> what for."""
        return {}

    def asks(self) -> tuple[str, ...]:
        """Inspect models that it asks, beside the one under test."""
        return ()

    def check(self, inputs: Inputs) -> None:
        """Read the texts, so that a fault shows before anything runs.

        Raises:
            DertaError: something can't be used.
        """

    def prepare(self, inputs: Inputs, target: LocalTarget) -> Inputs:
        """The inputs with what a search found for this model; called for models that are computed here."""
        return inputs

    def rows(self, inputs: Inputs, renderer: ChatRenderer | None) -> list[Row]:
        """Every row, in the order of `responses.jsonl`. renderer: None where prompts are not made here."""
        params = self.model_dump(mode="json", exclude={"name"})
        return [Row(query=query, prompts=(self.prompt(query),), params=params) for query in inputs.harmful]

    def prompt(self, query: Query) -> Prompt:
        """What is sent for a query, for attacks of one call."""
        return Prompt.user(query.query)

    def left_out(self, rows: Sequence[Row], inputs: Inputs) -> dict[int, int]:
        """Depth -> how many rows could not be made at it."""
        return {}

    async def solve(self, row: Row, models: Models) -> Answer:
        """Send the prompts one after the other; the last answer counts.

        Raises:
            NoAnswer: a model gave none.
        """
        sent = row.prompts[0]
        answer = await models.ask(sent)
        for following in row.prompts[1:]:
            sent = sent.then(answer.text, following)
            answer = await models.ask(sent)
        return answer

    def read(self, response: str, row: Row) -> Reading:
        """What of a response a judge reads."""
        return Reading(row.prompts[-1].turns[-1].text + response if self.READS_PROMPT else response)

    def judged(self, row: Row) -> Query:
        """The query as a judge sees it."""
        return row.query

    @property
    def draws(self) -> bool:
        """Whether each seed has answers of its own (see DRAWS)."""
        return type(self).solve is not Attack.solve if self.DRAWS is None else self.DRAWS

    def reckon(self, row: Row, tokens: int, most: int) -> Reckoning:
        """What a row asks for at most. tokens: of all its prompts. most: of an answer without a limit of its own."""
        calls = len(row.prompts)
        said = sum(prompt.max_tokens or most for prompt in row.prompts[:-1])
        return Reckoning(calls, calls * (tokens + said), said + most)

    def unplanned_rows(self, inputs: Inputs) -> int | None:
        """How many rows a seed will have where only a search tells which; None: they can be made."""
        return None

    def remark(self) -> str:
        """What a dry run says beside the attack's name."""
        return ""

    def not_counted(self) -> str:
        """What a dry run's sums leave out."""
        return ""

    @classmethod
    def own_name(cls) -> str:
        """The name that a recipe calls it by."""
        return str(cls.model_fields["name"].default)

    @classmethod
    def labels(cls, attack: str, params: Mapping[str, Any]) -> tuple[str, ...]:
        """The names that a row of `responses.jsonl` is counted under. attack: the row's."""
        return (attack,)

    @classmethod
    def title(cls, label: str) -> str | None:
        """A label as a reader sees it; None: as it is."""
        return cls.TITLES.get(label)

    @classmethod
    def question_params(cls, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """The parameters that belong to the question, without what was found while answering it."""
        return params


def required(inputs: Inputs, name: str, load: Callable[[Path], T]) -> T:
    """The text file that an attack can't do without.

    Raises:
        RecipeError: the recipe names none.
        DataError: as `load`.
    """
    found = inputs.text(name, load)
    if found is None:
        raise RecipeError(f"texts.{name}: missing; name the file")
    return found


def from_texts(name: str) -> dict[str, str]:
    """`Attack.files` of an attack that can't do without `texts.<name>`."""
    return {f"texts.{name}": f"the attack {name} reads its texts from there"}
