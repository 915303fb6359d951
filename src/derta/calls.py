"""Calls to models that others compute: opened, made again after what passes, given up, and why.

The one place for it: those that write and filter data, judges, attackers, and the models under test behind a server.
A provider's own client makes each call once; how often and how long it is tried are settings of whoever asks.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import urlsplit

from rich.console import Console
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    RetryError,
    retry_if_exception,
    stop_after_attempt,
    stop_before_delay,
)
from tenacity.wait import wait_base

from derta.errors import RecipeError
from derta.secrecy import redact

if TYPE_CHECKING:
    from inspect_ai.model import Model, ModelAPI

T = TypeVar("T")
TokenLimit = Literal["max_tokens", "max_completion_tokens"]

FIRST_WAIT = 0.5  # seconds before the second call; doubled each time, unless the server says how long
LONGEST_WAIT = 60.0
TOLD_FROM = 60.0  # seconds of a server's own pause from which on it is printed
SHOWN = 300  # characters of a server's message
_OWN_RETRIES = ("openai", "openai-api", "openai-api-completions")  # their clients retry unless told not to
_UNKNOWN_MODEL = re.compile(
    r"\bmodel\b.{0,200}\b(?:not found|does not exist|not exist|unknown|not supported|no such)\b"
    r"|\b(?:no such|unknown|invalid) model\b|\bmodel_not_found\b",
    re.IGNORECASE | re.DOTALL,
)


class CallFailed(Exception):
    """A call without an answer.

    message: what was said, perhaps with a quotation of what was sent. place: who failed and how, without any.
    passes: another call may have the answer, after `pause` seconds where the server said so. concerns_all: no call
    will (key, address, name of the model).
    """

    def __init__(
        self,
        message: str,
        *,
        passes: bool,
        place: str = "",
        pause: float | None = None,
        concerns_all: bool = False,
    ) -> None:
        self.message, self.place = redact(message), redact(place)
        super().__init__(f"{self.place}: {self.message}" if place else self.message)
        self.passes = passes
        self.pause = pause
        self.concerns_all = concerns_all


class Pause(wait_base):
    """Seconds until the next call: what the server asked for, else a pause that doubles."""

    def __call__(self, retry_state: RetryCallState) -> float:
        """As tenacity asks for it."""
        error = retry_state.outcome.exception() if retry_state.outcome else None
        asked = error.pause if isinstance(error, CallFailed) else None
        if asked is not None:
            _tell(asked)
            return asked + random.uniform(0.0, 0.1)  # not all at the same moment
        pause: float = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (retry_state.attempt_number - 1))
        return pause * random.uniform(0.75, 1.25)


_told_until = 0.0  # many calls get the same pause: it is said once


def _tell(seconds: float) -> None:
    global _told_until
    if seconds >= TOLD_FROM and time.monotonic() >= _told_until:
        _told_until = time.monotonic() + seconds
        said = f"waiting {seconds / 60:.1f} minutes: the server asked for it (Retry-After)"
        Console(stderr=True).print(said, markup=False, highlight=False)


async def keep_asking(call: Callable[[], Awaitable[T]], *, attempts: int, minutes: float) -> T:
    """The answer of a call that is made up to so many times, none later than so many minutes after the first.

    call: raises CallFailed; whatever else it raises ends this at once.

    Raises:
        CallFailed: it is given up; how often it was made, and the last reason.
    """
    made = 0

    async def counted() -> T:
        nonlocal made
        made += 1
        return await call()

    retrying = AsyncRetrying(
        stop=stop_after_attempt(attempts) | stop_before_delay(60 * minutes),
        wait=Pause(),
        retry=retry_if_exception(lambda error: isinstance(error, CallFailed) and error.passes),
        reraise=True,
    )
    try:
        return await retrying(counted)
    except CallFailed as error:
        if not error.passes:
            raise
        tried = f"no answer in {made} {'call' if made == 1 else 'calls'}"
        if (error.pause or 0) >= TOLD_FROM:
            tried += f", the server asks to wait {error.pause:.0f} s, max_minutes is {minutes:g}"
        place = f"{error.place}, {tried}" if error.place else tried
        raise CallFailed(error.message, passes=True, place=place, pause=error.pause) from None


def failure_of(api: ModelAPI, error: BaseException, name: str) -> CallFailed:
    """What a failed call of an Inspect provider means. name: the model's, for the reason."""
    if isinstance(error, RetryError):
        error = error.last_attempt.exception() or error
    if type(error).__name__ == "ModelGenerateError" and error.__cause__ is not None:  # it quotes the request
        error = error.__cause__
    if isinstance(error, CallFailed):
        return error
    message, status = _message(error), getattr(error, "status_code", None)
    place = f"{_where(api, name)}, {_kind(error)}"
    if status in (400, 404) and _UNKNOWN_MODEL.search(message):
        place += ", no model of this name there"
        return CallFailed(message, passes=False, place=place, concerns_all=True)
    refused = isinstance(error, Exception) and api.is_auth_failure(error)
    if refused or status in (401, 404) or "does not support /v1" in message:
        return CallFailed(message, passes=False, place=place, concerns_all=True)
    decision = api.should_retry(error) if isinstance(error, Exception) else False
    # a body that is no answer: no JSON, another type, half of it
    broken = isinstance(error, ValueError | TypeError | AttributeError | ConnectionError | TimeoutError)
    return CallFailed(
        message,
        passes=broken or bool(getattr(decision, "retry", decision)),
        place=place,
        pause=getattr(decision, "retry_after", None),
    )


