"""The training rows of one record, to look at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any

from derta.config import check_recipe
from derta.encode.settings import RowSettings
from derta.errors import RecipeError
from derta.methods import METHODS, PROPOSED, Method
from derta.records import BenignPair, Triple

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from derta.encode.row import Row
    from derta.encode.row_set import Encoded

IGNORE_INDEX = -100  # a position that is no target, as everywhere in this field


@dataclass(frozen=True)
class Rows:
    """The rows of one record under one method, as training draws them in its first epoch."""

    encoded: Encoded

    def __iter__(self) -> Iterator[Row]:
        return self.encoded.rows.all_rows(epoch=0)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def labels(self) -> list[list[int]]:
        """For each row L labels, aligned with its L input ids: an id, or -100 where nothing is learned.

        A trunk with branches predicts two ids after one token; such a row has no plain labels.

        Raises:
            RecipeError: a row is a trunk; ask with `shared_trunk=False`.
        """
        return [_labels(row) for row in self]

    def show(self) -> None:
        """Print each token, its id, its label and the rule that gave it; in colour on a terminal."""
        from rich.console import Console

        from derta.encode.show import show_rows

        show_rows(self.encoded, Console(), num=len(self))

    def _repr_html_(self) -> str:
        from rich.console import Console

        from derta.encode.show import show_rows

        console = Console(file=StringIO(), record=True, width=110, force_jupyter=False)
        show_rows(self.encoded, console, num=len(self))
        page = '<pre style="line-height:1.25">{code}</pre>'
        return console.export_html(inline_styles=True, code_format=page)


def rows_for(
    record: Triple | BenignPair,
    tokenizer: PreTrainedTokenizerBase,
    method: str | Method = PROPOSED,
    *,
    shared_trunk: bool = False,
    **settings: Any,
) -> Rows:
    """The training rows of one triple or benign pair (paper, equation 2 and Table 4).

        derta.rows_for(triple, tokenizer, max_length=256).show()

    method: a name (docs/method.md) or an object. settings: those of a recipe that rows depend on: seed, chat,
    refusal, prefix, rto, max_length, on_long, weights. shared_trunk: a triple's rows as one, with a branch for each
    safe response.

    Raises:
        RecipeError: no such method, or settings that rows don't take.
        TokenizerError: the tokenizer or its template can't be used safely.
    """
    from derta.encode.row_set import encode

    if isinstance(method, str) and method not in METHODS:
        raise RecipeError(f"method: found {method!r}, need one of {', '.join(METHODS)}")
    chosen = METHODS[method] if isinstance(method, str) else method
    checked = check_recipe(settings, RowSettings, "settings")
    triples, benign = ([record], []) if isinstance(record, Triple) else ([], [record])
    return Rows(encode(tokenizer, chosen.units, checked, triples, benign, shared_trunk=shared_trunk))


def _labels(row: Row) -> list[int]:
    labels = [IGNORE_INDEX] * len(row)
    for at, target in zip(row.predict_at.tolist(), row.target_ids.tolist(), strict=True):
        if at + 1 < len(row):  # RTO at the end of text has no token of its own to stand at
            labels[at + 1] = target
    if len({*row.position_ids.tolist()}) < len(row):
        raise RecipeError(
            f"{row.row_id}: a trunk with branches has no plain labels; ask with shared_trunk=False"
        )
    return labels
