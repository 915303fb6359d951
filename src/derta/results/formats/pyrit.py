"""PyRIT's exported memory: one row a message piece {role, conversation_id, sequence, original_value, converted_value,
converted_value_data_type, response_error, ...}, as JSON or CSV.

The pieces of one conversation make one record, and its last answer is judged, as in PyRIT's own attacks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from derta.results.document import Document
from derta.results.formats.answer import ASSISTANTS, Answer, Format, Found
from derta.results.json_values import Broken

Piece = dict[str, Any]


def _fits(document: Document) -> bool:
    heads = document.heads
    return bool(heads) and all(
        isinstance(value, dict) and "role" in value and {"original_value", "converted_value"} & set(value)
        for value in heads
    )


def _read(document: Document) -> Iterator[Found]:
    conversations: dict[str, list[Piece]] = {}
    broken = []
    last, begun = "", 0
    for place, value in enumerate(document.values, 1):
        if not isinstance(value, dict) or "role" not in value:
            why = value if isinstance(value, Broken) else Broken("no message piece: it has no `role`")
            broken.append(Broken(f"piece {place}: {why}"))
            continue
        if value.get("conversation_id"):
            last = str(value["conversation_id"])
        elif _role(value) not in ASSISTANTS:  # without ids: each user's piece begins one
            begun += 1
            last = f"conversation {begun}"
        conversations.setdefault(last, []).append(value)
    number = 0
    for number, (name, pieces) in enumerate(conversations.items(), 1):
        yield number, _answer(name, pieces)
    for extra, why in enumerate(broken, number + 1):
        yield extra, why


def _answer(name: str, pieces: list[Piece]) -> Answer:
    ordered = sorted(pieces, key=lambda piece: _sequence(piece) or 0) if _has_order(pieces) else pieces
    asked = [piece for piece in ordered if _role(piece) == "user"]
    common: dict[str, Any] = {
        "question": _value(asked[-1], "original_value") if asked else None,
        "prompt": _value(asked[-1], "converted_value") if asked else None,
        "id": name,
        "cluster": name,
        "fields": ordered[-1],
    }
    if _role(ordered[-1]) not in ASSISTANTS:
        return Answer(error=f"the conversation ends with the turn of {_role(ordered[-1])[:30]!r}", **common)
    last = _sequence(ordered[-1])
    final = [piece for piece in ordered if _role(piece) in ASSISTANTS and _sequence(piece) == last]
    final = final if last is not None else ordered[-1:]
    return _joined(final, common)


def _has_order(pieces: list[Piece]) -> bool:
    return all(_sequence(piece) is not None for piece in pieces)


def _joined(pieces: list[Piece], common: dict[str, Any]) -> Answer:
    """The pieces of one turn: texts, a thought, an error."""
    kinds = [str(piece.get("converted_value_data_type") or "text") for piece in pieces]
    errors = [str(piece.get("response_error") or "none") for piece in pieces]
    if "blocked" in errors or "error" in kinds:
        is_blocked = "blocked" in errors
        return Answer(
            response="" if is_blocked else None,
            stop="content_filter" if is_blocked else None,
            error=None if is_blocked else f"error: {_value(pieces[0], 'converted_value')}",
            **common,
        )
    if any(error not in ("none", "") for error in errors):
        return Answer(error=f"response_error: {', '.join(errors)}", **common)
    texts = [
        _value(piece, "converted_value") for piece, kind in zip(pieces, kinds, strict=True) if kind == "text"
    ]
    thoughts = [
        _value(p, "converted_value") for p, kind in zip(pieces, kinds, strict=True) if kind == "reasoning"
    ]
    if not all(isinstance(text, str) for text in texts) or not texts:
        return Answer(error=f"no text, found {', '.join(kinds)}", **common)
    thought = "\n".join(text for text in thoughts if isinstance(text, str)) or None
    return Answer(response="\n".join(map(str, texts)), thought=thought, **common)


def _value(piece: Piece, name: str) -> Any:
    other = "original_value" if name == "converted_value" else "converted_value"
    return piece.get(name) or piece.get(other)


def _role(piece: Piece) -> str:
    return str(piece.get("role")).lower().removeprefix("simulated_")


def _sequence(piece: Piece) -> int | None:
    text = str(piece.get("sequence", ""))
    return int(text) if text.lstrip("-").isdecimal() and len(text) < 10 else None


PYRIT = Format("PyRIT export", _fits, _read, record="conversation", note="the last answer of each is judged")
