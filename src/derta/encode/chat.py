"""The one renderer: a conversation becomes ids here, for training, attacks and evaluation alike.

    chat        system and user turns, then the opening of an assistant turn (the generation prompt)
    prefill     the same, with the assistant's first words already there (open assistant prefix)
    raw         beginning-of-text and the text, no template at all

Three promises: text that people wrote is never parsed for special tokens; there is exactly one
beginning-of-text id (when the tokenizer uses one); the prompt's ids are a prefix of prompt + response.
The vocabulary is never changed: no token is added, so no embedding is resized.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from transformers import PreTrainedTokenizerBase
from transformers.utils.chat_template_utils import encode_marked_chat, mark_control_tokens

from derta.encode.parts import TemplateParts, take_apart
from derta.encode.settings import DEFAULTS, ChatSettings
from derta.encode.template import (
    QUESTION,
    Rendering,
    check_kwargs,
    control_markers,
    control_tokens,
    template_source,
)
from derta.errors import TokenizerError
from derta.files import dumps, sha256_text
from derta.records import Message

__all__ = ["ChatRenderer", "Message"]

HEAD = 8  # prompt ids decoded together with a response, for the white space between them
_ASKED: list[Message] = [{"role": "user", "content": QUESTION}]


@dataclass(frozen=True)
class ChatRenderer:
    """A tokenizer and its template, taken apart once. template: Jinja source."""

    tokenizer: PreTrainedTokenizerBase
    template: str
    parts: TemplateParts
    settings: ChatSettings = DEFAULTS

    @classmethod
    def of(
        cls,
        tokenizer: PreTrainedTokenizerBase,
        chat: ChatSettings | str | None = None,
        *,
        may_think: bool = False,
    ) -> ChatRenderer:
        """Take a template apart.

        chat: `chat` of a recipe, or its `template` alone: None = the tokenizer's own, "plain" = a User/Assistant
        form, else one of the tokenizer's names or the path of a Jinja file. may_think: the model is only asked, so
        that its template may open a thought and leave it to the model (R1, QwQ); training needs `chat.thought`.

        Raises:
            TokenizerError: no template, no generation prompt, or no token that ends a response.
        """
        settings = chat if isinstance(chat, ChatSettings) else ChatSettings(template=chat)
        source = template_source(tokenizer, settings.template)
        try:
            check_kwargs(source, settings.template_kwargs)
            parts = take_apart(Rendering(tokenizer, source, settings), may_think=may_think)
        except TokenizerError as error:
            name = settings.template or getattr(tokenizer, "name_or_path", "") or "of the tokenizer"
            raise TokenizerError(f"chat.template {name}: {error}") from None
        return cls(tokenizer, source, parts, settings)

    @cached_property
    def rendering(self) -> Rendering:
        """What writes the text of a conversation."""
        return Rendering(self.tokenizer, self.template, self.settings)

    @property
    def end_id(self) -> int:
        """The end-of-turn id that closes a response."""
        return self.parts.end_id

    @property
    def inner_end_ids(self) -> tuple[int, ...]:
        """Control ids between a response and its end id, where a template closes with several (Command-A)."""
        return self.parts.end_ids[:-1]

    @cached_property
    def template_hash(self) -> str:
        """SHA-256 of the template's source, and of the settings that change what it writes where there are any."""
        variables = self.settings.variables
        return sha256_text(self.template + dumps(variables) if variables else self.template)

    @cached_property
    def bos_id(self) -> int | None:
        """The beginning-of-text id, if this tokenizer uses one: its template or the tokenizer itself adds it.

        One that opens every turn (SmolLM2: <|im_start|>) is no beginning of text.
        """
        bos_id = self.tokenizer.bos_token_id
        if bos_id is None:
            return None
        if self.adds_bos:
            return int(bos_id)
        opened = self.rendering.text(_ASKED, generation_prompt=True)
        closed = self.rendering.text(_ASKED, generation_prompt=False)
        is_marker = str(self.tokenizer.bos_token) in opened.removeprefix(closed) and closed != ""
        return int(bos_id) if self._ids(opened)[:1] == [bos_id] and not is_marker else None

    @cached_property
    def adds_bos(self) -> bool:
        """Whether the tokenizer itself puts beginning-of-text before a text."""
        bos_id = self.tokenizer.bos_token_id
        return bos_id is not None and self.tokenizer("x")["input_ids"][:1] == [bos_id]

    @cached_property
    def stop_ids(self) -> frozenset[int]:
        """Ids at which a response ends: the template's end of turn and the tokenizer's end of text."""
        eos_id = self.tokenizer.eos_token_id
        ends = {self.parts.end_ids[0], self.end_id}
        return frozenset(ends if eos_id is None else {*ends, int(eos_id)})

    def prompt_ids(self, messages: Sequence[Message], prefill: str = "") -> list[int]:
        """Ids up to where the model goes on: the generation prompt, then the prefill if there is one.

        Raises:
            TokenizerError: the template refuses the roles, or the prefill changes the prompt's ids.
        """
        if prefill:
            [(prompt, opening)] = self.encode_pairs([(messages, prefill)])
            return prompt + opening
        [text] = self._prompt_texts([messages])
        return self._one_bos(self._ids(text))

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
        """(prompt ids, response ids) of many conversations, rendered and tokenized together.

        Raises:
            TokenizerError: as `response_ids`; the message quotes the response.
        """
        prompts = self._prompt_texts([messages for messages, _ in pairs])
        wholes = [
            prompt + self.parts.response_lead + self._mark(response)
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

    def running_ids(self, texts: Sequence[str], *, after: str) -> list[list[int]]:
        """Ids of each text where it continues the running text `after` of a response.

        Raises:
            TokenizerError: a text merges with what stands before it.
        """
        encoded = self.encode_pairs([(_ASKED, after), *((_ASKED, after + text) for text in texts)])
        start = encoded[0][1]
        for text, (_, whole) in zip(texts, encoded[1:], strict=True):
            if whole[: len(start)] != start:
                raise TokenizerError(
                    f"{text[:40]!r} merges with {after!r} before it; its ids can't be told apart"
                )
        return [whole[len(start) :] for _, whole in encoded[1:]]

    def save_tokenizer(self, folder: Path) -> None:
        """Write the tokenizer with the template that is used here, so that both travel with the model."""
        if self.tokenizer.chat_template != self.template:
            self.tokenizer.chat_template = self.template
        self.tokenizer.save_pretrained(folder)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some ids, special tokens left out, no space tidied away."""
        return str(
            self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        )

    def continuation_text(self, prompt_ids: Sequence[int], ids: Sequence[int]) -> str:
        """A response's text as it continues its prompt: some tokenizers drop a leading space when decoding alone."""
        head = self.decode(prompt_ids[-HEAD:])
        whole = self.decode([*prompt_ids[-HEAD:], *ids])
        return whole[len(head) :] if whole.startswith(head) else self.decode(ids)

    def piece(self, token_id: int) -> str:
        """The text that one id adds inside running text, its leading space included; special tokens are named."""
        anchor, text = self._anchor
        whole = self.tokenizer.decode([anchor, token_id], clean_up_tokenization_spaces=False)
        return str(whole)[len(text) :]

    @cached_property
    def _anchor(self) -> tuple[int, str]:
        """An ordinary token and its text: what follows it is decoded as in the middle of a text."""
        token = self._ids("a")[-1]
        return token, str(self.tokenizer.decode([token], clean_up_tokenization_spaces=False))

    def _prompt_texts(self, conversations: Sequence[Sequence[Message]]) -> list[str]:
        marked: list[list[Message]] = [
            [{"role": message["role"], "content": self._mark(message["content"])} for message in messages]
            for messages in conversations
        ]
        texts = self.rendering.texts(marked, generation_prompt=True)
        return [text + self.parts.before_response for text in texts]

    @cached_property
    def _control_tokens(self) -> re.Pattern[str]:
        return control_tokens(self.rendering)

    @cached_property
    def _markers(self) -> re.Pattern[str]:
        return control_markers()

    def _mark(self, text: str) -> str:
        return str(mark_control_tokens(text, self._control_tokens))

    def _ids(self, text: str) -> list[int]:
        return self._ids_of_many([text])[0]

    def _ids_of_many(self, texts: Sequence[str]) -> list[list[int]]:
        encoded: list[list[int]] = self.tokenizer(
            list(texts), add_special_tokens=False, return_attention_mask=False, verbose=False
        )["input_ids"]
        for index, text in enumerate(texts):
            if self._markers.search(text):  # rare: a person's text spells a special token
                encoded[index] = encode_marked_chat(self.tokenizer, text)
        return encoded

    def _one_bos(self, ids: list[int]) -> list[int]:
        if self.bos_id is None:
            return ids
        start = next((index for index, token in enumerate(ids) if token != self.bos_id), len(ids))
        return [self.bos_id, *ids[start:]]
