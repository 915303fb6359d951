"""From a recipe to its rows: records, the method's budget (paper, Table 4), tokenizer, rows. No weights, no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from derta.encode.chat import ChatRenderer
from derta.encode.refusal_token import RefusalToken, resolve_refusal_token
from derta.encode.row_set import Encoded, build_rows
from derta.encode.sampling import seeded_order
from derta.errors import DataError
from derta.methods.contract import Method
from derta.methods.own import method_of, pairs_of
from derta.models import load_tokenizer
from derta.records import BenignPair, Triple, load_records
from derta.training.recipe import TrainRecipe

Records = tuple[Sequence[Triple], Sequence[BenignPair]]


def inputs_of(recipe: TrainRecipe) -> list[str | Path | None]:
    """Every file and folder that a training run reads."""
    found: list[str | Path | None] = [recipe.data.triples, recipe.data.benign, recipe.model.path]
    if recipe.probe is not None:
        found += [recipe.probe.triples, recipe.probe.benign]
    pairs = pairs_of(recipe.method)
    if pairs is not None:
        found += [pairs.start_from, pairs.benign]
    return [*found, recipe.method.file, recipe.chat.template]


def load_training_records(recipe: TrainRecipe) -> Records:
    """The recipe's data files.

    Raises:
        DataError: a line of one can't be used.
    """
    return load_records(recipe.data.triples, Triple), load_records(recipe.data.benign, BenignPair)


def open_tokenizer(recipe: TrainRecipe) -> tuple[ChatRenderer, RefusalToken]:
    """The renderer of a recipe's tokenizer and template, and its refusal token.

    Raises:
        ModelError: no tokenizer there. TokenizerError: it can't be used safely.
    """
    tokenizer = load_tokenizer(
        recipe.model.path, trust_code=recipe.model.trust_remote_code, setting="model.path"
    )
    renderer = ChatRenderer.of(tokenizer, recipe.chat)
    return renderer, resolve_refusal_token(renderer, recipe.refusal.text, recipe.refusal.token)


def encode_recipe(
    recipe: TrainRecipe, method: Method, records: Records, *, shared_trunk: bool = False
) -> Encoded:
    """All rows of a recipe. records: those of the budget (`choose`).

    Raises:
        ModelError, TokenizerError, DataError: what is wrong, and where.
    """
    renderer, refusal = open_tokenizer(recipe)
    rows, report = build_rows(method.units, recipe, renderer, refusal, *records, shared_trunk=shared_trunk)
    return Encoded(renderer, refusal, rows, report)


def records_and_method(recipe: TrainRecipe) -> tuple[Records, Method]:
    """The records of the method's budget, and the method; a file of the user's own is run behind the data's check.

    Raises:
        DataError: a line can't be used, or the files hold too little. RecipeError: the method's file can't be run.
    """
    records = load_training_records(recipe)
    method = method_of(recipe.method)
    return choose(recipe, method, records), method


def choose(recipe: TrainRecipe, method: Method, records: Records) -> Records:
    """The records of the budget, chosen by seed: the baseline's 2n triples contain every other method's n.

    Raises:
        DataError: the files hold fewer.
    """
    triples, benign = records
    num_triples, num_benign = len(triples), len(benign)
    if recipe.data.num_triples is not None:
        num_triples = recipe.data.num_triples * method.triples_per_n
    if num_triples > len(triples):
        raise DataError(
            f"{recipe.data.triples}: {method.name} with data.num_triples = {recipe.data.num_triples} needs "
            f"{num_triples} triples, found {len(triples)}; lower data.num_triples or bring more"
        )
    if recipe.data.num_benign is not None:
        num_benign = recipe.data.num_benign
    if num_benign > len(benign):
        raise DataError(f"{recipe.data.benign}: data.num_benign = {num_benign}, found {len(benign)}")
    order = seeded_order([triple.id for triple in triples], recipe.seed, "triples")
    benign_order = seeded_order([pair.id for pair in benign], recipe.seed, "benign")
    return [triples[index] for index in order[:num_triples]], [
        benign[index] for index in benign_order[:num_benign]
    ]