def _where(api: ModelAPI, name: str) -> str:
    """The model and the server that it is asked at, without what a URL may hold of secrets."""
    address = urlsplit(str(getattr(api, "base_url", None) or "")).netloc.rpartition("@")[2]
    return f"{name} at {address.replace(':', ' port ')}" if address else name


def _kind(error: BaseException) -> str:
    """E.g. APIConnectionError by ConnectError; of a server's reply its status too."""
    status = getattr(error, "status_code", None)
    kinds = " by ".join(type(one).__name__ for one in (error, error.__cause__) if one is not None)
    return f"{kinds} ({status})" if status else kinds


def _message(error: BaseException) -> str:
    """What the error says, of a server's reply its own message; then what caused it; on one line."""
    body = getattr(error, "body", None)
    own = body.get("message") or body.get("detail") if isinstance(body, dict) else None
    said = " ".join(str(own or error).split())[:SHOWN]
    cause = " ".join(str(error.__cause__ or "").split())[:100]
    return f"{said} ({cause})" if cause else said


def token_limit(max_tokens: int | None, field: TokenLimit) -> dict[str, Any]:
    """The settings of Inspect's GenerateConfig that send a limit under this name."""
    if field == "max_tokens" or max_tokens is None:
        return {"max_tokens": max_tokens}
    return {"max_tokens": None, "extra_body": {"max_completion_tokens": max_tokens}}


def open_model(name: str, what: str, **settings: Any) -> Model:
    """An Inspect model by its name; its client makes each call once.

    what: where the name comes from, for messages. settings: as Inspect's `get_model`.

    Raises:
        RecipeError: no such provider, or its package or key is missing.
    """
    from inspect_ai._util.error import PrerequisiteError
    from inspect_ai.model import get_model

    if name.split("/", 1)[0] in _OWN_RETRIES:
        settings = {"max_retries": 0} | settings
    try:
        return get_model(name, **settings)
    except (PrerequisiteError, ValueError, LookupError, ImportError, TypeError, RuntimeError) as error:
        # without a terminal's markup
        plain = re.sub(r"\[/?[a-z]+\]", "", str(getattr(error, "message", error)))
        said = redact(" ".join(plain.split())[:SHOWN])
        raise RecipeError(f"{what}: {name!r} can't be used: {said}") from None
