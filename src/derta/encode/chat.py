"""The one renderer: a conversation becomes ids here, for training, attacks and evaluation alike.

    chat        system and user turns, then the opening of an assistant turn (the generation prompt)
    prefill     the same, with the assistant's first words already there (open assistant prefix)
    raw         beginning-of-text and the text, no template at all

Three promises: text that people wrote is never parsed for special tokens; there is exactly one
beginning-of-text id (when the tokenizer uses one); the prompt's ids are a prefix of prompt + response.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypedDict

import jinja2
from transformers import PreTrainedTokenizerBase
from transformers.utils.chat_template_utils import encode_marked_chat, mark_control_tokens

from derta.errors import TokenizerError
from derta.files import sha256_text

# For base models without a template; must be chosen by name, never assumed.
PLAIN_TEMPLATE = """{{ bos_token if bos_token is defined and bos_token }}
{%- for message in messages -%}
{{ message['role'] | capitalize }}: {{ message['content'] }}
{%- if message['role'] == 'assistant' -%}{{ eos_token }}{%- endif -%}
{{ '\n\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}Assistant:{%- endif -%}"""

_PROBE = "derta-probe-text"  # stands for a response when the template is taken apart
_QUESTION = "How are you?"


class Message(TypedDict):
    """One turn; role is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True)
class ChatRenderer:
    """A tokenizer and its template, taken apart once.

    template: Jinja source. before_response: what the template writes between the generation prompt and a
    response that is not white space (an empty thinking block, say); part of the prompt. response_lead: white
    space that the template puts before a response; part of the response's ids. end_id: closes a response.
    """

    tokenizer: PreTrainedTokenizerBase
    template: str
    before_response: str
    response_lead: str
    end_id: int

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase, template: str | None = None) -> ChatRenderer:
        """Take a template apart.

        template: None = the tokenizer's own, "plain" = PLAIN_TEMPLATE, else the path of a Jinja file.

        Raises:
            TokenizerError: no template, no generation prompt, or no token that ends a response.
        """
        source = _template_source(tokenizer, template)
        user: list[Message] = [{"role": "user", "content": _QUESTION}]
        closed = _render(tokenizer, source, user, generation_prompt=False)
        opened = _render(tokenizer, source, user, generation_prompt=True)
        whole = _render(
            tokenizer, source, [*user, {"role": "assistant", "content": _PROBE}], generation_prompt=False
        )
        if not whole.startswith(opened) or _PROBE not in whole:
            raise TokenizerError(
                "chat template: the generation prompt is not how the template itself opens an assistant turn "
                f"({_tail(opened)!r} against {_tail(whole.split(_PROBE)[0])!r}); training and generation would "
                "see different prompts. Mend the template, or choose chat.template: plain"
            )
        between, after = whole[len(opened) :].split(_PROBE, 1)
        if between.strip() and closed == opened:
            raise TokenizerError(
                f"chat template: it has no generation prompt (a response is opened by {between!r}, which "
                "add_generation_prompt does not write); add one to the template, or choose chat.template: plain"
            )
        end_id = _first_special(tokenizer, after)
        if between.strip():
            return cls(tokenizer, source, between, "", end_id)
        return cls(tokenizer, source, "", between, end_id)

    @cached_property
    def template_hash(self) -> str:
        """SHA-256 of the template's source."""
        return sha256_text(self.template)

    @cached_property
    def bos_id(self) -> int | None:
        """The beginning-of-text id, if this tokenizer uses one: its template or the tokenizer itself adds it."""
        bos_id = self.tokenizer.bos_token_id
        if bos_id is None:
            return None
        text = _render(self.tokenizer, self.template, [{"role": "user", "content": "x"}], True)
        used = self.tokenizer("x")["input_ids"][:1] == [bos_id] or self._ids(text)[:1] == [bos_id]
        return int(bos_id) if used else None

    @cached_property
    def stop_ids(self) -> frozenset[int]:
        """Ids at which a response ends: the template's end of turn and the tokenizer's end of text."""
        eos_id = self.tokenizer.eos_token_id
        return frozenset({self.end_id} if eos_id is None else {self.end_id, int(eos_id)})

    def prompt_ids(self, messages: Sequence[Message], prefill: str = "") -> list[int]:
        """Ids up to where the model goes on: the generation prompt, then the prefill if there is one.

        Raises:
            TokenizerError: the template refuses the roles, or the prefill changes the prompt's ids.
        """
        ids = self._one_bos(self._ids(self._prompt_text(messages)))
        return ids + self.response_ids(messages, prefill) if prefill else ids

    def raw_ids(self, text: str) -> list[int]:
        """Beginning-of-text (once) and the text, without any template."""
        return self._one_bos(self._ids(self._mark(text)))

    def response_ids(self, messages: Sequence[Message], response: str) -> list[int]:
        """Ids of a response after this prompt, without the end id.

        Raises:
            TokenizerError: the response's first characters merge with the prompt's last ones.
        """
        return self.encode_pairs([(messages, response)])[0][1]

    def encode_pairs(
        self, pairs: Sequence[tuple[Sequence[Message], str]]
    ) -> list[tuple[list[int], list[int]]]:
        """(prompt ids, response ids) of many conversations, tokenized together.

        Raises:
            TokenizerError: as `response_ids`; the message quotes the pair.
        """
        prompts = [self._prompt_text(messages) for messages, _ in pairs]
        wholes = [
            prompt + self.response_lead + self._mark(response)
            for prompt, (_, response) in zip(prompts, pairs, strict=True)
        ]
        encoded = self._ids_of_many(prompts + wholes)
        joined = []
        for prompt, whole, (_, response) in zip(
            encoded[: len(pairs)], encoded[len(pairs) :], pairs, strict=True
        ):
            if whole[: len(prompt)] != prompt:
                raise TokenizerError(
                    f"the response {response[:40]!r} merges with the end of its prompt into other ids, so the "
                    "prompt is no prefix of prompt + response; strip white space at the response's start, or "
                    "end the template's generation prompt with a special token or a newline"
                )
            joined.append((self._one_bos(prompt), whole[len(prompt) :]))
        return joined

    def running_ids(self, text: str, *, after: str) -> list[int]:
        """Ids of `text` where it continues the running text `after` of a response."""
        messages: list[Message] = [{"role": "user", "content": _QUESTION}]
        (_, start), (_, whole) = self.encode_pairs([(messages, after), (messages, after + text)])
        if whole[: len(start)] != start:
            raise TokenizerError(f"{text!r} merges with {after!r} before it; its ids can't be told apart")
        return whole[len(start) :]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some ids, special tokens left out."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    def _prompt_text(self, messages: Sequence[Message]) -> str:
        marked: list[Message] = [
            {"role": message["role"], "content": self._mark(message["content"])} for message in messages
        ]
        return _render(self.tokenizer, self.template, marked, True) + self.before_response

    @cached_property
    def _control_tokens(self) -> re.Pattern[str]:
        """Matches what must stay text when a person wrote it: special tokens, and added ones of the template."""
        tokens = self.tokenizer.added_tokens_decoder.values()
        names = [
            token.content
            for token in tokens
            if token.special or (token.content in self.template and not token.content.isspace())
        ]
        return re.compile(
            "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True)) or "(?!)"
        )

    def _mark(self, text: str) -> str:
        return str(mark_control_tokens(text, self._control_tokens))

    def _ids(self, text: str) -> list[int]:
        return self._ids_of_many([text])[0]

    def _ids_of_many(self, texts: Sequence[str]) -> list[list[int]]:
        encoded: list[list[int]] = self.tokenizer(
            list(texts), add_special_tokens=False, return_attention_mask=False, verbose=False
        )["input_ids"]
        markers = _markers()
        for index, text in enumerate(texts):
            if markers.search(text):  # rare: a person's text spells a special token
                encoded[index] = encode_marked_chat(self.tokenizer, text)
        return encoded

    def _one_bos(self, ids: list[int]) -> list[int]:
        if self.bos_id is None:
            return ids
        start = next((index for index, token in enumerate(ids) if token != self.bos_id), len(ids))
        return [self.bos_id, *ids[start:]]


def _template_source(tokenizer: PreTrainedTokenizerBase, template: str | None) -> str:
    if template == "plain":
        if tokenizer.eos_token_id is None:
            raise TokenizerError(
                "chat.template: plain needs a tokenizer with an end-of-text token; it has none"
            )
        return PLAIN_TEMPLATE
    if template is not None:
        try:
            return Path(template).read_text(encoding="utf-8")
        except OSError as error:
            raise TokenizerError(f"chat.template: {template}: can't be read: {error.strerror}") from None
    if not tokenizer.chat_template:
        raise TokenizerError(
            "the tokenizer has no chat template (a base model?); choose one: chat.template: plain, or the path "
            "of a Jinja file"
        )
    return str(tokenizer.get_chat_template())


def _render(
    tokenizer: PreTrainedTokenizerBase, template: str, messages: Sequence[Message], generation_prompt: bool
) -> str:
    try:
        text: Any = tokenizer.apply_chat_template(
            [dict(message) for message in messages],  # type: ignore[arg-type]
            chat_template=template,
            add_generation_prompt=generation_prompt,
            tokenize=False,
        )
    except jinja2.exceptions.TemplateError as error:
        roles = ", ".join(message["role"] for message in messages)
        raise TokenizerError(f"chat template refuses the turns ({roles}): {error}") from None
    return str(text)


def _first_special(tokenizer: PreTrainedTokenizerBase, after: str) -> int:
    """The id that closes a response: the first thing after it, apart from white space."""
    specials = set(tokenizer.added_tokens_decoder) | set(tokenizer.all_special_ids)
    for token in tokenizer(after, add_special_tokens=False)["input_ids"]:
        if token in specials:
            return int(token)
        if str(tokenizer.decode([token])).strip():
            break
    raise TokenizerError(
        f"chat template: a response is followed by {after[:30]!r}, which begins with no special token; without "
        "an end-of-text token the model can't learn to stop. Mend the template, or choose chat.template: plain"
    )


def _markers() -> re.Pattern[str]:
    """Matches the private markers that `mark_control_tokens` leaves around a spelled-out special token."""
    start, end = mark_control_tokens("x", re.compile("x")).split("x")
    return re.compile(f"[{start}{end}]")


def _tail(text: str) -> str:
    return text[-40:]
