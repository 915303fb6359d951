"""What an attack may ask while it runs (`derta.attacks.Models`), through Inspect."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from inspect_ai.model import ModelOutput, get_model
from inspect_ai.util import LimitExceededError, collect
from tenacity import RetryError

from derta.attacks import Answer, NoAnswer, Prompt, Query
from derta.attacks.contract import Ask
from derta.calls import CallFailed, failure_of, keep_asking, open_model
from derta.config import RequestSettings
from derta.encode.token_ids import ids_of
from derta.errors import DertaError
from derta.evaluation.providers.wire import config_of, messages_of
from derta.judges.judgement import Judge, Judgement
from derta.judges.refusal import find_refusal
from derta.secrecy import redact

T = TypeVar("T")
ATTACKERS = RequestSettings(max_attempts=6, max_minutes=10)
"""How an attacker or a search's judge is tried where the model under test has no requests of its own."""


class InspectModels:
    """judge: the recipe's first. memoize: other models are opened once for all calls of an event loop.

    requests: how often and how long another model (an attacker, a search's judge) is tried.
    """

    def __init__(
        self,
        seed: int,
        judge: Judge,
        *,
        memoize: bool = True,
        requests: RequestSettings = ATTACKERS,
    ) -> None:
        self.seed = seed
        self._judge = judge
        self._memoize = memoize
        self._requests = requests

    async def ask(self, prompt: Prompt) -> Answer:
        """The model under test."""
        with _no_answer():
            output = await get_model().generate(messages_of(prompt), config=config_of(prompt))
        return answer_of(output)

    def model(self, name: str, *, max_connections: int = 64) -> Ask:
        """Another model by its Inspect name."""
        model = open_model(name, "attacker", memoize=self._memoize)
        requests = self._requests

        async def ask(prompt: Prompt) -> Answer:
            config = config_of(
                prompt, max_connections=max_connections, max_retries=0, attempt_timeout=requests.timeout
            )

            async def call() -> ModelOutput:
                try:
                    return await model.generate(messages_of(prompt), config=config)
                except (DertaError, LimitExceededError, AssertionError):
                    raise
                except Exception as error:  # providers raise classes of their own
                    raise failure_of(model.api, error, str(model)) from None

            with _no_answer():
                output = await keep_asking(call, attempts=requests.max_attempts, minutes=requests.max_minutes)
            return answer_of(output)

        return ask

    async def judge(self, query: Query, response: str) -> Judgement:
        """The recipe's judge."""
        with _no_answer():
            return await self._judge(query, response)

    def refuses(self, response: str) -> bool:
        """By the refusal rules."""
        return find_refusal(response) is not None

    async def together(self, calls: Sequence[Awaitable[T]]) -> list[T]:
        """Side by side; the first error ends the others."""
        return await collect(*calls)


def answer_of(output: ModelOutput) -> Answer:
    """Inspect's output as an answer."""
    metadata = output.metadata or {}
    return Answer(
        text=output.completion,
        stop_reason=output.stop_reason,
        ids=tuple(ids_of(metadata.get("response_ids", ""))),
        num_tokens=output.usage.output_tokens if output.usage else 0,
        prompt=metadata.get("prompt", ""),
        prompt_sha256=metadata.get("prompt_sha256", ""),
        template_hash=metadata.get("template_hash", ""),
    )


@contextmanager
def _no_answer() -> Iterator[None]:
    """Tell a failed call from a spent budget, a fault that the user can mend, and one of our own.

    Raises:
        NoAnswer: the call failed; providers raise kinds of their own.
    """
    try:
        yield
    except (NoAnswer, DertaError, LimitExceededError, AssertionError):
        raise
    except CallFailed as error:
        raise NoAnswer(str(error)) from None
    except RetryError as error:
        calls, last = error.last_attempt.attempt_number, error.last_attempt.exception()
        said = f"no answer in {calls} calls; the last: {' '.join(str(last).split())}"
        raise NoAnswer(redact(said)) from None
    except Exception as error:
        raise NoAnswer(redact(f"{type(error).__name__}: {' '.join(str(error).split())}")) from error
