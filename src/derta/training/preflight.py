"""What a model's config and tokenizer already say against a run, before rows are trained or weights loaded."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from torch import nn

from derta.encode.row import Int32
from derta.encode.row_set import RowSet
from derta.encode.units import EncodedPair, EncodedTriple
from derta.errors import ModelError
from derta.model_classes import empty_model
from derta.models import load_config

# What learned tables of positions are called: GPT-2, GPT-BigCode and GPT-Neo (wpe), OPT, XGLM, BioGPT, CTRL, ...
LEARNED_POSITIONS = re.compile(r"(^|\.)(wpe|embed_positions|position_embeddings?|position_embed)$")
OFFSET_ROWS = 2  # OPT's table has two rows more than positions


@lru_cache(maxsize=2)
def skeleton(path: str, trust_code: bool = False) -> Any:
    """The model of a folder or hub id on the meta device; None: its class comes with the model.

    Raises:
        ModelError: no config there, or the class can't be made of it.
    """
    config = load_config(path, trust_code=trust_code, setting="model.path")
    try:
        return empty_model(config)
    except Exception as error:  # a config may hold anything, and each architecture stumbles in its own way
        raise ModelError(f"model.path {path}: no model can be made of its config: {error}") from None


def check_positions(path: str, max_length: int, *, trust_code: bool = False) -> None:
    """Refuse rows longer than a table of learned positions; rotary and relative positions have none.

    Raises:
        ModelError: the table's length and `max_length`.
    """
    model = skeleton(path, trust_code)
    if model is None:
        return
    for name, module in model.named_modules():
        if not isinstance(module, nn.Embedding) or not LEARNED_POSITIONS.search(name):
            continue
        text = model.config.get_text_config()
        claimed = getattr(text, "max_position_embeddings", None) or module.num_embeddings
        limit = min(claimed, module.num_embeddings)
        if max_length > limit and _reads_text(model, name):
            raise ModelError(
                f"{text.model_type}: it has learned {limit} positions; found max_length = {max_length}, need at "
                f"most {limit}"
            )


def check_vocabulary(path: str, rows: RowSet, *, trust_code: bool = False) -> None:
    """Refuse rows with token ids that the embedding has no row for.

    Raises:
        ModelError: the id, and what to do.
    """
    size = getattr(
        load_config(path, trust_code=trust_code, setting="model.path").get_text_config(), "vocab_size", None
    )
    if not isinstance(size, int) or not len(rows):
        return
    parts = [part for unit in rows.units for part in _ids_of(unit.record)]
    highest = max(rows.end_id, *rows.refusal.ids, *(int(part.max()) for part in parts if len(part)))
    if highest >= size:
        raise ModelError(
            f"model.path {path}: the tokenizer gives the id {highest}, the embedding has {size} rows (ids below "
            f"{size}); take the tokenizer that belongs to this model, or resize the model "
            "(resize_token_embeddings, then save_pretrained)"
        )


def _ids_of(record: EncodedPair | EncodedTriple) -> list[Int32]:
    if isinstance(record, EncodedTriple):
        return [record.prompt_ids, record.harmful_ids, *record.safe_ids]
    return [record.prompt_ids, record.response_ids]


def _reads_text(model: Any, name: str) -> bool:
    """Whether a module belongs to the language model, not to a tower of images or sound."""
    return not re.search(r"vision|visual|audio|image|speech", name)
