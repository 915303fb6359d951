"""Responses that a model writes: refusals for queries that lack one, answers for allowed look-alikes.

Any Inspect model, endpoint or local. Every query is asked until it is answered once; each answer is appended
to a log at once, so a build that was stopped (kill, Ctrl-C, budget) asks only for what is missing. The log is
keyed by all that an answer depends on. A model's text is checked before it is used, and a harmful response is
never asked for.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from derta.data.corpus import Corpus
from derta.data.duplicates import Rows
from derta.data.filters import Filters
from derta.data.recipe import DataRecipe, SafeResponseSettings
from derta.data.select import Selection
from derta.errors import RunError
from derta.files import append_jsonl, dumps, read_finished, sha256_text

if TYPE_CHECKING:
    from inspect_ai.model import Model, ModelOutput

FIRST_WAIT = 0.5  # seconds before the second call; doubled each time, unless the server says how long
LONGEST_WAIT = 60.0
MAX_UNANSWERED = 0.05  # above this share of a round the endpoint is at fault, not the queries
_OWN_RETRIES = ("openai/", "openai-api/")  # providers whose client would retry on its own, past our budget

Accept = Callable[[str], str | None]  # the reason why a text can't be used, or None


class Unanswered(Exception):
    """One call that gave no usable answer; another may."""


@dataclass
class Asker:
    """One model with its settings, its log of answers and the number of calls made."""

    settings: SafeResponseSettings
    system_prompt: str
    log: Path
    num_calls: int = 0
    answers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.answers = {entry["key"]: entry["response"] for entry in read_finished(self.log)}

    def key(self, query: str) -> str:
        """Hash of all that an answer depends on."""
        used = self.settings
        values = [used.model, used.base_url, self.system_prompt, query, used.max_tokens, used.temperature]
        return sha256_text(dumps(values))

    def ask(self, queries: dict[int, str]) -> tuple[dict[int, str], dict[int, str]]:
        """(row -> response, row -> why there is none) for every row asked.

        Raises:
            RunError: the model can't be used, the budget is spent, or too many calls fail.
        """
        failures: dict[int, str] = {}
        missing = {row: query for row, query in queries.items() if self.key(query) not in self.answers}
        if missing:
            asyncio.run(self._ask_all(missing, failures))
        if len(failures) > max(1, MAX_UNANSWERED * len(queries)):
            example = next(iter(failures.values()))
            raise RunError(
                f"model {self.settings.model}: {len(failures)} of {len(queries)} queries got no answer ({example}); "
                "mend the endpoint and run the same command: answers so far are kept"
            )
        found = {row: self.answers[self.key(query)] for row, query in queries.items() if row not in failures}
        return found, failures

    async def _ask_all(self, queries: dict[int, str], failures: dict[int, str]) -> None:
        left = iter(queries.items())
        stopped: list[RunError] = []
        async with _open_model(self.settings) as model:

            async def work() -> None:
                for row, query in left:  # one iterator for all: each query is taken once
                    try:
                        response = await self._answer(model, query)
                    except Unanswered as reason:
                        failures[row] = str(reason)
                        continue
                    except RunError as error:  # the calls in flight are paid for: they end, and are kept
                        stopped.append(error)
                        return
                    append_jsonl(self.log, [{"key": self.key(query), "response": response}])
                    self.answers[self.key(query)] = response
                    if stopped:
                        return

            await asyncio.gather(*(work() for _ in range(min(self.settings.max_connections, len(queries)))))
        if stopped:
            raise stopped[0]

    async def _answer(self, model: Model, query: str) -> str:
        """The model's text for one query.

        Raises:
            Unanswered: no usable answer in `max_attempts` calls.
            RunError: the budget is spent, or the error is one that no retry mends.
        """
        reason = ""
        for attempt in range(self.settings.max_attempts):
            if self.settings.budget is not None and self.num_calls >= self.settings.budget:
                raise RunError(
                    f"model {self.settings.model}: the budget of {self.settings.budget} calls is spent; answers so "
                    "far are kept, and the same command goes on from there"
                )
            self.num_calls += 1
            try:
                return await self._call(model, query)
            except Unanswered as failure:
                reason = str(failure)
                pause = failure.args[1] if len(failure.args) > 1 else None
                wait = min(LONGEST_WAIT, FIRST_WAIT * 2**attempt) * random.uniform(0.75, 1.25)
            if attempt + 1 < self.settings.max_attempts:
                await asyncio.sleep(wait if pause is None else pause)
        raise Unanswered(f"no answer in {self.settings.max_attempts} calls; the last: {reason}")

    async def _call(self, model: Model, query: str) -> str:
        from inspect_ai.model import ChatMessage, ChatMessageSystem, ChatMessageUser

        messages: list[ChatMessage] = [ChatMessageUser(content=query)]
        if self.system_prompt:
            messages.insert(0, ChatMessageSystem(content=self.system_prompt))
        try:
            output = await asyncio.wait_for(model.generate(messages), self.settings.timeout)
        except TimeoutError:
            raise Unanswered(f"no answer in {self.settings.timeout} s") from None
        except Exception as error:  # every provider has its own; its should_retry knows which ones pass
            raise _read_failure(model, error) from None
        return _read_text(output)


def _open_model(settings: SafeResponseSettings) -> Model:
    from inspect_ai.model import GenerateConfig, get_model

    assert settings.model is not None
    config = GenerateConfig(
        max_tokens=settings.max_tokens,
        temperature=settings.temperature,
        max_connections=settings.max_connections,
        max_retries=0,
    )
    arguments: dict[str, Any] = {"max_retries": 0} if settings.model.startswith(_OWN_RETRIES) else {}
    try:
        return get_model(
            settings.model, config=config, base_url=settings.base_url, memoize=False, **arguments
        )
    except (ValueError, ImportError, RuntimeError) as error:  # PrerequisiteError is a RuntimeError
        raise RunError(f"model {settings.model}: can't be used: {' '.join(str(error).split())}") from None


def _read_failure(model: Model, error: Exception) -> Exception:
    """What a failed call means: try again (with the server's pause), or stop."""
    from tenacity import RetryError

    if isinstance(error, RetryError):
        inner = error.last_attempt.exception()
        error = inner if isinstance(inner, Exception) else error
    decision = model.api.should_retry(error)
    text = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    if decision or isinstance(error, ValueError | ConnectionError):  # ValueError: a body that is no answer
        return Unanswered(text, getattr(decision, "retry_after", None))
    return RunError(f"model {model.name}: {text}")


def _read_text(output: ModelOutput) -> str:
    if output.error:
        raise Unanswered(output.error)
    if output.stop_reason == "content_filter":
        return ""  # an outcome, not a fault: the check refuses the empty text
    text = output.completion.strip()
    if not text:
        raise Unanswered("an empty answer")
    return text


def answer_triples(
    corpus: Corpus, chosen: Selection, recipe: DataRecipe, filters: Filters
) -> tuple[dict[int, str], int]:
    """(row -> safe response, calls made) for the triples in drawing order, until enough of them have one."""
    settings = recipe.safe_responses
    if settings.model is None:
        return {}, 0
    asker = Asker(settings, settings.system_prompt.replace("{opening}", settings.opening), _log(recipe))
    wanted = len(chosen.triples)
    if recipe.triples.num is not None:
        held_out = recipe.held_out.triples + len(chosen.given_held_out(chosen.triples))
        wanted = min(wanted, held_out + recipe.triples.num)
    answers: dict[int, str] = {}
    begin, ready = 0, 0
    while ready < wanted and begin < len(chosen.triples):
        batch = chosen.triples[begin : begin + wanted - ready]
        begin += len(batch)
        lacking = batch[(corpus.index["has_safe"][batch] == 0) & (chosen.safe_row[batch] < 0)]
        answers |= _checked_answers(corpus, chosen, asker, lacking, filters.safe_reason)
        ready += len(chosen.undecided(batch))
    return answers, asker.num_calls


def answer_borderline(
    corpus: Corpus, chosen: Selection, recipe: DataRecipe, filters: Filters
) -> tuple[dict[int, str], int]:
    """(row -> answer, calls made) for the look-alikes that come without a response; a refusal is no answer."""
    lacking = chosen.borderline[corpus.index["has_response"][chosen.borderline] == 0]
    wanted = recipe.benign.borderline
    if wanted is None or wanted.model is None or not len(lacking):
        return {}, 0
    settings = recipe.safe_responses.model_copy(
        update={"model": wanted.model, "base_url": wanted.base_url, "max_tokens": wanted.max_tokens}
    )
    asker = Asker(settings, "", _log(recipe))
    answers = _checked_answers(corpus, chosen, asker, lacking, filters.benign_response_reason)
    chosen.borderline = chosen.undecided(chosen.borderline)
    return answers, asker.num_calls


def _log(recipe: DataRecipe) -> Path:
    return recipe.out / ".answers" / "responses.jsonl"


def _checked_answers(
    corpus: Corpus, chosen: Selection, asker: Asker, rows: Rows, accept: Accept
) -> dict[int, str]:
    """Usable answers; a row without one is rejected with its reason."""
    queries = {row: item["query"] for row, item in zip(rows.tolist(), corpus.items(rows), strict=True)}
    answers, failures = asker.ask(queries)
    reasons = {row: f"model answer: {why}" for row, why in failures.items()}
    for row, text in answers.items():
        problem = "empty (content filter)" if not text else accept(text)
        if problem:
            reasons[row] = f"model answer: {problem}"
    for row, reason in reasons.items():
        chosen.reject(rows[rows == row], reason)
    return {row: text for row, text in answers.items() if row not in reasons}
