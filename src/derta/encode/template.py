"""A chat template taken apart: how it opens and closes a response, and which tokens are its own.

A template that training and generation would read differently is refused here, before anything is encoded.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerBase
from transformers.utils.chat_template_utils import mark_control_tokens

from derta.encode.render import render_apart
from derta.errors import TokenizerError
from derta.records import Message

# For base models without a template; must be chosen by name, never assumed.
PLAIN_TEMPLATE = """{{ bos_token if bos_token is defined and bos_token }}
{%- for message in messages -%}
{{ message['role'] | capitalize }}: {{ message['content'] }}
{%- if message['role'] == 'assistant' -%}{{ eos_token }}{%- endif -%}
{{ '\n\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}Assistant:{%- endif -%}"""

LONGEST_TEMPLATE = 1 << 20  # characters; published ones have up to about 30,000
_PROBE = "derta-probe-text"  # stands for a response when the template is taken apart
_QUESTION = "How are you?"


@dataclass(frozen=True)
class TemplateParts:
    """What surrounds a response.

    before_response: what is written between the generation prompt and a response that is not white space (an
    empty thinking block, say); part of the prompt. response_lead: white space put before a response; part of the
    response's ids. end_id: closes a response (white space between the response and it is left out).
    """

    before_response: str
    response_lead: str
    end_id: int


def take_apart(tokenizer: PreTrainedTokenizerBase, source: str) -> TemplateParts:
    """Find how a template opens and closes a response.

    Raises:
        TokenizerError: no generation prompt, one that is not how the template opens a response, or no token
            that ends a response.
    """
    user: list[Message] = [{"role": "user", "content": _QUESTION}]
    answered: list[Message] = [*user, {"role": "assistant", "content": _PROBE}]
    closed = render(tokenizer, source, user, generation_prompt=False)
    opened = render(tokenizer, source, user, generation_prompt=True)
    whole = render(tokenizer, source, answered, generation_prompt=False)
    if not whole.startswith(opened) or _PROBE not in whole:
        raise TokenizerError(
            "chat template: the generation prompt is not how the template itself opens an assistant turn "
            f"({opened[-40:]!r} against {whole.split(_PROBE)[0][-40:]!r}); training and generation would see "
            "different prompts. Mend the template, or choose chat.template: plain"
        )
    between, after = whole[len(opened) :].split(_PROBE, 1)
    if between.strip() and closed == opened:
        raise TokenizerError(
            f"chat template: it has no generation prompt (a response is opened by {between!r}, which "
            "add_generation_prompt does not write); add one to the template, or choose chat.template: plain"
        )
    end_id = _first_control(tokenizer, after)
    if between.strip():
        return TemplateParts(between, "", end_id)
    return TemplateParts("", between, end_id)


def template_source(tokenizer: PreTrainedTokenizerBase, template: str | None) -> str:
    """The Jinja source: None = the tokenizer's own, "plain" = PLAIN_TEMPLATE, else a file's path.

    Raises:
        TokenizerError: there is none, or it can't be used.
    """
    if template == "plain":
        if tokenizer.eos_token_id is None:
            raise TokenizerError(
                "chat.template: plain needs a tokenizer with an end-of-text token; it has none"
            )
        return PLAIN_TEMPLATE
    if template is not None:
        return _template_file(Path(template))
    if not tokenizer.chat_template:
        raise TokenizerError(
            "the tokenizer has no chat template (a base model?); choose one: chat.template: plain, or the path "
            "of a Jinja file"
        )
    try:
        source = str(tokenizer.get_chat_template())
    except ValueError as error:  # several, none of them the default
        raise TokenizerError(f"the tokenizer's chat template: {str(error).splitlines()[0]}") from None
    return _bounded(source, "the tokenizer's chat template")


def _template_file(path: Path) -> str:
    if path.exists() and not path.is_file():
        raise TokenizerError(f"chat.template: {path}: not a file")
    try:
        with path.open("rb") as handle:
            return _bounded(handle.read(LONGEST_TEMPLATE + 1).decode(), f"chat.template: {path}")
    except OSError as error:
        raise TokenizerError(f"chat.template: {path}: can't be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise TokenizerError(f"chat.template: {path}: no UTF-8 text: {error}") from None


def _bounded(source: str, where: str) -> str:
    if len(source) > LONGEST_TEMPLATE:
        raise TokenizerError(f"{where}: longer than {LONGEST_TEMPLATE} characters")
    return source


def render(
    tokenizer: PreTrainedTokenizerBase, template: str, messages: Sequence[Message], *, generation_prompt: bool
) -> str:
    """The template's text of one conversation.

    Raises:
        TokenizerError: the template refuses the turns.
    """
    return render_many(tokenizer, template, [messages], generation_prompt=generation_prompt)[0]


def render_many(
    tokenizer: PreTrainedTokenizerBase,
    template: str,
    conversations: Sequence[Sequence[Message]],
    *,
    generation_prompt: bool,
) -> list[str]:
    """The template's text of each conversation.

    Raises:
        TokenizerError: the template refuses one's turns; the message names their roles.
    """
    if not conversations:
        return []
    return render_apart(
        template,
        conversations,
        special_tokens=tokenizer.special_tokens_map,
        generation_prompt=generation_prompt,
    )


def control_tokens(tokenizer: PreTrainedTokenizerBase, template: str) -> re.Pattern[str]:
    """Matches what must stay text when a person wrote it: special tokens, and added ones that the template writes.

    White space among the added tokens (Gemma's newlines) is ordinary text.
    """
    written = template + _skeleton(tokenizer, template)
    listed = set(tokenizer.chat_control_tokens or ())
    names = [
        token.content
        for token in tokenizer.added_tokens_decoder.values()
        if token.special
        or token.content in listed
        or (token.content in written and not token.content.isspace())
    ]
    return re.compile("|".join(re.escape(name) for name in sorted(names, key=len, reverse=True)) or "(?!)")


def control_markers() -> re.Pattern[str]:
    """Matches the private markers that `mark_control_tokens` leaves around a spelled-out control token."""
    start, end = mark_control_tokens("x", re.compile("x")).split("x")
    return re.compile(f"[{start}{end}]")


def _skeleton(tokenizer: PreTrainedTokenizerBase, template: str) -> str:
    """What the template writes around any conversation: it may put tokens together ('<|' + role + '|>')."""
    user: Message = {"role": "user", "content": _QUESTION}
    turns: list[list[Message]] = [
        [user, {"role": "assistant", "content": _QUESTION}, user],
        [{"role": "system", "content": _QUESTION}, user],
    ]
    texts = []
    for messages in turns:
        try:
            texts.append(render(tokenizer, template, messages, generation_prompt=True))
        except TokenizerError:  # no system role, say
            continue
    return "\n".join(texts).replace(_QUESTION, "\n")


def _first_control(tokenizer: PreTrainedTokenizerBase, after: str) -> int:
    """The id that closes a response: the first thing after it, apart from white space."""
    controls = set(tokenizer.added_tokens_decoder) | set(tokenizer.all_special_ids)
    for token in tokenizer(after, add_special_tokens=False)["input_ids"]:
        if not str(tokenizer.decode([token])).strip():
            continue
        if token in controls:
            return int(token)
        break
    raise TokenizerError(
        f"chat template: a response is followed by {after[:30]!r}, which begins with no special token; without "
        "an end-of-text token the model can't learn to stop. Mend the template, or choose chat.template: plain"
    )
