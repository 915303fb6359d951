"""The chat settings that a model was trained with travel in its folder, and are taken from there.

A model that is asked with another thinking mode, date or ending than it was trained with is another model; so the
settings are read from the folder, and a recipe that contradicts them is an error.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError
from transformers import PreTrainedTokenizerBase

from derta.encode.chat import ChatRenderer
from derta.encode.settings import ChatSettings
from derta.encode.template import template_source
from derta.errors import TokenizerError
from derta.files import sha256_text, write_json
from derta.model_files import read_settings

FILE = "derta_chat.json"


def save_chat(folder: Path, renderer: ChatRenderer) -> None:
    """Write tokenizer, template and chat settings beside the weights that were trained with them."""
    renderer.save_tokenizer(folder)
    write_json(
        folder / FILE, {"template": sha256_text(renderer.template), "settings": renderer.settings.variables}
    )


def renderer_of(
    tokenizer: PreTrainedTokenizerBase,
    path: str,
    chat: ChatSettings | str | None = None,
    *,
    may_think: bool = False,
) -> ChatRenderer:
    """The renderer of a model's folder or hub id: as it was trained, where derta trained it; else as the recipe says.

    chat: the recipe's; only what it sets itself is held against the folder. may_think: as of `ChatRenderer.of`.

    Raises:
        TokenizerError: the two differ, the template was changed since, or as `ChatRenderer.of`.
    """
    settings = chat if isinstance(chat, ChatSettings) else ChatSettings(template=chat)
    file = Path(path) / FILE
    if not file.is_file():
        return ChatRenderer.of(tokenizer, settings, may_think=may_think)
    template, stored = _read(file)
    for name in sorted(settings.model_fields_set - {"template"}):
        trained, asked = getattr(stored, name), getattr(settings, name)
        if trained != asked:
            raise TokenizerError(
                f"chat.{name}: {path} was trained with {_shown(trained)}, the recipe says {_shown(asked)}; leave it "
                f"out (the model's own is read from {FILE}), or evaluate a model that was trained so"
            )
    source = sha256_text(template_source(tokenizer, settings.template))
    if source != template:
        raise TokenizerError(
            f"chat.template: {path} was trained with another template ({template[:12]}) than "
            f"{settings.template or 'its tokenizer has now'} ({source[:12]}); leave "
            "chat.template out, or put the tokenizer's own files back"
        )
    return ChatRenderer.of(
        tokenizer, stored.model_copy(update={"template": settings.template}), may_think=may_think
    )


def _read(file: Path) -> tuple[str, ChatSettings]:
    """(SHA-256 of the template's source, the settings)."""
    found = read_settings(file, "chat")
    try:
        return str(found["template"]), ChatSettings.model_validate(found["settings"])
    except (KeyError, ValidationError) as error:
        raise TokenizerError(
            f"{file}: not what derta wrote ({str(error).splitlines()[0]}); put the file back, or train again"
        ) from None


def _shown(value: Any) -> str:
    return "none" if value in (None, {}) else repr(value)
