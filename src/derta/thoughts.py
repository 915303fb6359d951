"""Thought and answer of a model that thinks aloud, parted in one place, for judges, training data and templates.

    <think> thinking reasoning thought    Qwen3, R1 distillates and many tuned models; R1's template opens the
    </think> without its opening          thought itself, so that only the end of it is written
    [THINK] [/THINK]                      Magistral
    <|channel|>analysis<|message|>        gpt-oss (Harmony); `analysis...assistantfinal...` without special tokens
    <|begin_of_thought|>, <seed:think>, <|START_THINKING|>, the diamonds of Kimi-VL

A thought with nothing behind it is cut: there is no answer, and no verdict about one.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_TAGS = r"think|thinking|reasoning|thought|seed:think|seed:cot_budget_reflect"
# Opening mark -> the mark that closes it.
_OPENED = {
    rf"<(?:{_TAGS})>": rf"</(?:{_TAGS})>",
    r"\[THINK\]": r"\[/THINK\]",
    r"<\|begin_of_thought\|>": r"<\|end_of_thought\|>",
    r"<\|START_THINKING\|>": r"<\|END_THINKING\|>",
    "\u25c1think\u25b7": "\u25c1/think\u25b7",
}
# As spelled, for those whose closing mark is not </opening>.
_CLOSED = {
    "[think]": "[/THINK]",
    "<|begin_of_thought|>": "<|end_of_thought|>",
    "<|start_thinking|>": "<|END_THINKING|>",
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
_AROUND_ANSWERS = re.compile(r"<\|(?:begin|end)_of_solution\|>|<\|(?:START|END)_RESPONSE\|>")


class Parted(NamedTuple):
    """A response in its two parts. thought: "" when it does not think aloud; is_cut: it thinks and never answers."""

    thought: str
    answer: str
    is_cut: bool


def _may_think(response: str) -> bool:
    """Whether a mark can be in it: each begins with one of three signs, but for a bare channel at the start. Training
    data are read through here, and nearly all of them hold none.
    """
    return any(sign in response for sign in "<[\u25c1") or response.lstrip().startswith("analysis")


def part(response: str, *, is_opened: bool = False) -> Parted:
    """Part a response. is_opened: the chat template has written the thought's opening mark already.

    A response without any thought is its own answer, unchanged.
    """
    if not is_opened and not _may_think(response):
        return Parted("", response, False)
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


def open_thought(text: str) -> str | None:
    """The mark that would close the thought that `text` opens and leaves open; None: it leaves none open."""
    opened = [match[0] for match in _OPENING.finditer(_CLOSING.split(text)[-1])]
    return closing_mark(opened[-1]) if opened else None


def closing_mark(opening: str) -> str:
    """What closes a thought, e.g. </think> for <think>."""
    if opening.startswith("<|") or opening.startswith("[") or not opening.startswith("<"):
        return _CLOSED[opening.casefold()]
    return f"</{opening[1:]}"


def marks(text: str) -> tuple[str, str] | None:
    """The opening and the closing mark of the first thought in a text; None: it has none."""
    found = _OPENING.search(text)
    return None if found is None else (found[0], closing_mark(found[0]))


def without_thoughts(text: str) -> str:
    """The text without its whole thoughts and without lone closing marks."""
    return _CLOSING.sub("", _BLOCK.sub("", text))
