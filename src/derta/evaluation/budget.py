"""What is asked of models that others compute: counted call by call, priced, and stopped at the recipe's budget.

Inspect tells its hooks about every call, of targets, attackers and judges alike, before it is made; a hook may
refuse it. Models computed here (`derta/...`) cost nothing and are not counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from inspect_ai.event import ModelEvent
from inspect_ai.hooks import BeforeModelGenerate, Hooks, ModelUsageData, SampleEvent, hooks
from inspect_ai.model import ModelUsage, get_model
from inspect_ai.util import LimitExceededError

from derta.evaluation.recipe import Budget, Price
from derta.secrecy import redact

LOCAL = "derta/"
_WRAPPED = ("derta-chat/", "derta-served/")
MILLION = 1_000_000


@dataclass
class Meter:
    """The calls of one command. target: name of the model under test at the moment, for its price."""

    budget: Budget
    prices: dict[str, Price] = field(default_factory=dict)
    target: str = ""
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    money: float = 0.0
    spent: str | None = None  # what ran out

    def before(self) -> None:
        """Count a call that is about to be made.

        Raises:
            LimitExceededError: it would be one too many.
        """
        tokens = self.input_tokens + self.output_tokens
        limits = (
            ("calls", self.calls, self.budget.calls),
            ("tokens", tokens, self.budget.tokens),
            ("money", self.money, self.budget.money),
        )
        for what, value, limit in limits:
            if limit is not None and value >= limit:
                self.spent = f"budget.{what}: {limit:,} is spent"
                raise LimitExceededError("custom", value=float(value), limit=float(limit), message=self.spent)
        self.calls += 1

    def after(self, model: str, usage: ModelUsage) -> None:
        """Count what a call used."""
        # Inspect counts what a server took from its cache apart; it was sent, and is priced like the rest
        read = (
            usage.input_tokens + (usage.input_tokens_cache_read or 0) + (usage.input_tokens_cache_write or 0)
        )
        self.input_tokens += read
        self.output_tokens += usage.output_tokens
        price = self.price(model)
        if price is not None:
            self.money += (read * price.input + usage.output_tokens * price.output) / MILLION

    def price(self, model: str) -> Price | None:
        """The price of an Inspect model, or of the target behind one of our own names for it."""
        if model.startswith(_WRAPPED):
            return self.prices.get(self.target) or self.prices.get(model.split("/", 1)[1])
        return self.prices.get(model)

    def summary(self) -> dict[str, Any]:
        """For the manifest."""
        return {
            "calls": self.calls,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "money": round(self.money, 6),
        }


_metering: list[Meter] = []  # Inspect makes the hook's only instance itself, so it finds its meter here


@contextmanager
def metered(meter: Meter) -> Iterator[Meter]:
    """Count the calls made inside."""
    _install()
    _metering.append(meter)
    try:
        yield meter
    finally:
        _metering.pop()


@cache
def _install() -> None:
    """Tell Inspect of the hook, once its own start is over: it would print a banner about it."""
    get_model("mockllm/model")
    hooks(name="derta_meter", description="counts calls and holds them to a budget")(_Metering)


class _Metering(Hooks):
    def enabled(self) -> bool:
        return bool(_metering)

    async def on_before_model_generate(self, data: BeforeModelGenerate) -> None:
        if not data.model_name.startswith(LOCAL):
            _metering[-1].before()

    async def on_sample_event(self, data: SampleEvent) -> None:
        """An error may quote the key (some servers do), and would be logged with its traceback and answer."""
        event = data.event
        if isinstance(event, ModelEvent) and event.error:
            event.error = redact(event.error)
            event.traceback = event.traceback_ansi = event.call = None

    async def on_model_usage(self, data: ModelUsageData) -> None:
        if not data.model_name.startswith(LOCAL):
            _metering[-1].after(data.model_name, data.usage)
