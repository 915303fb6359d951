"""`derta encode --format labels`: rows as `input_ids` + `labels`, for trainers that know nothing of DeRTa.

    DIR/epoch_0/, epoch_1/, ...   one dataset an epoch (each epoch draws its own k and kept positions), rows in the
                                  order in which derta itself would train on them; input_ids, attention_mask, labels
    DIR/epoch_0_rows.jsonl, ...   the id and the objective of each of its rows
    DIR/tokenizer/                the tokenizer the ids belong to, unchanged
    DIR/README.md, rows.json      how to train on it; what was used, dropped, cut

A shared trunk can't be said in labels, so a triple is written as its prefix row and its RTO row: the same targets.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from derta.encode.row import Objective, Row
from derta.encode.row_set import Encoded, RowSet
from derta.encode.sampling import seeded_order
from derta.encode.trained import save_chat
from derta.errors import RunError
from derta.files import fsync_folder, write_json, write_jsonl, write_text
from derta.run_folder import check_output

Storage = Literal["arrow", "jsonl", "parquet"]


def check_new(out: Path, inputs: Iterable[str | Path | None] = ()) -> None:
    """Refuse to write over a folder, or into what is read.

    Raises:
        RunError: `out` exists, or lies in one of the inputs.
    """
    if out.exists():
        raise RunError(f"{out}: exists already; remove it or choose another --out")
    check_output(out, "export", inputs)


def export_labels(
    encoded: Encoded, method: str, num_epochs: int, out: Path, *, storage: Storage = "arrow"
) -> Path:
    """Write the rows of a method to `out` (whole or not at all); returns it.

    Raises:
        RunError: `out` exists. ValueError: a shared trunk (encode with shared_trunk=False).
    """
    check_new(out)
    temporary = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    for epoch in range(num_epochs):
        rows = list(label_rows(encoded.rows, epoch))
        _save(rows, temporary, f"epoch_{epoch}", storage)
        names = ({"row_id": row["row_id"], "objective": row["objective"]} for row in rows)
        write_jsonl(temporary / f"epoch_{epoch}_rows.jsonl", names)
    save_chat(temporary / "tokenizer", encoded.renderer)
    write_json(temporary / "rows.json", encoded.report.as_dict())
    write_text(temporary / "README.md", _readme(method, encoded, storage, num_epochs))
    temporary.rename(out)
    fsync_folder(out.parent)
    return out


def label_rows(rows: RowSet, epoch: int) -> Iterator[dict[str, Any]]:
    """One epoch's rows in training order: input_ids, attention_mask, labels, row_id, objective."""
    for unit in seeded_order([unit.name for unit in rows.units], rows.settings.seed, f"epoch {epoch}"):
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


def _save(rows: Sequence[dict[str, Any]], folder: Path, name: str, storage: Storage) -> None:
    import pyarrow as pa  # type: ignore[import-untyped]
    from datasets import Dataset, DatasetDict
    from datasets.table import InMemoryTable

    # exactly these columns: axolotl takes no others
    types = {"input_ids": pa.int32(), "attention_mask": pa.int8(), "labels": pa.int32()}
    columns = {column: _lists([row[column] for row in rows], kind) for column, kind in types.items()}
    dataset = Dataset(InMemoryTable(pa.table(columns)))
    if storage == "arrow":
        DatasetDict(train=dataset).save_to_disk(folder / name)  # LLaMA-Factory looks for a split `train`
    elif storage == "parquet":
        dataset.to_parquet(folder / f"{name}.parquet")
    else:
        dataset.to_json(folder / f"{name}.jsonl")


def _lists(lists: Sequence[Sequence[int]], kind: Any) -> Any:
    """A column of lists from flat values and offsets."""
    import pyarrow as pa

    offsets = np.cumsum([0, *(len(values) for values in lists)], dtype=np.int32)
    return pa.ListArray.from_arrays(offsets, pa.array(np.concatenate(lists), type=kind))


def _readme(method: str, encoded: Encoded, storage: Storage, num_epochs: int) -> str:
    rows = sum(encoded.report.used.values())
    suffix = {"arrow": "/", "jsonl": ".jsonl", "parquet": ".parquet"}[storage]
    return f"""# Rows of method `{method}` as `input_ids` and `labels`

Written by derta for the tokenizer in `tokenizer/` (template {encoded.renderer.template_hash[:12]}) from
{rows} units; `rows.json` counts what was used, dropped and cut. `epoch_0{suffix}` to `epoch_{num_epochs - 1}{suffix}`
hold the draws of each epoch: train one pass over each, in this order.

`labels` follow the Hugging Face convention: aligned with `input_ids`, -100 = no target, shifted inside the model.
A token of a harmful response is never its own label. Keep it so: use `labels` as they are, don't rebuild them from
`input_ids`, and don't truncate: `max_length` at least {encoded.rows.settings.max_length + 1}.

The harmful responses of the training data are in `input_ids`. Treat the folder as that data.
"""
