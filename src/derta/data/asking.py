"""Calls to a model for one text per request: many at once, tried again, within a budget, never twice.

Any Inspect model, endpoint or local. Every request is made until it is answered once; each answer is appended to a
log at once, so a build that was stopped (kill, Ctrl-C, budget) asks only for what is missing. The log is keyed by
all that an answer depends on.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from derta.calls import CallFailed, failure_of, keep_asking, open_model, token_limit
from derta.data.recipe import ModelCalls
from derta.errors import RunError
from derta.files import dumps, sha256_text
from derta.keyed_log import SampleStore
from derta.progress import SILENT, Progress, Step

if TYPE_CHECKING:
    from inspect_ai.model import Model, ModelOutput

Answer = dict[str, str | bool]
"""As the log keeps it: response; cut, where the token limit ended it."""
MAX_UNANSWERED = 0.05  # above this share of a round the endpoint is at fault, not the queries


@dataclass
class Asker:
    """One model with its settings, its log of answers and the number of calls made.

    model_hash: of the weights, where the name alone does not say which they are (a folder); "": it does.
    """

    settings: ModelCalls
    system_prompt: str
    log: Path
    progress: Progress = SILENT
    num_calls: int = 0
    model_hash: str = ""

    def __post_init__(self) -> None:
        self._answers = SampleStore(self.log)

    def key(self, query: str) -> str:
        """Hash of all that an answer depends on."""
        used = self.settings
        values = [used.model, used.base_url, self.system_prompt, query, used.max_tokens, used.temperature]
        return sha256_text(dumps([*values, self.model_hash] if self.model_hash else values))

    def answer(self, query: str) -> str | None:
        """What the model answered, if it was asked."""
        found = self._answers.get("asked", self.key(query))
        return None if found is None else str(found["response"])

    def was_cut(self, query: str) -> bool:
        """Whether its answer ended at the token limit."""
        return bool((self._answers.get("asked", self.key(query)) or {}).get("cut"))

    def ask(self, queries: dict[int, str]) -> tuple[dict[int, str], dict[int, str]]:
        """(row -> response, row -> why there is none) for every row asked.

        Raises:
            RunError: the model can't be used, the budget is spent, or too many calls fail.
        """
        failures: dict[int, str] = {}
        missing = {row: query for row, query in queries.items() if self.answer(query) is None}
        if missing:
            with self.progress.step(f"ask {self.settings.model}", len(missing)) as advance:
                asyncio.run(self._ask_all(missing, failures, advance))
        if len(failures) > max(1, MAX_UNANSWERED * len(queries)):
            example = next(iter(failures.values()))
            raise RunError(
                f"model {self.settings.model}: {len(failures)} of {len(queries)} queries got no answer ({example}); "
                "mend the endpoint and run the same command: answers so far are kept"
            )
        answers = {row: self.answer(query) for row, query in queries.items() if row not in failures}
        return {row: answer for row, answer in answers.items() if answer is not None}, failures

    async def _ask_all(self, queries: dict[int, str], failures: dict[int, str], advance: Step) -> None:
        left = iter(queries.items())
        stopped: list[RunError] = []
        async with _open_model(self.settings) as model:

            async def work() -> None:
                for row, query in left:  # one iterator for all: each query is taken once
                    try:
                        answer = await self._answer(model, query)
                    except CallFailed as reason:
                        failures[row] = str(reason)
                        advance(1)
                        continue
                    except RunError as error:  # the calls in flight are paid for: they end, and are kept
                        stopped.append(error)
                        return
                    self._answers.put("asked", self.key(query), answer)
                    advance(1)
                    if stopped:
                        return

            await asyncio.gather(*(work() for _ in range(min(self.settings.max_connections, len(queries)))))
        if stopped:
            raise stopped[0]

    async def _answer(self, model: Model, query: str) -> Answer:
        """What the model says to one query.

        Raises:
            CallFailed: no usable answer in `max_attempts` calls or `max_minutes`.
            RunError: the budget is spent, or the error is one that no retry mends.
        """
        settings = self.settings

        async def call() -> Answer:
            if settings.budget is not None and self.num_calls >= settings.budget:
                raise RunError(
                    f"model {settings.model}: the budget of {settings.budget} calls is spent; answers so "
                    "far are kept, and the same command goes on from there"
                )
            self.num_calls += 1
            return await self._call(model, query)

        return await keep_asking(call, attempts=settings.max_attempts, minutes=settings.max_minutes)

    async def _call(self, model: Model, query: str) -> Answer:
        from inspect_ai.model import ChatMessage, ChatMessageSystem, ChatMessageUser

        messages: list[ChatMessage] = [ChatMessageUser(content=query)]
        if self.system_prompt:
            messages.insert(0, ChatMessageSystem(content=self.system_prompt))
        try:
            output = await asyncio.wait_for(model.generate(messages), self.settings.timeout)
        except TimeoutError:
            raise CallFailed(f"no answer in {self.settings.timeout} s", passes=True) from None
        except Exception as error:  # every provider has its own; its should_retry knows which ones pass
            failure = failure_of(model.api, error, str(model))
            if failure.passes:
                raise failure from None
            raise RunError(f"model {failure}") from None
        answer: Answer = {"response": _read_text(output)}
        return answer | {"cut": True} if output.stop_reason in ("max_tokens", "model_length") else answer


def _open_model(settings: ModelCalls) -> Model:
    from inspect_ai.model import GenerateConfig

    assert settings.model is not None
    config = GenerateConfig(
        **token_limit(settings.max_tokens, settings.token_limit),
        temperature=settings.temperature,
        max_connections=settings.max_connections,
        max_retries=0,
    )
    return open_model(settings.model, "model", config=config, base_url=settings.base_url, memoize=False)


def _read_text(output: ModelOutput) -> str:
    if output.error:
        raise CallFailed(output.error, passes=True)
    if output.stop_reason == "content_filter":
        return ""  # an outcome, not a fault: the check refuses the empty text
    text = output.completion.strip()
    if not text:
        raise CallFailed("an empty answer", passes=True)
    return text
