"""Conversations: chat `messages` and ShareGPT. The last answer of each is judged, with the user's turn before it.

messages   {messages | conversation | chat: [{role, content}, ...], ...}
ShareGPT   {conversations: [{from, value}, ...], ...}
A row whose conversation ends with the user's turn and that has an answer field beside it is read as `plain`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from derta.results.document import Document
from derta.results.formats.answer import ASSISTANTS, Answer, Format, each, last_exchange
from derta.results.formats.plain import answer_names, wanted

_NAMES = ("messages", "conversation", "conversations", "chat", "dialog", "dialogue", "turns")


def _turns(row: Any) -> list[Any] | None:
    """The conversation in a row."""
    if not isinstance(row, dict):
        return None
    found = [row[name] for name in _NAMES if _is_conversation(row.get(name))]
    return found[0] if len(found) == 1 else None


def _is_conversation(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(turn, dict) and bool({"role", "from"} & set(turn)) for turn in value)
    )


def _ends_with_answer(turns: list[Any]) -> bool:
    return str(turns[-1].get("role", turns[-1].get("from", ""))).lower() in ASSISTANTS


def _fits(document: Document, *, speaker: str) -> bool:
    heads = document.heads
    found = [turns for turns in map(_turns, heads) if turns is not None]
    if not heads or len(found) < len(heads) or not all(speaker in turns[0] for turns in found):
        return False
    beside = [bool(answer_names(row)) for row in heads]
    return any(_ends_with_answer(turns) for turns in found) or not any(beside)


def _answers(row: dict[str, Any]) -> Iterator[Answer]:
    turns = _turns(row)
    if turns is None:
        yield Answer(error=f"no conversation; found {sorted(map(str, row))[:8]}", fields=row)
        return
    beside = [name for name in answer_names(row) if row[name] not in (None, "", turns[-1].get("content"))]
    if beside and _ends_with_answer(turns):
        raise wanted(row, [*(name for name in _NAMES if name in row), *beside])
    attack = row.get("attack") if isinstance(row.get("attack"), str) else None
    yield last_exchange(turns, id=row.get("id"), attack=attack, fields=row)


MESSAGES = Format(
    "chat messages",
    lambda document: _fits(document, speaker="role"),
    each(_answers),
    record="conversation",
)
SHAREGPT = Format(
    "ShareGPT conversations",
    lambda document: _fits(document, speaker="from"),
    each(_answers),
    record="conversation",
)
