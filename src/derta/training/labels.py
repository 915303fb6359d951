"""`derta show-labels` and `derta encode`: a recipe's rows, to look at or for another trainer. No torch."""

from __future__ import annotations

import math
from pathlib import Path

from rich.console import Console

from derta.encode.export import Storage, check_new, export_labels
from derta.encode.show import needed_records, show_rows
from derta.errors import RecipeError
from derta.methods.contract import Method
from derta.training.encoding import encode_recipe, inputs_of, records_and_method
from derta.training.recipe import TrainRecipe


def show_labels(
    recipe: TrainRecipe, console: Console, *, num: int = 1, row_id: str | None = None, epoch: int = 0
) -> None:
    """Print `num` rows of each kind, or the one row (or all rows of the one record) called `row_id`.

    Raises:
        DataError: there is no such row. Also all that `encode_recipe` raises.
    """
    (triples, benign), method = records_and_method(recipe)
    _check_has_rows(method)
    few = needed_records(triples, benign, num=num, row_id=row_id)
    lenient = recipe.model_copy(update={"max_dropped_rate": 1.0})
    # as trained where the architecture computes a shared trunk exactly; the rows teach the same either way
    encoded = encode_recipe(lenient, method, few, shared_trunk=recipe.shared_trunk != "off")
    show_rows(encoded, console, num=num, row_id=row_id, epoch=epoch)


def write_labels(recipe: TrainRecipe, out: Path, *, storage: Storage = "arrow") -> Path:
    """Write the recipe's rows to `out` (whole or not at all); returns it.

    Raises:
        RunError: `out` exists. RecipeError: objectives have different weights. DataError, TokenizerError, ModelError:
            as `encode_recipe`.
    """
    check_new(out, inputs_of(recipe))
    records, method = records_and_method(recipe)
    _check_has_rows(method)
    if len(set(recipe.weights.model_dump().values())) > 1:
        raise RecipeError(
            f"weights: found {recipe.weights.model_dump()}; `labels` can't carry them. Need the same weight for all, "
            "or train with `derta train`"
        )
    encoded = encode_recipe(recipe, method, records)
    num_epochs = max(1, math.ceil(recipe.training.get("num_train_epochs", 2)))
    return export_labels(encoded, method.name, num_epochs, out, storage=storage)


def _check_has_rows(method: Method) -> None:
    if method.pairs is not None:
        raise RecipeError(f"method: {method.name} has pairs, not labels; need a method that trains on rows")
