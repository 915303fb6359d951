"""A prompt as Inspect's messages and settings, and back: the one place where the two meet.

What Inspect's own fields can't say stands in the last message's metadata, under `derta`:

    {"raw": true, "bos": false}            raw text; without beginning-of-text
    {"opening_ids": "12 5 99"}             an open assistant turn by its token ids (the message's text: for the log)
    {"min_tokens": 8}                      no end before so many tokens
    {"banned": ["12 5", "99"], "banned_tokens": 64}   runs of ids that must not come within so many tokens
    {"guide": "12 5 99", "guide_rank": 20} ids that the answer follows where they are among the 20 likeliest

Messages of other Inspect tasks have none of it: a last assistant message is an open turn, all else a chat.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageUser,
    GenerateConfig,
)

from derta.attacks.prompt import Prompt, Role, Turn
from derta.encode.chat import ChatRenderer, Message
from derta.encode.token_ids import ids_of, ids_text
from derta.errors import ModelError

_MESSAGES: dict[Role, type[ChatMessageSystem | ChatMessageUser | ChatMessageAssistant]] = {
    "system": ChatMessageSystem,
    "user": ChatMessageUser,
    "assistant": ChatMessageAssistant,
}
_ROLES: dict[str, Role] = {role: role for role in _MESSAGES}


def messages_of(prompt: Prompt) -> list[ChatMessage]:
    """The messages that carry a prompt."""
    turns = [*prompt.turns, *([Turn("assistant", prompt.opening)] if prompt.is_open else [])]
    messages: list[ChatMessage] = [_MESSAGES[turn.role](content=turn.text) for turn in turns]
    more = _metadata(prompt)
    if more:
        messages[-1].metadata = {"derta": more}
    return messages


def _metadata(prompt: Prompt) -> dict[str, Any]:
    more: dict[str, Any] = {}
    if prompt.raw:
        more["raw"] = True
    if not prompt.bos:
        more["bos"] = False
    if prompt.opening_ids:
        more["opening_ids"] = ids_text(prompt.opening_ids)
    if prompt.min_tokens:
        more["min_tokens"] = prompt.min_tokens
    if prompt.banned:
        more["banned"] = [ids_text(run) for run in prompt.banned]
        more["banned_tokens"] = prompt.banned_tokens
    if prompt.guide:
        more["guide"] = ids_text(prompt.guide)
        more["guide_rank"] = prompt.guide_rank
    return more


def config_of(prompt: Prompt, **more: Any) -> GenerateConfig:
    """What a prompt sets instead of the recipe. more: other settings of the call."""
    return GenerateConfig(
        max_tokens=prompt.max_tokens,
        temperature=prompt.temperature,
        top_p=prompt.top_p,
        seed=prompt.seed,
        **more,
    )


def prompt_of(messages: Sequence[ChatMessage]) -> Prompt:
    """The prompt that messages carry (its settings stand in the call's configuration)."""
    last = messages[-1]
    more: dict[str, Any] = (last.metadata or {}).get("derta", {})
    turns = [Turn(_ROLES.get(message.role, "user"), message.text) for message in messages]
    opening = turns.pop().text if last.role == "assistant" else ""
    return Prompt(
        turns=tuple(turns),
        raw=more.get("raw", False),
        bos=more.get("bos", True),
        opening=opening,
        opening_ids=tuple(ids_of(more["opening_ids"])) if "opening_ids" in more else None,
        min_tokens=more.get("min_tokens", 0),
        banned=tuple(tuple(ids_of(run)) for run in more.get("banned", ())),
        banned_tokens=more.get("banned_tokens", 0),
        guide=tuple(ids_of(more.get("guide", ""))),
        guide_rank=more.get("guide_rank", 0),
    )


def prompt_ids(renderer: ChatRenderer, prompt: Prompt) -> list[int]:
    """What a model reads: chat, open assistant turn, or raw text.

    Raises:
        ModelError: raw text beside other turns.
        TokenizerError: the template refuses the turns.
    """
    if prompt.raw:
        if len(prompt.turns) != 1 or prompt.is_open:
            raise ModelError(f"raw text stands alone; found {len(prompt.turns) + prompt.is_open} turns")
        return _with_bos(renderer, renderer.raw_ids(prompt.turns[0].text), prompt.bos)
    turns: list[Message] = [{"role": turn.role, "content": turn.text} for turn in prompt.turns]
    if prompt.opening_ids is not None:
        ids = renderer.prompt_ids(turns) + list(prompt.opening_ids)
    else:
        ids = renderer.prompt_ids(turns, prefill=prompt.opening)
    return _with_bos(renderer, ids, prompt.bos)


def _with_bos(renderer: ChatRenderer, ids: list[int], bos: bool) -> list[int]:
    """The ids, without beginning-of-text where the prompt says so and the tokenizer has one."""
    return ids if bos or renderer.bos_id is None else ids[1:]
