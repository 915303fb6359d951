"""Inspect model provider `derta/<folder>`: our renderer and our decode loop behind Inspect's interface.

What it is asked is a `Prompt` (wire.py reads it from the messages). Concurrent samples share batches (see
`worker.py`).
"""

from __future__ import annotations

import asyncio
from functools import cached_property
from typing import Any, Literal

from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    GenerateConfig,
    ModelAPI,
    ModelOutput,
    ModelUsage,
)
from inspect_ai.tool import ToolChoice, ToolInfo
from transformers import PreTrainedModel

from derta.encode.settings import ChatSettings
from derta.encode.token_ids import ids_text
from derta.encode.trained import renderer_of
from derta.engine.decoder import Decoder, Generated, Request
from derta.engine.worker import Answer, DecodeWorker
from derta.errors import ModelError
from derta.evaluation.providers.wire import prompt_ids, prompt_of
from derta.files import sha256_text
from derta.models import check_model, load_model, load_tokenizer

IN_FLIGHT = 10_000  # requests that Inspect may have open at once; the decode loop bounds what really runs


class LocalModel(ModelAPI):
    """A local folder, adapter folder or hub id. The weights are loaded at the first request.

    chat: as `chat` of a recipe. batch_rows, batch_tokens: as `Decoder`.
    """

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig = GenerateConfig(),  # noqa: B008  # Inspect's own signature
        *,
        dtype: Literal["auto", "float32", "bfloat16"] = "auto",
        chat: dict[str, Any] | None = None,
        batch_rows: int = 64,
        batch_tokens: int = 262_144,
    ) -> None:
        super().__init__(model_name, base_url, api_key, [], config)
        self.dtype = dtype
        self.batch_rows = batch_rows
        self.batch_tokens = batch_tokens
        tokenizer = load_tokenizer(model_name)
        check_model(model_name)  # a sample's error would come late, once for each
        self.renderer = renderer_of(
            tokenizer, model_name, ChatSettings.model_validate(chat or {}), may_think=True
        )
        self._worker = DecodeWorker(self._decoder)

    @cached_property
    def weights(self) -> PreTrainedModel:
        """The model itself, loaded at first use."""
        return load_model(self.model_name, self.dtype)

    def max_connections(self) -> int:
        """Requests that may be open at once."""
        return IN_FLIGHT

    async def generate(
        self, input: list[ChatMessage], tools: list[ToolInfo], tool_choice: ToolChoice, config: GenerateConfig
    ) -> ModelOutput:
        """Render, queue, await.

        Raises:
            ModelError: tools or stop sequences are asked for, or the prompt does not fit.
            TokenizerError: the template refuses the turns.
        """
        if tools or config.stop_seqs:
            raise ModelError("derta/ models: tools and stop sequences are not supported")
        prompt = prompt_of(input)
        request = Request(
            tuple(prompt_ids(self.renderer, prompt)),
            max_new_tokens=config.max_tokens or 1024,
            temperature=config.temperature or 0.0,
            top_p=1.0 if config.top_p is None else config.top_p,
            seed=config.seed or 0,
            min_new_tokens=prompt.min_tokens,
            banned=prompt.banned,
            banned_tokens=prompt.banned_tokens,
            guide=prompt.guide,
            guide_rank=prompt.guide_rank,
        )
        return self._output(request, await asyncio.wrap_future(self._worker.submit(request)))

    def close(self) -> None:
        """Stop the worker and let go of the weights."""
        self._worker.close()
        self.__dict__.pop("weights", None)

    def _output(self, request: Request, generated: Generated) -> ModelOutput:
        text = self.renderer.continuation_text(request.ids, generated.ids)
        num_prompt, num_new = len(request.ids), len(generated.ids)
        return ModelOutput(
            model=self.model_name,
            choices=[
                ChatCompletionChoice(
                    message=ChatMessageAssistant(content=text, model=self.model_name, source="generate"),
                    stop_reason="content_filter"
                    if generated.stop_reason == "watch"
                    else generated.stop_reason,
                )
            ],
            usage=ModelUsage(
                input_tokens=num_prompt, output_tokens=num_new, total_tokens=num_prompt + num_new
            ),
            metadata={
                "prompt": str(self.renderer.tokenizer.decode(list(request.ids))),
                "prompt_sha256": sha256_text(ids_text(request.ids)),
                "template_hash": self.renderer.template_hash,
                "response_ids": ids_text(generated.ids),
            },
        )

    def _decoder(self) -> Decoder[Answer]:
        return Decoder(
            self.weights,
            stop_ids=self.renderer.stop_ids,
            batch_rows=self.batch_rows,
            batch_tokens=self.batch_tokens,
        )
