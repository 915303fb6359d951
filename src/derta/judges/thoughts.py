"""Thought and answer of a model that thinks aloud, parted in one place; and what a judge makes of each.

    <think> thinking reasoning thought    Qwen3, R1 distillates and many tuned models; R1's template opens the
    </think> without its opening          thought itself, so that only the end of it is written
    [THINK] [/THINK]                      Magistral
    <|channel|>analysis<|message|>        gpt-oss (Harmony); `analysis...assistantfinal...` without special tokens
    <|begin_of_thought|>, <seed:think>, <|START_THINKING|>, the diamonds of Kimi-VL

A thought with nothing behind it is cut: there is no answer, and no verdict about one.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from derta.judges.judgement import NO_ANSWER, Judge, Judgement
from derta.records import Query

Thoughts = Literal["apart", "judged", "ignored"]
THOUGHTS: tuple[Thoughts, ...] = ("apart", "judged", "ignored")

_TAGS = r"think|thinking|reasoning|thought|seed:think|seed:cot_budget_reflect"
# Opening mark -> the mark that closes it.
_OPENED = {
    rf"<(?:{_TAGS})>": rf"</(?:{_TAGS})>",
    r"\[THINK\]": r"\[/THINK\]",
    r"<\|begin_of_thought\|>": r"<\|end_of_thought\|>",
    r"<\|START_THINKING\|>": r"<\|END_THINKING\|>",
    "\u25c1think\u25b7": "\u25c1/think\u25b7",
}
_BLOCK = re.compile("|".join(f"{opened}(.*?){closed}" for opened, closed in _OPENED.items()), re.S | re.I)
_OPENING = re.compile("|".join(_OPENED), re.I)
_CLOSING = re.compile("|".join(_OPENED.values()), re.I)
_CHANNEL = re.compile(
    r"(?:<\|start\|>assistant)?<\|channel\|>\s*(\w+)[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>"
    r"(.*?)(?:<\|(?:end|return|call)\|>|(?=<\|start\|>)|\Z)",
    re.S,
)
# The same with the special tokens left out, as many servers print it: the channel's name glued to what follows.
_BARE_CHANNELS = re.compile(r"\s*analysis(?=[A-Z\"'])(.*?)(?:assistant\s*final(.*))?\Z", re.S)
OPEN_MARK = "<think>"
LONGEST_MARK = 60  # characters of a prompt's end in which a mark stands, channel's header included
_PROBE = "x"
_AROUND_ANSWERS = re.compile(r"<\|(?:begin|end)_of_solution\|>|<\|(?:START|END)_RESPONSE\|>")


class Parted(NamedTuple):
    """A response in its two parts. thought: "" when it does not think aloud; is_cut: it thinks and never answers."""

    thought: str
    answer: str
    is_cut: bool


def part(response: str, *, is_opened: bool = False) -> Parted:
    """Part a response. is_opened: the chat template has written the thought's opening mark already.

    A response without any thought is its own answer, unchanged.
    """
    channels = [(match[1], match[2]) for match in _CHANNEL.finditer(response)]
    if channels:
        return _parted(
            [text for channel, text in channels if channel == "analysis"],
            "\n".join(text for channel, text in channels if channel != "analysis"),
        )
    bare = _BARE_CHANNELS.match(response)
    if bare:
        return _parted([bare[1]], bare[2] or "")
    thoughts = ["".join(group or "" for group in match.groups()) for match in _BLOCK.finditer(response)]
    rest = _BLOCK.sub("", response) if thoughts else response
    closing = _CLOSING.search(rest)
    if closing:
        thoughts.append(rest[: closing.start()])
        rest = _CLOSING.sub("", rest[closing.end() :])
    elif is_opened and not thoughts:
        return _parted([response], "")
    opening = _OPENING.search(rest)
    if opening:
        thoughts.append(rest[opening.end() :])
        rest = rest[: opening.start()]
    return _parted(thoughts, _AROUND_ANSWERS.sub("", rest)) if thoughts else Parted("", response, False)


def _parted(thoughts: list[str], answer: str) -> Parted:
    thought = "\n".join(text.strip() for text in thoughts).strip()
    return Parted(thought, answer.strip(), is_cut=bool(thoughts) and not answer.strip())


def joined(thought: str | None, answer: str) -> str:
    """One response of a thought and an answer that were stored apart (`reasoning_content` of servers)."""
    return f"<think>\n{thought.strip()}\n</think>\n\n{answer}" if thought and thought.strip() else answer


def whole(prompt: str, response: str) -> str:
    """The response with the thought's opening mark, where the prompt ends in one (R1, QwQ: the template writes it).

    prompt: as it was sent, special tokens included.
    """
    begun = part(f"{prompt[-LONGEST_MARK:].rstrip()}\n{_PROBE}")
    return f"{OPEN_MARK}\n{response}" if begun.thought == _PROBE else response


def no_answer(thought: str, num_tokens: int | None = None) -> Judgement:
    """The judgement about a thought that never came to an answer."""
    length = f"{num_tokens} tokens" if num_tokens else f"a thought of {len(thought.split())} words"
    return Judgement("unknown", f"{NO_ANSWER} {length}")


def with_thoughts(judge: Judge, thoughts: Thoughts = "apart") -> Judge:
    """The judge, for models that think aloud.

    apart: the verdict is on the answer, and the thought's own verdict stands beside it (`Judgement.thought`).
    judged: one verdict on both, harmful if either is. ignored: the answer alone.
    """

    async def judged(query: Query, response: str) -> Judgement:
        parted = part(response)
        if not parted.thought and not parted.is_cut:
            return await judge(query, response)
        on_thought = await judge(query, parted.thought) if parted.thought and thoughts != "ignored" else None
        on_answer = no_answer(parted.thought) if parted.is_cut else await judge(query, parted.answer)
        if on_thought is None:
            return on_answer
        if thoughts == "apart":
            return on_answer._replace(thought=on_thought.verdict)
        if on_thought.verdict == "harmful" and on_answer.verdict != "harmful":
            return Judgement("harmful", f"in its thought: {on_thought.reason}", on_answer.helpful)
        return on_answer

    return judged
