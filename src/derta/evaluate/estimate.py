"""`derta evaluate --dry-run`: what a recipe will ask for, before it is asked. No call is made, no weight is loaded.

Calls and prompt tokens of the static attacks are exact (prompt tokens where the tokenizer is known; else four
characters are taken for one). Searches, judges and responses are given at their most.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from derta.config import (
    AttackSettings,
    AutoDanAttack,
    Budget,
    EvaluateRecipe,
    MultiTurnAttack,
    PairAttack,
    Price,
)
from derta.encode.chat import ChatRenderer
from derta.encode.token_ids import ids_of
from derta.evaluate.budget import MILLION
from derta.evaluate.grid import build_judgings
from derta.evaluate.plan import Inputs, PlannedSample, load_inputs, plan_samples, sent_texts
from derta.evaluate.run import check_prices, read_by
from derta.evaluate.searches import searched_queries
from derta.evaluate.targets import OpenTarget, open_target, target_key, why_not
from derta.evaluate.tasks import Judging
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
    judgings = build_judgings(recipe)
    inputs = load_inputs(recipe)
    store = SampleStore(recipe.run_dir / "samples.jsonl")
    lines = []
    for target in recipe.models:
        opened = open_target(target, target_key(target), recipe)
        lines += _TargetEstimate(opened, inputs, judgings, store).lines()
        opened.close()
    return lines


@dataclass(frozen=True)
class _TargetEstimate:
    opened: OpenTarget
    inputs: Inputs
    judgings: Sequence[Judging]
    store: SampleStore

    def lines(self) -> list[Line]:
        recipe, target = self.inputs.recipe, self.opened.target
        lacking = {attack.name: why for attack in recipe.attacks if (why := why_not(attack, target))}
        plans = [self._plan(seed, lacking) for seed in recipe.seeds]
        samples = [sample for plan in plans for sample in plan]
        lines = []
        for attack in recipe.attacks:
            name = attack.name
            if name in lacking:
                lines.append(Line(target.name, name, 0, 0, Cost(), False, lacking[name]))
            elif isinstance(attack, AutoDanAttack):
                lines.append(self._autodan(attack))
            else:
                lines.append(self._attack(name, [sample for sample in samples if sample.attack == name]))
        judged = [
            self._judge(judging, settings, samples)
            for judging, settings in zip(self.judgings, recipe.judges, strict=True)
            if is_model_judge(settings)
        ]
        return lines + judged

    def _plan(self, seed: int, lacking: dict[str, str]) -> list[PlannedSample]:
        recipe = self.inputs.recipe.model_copy(update={"seed": seed})
        opened = self.opened
        return plan_samples(
            replace(self.inputs, recipe=recipe),
            opened.renderer,
            opened.key,
            skipped={*lacking, "autodan"},  # its prompts are not found yet
            is_exact=opened.local is not None and recipe.generation.temperature == 0,
        ).samples

    def _attack(self, name: str, samples: Sequence[PlannedSample]) -> Line:
        attack = next(attack for attack in self.inputs.recipe.attacks if attack.name == name)
        missing = {s.key: s for s in samples if self.store.get("generated", s.key) is None}
        done = sum(self.store.get("generated", sample.key) is not None for sample in samples)
        count = token_counter(self.opened.renderer, is_raw=name == "completing")
        most = self.inputs.recipe.generation.max_new_tokens
        cost = Cost()
        for sample in missing.values():
            texts = sent_texts(attack, sample.attack_params, sample.query, self.inputs)
            prompt = sum(count(text) for text in texts) + len(ids_of(sample.extra.get("prefill_ids", "")))
            prompt += sum(count(text) for exchange in sample.extra.get("history", []) for text in exchange)
            cost += self._sample(attack, sample, prompt, most)
        return self._line(name, len(samples), done, cost)

    def _sample(self, attack: AttackSettings, sample: PlannedSample, prompt: int, most: int) -> Cost:
        """Of one sample with `prompt` tokens to send and `most` to get."""
        if isinstance(attack, PairAttack):
            streams, iterations = attack.size
            calls = streams * iterations + 1
            return self._cost(calls, prompt * calls, (calls - 1) * attack.target_tokens + most)
        replies = len(sample.extra.get("turns", [""])) - 1
        if isinstance(attack, MultiTurnAttack) and replies:  # each turn sends all that was said before
            said = replies * attack.reply_tokens
            return self._cost(replies + 1, (replies + 1) * (prompt + said), said + most)
        return self._cost(1, prompt, most)

    def _autodan(self, attack: AutoDanAttack) -> Line:
        rows = 2 * len(searched_queries(attack, self.inputs.harmful)) * len(self.inputs.recipe.seeds)
        return self._line(
            f"{attack.name} (and {attack.steps} steps of search)", rows, 0, self._cost(rows, 0, 0)
        )

    def _judge(self, judging: Judging, settings: dict[str, object], samples: Sequence[PlannedSample]) -> Line:
        missing = {sample.key: sample for sample in samples if not judging.is_done(sample.key, self.store)}
        done = sum(judging.is_done(sample.key, self.store) for sample in samples)
        most = self.inputs.recipe.generation.max_new_tokens
        calls = len(missing)
        asked = sum(
            len(s.query.query) // CHARACTERS_PER_TOKEN + JUDGE_PROMPT + most for s in missing.values()
        )
        price = self.inputs.recipe.prices.get(str(settings["model"]))
        reply = int(str(settings.get("max_tokens", JUDGE_REPLY)))
        connections = int(str(settings.get("max_connections", 16)))
        cost = priced(calls, asked, calls * reply, price=price, connections=connections)
        return Line(self.opened.target.name, f"judge {judging.name}", len(samples), done, cost, False)

    def _cost(self, calls: int, input_tokens: int, output_tokens: int) -> Cost:
        opened, prices = self.opened, self.inputs.recipe.prices
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


def token_counter(renderer: ChatRenderer | None, *, is_raw: bool = False) -> Callable[[str], int]:
    """Tokens of a user's text with what the template puts around it (raw text: nothing); else a guess."""
    if renderer is None:
        return lambda text: len(text) // CHARACTERS_PER_TOKEN + 1
    asked = renderer.prompt_ids([{"role": "user", "content": "a"}])
    around = 0 if is_raw else len(asked) - len(renderer.raw_ids("a"))
    return lambda text: len(renderer.raw_ids(text)) + around


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
    if any(isinstance(attack, PairAttack) for attack in recipe.attacks):
        said.append(
            "PAIR's attacker and search judge are asked as often as the model, and are not in these sums"
        )
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
