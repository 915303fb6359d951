"""Keys stay in the environment: none is taken from a recipe, none is written or printed.

One mechanism, three gates. Recipes: a setting that is passed on as it is may not be called like a key, and no
address may hold a user, a password or a key (`no_keys`). Files and messages: every text that is written or shown
is searched for the environment's keys (`redact`), messages and settings also for addresses with a password
(`sayable`); data and responses are otherwise left as they are. Manifests and cards: of settings that are passed on
to somebody else's library, texts are written only under the names listed here (`public`).
"""

from __future__ import annotations

import os
import re
from typing import Any

MIN_LENGTH = 8  # characters; shorter values (none, EMPTY) are no secrets, and occur in ordinary texts
REDACTED = "[redacted]"

# Settings that other people's libraries take: their names are not ours to know.
PASSED_ON = frozenset({"extra_body", "model_args", "extra_headers", "headers", "default_headers"})
# Names under which their texts are written all the same; numbers and truth values always are.
PUBLIC_TEXTS = frozenset(
    {
        "attn_implementation",
        "device",
        "dtype",
        "effort",
        "format",
        "model",
        "reasoning_effort",
        "revision",
        "role",
    }
    | {"service_tier", "tokenizer", "type", "verbosity"}
)

_SECRET_NAME = re.compile(
    r"(?i)(api_?key|access_?key|secret|passw(or)?d|passphrase|authori[sz]ation|credential|cookie|bearer"
    r"|(^|[_-])(token|key|auth|sig|signature|pw)$)"
)
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]+")
_USER = re.compile(r"(://)[^/\s@'\"<>]*@")
_ARGUMENT = re.compile(r"([?&;]([A-Za-z0-9_.-]+)=)[^&;#\s'\"<>]+")


def is_secret_name(name: str) -> bool:
    """Whether a setting or environment variable of this name holds a key."""
    return _SECRET_NAME.search(name) is not None


def no_keys(value: Any, field: str = "") -> None:
    """Whether settings hold no key: no name like one with a value, no address with a user or a key in it.

    Raises:
        ValueError: one does; the message does not repeat it.
    """
    if isinstance(value, dict):
        for name, entry in value.items():
            if isinstance(name, str) and is_secret_name(name) and entry is not None:
                raise ValueError(f"{name}: a recipe holds no keys; put it in the environment")
            no_keys(entry, str(name))
    elif isinstance(value, list | tuple):
        for entry in value:
            no_keys(entry, field)
    elif isinstance(value, str) and _without_addresses(value) != value:
        raise ValueError(
            f"{field}: an address must hold no user, password or key; keys come from the environment".lstrip(
                ": "
            )
        )


def secrets() -> list[str]:
    """The environment's keys, the longest first."""
    found = {value for name, value in os.environ.items() if len(value) >= MIN_LENGTH and is_secret_name(name)}
    return sorted(found, key=lambda value: (-len(value), value))


def redact(text: str) -> str:
    """The text without any key of the environment."""
    return _without(secrets(), text)


def sayable(text: str) -> str:
    """A message without any key, also in an address."""
    return _without_addresses(redact(text))


def redacted(value: Any) -> Any:
    """A JSON value whose texts hold no key of the environment."""
    found = secrets()
    return _walk(found, value) if found else value


def public(value: Any) -> Any:
    """Settings as they are written to manifests and cards (JSON values)."""
    return _public(redacted(value), passed_on=False)


def _public(value: Any, *, passed_on: bool) -> Any:
    if isinstance(value, dict):
        return {
            name: _public(entry, passed_on=(passed_on and name not in PUBLIC_TEXTS) or name in PASSED_ON)
            for name, entry in value.items()
        }
    if isinstance(value, list):
        return [_public(entry, passed_on=passed_on) for entry in value]
    if not isinstance(value, str):
        return value
    return REDACTED if passed_on else _without_addresses(value)


def _walk(found: list[str], value: Any) -> Any:
    if isinstance(value, str):
        return _without(found, value)
    if isinstance(value, dict):
        return {_without(found, str(key)): _walk(found, entry) for key, entry in value.items()}
    return [_walk(found, entry) for entry in value] if isinstance(value, list) else value


def _without(found: list[str], text: str) -> str:
    for secret in found:
        text = text.replace(secret, REDACTED)
    return text


def _without_addresses(text: str) -> str:
    """The text with users, passwords and keys taken out of every address in it."""
    return _ADDRESS.sub(lambda found: _plain(found[0]), text) if "://" in text else text


def _plain(address: str) -> str:
    address = _USER.sub(rf"\1{REDACTED}@", address)
    return _ARGUMENT.sub(lambda found: found[1] + REDACTED if is_secret_name(found[2]) else found[0], address)
