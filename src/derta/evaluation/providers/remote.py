"""What all models on servers share: one call, its failures told apart, the server's own pause obeyed.

Inspect makes the calls and repeats them; this says what may be repeated, and after how long. A provider's client
must not retry by itself: every call is to be seen, counted and paid for once.
"""

from __future__ import annotations

import random
import re
from typing import Any, NoReturn

from inspect_ai.model import ChatMessage, GenerateConfig, ModelAPI, ModelOutput, RetryDecision, get_model
from tenacity import RetryCallState, RetryError
from tenacity.wait import wait_base

from derta.errors import RecipeError
from derta.secrecy import redact

FIRST_WAIT = 0.5  # seconds before the second call; doubled each time, unless the server says how long
LONGEST_WAIT = 60.0
ANSWERED = ("stop", "max_tokens", "content_filter")  # other stop reasons: the answer was broken off
_OWN_RETRIES = ("openai", "openai-api", "openai-api-completions")  # their clients retry unless told not to


class CallFailed(Exception):
    """A call without an answer; `decision` says whether another one may have it."""

    def __init__(self, reason: str, decision: RetryDecision) -> None:
        super().__init__(redact(reason))
        self.decision = decision


class Pause(wait_base):
    """Seconds until the next call: what the server asked for, else a pause that doubles."""

    def __call__(self, retry_state: RetryCallState) -> float:
        """As tenacity asks for it."""
        error = retry_state.outcome.exception() if retry_state.outcome else None
        asked = error.decision.retry_after if isinstance(error, CallFailed) else None
        if asked is not None:
            return asked + random.uniform(0.0, 0.1)  # not all at the same moment
        pause: float = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (retry_state.attempt_number - 1))
        return pause * random.uniform(0.75, 1.25)


class RemoteModel(ModelAPI):
    """A model behind an Inspect provider, `inner`."""

    def __init__(
        self, model_name: str, base_url: str | None, config: GenerateConfig, inner: ModelAPI
    ) -> None:
        super().__init__(model_name, base_url, None, [], config)
        self.inner = inner
        self._fatal: str | None = None

    async def ask(self, messages: list[ChatMessage], config: GenerateConfig) -> ModelOutput:
        """One call. After a failure that concerns every call (key, address), none is made any more.

        Raises:
            CallFailed: there is no whole answer.
        """
        if self._fatal is not None:
            raise CallFailed(self._fatal, RetryDecision.no())
        try:
            result = await self.inner.generate(messages, [], "none", config)
        except Exception as error:  # every provider has its own; its should_retry knows which ones pass
            self._fail(error)
        output = result[0] if isinstance(result, tuple) else result
        if isinstance(output, Exception):
            self._fail(output)
        return _whole(output)

    def should_retry(self, ex: BaseException) -> bool | RetryDecision:
        """Whether Inspect is to call again."""
        return ex.decision if isinstance(ex, CallFailed) else RetryDecision.no()

    def retry_wait(self) -> wait_base:
        """The pause before it does."""
        return Pause()

    def connection_key(self) -> str:
        """What shares one limit of connections."""
        return f"{self.base_url}:{self.model_name}"

    async def aclose(self) -> None:
        """Close the connections."""
        await self.inner.aclose()

    def _fail(self, error: Exception) -> NoReturn:
        inner = error.last_attempt.exception() if isinstance(error, RetryError) else None
        error = inner if isinstance(inner, Exception) else error
        said = _said(error)
        status = getattr(error, "status_code", None)
        if self.inner.is_auth_failure(error) or status in (401, 404) or "does not support /v1" in said:
            self._fatal = f"{self.base_url or self.model_name}: {said}"
            raise CallFailed(self._fatal, RetryDecision.no()) from None
        decision = self.inner.should_retry(error)
        if not isinstance(decision, RetryDecision):
            decision = RetryDecision.transient() if decision else RetryDecision.no()
        # a body that is no answer: no JSON, another type, half of it
        if isinstance(error, ValueError | TypeError | AttributeError | ConnectionError):
            decision = RetryDecision.transient()
        raise CallFailed(said, decision) from None


def _said(error: Exception) -> str:
    """The error with what caused it, on one line."""
    said = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    cause = error.__cause__
    return said if cause is None else f"{said} ({type(cause).__name__}: {' '.join(str(cause).split())[:100]})"


def _whole(output: ModelOutput) -> ModelOutput:
    """The output, if it is an answer; an error text or a part of one is none.

    Raises:
        CallFailed: it isn't.
    """
    if output.error or not output.choices:
        raise CallFailed(output.error or "an answer without choices", RetryDecision.transient())
    if output.stop_reason == "model_length" and output.usage is None:
        raise CallFailed(f"does not fit the model: {output.completion[:200]}", RetryDecision.no())
    if output.stop_reason not in (*ANSWERED, "model_length"):
        raise CallFailed(f"broken off (finish reason {output.stop_reason})", RetryDecision.transient())
    if output.stop_reason == "content_filter" and output.usage is None:
        output.completion = ""  # the provider's message about its filter, not the model's words
    return output


def open_provider(name: str, what: str, **settings: Any) -> ModelAPI:
    """An Inspect provider that makes each call once.

    what: where the name comes from, for messages.

    Raises:
        RecipeError: no such provider, or its package or key is missing.
    """
    from inspect_ai._util.error import PrerequisiteError

    if name.split("/", 1)[0] in _OWN_RETRIES:
        settings = {"max_retries": 0} | settings
    try:
        return get_model(name, memoize=False, **settings).api
    except (PrerequisiteError, ValueError, LookupError, ImportError, TypeError, RuntimeError) as error:
        plain = re.sub(
            r"\[/?[a-z]+\]", "", str(getattr(error, "message", error))
        )  # without a terminal's markup
        said = redact(" ".join(plain.split())[:300])
        raise RecipeError(f"{what}: {name!r} can't be used: {said}") from None
