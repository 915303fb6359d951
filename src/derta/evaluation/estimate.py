"""`derta evaluate --dry-run`: what a recipe will ask for, before it is asked. No call is made, no weight is loaded.

Calls and prompt tokens of the static attacks are exact (prompt tokens where the tokenizer is known; else four
characters are taken for one). Searches, judges and responses are given at their most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from derta.attacks import Attack, Prompt
from derta.encode.chat import ChatRenderer
from derta.evaluation.budget import MILLION
from derta.evaluation.plan import Loaded, PlannedSample, plan_samples
from derta.evaluation.prepared import prepare
from derta.evaluation.providers.wire import prompt_ids
from derta.evaluation.recipe import Budget, EvaluateRecipe, Price
from derta.evaluation.run import check_prices, read_by
from derta.evaluation.targets import OpenTarget, open_target, why_not
from derta.evaluation.tasks import Judging
from derta.keyed_log import SampleStore
from derta.results.whole_table import print_whole
from derta.run_folder import check_output
from derta.visible import visible

CHARACTERS_PER_TOKEN = 4  # of English text, for models whose tokenizer is not known
SECONDS_PER_TOKEN = 0.02  # a guess: what a busy server takes for one new token of one request
SECONDS_PER_CALL = 0.5
JUDGE_PROMPT = 500  # tokens of a model judge's instruction, roughly
JUDGE_REPLY = 512  # most tokens of its reply, by default


@dataclass(frozen=True)
class Cost:
    """What one line of the table asks for. seconds: a guess; None: computed here."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    money: float | None = 0.0
    seconds: float | None = 0.0

    def __add__(self, other: Cost) -> Cost:
        money = None if self.money is None or other.money is None else self.money + other.money
        return Cost(
            self.calls + other.calls,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            money,
            (self.seconds or 0.0) + (other.seconds or 0.0),
        )


@dataclass(frozen=True)
class Line:
    """One line of the table: a model's attack, or a model judge. cost: of what is not done yet."""

    model: str
    what: str
    rows: int
    done: int
    cost: Cost
    is_local: bool
    not_applicable: str | None = None


def estimate(recipe: EvaluateRecipe) -> list[Line]:
    """The lines of the table.

    Raises:
        DertaError: whatever would also stop the run before its first call.
    """
    check_prices(recipe)
    check_output(recipe.run_dir, "evaluate", read_by(recipe))
    ready = prepare(recipe)
    store = SampleStore(recipe.run_dir / "samples.jsonl")
    lines = []
    for target in recipe.models:
        opened = open_target(target, ready.keys[target.name], recipe)
        lines += _TargetEstimate(opened, ready.loaded, ready.judgings, store).lines()
        opened.close()
    return lines


@dataclass(frozen=True)
class _TargetEstimate:
    opened: OpenTarget
    loaded: Loaded
    judgings: Sequence[Judging]
    store: SampleStore

    def lines(self) -> list[Line]:
        recipe, target, attacks = self.loaded.recipe, self.opened.target, self.loaded.attacks
        lacking = {attack.name: why for attack in attacks if (why := why_not(attack, target))}
        plans = [self._plan(seed, lacking) for seed in recipe.seeds]
        samples = [sample for plan in plans for sample in plan]
        lines = []
        for attack in attacks:
            name, unplanned = attack.name, attack.unplanned_rows(self.loaded.inputs)
            if name in lacking:
                lines.append(Line(target.name, name, 0, 0, Cost(), False, lacking[name]))
            elif unplanned is not None:
                rows = unplanned * len(recipe.seeds)
                lines.append(self._line(f"{name} ({attack.remark()})", rows, 0, self._cost(rows, 0, 0)))
            else:
                lines.append(self._attack(attack, [sample for sample in samples if sample.attack == name]))
        judged = [
            self._judge(judging, settings, samples)
            for judging, settings in zip(self.judgings, recipe.judges, strict=True)
            if is_model_judge(settings)
        ]
        return lines + judged

    def _plan(self, seed: int, lacking: dict[str, str]) -> list[PlannedSample]:
        opened, inputs = self.opened, self.loaded.inputs
        searched = {a.name for a in self.loaded.attacks if a.unplanned_rows(inputs) is not None}
        return plan_samples(
            self.loaded.at_seed(seed),
            opened.renderer,
            opened.key,
            skipped={*lacking, *searched},  # prompts that are not found yet
            is_exact=opened.local is not None and self.loaded.recipe.generation.temperature == 0,
        ).samples

    def _attack(self, attack: Attack, samples: Sequence[PlannedSample]) -> Line:
        missing = {s.key: s for s in samples if self.store.get("generated", s.key) is None}
        done = sum(self.store.get("generated", sample.key) is not None for sample in samples)
        most = self.loaded.recipe.generation.max_new_tokens
        cost = Cost()
        for sample in missing.values():
            tokens = sum(prompt_tokens(prompt, self.opened.renderer) for prompt in sample.row.prompts)
            cost += self._cost(*attack.reckon(sample.row, tokens, most))
        return self._line(attack.name, len(samples), done, cost)

    def _judge(self, judging: Judging, settings: dict[str, object], samples: Sequence[PlannedSample]) -> Line:
        missing = {sample.key: sample for sample in samples if not judging.is_done(sample.key, self.store)}
        done = sum(judging.is_done(sample.key, self.store) for sample in samples)
        most = self.loaded.recipe.generation.max_new_tokens
        calls = len(missing)
        asked = sum(
            len(s.query.query) // CHARACTERS_PER_TOKEN + JUDGE_PROMPT + most for s in missing.values()
        )
        price = self.loaded.recipe.prices.get(str(settings["model"]))
        reply = int(str(settings.get("max_tokens", JUDGE_REPLY)))
        connections = int(str(settings.get("max_connections", 16)))
        cost = priced(calls, asked, calls * reply, price=price, connections=connections)
        return Line(self.opened.target.name, f"judge {judging.name}", len(samples), done, cost, False)

    def _cost(self, calls: int, input_tokens: int, output_tokens: int) -> Cost:
        opened, prices = self.opened, self.loaded.recipe.prices
        if opened.local is not None:
            return Cost(calls, input_tokens, output_tokens, 0.0, None)
        target = opened.target
        name = target.inspect.model if target.inspect else target.endpoint.model if target.endpoint else ""
        price = prices.get(target.name) or prices.get(name)
        return priced(
            calls, input_tokens, output_tokens, price=price, connections=target.requests.max_connections
        )

    def _line(self, what: str, rows: int, done: int, cost: Cost) -> Line:
        return Line(self.opened.target.name, what, rows, done, cost, self.opened.local is not None)


