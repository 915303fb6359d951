"""The models of a recipe, opened: computed here, behind a server, or closed; and what can be asked of each."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from inspect_ai.model import Model, get_model

from derta.attacks import Attack
from derta.attacks.contract import Need
from derta.config import TargetModel
from derta.encode.chat import ChatRenderer
from derta.encode.settings import ChatSettings
from derta.errors import RecipeError
from derta.evaluation.providers.local import LocalModel
from derta.evaluation.providers.served import ServedModel
from derta.evaluation.recipe import EvaluateRecipe
from derta.keyed_log import key_of
from derta.models import fingerprint, tokenizer_fingerprint

_NEEDED: dict[Need, str] = {
    "raw text": "raw text without a chat template",
    "open turn": "an open assistant turn",
    "weights": "the model's weights",
}


@dataclass(frozen=True)
class OpenTarget:
    """A model that can be asked. renderer: None where the prompt is not made here (closed endpoints)."""

    target: TargetModel
    model: Model
    key: str
    renderer: ChatRenderer | None

    @property
    def local(self) -> LocalModel | None:
        """The model itself, if it is computed here."""
        return self.model.api if isinstance(self.model.api, LocalModel) else None

    def close(self) -> None:
        """Let go of weights."""
        if self.local is not None:
            self.local.close()


def why_not(attack: Attack, target: TargetModel) -> str | None:
    """Why an attack does not apply to a model, or None."""
    need = attack.NEEDS
    if need == "chat" or target.path is not None or (target.endpoint is not None and need != "weights"):
        return None
    where = "a server's raw completions" if target.endpoint is not None else "a closed chat endpoint"
    return f"needs {_NEEDED[need]}, which {where} can't give"


def target_key(target: TargetModel) -> str:
    """Hash of what decides a model's answers, as far as it can be known.

    Raises:
        ModelError: no such folder or hub id.
    """
    if target.path is not None:
        return key_of(files=fingerprint(target.path), dtype=target.dtype)
    if target.endpoint is not None:
        settings = target.endpoint.model_dump(
            mode="json", exclude={"tokenizer", "api_key_env", "check_prompt", "send"}
        )
        return key_of(
            endpoint=settings,
            sends=target.endpoint.sends,
            tokenizer=tokenizer_fingerprint(target.endpoint.tokenizer),
        )
    assert target.inspect is not None
    settings = target.inspect.model_dump(mode="json", exclude={"token_limit"})
    if settings["send_temperature"]:  # as ever, so that answers are found again
        del settings["send_temperature"]
    return key_of(inspect=settings)


def open_target(target: TargetModel, key: str, recipe: EvaluateRecipe) -> OpenTarget:
    """The model behind Inspect's interface; weights are loaded at the first request.

    Raises:
        DertaError: no tokenizer, an unusable template, or a provider that lacks its package or key.
    """
    if target.path is not None:
        model = get_model(
            f"derta/{target.path}",
            memoize=False,
            dtype=target.dtype,
            chat=chat_as_set(recipe.chat),
            batch_rows=recipe.generation.batch_rows,
            batch_tokens=recipe.generation.batch_tokens,
        )
    elif target.endpoint is not None:
        model = get_model(
            f"derta-served/{target.endpoint.model}",
            memoize=False,
            base_url=target.endpoint.url,
            api_key=api_key(target),
            endpoint=target.endpoint.model_dump(mode="json"),
            chat=chat_as_set(recipe.chat),
        )
    else:
        assert target.inspect is not None
        named = target.inspect
        model = get_model(
            f"derta-chat/{named.model}",
            memoize=False,
            base_url=named.base_url,
            send_temperature=named.send_temperature,
            token_limit=named.token_limit,
            **named.model_args,
        )
    api = model.api
    renderer = api.renderer if isinstance(api, LocalModel | ServedModel) else None
    return OpenTarget(target, model, key, renderer)


def chat_as_set(chat: ChatSettings) -> dict[str, Any]:
    """What the recipe itself says of chat: a model that derta trained brings the rest along."""
    return chat.model_dump(mode="json", exclude_unset=True)


def api_key(target: TargetModel) -> str | None:
    """The key of a server, from the environment.

    Raises:
        RecipeError: the variable that the recipe names is not set.
    """
    variable = target.endpoint.api_key_env if target.endpoint is not None else None
    if variable is None:
        return None
    key = os.environ.get(variable)
    if not key:
        raise RecipeError(
            f"model {target.name!r}: endpoint.api_key_env: {variable} is not set in the environment"
        )
    return key
