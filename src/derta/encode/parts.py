"""A chat template taken apart: how it opens and closes a response.

A template that training and generation would read differently is refused here, before anything is encoded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from derta.encode.template import QUESTION, Rendering, switches
from derta.errors import TokenizerError
from derta.records import Message
from derta.thoughts import marks, open_thought, without_thoughts

_PROBE = "derta-probe-text"  # stands for a response when the template is taken apart
_ASKED: list[Message] = [{"role": "user", "content": QUESTION}]
_ANSWERED: list[Message] = [*_ASKED, {"role": "assistant", "content": _PROBE}]


@dataclass(frozen=True)
class TemplateParts:
    """What surrounds a response.

    before_response: what stands between the generation prompt and a response and is not white space (an empty
    thinking block, say); part of the prompt. response_lead: white space put before a response; part of the
    response's ids. end_ids: the control tokens that close a response, most often one (white space between the
    response and them is left out).
    """

    before_response: str
    response_lead: str
    end_ids: tuple[int, ...]

    @property
    def end_id(self) -> int:
        """The last of them: behind it a model stops."""
        return self.end_ids[-1]


def take_apart(rendering: Rendering, *, may_think: bool = False) -> TemplateParts:
    """Find how a template opens and closes a response.

    may_think: a generation prompt may leave a thought open, as it does for a model that is only asked.

    Raises:
        TokenizerError: no generation prompt, one that is not how the template opens a response, or no token
            that ends a response; the message says which setting of `chat` helps.
    """
    closed = rendering.text(_ASKED, generation_prompt=False)
    opened = rendering.text(_ASKED, generation_prompt=True)
    whole = rendering.text(_ANSWERED, generation_prompt=False)
    if _PROBE not in whole:
        raise TokenizerError(
            "chat template: an assistant turn's text is not written as it is; need a template that does"
        )
    stored, after = whole.split(_PROBE, 1)
    if stored.startswith(opened) and stored[len(opened) :].strip() and closed == opened:
        raise TokenizerError(
            f"chat template: it has no generation prompt (a response is opened by {stored[len(opened) :]!r}, which "
            "add_generation_prompt does not write); write one into a copy of the template: chat.template: FILE"
        )
    before, lead = _opening(opened, stored, rendering.settings.thought, rendering.source, may_think)
    return TemplateParts(before, lead, _ending(rendering, after, stored.rpartition(QUESTION)[2]))


def _opening(opened: str, stored: str, thought: str | None, source: str, may_think: bool) -> tuple[str, str]:
    """(before_response, response_lead). opened: text up to the generation prompt's end; stored: up to a response."""
    is_kept = stored.startswith(opened)
    between = stored[len(opened) :] if is_kept else ""
    closing = open_thought(opened + between)
    if thought is not None:
        return _given(thought, between, closing), ""
    if is_kept and closing is None:
        return (between, "") if between.strip() else ("", between)
    if closing is not None and may_think:
        return between, ""
    if closing is not None:
        raise TokenizerError(
            f"chat template: its generation prompt opens a thought ({opened[-20:]!r}) and leaves it open. "
            'Choose what stands there: chat.thought: "" (an empty thought: the model is trained and asked without '
            f"thinking), or a text{_or_switch(source)}"
        )
    shared = _shared(opened, stored)
    if without_thoughts(opened[shared:]).strip() or stored[shared:].strip():
        raise TokenizerError(
            "chat template: the generation prompt is not how the template itself opens an assistant turn "
            f"({opened[-40:]!r} against {stored[-40:]!r}); training and generation would see different prompts. "
            f"Write a copy of the template in which they agree: chat.template: FILE{_or_switch(source)}"
        )
    return "", ""  # a whole thought, or its end alone, which only the generation prompt writes


def _shared(one: Sequence[object], other: Sequence[object]) -> int:
    """How far both are the same."""
    longest = min(len(one), len(other))
    return next((index for index in range(longest) if one[index] != other[index]), longest)


def _given(thought: str, between: str, closing: str | None) -> str:
    """What the recipe's thought adds to the generation prompt."""
    body = f"{thought}\n" if thought else "\n"
    if closing is not None:
        return f"{body}{closing}\n\n"
    found = marks(between)
    if found is None:
        raise TokenizerError(
            "chat.thought: this template writes no thought before an answer; leave it out, or turn thinking on "
            "with chat.template_kwargs"
        )
    return f"{found[0]}\n{body}{found[1]}\n\n"


def _or_switch(source: str) -> str:
    found = switches(source)
    return f"; or chat.template_kwargs ({', '.join(found)})" if found else ""


def _ending(rendering: Rendering, after: str, behind_question: str) -> tuple[int, ...]:
    """The ids that close a response: of several control tokens all up to the one that closes a user's turn too, else
    the first (what follows opens the next turn, or ends the conversation).

    after: what the template writes behind the last response; behind_question: between a question and a response.
    """
    if rendering.settings.end_token is not None:
        return (_named(rendering.tokenizer, rendering.settings.end_token),)
    run = _controls(rendering.tokenizer, after)
    if not run:
        middle = _controls(rendering.tokenizer, _behind_an_earlier_response(rendering))
        raise TokenizerError(
            f"chat template: a response is followed by {after[:30]!r}, which begins with no special token; without "
            f"one the model can't learn to stop. Name it: chat.end_token: {_candidates(rendering, middle)}"
        )
    closes_turn = _controls(rendering.tokenizer, behind_question)[:1]
    return run[: run.index(closes_turn[0]) + 1] if closes_turn and closes_turn[0] in run else run[:1]


def _behind_an_earlier_response(rendering: Rendering) -> str:
    try:
        longer = rendering.text([*_ANSWERED, *_ASKED], generation_prompt=False)
    except TokenizerError:
        return ""
    return longer.split(_PROBE, 1)[-1] if _PROBE in longer else ""


def _named(tokenizer: PreTrainedTokenizerBase, name: str) -> int:
    token = tokenizer.convert_tokens_to_ids(name)
    if not isinstance(token, int) or (token == tokenizer.unk_token_id and name != tokenizer.unk_token):
        raise TokenizerError(f"chat.end_token: {name!r} is no token of this tokenizer")
    return token


def _candidates(rendering: Rendering, middle: tuple[int, ...]) -> str:
    """What probably closes a response: what opens the next turn, and end-of-text."""
    tokenizer = rendering.tokenizer
    found = [str(name) for name in tokenizer.convert_ids_to_tokens(list(middle[:1]))]
    if tokenizer.eos_token and tokenizer.eos_token not in found:
        found.append(str(tokenizer.eos_token))
    return " or ".join(f"{name!r}" for name in found) or "a token of its vocabulary"


def _controls(tokenizer: PreTrainedTokenizerBase, after: str) -> tuple[int, ...]:
    """The control tokens with which a text begins, apart from white space before the first."""
    controls = set(tokenizer.added_tokens_decoder) | set(tokenizer.all_special_ids)
    run: list[int] = []
    for token in tokenizer(after, add_special_tokens=False)["input_ids"]:
        if not run and not str(tokenizer.decode([token])).strip():
            continue
        if token not in controls or not str(tokenizer.decode([token])).strip():
            break
        run.append(int(token))
    return tuple(run)
