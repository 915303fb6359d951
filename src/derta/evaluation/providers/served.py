"""Inspect model provider `derta-served/<name>`: our renderer in front of a server's raw completions.

The prompt is made here, from the tokenizer that the recipe names, and is what a local model would get: chat, open
assistant turn or raw text (wire.py). It is sent as token ids; to a server that takes text alone
(`transformers serve`), as a text that this tokenizer reads back as the same ids.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from functools import cached_property
from typing import Any

from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageUser,
    GenerateConfig,
    ModelOutput,
)
from inspect_ai.tool import ToolChoice, ToolInfo

from derta.config import EndpointSettings
from derta.config.targets import Server
from derta.encode.settings import ChatSettings
from derta.encode.token_ids import ids_text
from derta.encode.trained import renderer_of
from derta.errors import ModelError
from derta.evaluation.providers.remote import RemoteModel, open_provider
from derta.evaluation.providers.wire import prompt_ids, prompt_of
from derta.files import sha256_text
from derta.models import load_tokenizer
from derta.secrecy import redact

NO_KEY = "none"  # what a server without keys is sent; the client insists on one
LOST = "\ufffd"  # stands for bytes that are no character


def own_settings(server: Server, stop_ids: Collection[int]) -> dict[str, Any]:
    """What a server is told beside OpenAI's settings: the template's stop tokens, and plain probabilities.

    Servers take their defaults (penalties, cut-offs) from the model's generation_config.json, a local model does not.
    """
    stops = sorted(stop_ids)
    match server:
        case "vllm" | "sglang":
            return {"stop_token_ids": stops, "repetition_penalty": 1.0, "top_k": -1, "min_p": 0.0}
        case "llamacpp":
            return {"repeat_penalty": 1.0, "top_k": 0, "min_p": 0.0}
        case "transformers":  # what is not named here is taken from the model's own
            plain = {"repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "top_k": 0, "min_p": 0.0}
            return {"generation_config": json.dumps({"eos_token_id": stops, "do_sample": True, **plain})}
        case _:
            return {}


class ServedModel(RemoteModel):
    """A model on an OpenAI-compatible server. endpoint: an `EndpointSettings`; chat: as `chat` of a recipe."""

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig = GenerateConfig(),  # noqa: B008  # Inspect's own signature
        *,
        endpoint: dict[str, Any],
        chat: dict[str, Any] | None = None,
    ) -> None:
        settings = EndpointSettings.model_validate(endpoint)
        inner = open_provider(
            f"openai-api-completions/derta-served/{model_name}",
            "endpoint",
            base_url=base_url,
            api_key=api_key or NO_KEY,
        )
        super().__init__(model_name, base_url, config, inner)
        self.settings = settings
        self.renderer = renderer_of(
            load_tokenizer(settings.tokenizer),
            settings.tokenizer,
            ChatSettings.model_validate(chat or {}),
            may_think=True,
        )
        self.extra_body = own_settings(settings.server, self.renderer.stop_ids) | settings.extra_body

    async def generate(
        self, input: list[ChatMessage], tools: list[ToolInfo], tool_choice: ToolChoice, config: GenerateConfig
    ) -> ModelOutput:
        """Render, send, check.

        Raises:
            ModelError: the prompt can't be sent exactly, or the server read another one.
            CallFailed: no answer.
        """
        if tools or config.stop_seqs:
            raise ModelError("derta-served/ models: tools and stop sequences are not supported")
        ids = prompt_ids(self.renderer, prompt_of(input))
        if self.settings.sends == "ids":
            message = ChatMessageUser(content="", metadata={"prompt_token_ids": ids})
        else:
            text, ids = self.as_text(ids)
            message = ChatMessageUser(content=text)
        extra_body = {**(config.extra_body or {}), **self.extra_body}
        output = await self.ask([message], config.model_copy(update={"extra_body": extra_body or None}))
        self._check_count(output, ids)
        return self._output(output, ids)

    def as_text(self, ids: list[int]) -> tuple[str, list[int]]:
        """(text to send, ids that the server's tokenizer makes of it).

        The ids may differ from ours where a prefill was cut inside a word; the text and the special tokens never.

        Raises:
            ModelError: no text gives this prompt.
        """
        whole = self._text(ids)
        texts = [whole]
        if self._bos and whole.startswith(self._bos):
            texts.insert(0, whole[len(self._bos) :])  # the server's tokenizer puts it there by itself
        for text in texts:
            read: list[int] = self.renderer.tokenizer(text)["input_ids"]
            if read == ids or (
                LOST not in whole
                and self._text(read) == whole
                and self._specials(read) == self._specials(ids)
            ):
                return text, read
        raise ModelError(
            "this prompt can't be sent as text: the server's tokenizer would read other tokens (a special token "
            "spelled by a person, a character cut in two, or no beginning-of-text token where it adds one); use a "
            "server that takes token ids (endpoint.send: ids)"
        )

    def _check_count(self, output: ModelOutput, ids: list[int]) -> None:
        counted = output.usage.input_tokens if output.usage else len(ids)
        if self.settings.check_prompt and counted != len(ids):
            raise ModelError(
                f"{self.base_url}: the server read {counted} prompt tokens, {len(ids)} were sent (another tokenizer, "
                "or a beginning-of-text token too many?); check endpoint.tokenizer and endpoint.send, or set "
                "endpoint.check_prompt: false"
            )

    def _output(self, output: ModelOutput, ids: list[int]) -> ModelOutput:
        text = redact(output.completion)
        for token in self.renderer.stop_ids:
            text = text.removesuffix(self._text([token]))
        response_ids = self.renderer.tokenizer(text, add_special_tokens=False)["input_ids"] if text else []
        message = ChatMessageAssistant(content=text, model=self.model_name, source="generate")
        return ModelOutput(
            model=self.model_name,
            choices=[ChatCompletionChoice(message=message, stop_reason=output.stop_reason)],
            usage=output.usage,
            metadata={
                "prompt": self._text(ids),
                "prompt_sha256": sha256_text(ids_text(ids)),
                "template_hash": self.renderer.template_hash,
                "response_ids": ids_text(response_ids),
            },
        )

    def _text(self, ids: list[int]) -> str:
        """With special tokens, no space tidied away."""
        return str(self.renderer.tokenizer.decode(ids, clean_up_tokenization_spaces=False))

    def _specials(self, ids: list[int]) -> list[int]:
        special = set(self.renderer.tokenizer.all_special_ids)
        return [token for token in ids if token in special]

    @cached_property
    def _bos(self) -> str:
        bos_id = self.renderer.tokenizer.bos_token_id
        return "" if bos_id is None else self._text([int(bos_id)])
