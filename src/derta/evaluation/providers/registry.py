"""What Inspect finds through its entry point: `--model derta/<folder>`, `derta-served/...` and `derta-chat/...`."""

from __future__ import annotations

from typing import Any

from inspect_ai.model import ModelAPI, modelapi

__all__ = ["derta", "derta_chat", "derta_served"]


@modelapi(name="derta")
def derta() -> Any:
    """The local model provider; torch is imported only when it is used."""
    from derta.evaluation.providers.local import LocalModel

    provider: type[ModelAPI] = LocalModel
    return provider


@modelapi(name="derta-served")
def derta_served() -> Any:
    """A server with raw completions."""
    from derta.evaluation.providers.served import ServedModel

    provider: type[ModelAPI] = ServedModel
    return provider


@modelapi(name="derta-chat")
def derta_chat() -> Any:
    """A closed chat endpoint."""
    from derta.evaluation.providers.closed import NamedModel

    provider: type[ModelAPI] = NamedModel
    return provider
