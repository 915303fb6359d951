"""Inspect model provider `derta-chat/<provider/model>`: a closed chat endpoint, through Inspect's own provider."""

from __future__ import annotations

import json
from typing import Any

from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    GenerateConfig,
    ModelOutput,
)
from inspect_ai.tool import ToolChoice, ToolInfo

from derta.calls import CallFailed, TokenLimit, token_limit
from derta.errors import ModelError
from derta.evaluation.providers.remote import RemoteModel, open_provider
from derta.evaluation.providers.wire import prompt_of
from derta.files import sha256_text
from derta.secrecy import redact


class NamedModel(RemoteModel):
    """Any Inspect model by its name; other arguments go to its provider.

    send_temperature, token_limit: as `InspectSettings`.
    """

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig = GenerateConfig(),  # noqa: B008  # Inspect's own signature
        send_temperature: bool = True,
        token_limit: TokenLimit = "max_tokens",
        **model_args: Any,
    ) -> None:
        self._send_temperature, self._token_limit = send_temperature, token_limit
        inner = open_provider(model_name, "inspect.model", base_url=base_url, api_key=api_key, **model_args)
        super().__init__(model_name, base_url, config, inner)

    async def generate(
        self, input: list[ChatMessage], tools: list[ToolInfo], tool_choice: ToolChoice, config: GenerateConfig
    ) -> ModelOutput:
        """Send the turns.

        Raises:
            ModelError: raw text or an open assistant turn, which a chat endpoint does not take.
            CallFailed: no answer.
        """
        asked = prompt_of(input)
        if tools or asked.is_open or asked.raw:
            raise ModelError(
                f"{self.model_name}: a chat endpoint takes no raw text, open assistant turn or tools"
            )
        output = await self.ask(input, self._sent(config))
        text = redact(output.completion)
        if not text.strip() and output.stop_reason != "content_filter":
            raise CallFailed("an empty answer", passes=True)
        prompt = json.dumps([{"role": turn.role, "content": turn.text} for turn in input], ensure_ascii=False)
        message = ChatMessageAssistant(content=text, model=self.model_name, source="generate")
        return ModelOutput(
            model=self.model_name,
            choices=[ChatCompletionChoice(message=message, stop_reason=output.stop_reason)],
            usage=output.usage,
            metadata={"prompt": prompt, "prompt_sha256": sha256_text(prompt)},
        )

    def _sent(self, config: GenerateConfig) -> GenerateConfig:
        """The settings as this endpoint takes them."""
        changed: dict[str, Any] = {}
        if config.top_p == 1:
            changed["top_p"] = None  # the default; some refuse it beside temperature
        if not self._send_temperature:
            changed |= {"temperature": None, "top_p": None}
        limit = token_limit(config.max_tokens, self._token_limit)
        if "extra_body" in limit:
            limit["extra_body"] |= config.extra_body or {}
        return config.model_copy(update=changed | limit)
