"""What every format makes of a file: answers, each with the number of the record that it stands in.

A record (an attempt, a behaviour, a line) may hold several answers: samples of one question. A record without any is
`Broken`, with its reason: nothing of a file goes missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from derta.records import QueryKind
from derta.results.document import Document
from derta.results.json_values import Broken

THOUGHTS = ("reasoning_content", "reasoning", "thinking", "thought")  # fields beside an answer
USERS = frozenset({"user", "human", "prompter"})
ASSISTANTS = frozenset({"assistant", "gpt", "model", "chatgpt", "bing", "bard", "ai", "bot"})
_TEXT_PARTS = frozenset({"text", "output_text", "input_text", "summary_text", "reasoning_text"})
_THOUGHT_PARTS = frozenset({"reasoning", "thinking", "redacted_thinking"})


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer as a format finds it; `rows` checks its types.

    prompt: what was sent, where that is not the question. response: None, or no text: nothing to judge. refusal: a
    server's refusal field. stop: why the generation ended, in the source's word. error: why there is no answer.
    cluster: whose samples are not independent; None: the question's. own: a row of our responses.jsonl.
    is_raw: the response is the whole text with its opening, which the judge reads together.
    """

    question: Any = None
    response: Any = None
    prompt: Any = None
    thought: Any = None
    refusal: Any = None
    stop: Any = None
    error: Any = None
    id: Any = None
    cluster: str | None = None
    model: Any = None
    method: str = "none"
    attack: Any = None
    kind: QueryKind = "harmful"
    own: bool = False
    is_raw: bool = False
    fields: dict[str, Any] = field(default_factory=dict)


Found = tuple[int, Answer | Broken]  # the record's number in the file, from 1


class Format(NamedTuple):
    """One format.

    name: as the user reads it. fits: by structure alone. read: all answers in order. record, sample: nouns for
    counting. note: what the user should know of such files, printed with the name. declared: how many records the
    file says that it holds; None: it doesn't say.
    """

    name: str
    fits: Callable[[Document], bool]
    read: Callable[[Document], Iterator[Found]]
    record: str = "row"
    sample: str = "sample"
    note: str = ""
    declared: Callable[[Document], int | None] = lambda document: None


def each(answers: Callable[[dict[str, Any]], Iterable[Answer]]) -> Callable[[Document], Iterator[Found]]:
    """Read a document whose values are records, each by itself."""

    def read(document: Document) -> Iterator[Found]:
        for number, value in enumerate(document.values, 1):
            yield from numbered(number, value, answers)

    return read


def numbered(
    number: int, value: Any, answers: Callable[[dict[str, Any]], Iterable[Answer]]
) -> Iterator[Found]:
    """The answers of one record, or the reason why it has none."""
    if isinstance(value, Broken):
        yield number, value
    elif not isinstance(value, dict):
        yield number, Broken(f"need an object, found {type(value).__name__}")
    else:
        found: list[Answer | Broken] = [*answers(value)]
        yield from ((number, answer) for answer in found or [Broken("the record holds no answer")])


def all_have(*names: str) -> Callable[[Document], bool]:
    """Fits where every record at the beginning is an object with these fields."""

    def fits(document: Document) -> bool:
        heads = document.heads
        return bool(heads) and all(isinstance(value, dict) and set(names) <= set(value) for value in heads)

    return fits


class Spoken(NamedTuple):
    """What a message says, and what was thought before it. text: None: nothing; no string: not readable as text."""

    text: Any
    thought: Any = None


def spoken(content: Any) -> Spoken:
    """The text of a message's content: a string, {text}, or a list of parts, whose thoughts are kept apart."""
    if isinstance(content, dict) and "text" in content:
        return Spoken(content["text"])
    if not isinstance(content, list):
        return Spoken(content)
    texts, thoughts, others = [], [], []
    for part in content:
        kind = str(part.get("type", "text")) if isinstance(part, dict) else "text"
        if kind in _THOUGHT_PARTS and isinstance(part, dict):
            thoughts.append(_first_text(part, ("reasoning", "thinking", "text", "summary")))
        elif kind in _TEXT_PARTS:
            texts.append(part.get("text") if isinstance(part, dict) else part)
        else:
            others.append(part)
    said = [text for text in texts if isinstance(text, str)]
    thought = "\n".join(text for text in thoughts if text) or None
    if len(said) < len(texts) or (others and not said):
        return Spoken(content, thought)  # no text: an image, a number
    return Spoken("\n".join(said) if said else None, thought)


def _first_text(part: dict[str, Any], names: Iterable[str]) -> str | None:
    return next((part[name] for name in names if isinstance(part.get(name), str) and part[name]), None)


def thought_of(row: dict[str, Any]) -> Any:
    """What a row keeps of a model's reasoning in a field of its own."""
    for name in THOUGHTS:
        value = row.get(name)
        if isinstance(value, str) and value.strip():
            return value
        if isinstance(value, (list, dict)):
            read = spoken(value if isinstance(value, list) else [value])
            if isinstance(read.text, str) or read.thought:
                return read.text if isinstance(read.text, str) else read.thought
    return None


def message_answer(message: Any, **more: Any) -> Answer:
    """The answer in an assistant's message {content, refusal?, reasoning_content?}."""
    if not isinstance(message, dict):
        return Answer(error=f"no message, found {type(message).__name__}", **more)
    read = spoken(message.get("content", message.get("text")))
    if read.text is None and message.get("tool_calls"):
        return Answer(error="the model called a tool instead of answering", **more)
    return Answer(
        response=read.text,
        thought=thought_of(message) or read.thought,
        refusal=message.get("refusal"),
        **more,
    )


def last_exchange(turns: Any, **more: Any) -> Answer:
    """The last answer of a conversation and the user's turn before it.

    turns: [{role | from, content | value | text}, ...].
    """
    if not isinstance(turns, list) or not turns:
        return Answer(error="no conversation: need a list of turns", **more)
    said: list[tuple[str, dict[str, Any]]] = []
    for turn in turns:
        if not isinstance(turn, dict):
            return Answer(error=f"a turn is no object, found {type(turn).__name__}", **more)
        role = str(turn.get("role", turn.get("from", ""))).lower()
        content = turn.get("content", turn.get("value", turn.get("text")))
        said.append((role, turn | {"content": content}))
    asked = last_question(turns)
    more = {"question": asked, "cluster": None} | more
    if said[-1][0] not in ASSISTANTS:
        return Answer(error=f"the conversation ends with the turn of {said[-1][0][:30]!r}: no answer", **more)
    return message_answer(said[-1][1], **more)


def last_question(turns: Any) -> str | None:
    """The text of the user's last turn before the last answer."""
    found = None
    for turn in turns if isinstance(turns, list) else []:
        if isinstance(turn, dict) and str(turn.get("role", turn.get("from", ""))).lower() in USERS:
            text = spoken(turn.get("content", turn.get("value", turn.get("text")))).text
            found = text if isinstance(text, str) else found
    return found