def priced(
    calls: int, input_tokens: int, output_tokens: int, *, price: Price | None, connections: int
) -> Cost:
    """Money (None: no price is known) and a guess of the time."""
    money = (input_tokens * price.input + output_tokens * price.output) / MILLION if price else None
    seconds = (calls * SECONDS_PER_CALL + output_tokens * SECONDS_PER_TOKEN) / connections
    return Cost(calls, input_tokens, output_tokens, money if calls else 0.0, seconds)


def prompt_tokens(prompt: Prompt, renderer: ChatRenderer | None) -> int:
    """Tokens that a prompt sends, with what the template puts around them; a guess without a tokenizer."""
    if renderer is None:
        return sum(len(text) // CHARACTERS_PER_TOKEN + 1 for text in prompt.texts)
    if not prompt.turns:  # it only goes on behind an answer
        return len(prompt.opening_ids or renderer.raw_ids(prompt.opening))
    return len(prompt_ids(renderer, prompt))


def is_model_judge(settings: dict[str, object]) -> bool:
    """Whether a judge asks an Inspect model that is not computed here."""
    model = settings.get("model")
    return (
        settings.get("name") != "classifier"
        and isinstance(model, str)
        and not model.startswith(("derta/", "hf/"))
    )


def print_estimate(lines: Sequence[Line], recipe: EvaluateRecipe, console: Console) -> None:
    """The table, the sum of what others compute, and how it stands to the budget."""
    table = Table(title="To be asked; what is done is not asked again", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("model", overflow="fold")
    table.add_column("attack or judge", overflow="fold")
    for name in ("rows", "done", "calls", "tokens in", "out ≤", "money ≤"):
        table.add_column(name, justify="right", no_wrap=True)
    for line in lines:
        cost = line.cost
        numbers = (line.rows, line.done, cost.calls, cost.input_tokens, cost.output_tokens)
        money = "here" if line.is_local else "no price" if cost.money is None else f"{cost.money:.2f}"
        shown = ["n/a", *[""] * 5] if line.not_applicable else [*(f"{number:,}" for number in numbers), money]
        table.add_row(Text(visible(line.model)), Text(visible(line.what)), *shown)
    print_whole(table, console)
    for said in summary(lines, recipe):
        console.print(Text(visible(said)))


def summary(lines: Sequence[Line], recipe: EvaluateRecipe) -> list[str]:
    """Sums over what is computed elsewhere; and, by name, what the budget would stop."""
    total = sum((line.cost for line in lines if not line.is_local), Cost())
    tokens = total.input_tokens + total.output_tokens
    money = "no price for some of it" if total.money is None else f"{total.money:.2f} at most"
    said = [f"n/a: {line.model}, {line.what}: {line.not_applicable}" for line in lines if line.not_applicable]
    said.append(
        f"asked of other models: {total.calls:,} calls, {tokens:,} tokens at most; money: {money}; about "
        f"{(total.seconds or 0) / 60:.0f} minutes (a guess: {1 / SECONDS_PER_TOKEN:.0f} tokens/s a connection)"
    )
    said += [note for attack in recipe.attacks if (note := attack.not_counted())]
    budget = recipe.budget or Budget()
    for what, needed, limit in (
        ("calls", float(total.calls), budget.calls),
        ("tokens", float(tokens), budget.tokens),
        ("money", total.money or 0.0, budget.money),
    ):
        if limit is not None and needed > limit:
            said.append(
                f"budget.{what}: {limit:,} may not be enough; the run would stop there and could be continued"
            )
    return said
