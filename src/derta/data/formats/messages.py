"""Conversations in every spelling that files have: lists of turns, such a list as text, Human/Assistant strings.

ShareGPT {from, value}, OpenAI {role, content} with text or content parts, HH-RLHF
"\\n\\nHuman: ...\\n\\nAssistant: ...".
A conversation that can't be told apart is a reason, never a guess.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from derta.records import Context, Message, as_context, context_problem

MAX_QUOTED = 1 << 20  # characters of a cell that is read as a value
_ROLES = {
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bing", "bard", "model", "ai", "bot"), "assistant"),
    "system": "system",
}
_SPOKEN = re.compile(r"(?:^|\n\n)\s*(Human|Assistant):")


class Exchange(NamedTuple):
    """A question with its answer, and what was said before."""

    context: Context
    query: str
    answer: str


def unquoted(value: Any) -> Any:
    """The list or object that a CSV cell holds as text, in JSON or in Python's spelling; other values as they are."""
    if not isinstance(value, str) or len(value) > MAX_QUOTED or value.lstrip()[:1] not in ("[", "{"):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(value.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return value


def is_conversation(value: Any) -> bool:
    """Whether a value, unquoted, is meant as turns."""
    if isinstance(value, str):
        return bool(_SPOKEN.match(value))
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(turn, dict) and ("role" in turn or "from" in turn) for turn in value)
    )


def turns_of(value: Any) -> list[Message] | str:
    """The turns of a conversation, or why there are none."""
    value = unquoted(value)
    if isinstance(value, str) and is_conversation(value):
        return _spoken(value)
    if not isinstance(value, list) or not all(isinstance(turn, dict) for turn in value):
        return "need a list of turns"
    turns = []
    for number, turn in enumerate(value):
        name = str(turn.get("role", turn.get("from")))
        role = _ROLES.get(name.lower())
        if role is None:
            return f"turn {number + 1} is from {name[:40]!r}, need system, user or assistant"
        content = content_text(turn.get("content", turn.get("value")))
        if content is None:
            return f"turn {number + 1} holds no text alone"
        if role != "system" or content.strip():
            turns.append(Message(role=role, content=content))
    return turns


def content_text(content: Any) -> str | None:
    """The text of a turn: itself, or its text parts joined; None where a part is an image, a sound or a call."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not content:
        return None
    parts = [part if isinstance(part, str) else _part_text(part) for part in content]
    return None if any(part is None for part in parts) else "".join(map(str, parts))


def _part_text(part: Any) -> str | None:
    if not isinstance(part, dict) or part.get("type", "text") not in ("text", "input_text", "output_text"):
        return None
    return part["text"] if isinstance(part.get("text"), str) else None


def _spoken(text: str) -> list[Message]:
    """The turns of "\\n\\nHuman: ...\\n\\nAssistant: ..."."""
    pieces = _SPOKEN.split(text)[1:]
    names = {"Human": "user", "Assistant": "assistant"}
    return [
        Message(role=names[name], content=said.strip())
        for name, said in zip(pieces[0::2], pieces[1::2], strict=True)
    ]


def exchange(turns: Sequence[Message], which: Literal["first", "last"] = "last") -> Exchange | str:
    """The first or last question that has an answer, or why there is none. A system turn stands first or nowhere."""
    system = list(turns[:1]) if turns and turns[0]["role"] == "system" else []
    spoken = list(turns[len(system) :])
    roles = [turn["role"] for turn in spoken]
    if len(spoken) < 2 or roles[0] != "user":
        return "no question with an answer: the conversation must begin with the user's turn"
    if roles[1] != "assistant":
        return f"no question with an answer: the second turn is from {roles[1]!r}"
    end = 2
    if which == "last":
        end = max(at for at, role in enumerate(roles) if role == "assistant") + 1
    found = before([*system, *spoken[: end - 1]])
    return found if isinstance(found, str) else Exchange(*found, spoken[end - 1]["content"])


def before(turns: Sequence[Message]) -> tuple[Context, str] | str:
    """What was said before the last question, and that question; or why the turns are no such conversation."""
    if not turns or turns[-1]["role"] != "user":
        return "the last turn before the answer is not the user's"
    problem = context_problem(turns[:-1])
    return problem or (as_context(turns[:-1]), turns[-1]["content"])


def context_of(row: dict[str, Any]) -> Context | str:
    """What a row's `context`, `system` and `history` say was said before its question, or why they can't be read.

    history: [[question, answer], ...], as Alpaca rows have it, or turns.
    """
    turns: list[Any] = []
    system, history = row.get("system"), unquoted(row.get("history"))
    if isinstance(system, str) and system.strip():
        turns.append(Message(role="system", content=system))
    elif system is not None and not isinstance(system, str):
        return "field `system`: need a text"
    for value in (history, unquoted(row.get("context"))):
        if value in (None, "", []):
            continue
        if isinstance(value, list) and all(
            isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in value
        ):
            for question, answer in value:
                turns += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
            continue
        said = turns_of(value)
        if isinstance(said, str):
            return f"what was said before the question: {said}"
        turns += said
    problem = context_problem(turns)
    return problem or as_context(turns)
