"""`derta encode --format labels`: rows as `input_ids` + `labels`, for trainers that know nothing of DeRTa.

    DIR/epoch_0/, epoch_1/, ...   one dataset an epoch (each epoch draws its own k and kept positions), rows in the
                                  order in which derta itself would train on them
    DIR/tokenizer/                the tokenizer the ids belong to, unchanged
    DIR/README.md, rows.json      how to train on it; what was used, dropped, cut

A shared trunk can't be said in labels, so a triple is written as its prefix row and its RTO row: the same targets.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from derta.config import TrainRecipe
from derta.encode.objectives import Objective, Row
from derta.encode.rows import RowSet
from derta.encode.sampling import seeded_order
from derta.encode.source import Encoded, encode_recipe, load_training_records
from derta.errors import RecipeError, RunError
from derta.files import fsync_folder, write_json, write_text

if TYPE_CHECKING:
    from datasets import Dataset

Storage = Literal["arrow", "jsonl", "parquet"]


def export_labels(recipe: TrainRecipe, out: Path, *, storage: Storage = "arrow") -> Path:
    """Write the recipe's rows to `out` (whole or not at all); returns it.

    Raises:
        RunError: `out` exists. DataError, TokenizerError, ModelError: as `encode_recipe`.
    """
    if recipe.method == "dpo":
        raise RecipeError("method: dpo has pairs, not labels; derta encode writes rows of the other methods")
    if out.exists():
        raise RunError(f"{out}: exists already; remove it or choose another --out")
    encoded = encode_recipe(recipe, *load_training_records(recipe), shared_trunk=False)
    temporary = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    num_epochs = max(1, math.ceil(recipe.training.get("num_train_epochs", 2)))
    for epoch in range(num_epochs):
        _save(label_rows(encoded.rows, epoch), temporary, f"epoch_{epoch}", storage)
    encoded.renderer.save_tokenizer(temporary / "tokenizer")
    write_json(temporary / "rows.json", encoded.report.as_dict())
    write_text(temporary / "README.md", _readme(recipe, encoded, storage, num_epochs))
    temporary.rename(out)
    fsync_folder(out.parent)
    return out


def label_rows(rows: RowSet, epoch: int) -> Iterator[dict[str, Any]]:
    """One epoch's rows in training order: input_ids, attention_mask, labels, row_id, objective."""
    names = [f"{unit.kind}:{unit.record.id}" for unit in rows.units]
    for unit in seeded_order(names, rows.settings.seed, f"epoch {epoch}"):
        for row in rows.rows(unit, epoch):
            input_ids, labels = labels_of(row, rows.end_id)
            yield {
                "input_ids": input_ids,
                "attention_mask": [1] * len(input_ids),
                "labels": labels,
                "row_id": row.row_id,
                "objective": Objective(int(row.objective[0])).name.lower(),
            }


def labels_of(row: Row, end_id: int) -> tuple[list[int], list[int]]:
    """(input_ids, labels) of a row with one target a position.

    A refusal target behind the last token (rto.end_of_text) has no place in `labels`; the row then gets the end
    token as one more input, whose own label is that target.

    Raises:
        ValueError: a trunk row.
    """
    if not len(row.predict_at) or int(row.predict_at.max()) + 1 < len(row):
        return row.input_ids.tolist(), row.labels()
    longer = Row(
        **{
            **vars(row),
            "input_ids": _append(row.input_ids, end_id),
            "position_ids": _append(row.position_ids, int(row.position_ids[-1]) + 1),
            "subtree_end": _append(row.subtree_end, len(row) + 1),
            "is_harmful": _append(row.is_harmful, False),
        }
    )
    return longer.input_ids.tolist(), longer.labels()


def _append(values: npt.NDArray[Any], value: Any) -> npt.NDArray[Any]:
    return np.append(values, np.asarray([value], dtype=values.dtype))


def _save(rows: Iterator[dict[str, Any]], folder: Path, name: str, storage: Storage) -> None:
    dataset = _dataset(rows)
    if storage == "arrow":
        dataset.save_to_disk(folder / name)
    elif storage == "parquet":
        dataset.to_parquet(folder / f"{name}.parquet")
    else:
        dataset.to_json(folder / f"{name}.jsonl")


def _dataset(rows: Iterator[dict[str, Any]]) -> Dataset:
    import pyarrow as pa  # type: ignore[import-untyped]
    from datasets import Dataset
    from datasets.table import InMemoryTable

    schema = pa.schema(
        [
            ("input_ids", pa.list_(pa.int32())),
            ("attention_mask", pa.list_(pa.int8())),
            ("labels", pa.list_(pa.int32())),
            ("row_id", pa.string()),
            ("objective", pa.string()),
        ]
    )
    batches = [pa.RecordBatch.from_pylist(chunk, schema=schema) for chunk in _chunks(rows, 1000)]
    return Dataset(InMemoryTable(pa.Table.from_batches(batches, schema=schema)))


def _chunks(rows: Iterator[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    chunk: list[dict[str, Any]] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _readme(recipe: TrainRecipe, encoded: Encoded, storage: Storage, num_epochs: int) -> str:
    rows = sum(encoded.report.used.values())
    suffix = {"arrow": "/", "jsonl": ".jsonl", "parquet": ".parquet"}[storage]
    return f"""# Rows of method `{recipe.method}` as `input_ids` and `labels`

Written by derta for the tokenizer in `tokenizer/` (template {encoded.renderer.template_hash[:12]}) from
{rows} units; `rows.json` counts what was used, dropped and cut. `epoch_0{suffix}` to `epoch_{num_epochs - 1}{suffix}`
hold the draws of each epoch: train one pass over each, in this order.

`labels` follow the Hugging Face convention: aligned with `input_ids`, -100 = no target, shifted inside the model.
A token of a harmful response is never its own label. Keep it so: use `labels` as they are, don't rebuild them from
`input_ids`, and don't truncate: `max_length` at least {recipe.max_length + 1}.

The harmful responses of the training data are in `input_ids`. Treat the folder as that data.
"""
