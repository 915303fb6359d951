"""What Inspect finds through its entry point: `--model derta/<folder>` and the attacks as solvers."""

from __future__ import annotations

from typing import Any

from inspect_ai.model import ModelAPI, modelapi

from derta.attacks import ATTACKS

__all__ = ["ATTACKS", "derta"]


@modelapi(name="derta")
def derta() -> Any:
    """The local model provider; torch is imported only when it is used."""
    from derta.evaluate.local_model import LocalModel

    provider: type[ModelAPI] = LocalModel
    return provider
