"""A chat template with its settings: where its source comes from, what it writes, and which tokens are its own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase
from transformers.utils.chat_template_utils import mark_control_tokens

from derta.encode.render import render_apart
from derta.encode.settings import DEFAULTS, ChatSettings
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
QUESTION = "How are you?"
# Variables that published templates ask for, apart from tools, documents and what transformers gives.
_SWITCH = re.compile(
    r"(?<![\w.])(enable_thinking|thinking|reasoning_effort|thinking_budget|reasoning|date_string|model_identity"
    r"|system_message|xml_tools|clear_thinking|preserve_thinking|add_thoughts|controls|safety_mode)(?!\w)"
)


@dataclass(frozen=True)
class Rendering:
    """A template and all that decides what it writes. source: Jinja."""

    tokenizer: PreTrainedTokenizerBase
    source: str
    settings: ChatSettings = DEFAULTS

    def text(self, messages: Sequence[Message], *, generation_prompt: bool) -> str:
        """The template's text of one conversation.

        Raises:
            TokenizerError: the template refuses the turns.
        """
        return self.texts([messages], generation_prompt=generation_prompt)[0]

    def texts(self, conversations: Sequence[Sequence[Message]], *, generation_prompt: bool) -> list[str]:
        """The template's text of each conversation; `chat.system` opens those without a system turn.

        Raises:
            TokenizerError: the template refuses one's turns; the message names their roles.
        """
        if not conversations:
            return []
        date = self.settings.date
        return render_apart(
            self.source,
            [self._with_system(messages) for messages in conversations],
            variables={**self.tokenizer.special_tokens_map, **self.settings.template_kwargs},
            generation_prompt=generation_prompt,
            date=None if date is None else date.isoformat(),
        )

    def _with_system(self, messages: Sequence[Message]) -> Sequence[Message]:
        system = self.settings.system
        if system is None or (messages and messages[0]["role"] == "system"):
            return messages
        return [{"role": "system", "content": system}, *messages]


def template_source(tokenizer: PreTrainedTokenizerBase, template: str | None) -> str:
    """The Jinja source: None = the tokenizer's own, "plain" = PLAIN_TEMPLATE, one of its names, else a file's path.

    Raises:
        TokenizerError: there is none, or it can't be used.
    """
    if template == "plain":
        if tokenizer.eos_token_id is None:
            raise TokenizerError(
                "chat.template: plain needs a tokenizer with an end-of-text token; it has none"
            )
        return PLAIN_TEMPLATE
    own = tokenizer.chat_template
    named: dict[str, str] = own if isinstance(own, dict) else {}
    if template is not None and template not in named:
        return _template_file(Path(template), named)
    if not own:
        raise TokenizerError(
            "the tokenizer has no chat template (a base model?); choose one: chat.template: plain, or the path "
            "of a Jinja file"
        )
    if template is None and named and "default" not in named:
        raise TokenizerError(
            f"the tokenizer has several chat templates and none called default: {', '.join(sorted(named))}; "
            "name one: chat.template: " + min(named)
        )
    return _bounded(str(named[template or "default"] if named else own), "the tokenizer's chat template")


def check_kwargs(source: str, kwargs: Mapping[str, Any]) -> None:
    """Refuse a variable that the template never reads: a misspelt one would change nothing, in silence.

    Raises:
        TokenizerError: names it, and those that look like switches.
    """
    for name in kwargs:
        if not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", source):
            known = switches(source)
            raise TokenizerError(
                f"chat.template_kwargs.{name}: this template has no such variable; "
                + (f"it has: {', '.join(known)}" if known else "it has none to choose")
            )


def switches(source: str) -> list[str]:
    """Variables that a template asks for by `is defined`, and that no conversation holds."""
    return sorted(set(_SWITCH.findall(source)))


def _template_file(path: Path, named: Mapping[str, str]) -> str:
    if named and not path.exists():
        raise TokenizerError(
            f"chat.template: {path}: no such file, and none of the tokenizer's templates: {', '.join(sorted(named))}"
        )
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


def control_tokens(rendering: Rendering) -> re.Pattern[str]:
    """Matches what must stay text when a person wrote it: special tokens, and added ones that the template writes.

    White space among the added tokens (Gemma's newlines) is ordinary text.
    """
    tokenizer = rendering.tokenizer
    written = rendering.source + _skeleton(rendering)
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


def _skeleton(rendering: Rendering) -> str:
    """What the template writes around any conversation: it may put tokens together ('<|' + role + '|>')."""
    user: Message = {"role": "user", "content": QUESTION}
    turns: list[list[Message]] = [
        [user, {"role": "assistant", "content": QUESTION}, user],
        [{"role": "system", "content": QUESTION}, user],
    ]
    texts = []
    for messages in turns:
        try:
            texts.append(rendering.text(messages, generation_prompt=True))
        except TokenizerError:  # no system role, say
            continue
    return "\n".join(texts).replace(QUESTION, "\n")
