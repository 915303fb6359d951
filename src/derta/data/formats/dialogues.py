"""The schemas of sets of conversations and preference pairs: a question with its answer, and what was said before."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from derta.data.formats import items, messages
from derta.data.formats.items import Converted, Item
from derta.data.recipe import SourceSettings
from derta.records import Message

Row = dict[str, Any]


def alpaca(row: Row, settings: SourceSettings) -> Converted:
    """{instruction, input, output, system?, history?}: the input follows the instruction after an empty line."""
    context = messages.context_of(row)
    if isinstance(context, str):
        return [context]
    item = items.benign(row, "instruction", "output", context=context)
    extra = row.get("input")
    if isinstance(item, Item) and isinstance(extra, str) and extra.strip():
        return [items.checked(replace(item, query=f"{item.query}\n\n{extra}"))]
    return [item]


def evol_instruct(row: Row, settings: SourceSettings) -> Converted:
    """WizardLM: {instruction, output} (70k), or {conversations: [{from, value}], idx} (V2)."""
    return sharegpt(row, settings) if "conversations" in row else alpaca(row, settings)


def sharegpt(row: Row, settings: SourceSettings) -> Converted:
    """{conversations: [{from, value}]} or {messages: [{role, content}]}, {system?}: one question and its answer.

    The first one, or with `exchange: last` the last one, with all that was said before it.
    """
    turns = messages.unquoted(row.get("conversations", row.get("messages")))
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        return ["field `conversations` (or `messages`): need a list of turns"]
    said = messages.turns_of(turns[:3] if settings.exchange == "first" else turns)
    found = said if isinstance(said, str) else messages.exchange(with_system(row, said), settings.exchange)
    if isinstance(found, str):
        return [found]
    fields = {"question": found.query, "answer": found.answer}
    return [items.benign(fields, "question", "answer", context=found.context)]


def with_system(row: Row, turns: list[Message]) -> list[Message]:
    """The turns behind the row's own system text, if the first of them is none."""
    system = row.get("system")
    if not isinstance(system, str) or not system.strip() or (turns and turns[0]["role"] == "system"):
        return turns
    return [Message(role="system", content=system), *turns]


def preference(row: Row, settings: SourceSettings) -> Converted:
    """{prompt?, chosen, rejected, system?}: a preference pair whose chosen answer refuses, the rejected one harms.

    Texts, lists of messages (TRL, with the prompt in them or apart) or HH-RLHF strings.
    """
    prompt = row.get("prompt", row.get("question", row.get("instruction")))
    if messages.is_conversation(messages.unquoted(prompt)):
        asked = messages.turns_of(prompt)
    else:
        asked = [Message(role="user", content=prompt)] if isinstance(prompt, str) else []
    if isinstance(asked, str):
        return [f"field `prompt`: {asked}"]
    sides = []
    for name in ("chosen", "rejected"):
        problem = None if name in row else f"field `{name}` is missing; found {sorted(map(str, row))[:12]}"
        side = problem or _answer_to(row, asked, row[name])
        if isinstance(side, str):
            return [problem or f"field `{name}`: {side}"]
        sides.append(side)
    good, bad = sides
    if good[:2] != bad[:2]:
        return ["chosen and rejected answer different questions"]
    fields = {"query": good.query, "chosen": good.answer, "rejected": bad.answer}
    return [items.harmful(fields, "query", "rejected", safe_response=good.answer, context=good.context)]


def _answer_to(row: Row, asked: list[Message], value: Any) -> messages.Exchange | str:
    """The last exchange of an answer: its text, its turn, or a whole conversation."""
    value = messages.unquoted(value)
    if isinstance(value, str) and not messages.is_conversation(value):
        said: list[Message] | str = [Message(role="assistant", content=value)]
    else:
        said = messages.turns_of([value] if isinstance(value, dict) else value)
    if isinstance(said, str):
        return said
    whole = with_system(row, said if said and said[0]["role"] != "assistant" else [*asked, *said])
    if not whole or whole[-1]["role"] != "assistant":
        return "the last turn is not the assistant's"
    return messages.exchange(whole)
