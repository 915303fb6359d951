"""What all models on servers share: one call, its failures told apart, the server's own pause obeyed.

Inspect makes the calls and repeats them; this says what may be repeated, and after how long (derta/calls.py).
"""

from __future__ import annotations

import time
from typing import Any, NoReturn

from inspect_ai.model import ChatMessage, GenerateConfig, ModelAPI, ModelOutput, RetryDecision
from tenacity.wait import wait_base

from derta.calls import CallFailed, Pause, failure_of, open_model

ANSWERED = ("stop", "max_tokens", "content_filter")  # other stop reasons: the answer was broken off


class RemoteModel(ModelAPI):
    """A model behind an Inspect provider, `inner`."""

    def __init__(
        self, model_name: str, base_url: str | None, config: GenerateConfig, inner: ModelAPI
    ) -> None:
        super().__init__(model_name, base_url, None, [], config)
        self.inner = inner
        self._fatal: str | None = None
        self._silent_since: float | None = None  # the first call, until one is answered
        self._answered = False

    async def ask(self, messages: list[ChatMessage], config: GenerateConfig) -> ModelOutput:
        """One call. After a failure that concerns every call (key, address, model's name), none is made any more;
        nor once a server that has never answered was tried for as long as one answer may take.

        Raises:
            CallFailed: there is no whole answer.
        """
        if self._fatal is not None:
            raise CallFailed(self._fatal, passes=False, concerns_all=True)
        self._silent_since = self._silent_since or time.monotonic()
        try:
            result = await self.inner.generate(messages, [], "none", config)
        except Exception as error:  # every provider has its own; its should_retry knows which ones pass
            self._fail(error, config)
        output = result[0] if isinstance(result, tuple) else result
        if isinstance(output, Exception):
            self._fail(output, config)
        self._answered = True
        return _whole(output)

    def should_retry(self, ex: BaseException) -> bool | RetryDecision:
        """Whether Inspect is to call again."""
        if not isinstance(ex, CallFailed) or not ex.passes:
            return RetryDecision.no()
        return RetryDecision(retry=True, retry_after=ex.pause)

    def retry_wait(self) -> wait_base:
        """The pause before it does."""
        return Pause()

    def connection_key(self) -> str:
        """What shares one limit of connections."""
        return f"{self.base_url}:{self.model_name}"

    async def aclose(self) -> None:
        """Close the connections."""
        await self.inner.aclose()

    def _fail(self, error: Exception, config: GenerateConfig) -> NoReturn:
        failure = failure_of(self.inner, error, self.model_name)
        if failure.concerns_all:
            self._fatal = str(failure)
        elif not self._answered and config.timeout is not None and self._silent_since is not None:
            silent = time.monotonic() - self._silent_since
            if silent >= config.timeout:
                self._fatal = f"no answer in {silent / 60:.1f} minutes, the last: {failure}"
                raise CallFailed(self._fatal, passes=False, concerns_all=True) from None
        raise failure from None


def _whole(output: ModelOutput) -> ModelOutput:
    """The output, if it is an answer; an error text or a part of one is none.

    Raises:
        CallFailed: it isn't.
    """
    if output.error or not output.choices:
        raise CallFailed(output.error or "an answer without choices", passes=True)
    if output.stop_reason == "model_length" and output.usage is None:
        raise CallFailed(f"does not fit the model: {output.completion[:200]}", passes=False)
    if output.stop_reason not in (*ANSWERED, "model_length"):
        raise CallFailed(f"broken off (finish reason {output.stop_reason})", passes=True)
    if output.stop_reason == "content_filter" and output.usage is None:
        output.completion = ""  # the provider's message about its filter, not the model's words
    return output


def open_provider(name: str, what: str, **settings: Any) -> ModelAPI:
    """An Inspect provider that makes each call once (see `open_model`).

    Raises:
        RecipeError: no such provider, or its package or key is missing.
    """
    return open_model(name, what, memoize=False, **settings).api
