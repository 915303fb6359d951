"""Rows as `labels`: written whole, read by datasets, and trained by TRL's SFTTrainer to the very same loss."""

import json

import pytest
import torch
from datasets import Dataset, load_from_disk

from conftest import make_tiny_model
from derta.encode.export import labels_of
from derta.encode.row import IGNORE_INDEX
from derta.errors import RecipeError, RunError
from derta.training.collate import collate
from derta.training.encoding import encode_recipe, records_and_method
from derta.training.labels import write_labels
from derta.training.loss import install_supervised_forward
from encode.guild import BENIGN, TRIPLES, recipe


def test_one_dataset_an_epoch_with_its_own_draws(tmp_path, tiny_tokenizer):
    out = write_labels(recipe(tmp_path, tiny_tokenizer), tmp_path / "out")
    epochs = [read(out, number) for number in (0, 1)]
    for rows in epochs:
        assert len(rows) == 2 * len(TRIPLES) + len(BENIGN)
        assert all(len(row["input_ids"]) == len(row["labels"]) for row in rows)
        assert {row["objective"] for row in rows} == {"benign", "prefix", "rto"}

    def ids(rows, kind):
        return {row["row_id"]: row["input_ids"] for row in rows if row["objective"] == kind}

    assert ids(epochs[0], "benign") == ids(epochs[1], "benign")
    assert ids(epochs[0], "prefix") != ids(epochs[1], "prefix")
    assert [row["row_id"] for row in epochs[0]] != [row["row_id"] for row in epochs[1]]
    assert json.loads((out / "rows.json").read_text())["used"] == {"benign": 3, "derta": 20}
    assert (out / "tokenizer/tokenizer.json").exists()


def read(out, epoch):
    """The rows of an epoch, each with its id and objective."""
    dataset = load_from_disk(out / f"epoch_{epoch}")["train"]
    assert dataset.column_names == ["input_ids", "attention_mask", "labels"]
    names = [json.loads(line) for line in (out / f"epoch_{epoch}_rows.jsonl").read_text().splitlines()]
    return [row | name for row, name in zip(dataset, names, strict=True)]


@pytest.mark.parametrize("storage", ["jsonl", "parquet"])
def test_other_forms_hold_the_same_rows(tmp_path, tiny_tokenizer, storage):
    made = recipe(tmp_path, tiny_tokenizer, "rto")
    arrow = load_from_disk(write_labels(made, tmp_path / "arrow") / "epoch_0")["train"]
    out = write_labels(made, tmp_path / "other", storage=storage)
    load = Dataset.from_json if storage == "jsonl" else Dataset.from_parquet
    other = load(str(out / f"epoch_0.{storage}"), cache_dir=str(tmp_path / "cache"))
    assert other.to_list() == arrow.to_list()


def test_weights_have_no_place_in_labels(tmp_path, tiny_tokenizer):
    with pytest.raises(RecipeError, match=r"weights: .*`labels` can't carry them"):
        write_labels(recipe(tmp_path, tiny_tokenizer, weights={"rto": 0.5}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten_and_nothing_half_written_is_left(tmp_path, tiny_tokenizer, monkeypatch):
    made = recipe(tmp_path, tiny_tokenizer)
    with pytest.raises(RecipeError, match="dpo has pairs, not labels"):
        write_labels(recipe(tmp_path, tiny_tokenizer, "dpo", dpo={"start_from": "vanilla"}), tmp_path / "out")
    monkeypatch.setattr("derta.encode.export.write_json", broken)
    with pytest.raises(OSError, match="disk"):
        write_labels(made, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    monkeypatch.undo()
    write_labels(made, tmp_path / "out")
    with pytest.raises(RunError, match="exists already"):
        write_labels(made, tmp_path / "out")


def broken(*_):
    raise OSError("disk full")


def test_the_refusal_at_the_end_of_text_has_a_place(tmp_path, tiny_tokenizer):
    made = recipe(tmp_path, tiny_tokenizer, "rto", rto={"end_of_text": True})
    records, method = records_and_method(made)
    encoded = encode_recipe(made, method, records)
    [row] = [r for u in range(len(encoded.rows)) for r in encoded.rows.rows(u, 0) if r.row_id == "rto:t03"]
    input_ids, labels = labels_of(row, encoded.rows.end_id)
    assert input_ids == [*row.input_ids.tolist(), encoded.rows.end_id]
    assert labels[-1] == encoded.refusal.start_id
    assert sum(label != IGNORE_INDEX for label in labels) == len(row.predict_at)


@pytest.mark.slow
@pytest.mark.parametrize("end_of_text", [False, True])
def test_trl_computes_the_same_loss_and_gradient_on_the_same_batch(tmp_path, tiny_tokenizer, end_of_text):
    from trl import SFTConfig, SFTTrainer

    made = recipe(tmp_path, tiny_tokenizer, rto={"keep_rate": 0.5, "end_of_text": end_of_text})
    dataset = load_from_disk(write_labels(made, tmp_path / "out") / "epoch_0")["train"]
    theirs = make_tiny_model(len(tiny_tokenizer))
    arguments = SFTConfig(
        output_dir=str(tmp_path / "trl"),
        per_device_train_batch_size=len(dataset),
        max_length=made.max_length + 1,
        bf16=False,
        use_cpu=True,
        report_to="none",
        gradient_checkpointing=False,
    )
    import copy

    trainer = SFTTrainer(
        model=theirs, args=arguments, train_dataset=dataset, processing_class=copy.deepcopy(tiny_tokenizer)
    )
    assert len(trainer.train_dataset) == len(dataset)  # it drops rows silently when it truncates
    batch = next(iter(trainer.get_train_dataloader()))
    num_labels = (batch["labels"] != IGNORE_INDEX).sum()
    loss = trainer.compute_loss(theirs, batch, num_items_in_batch=num_labels)
    loss.backward()

    records, method = records_and_method(made)
    encoded = encode_recipe(made, method, records)
    rows = [row for unit in range(len(encoded.rows)) for row in encoded.rows.rows(unit, 0)]
    assert sum(len(row.predict_at) for row in rows) == num_labels
    shared = encode_recipe(made, method, records, shared_trunk=True)
    trunks = [row for unit in range(len(shared.rows)) for row in shared.rows.rows(unit, 0)]
    for ours_rows in (rows, trunks):
        ours = make_tiny_model(len(tiny_tokenizer))
        install_supervised_forward(ours)
        lines = [[row] for row in ours_rows]
        inputs = collate(lines, 0, float(num_labels), encoded.refusal.ids)
        outputs = ours(**{name: value for name, value in inputs.items() if name != "objective"})
        outputs.loss.backward()
        assert float(outputs.loss) == pytest.approx(float(loss), abs=1e-5)
        for (name, mine), (_, other) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
            torch.testing.assert_close(mine.grad, other.grad, rtol=0, atol=1e-5, msg=name)
