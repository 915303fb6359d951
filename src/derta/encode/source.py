"""From a recipe to its encoded rows: tokenizer, template, refusal token, records. No weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from derta.config import TrainRecipe
from derta.encode.chat import ChatRenderer
from derta.encode.dataset import RowReport, build_rows
from derta.encode.refusal_token import RefusalToken, resolve_refusal_token
from derta.encode.rows import RowSet
from derta.models import load_tokenizer
from derta.records import BenignPair, Triple, load_records


@dataclass(frozen=True)
class Encoded:
    """A recipe's rows, and what they were made with."""

    renderer: ChatRenderer
    refusal: RefusalToken
    rows: RowSet
    report: RowReport


def open_tokenizer(recipe: TrainRecipe) -> tuple[ChatRenderer, RefusalToken]:
    """The renderer of a recipe's tokenizer and template, and its refusal token.

    Raises:
        ModelError: no tokenizer there. TokenizerError: it can't be used safely.
    """
    tokenizer = load_tokenizer(
        recipe.model.path, trust_code=recipe.model.trust_remote_code, setting="model.path"
    )
    renderer = ChatRenderer.of(tokenizer, recipe.chat.template)
    return renderer, resolve_refusal_token(renderer, recipe.refusal.text, recipe.refusal.token)


def load_training_records(recipe: TrainRecipe) -> tuple[list[Triple], list[BenignPair]]:
    """The recipe's data files.

    Raises:
        DataError: a line of one can't be used.
    """
    return load_records(recipe.data.triples, Triple), load_records(recipe.data.benign, BenignPair)


def encode_recipe(
    recipe: TrainRecipe, triples: Sequence[Triple], benign: Sequence[BenignPair], *, shared_trunk: bool
) -> Encoded:
    """All rows of a recipe.

    Raises:
        ModelError, TokenizerError, DataError: what is wrong, and where.
    """
    renderer, refusal = open_tokenizer(recipe)
    rows, report = build_rows(recipe, renderer, refusal, triples, benign, shared_trunk=shared_trunk)
    return Encoded(renderer, refusal, rows, report)
