"""What a template puts around the question and before the answer, said before anything is trained or asked.

Nobody reads a Jinja file of 300 lines; an empty thinking block, a default system prompt or today's date in it
changes what a model is trained and attacked with.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import replace
from typing import Any

from derta.encode.chat import ChatRenderer
from derta.encode.template import QUESTION, Rendering, switches
from derta.errors import TokenizerError
from derta.records import Message
from derta.thoughts import marks, part, without_thoughts

_ASKED: list[Message] = [{"role": "user", "content": QUESTION}]
_LONGEST = 120  # characters of a text that are shown
_DAYS = (datetime.date(2001, 2, 3), datetime.date(2014, 11, 25))  # any two without a part in common
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)")


def prompt_report(renderer: ChatRenderer) -> list[str]:
    """One line on what a conversation looks like, and one on each thing in it that surprises."""
    before, behind = around(renderer)
    ending = "".join(str(name) for name in _names(renderer, renderer.parts.end_ids))
    lines = [f"chat: {_short(before)} QUESTION {_short(behind)} ANSWER {ending!r}"]
    thinking = thinking_of(renderer)
    if thinking:
        lines.append(f"before every answer: {thinking}")
    day = day_of(renderer.rendering)
    if day is not None:
        pinned = (
            "chat.date" if renderer.settings.date else "today: prompts change with the day; chat.date pins it"
        )
        lines.append(f"the template writes a date: {day} ({pinned})")
    return [*lines, *_about_bos(renderer)]


def prompt_facts(renderer: ChatRenderer) -> dict[str, Any]:
    """The same for a manifest, as JSON values."""
    before, behind = around(renderer)
    return {
        "settings": renderer.settings.variables,
        "before_question": before,
        "before_answer": behind,
        "end": _names(renderer, renderer.parts.end_ids),
        "said": prompt_report(renderer)[1:],
    }


def around(renderer: ChatRenderer) -> tuple[str, str]:
    """What stands before the question of a plain conversation, and between it and the answer."""
    text = renderer.rendering.text(_ASKED, generation_prompt=True) + renderer.parts.before_response
    before, _, behind = text.rpartition(QUESTION)
    return before, behind


def opening(renderer: ChatRenderer) -> str:
    """What opens the answer: the generation prompt, and what stands behind it."""
    closed = renderer.rendering.text(_ASKED, generation_prompt=False)
    opened = renderer.rendering.text(_ASKED, generation_prompt=True)
    own = opened[len(closed) :] if opened.startswith(closed) else opened.rpartition(QUESTION)[2]
    return own + renderer.parts.before_response


def thinking_of(renderer: ChatRenderer) -> str | None:
    """What is said of a thought or channel before the answer; None: there is none."""
    before, _ = around(renderer)
    behind = opening(renderer)
    own = "written by the generation prompt"
    if renderer.parts.before_response:
        is_given = renderer.settings.thought is not None
        own = "given by chat.thought" if is_given else "as the template writes stored answers"
    if without_thoughts(behind) != behind:
        found = part(f"{behind}answer").thought if marks(behind) else ""
        what = f"the thought {_short(found)}" if found else "an empty thought"
        return (
            f"{what}, {own}: the model is trained and asked without thinking aloud{_choices(renderer)}. A server "
            "that renders chats itself must write the same"
        )
    channel = _CHANNEL.search(behind)
    if channel is not None:
        return f"the channel {channel[1]}, {own}: the model is trained and asked without thinking{_choices(renderer)}"
    if re.search(r"(?<![\w/])/(no_)?think\b", before):
        found = re.findall(r"(?<![\w/])/(?:no_)?think\b", before)[-1]
        return f"no thought, and the system prompt says {found}{_choices(renderer)}"
    return None


def day_of(rendering: Rendering) -> datetime.date | None:
    """The day that the template writes: `chat.date`, or today; None: what it writes depends on no day."""
    if "strftime_now" not in rendering.source:
        return None
    texts = [
        replace(rendering, settings=rendering.settings.model_copy(update={"date": day})).text(
            _ASKED, generation_prompt=True
        )
        for day in _DAYS
    ]
    if texts[0] == texts[1]:
        return None
    return rendering.settings.date or datetime.datetime.now().astimezone().date()


def _choices(renderer: ChatRenderer) -> str:
    """Which variable of the template gives what is in force by itself, so that a server can be told."""
    found = switches(renderer.template)
    given = renderer.settings.template_kwargs
    if given:
        return f" (chat.template_kwargs: {given})"
    ours = "".join(around(renderer))
    for name in found:
        for value in (False, True):
            settings = renderer.settings.model_copy(update={"template_kwargs": {name: value}})
            try:
                other = replace(renderer.rendering, settings=settings).text(_ASKED, generation_prompt=True)
            except TokenizerError:
                continue
            if other.replace(QUESTION, "") == ours:
                return f" (as with template_kwargs {name}: {str(value).lower()})"
    return f" (to choose: chat.template_kwargs {', '.join(found)})" if found else ""


def _about_bos(renderer: ChatRenderer) -> list[str]:
    """Where the template and the tokenizer disagree on beginning-of-text."""
    name = renderer.tokenizer.bos_token
    if name is None or not renderer.adds_bos:
        return []
    text = renderer.rendering.text(_ASKED, generation_prompt=True)
    if text.startswith(str(name)):
        return []
    return [
        f"beginning-of-text {name!r}: the tokenizer puts it before every text, the template writes none; here every "
        "prompt has it, a server that renders chats itself may send none"
    ]


def _names(renderer: ChatRenderer, ids: tuple[int, ...]) -> list[str]:
    return [str(name) for name in renderer.tokenizer.convert_ids_to_tokens(list(ids))]


def _short(text: str) -> str:
    shown = text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"
    return repr(shown)
