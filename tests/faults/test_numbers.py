"""Losses and gradients that are not finite: the step is not applied, its rows are listed, three in a row stop."""

import json

import pytest
import torch
from transformers import TrainerCallback

from derta.errors import RunError
from derta.training import run as run_module
from derta.training.trainer import RefusalTrainer
from training_world import log_of, make_world, run, settings


@pytest.fixture
def world(tmp_path, tiny_tokenizer):
    return make_world(tmp_path, tiny_tokenizer)


class Snapshots(TrainerCallback):
    """Weights and optimizer state after each step."""

    def __init__(self):
        self.of = {}

    def on_step_end(self, args, state, control, **kwargs):
        optimizer = kwargs["optimizer"].state_dict()["state"]
        self.of[state.global_step] = [
            *(parameter.detach().clone() for parameter in kwargs["model"].parameters()),
            *(value.clone() for entry in optimizer.values() for value in entry.values()),
        ]


def spoil(monkeypatch, steps, how):
    """Make the loss or the gradient of some steps (from 1) not finite; returns the snapshots of the run."""
    plain = RefusalTrainer.compute_loss
    snapshots = Snapshots()
    plain_trainer = run_module._trainer

    def compute_loss(self, model, inputs, *rest, **more):
        if self.state.global_step + 1 not in steps or not len(inputs["target_ids"]):
            return plain(self, model, inputs, *rest, **more)
        if how == "loss":
            with torch.no_grad():
                kept = model.lm_head.weight[0, 0].clone()
                model.lm_head.weight[0, 0] = float("nan")
            loss = plain(self, model, inputs, *rest, **more)
            with torch.no_grad():
                model.lm_head.weight[0, 0] = kept
            return loss
        return plain(self, model, inputs, *rest, **more) * torch.tensor(float("inf"))

    def trainer_with_snapshots(*arguments):
        trainer, hooks = plain_trainer(*arguments)
        trainer.add_callback(snapshots)
        return trainer, hooks

    monkeypatch.setattr(RefusalTrainer, "compute_loss", compute_loss)
    monkeypatch.setattr(run_module, "_trainer", trainer_with_snapshots)
    return snapshots.of


@pytest.mark.parametrize("how", ["loss", "gradient"])
def test_a_step_that_is_not_finite_is_not_applied(world, monkeypatch, how):
    after = spoil(monkeypatch, {3, 4}, how)
    values = settings(world, batch={"rows": 8, "tokens": 64})
    run(values)
    assert all(torch.equal(one, other) for one, other in zip(after[2], after[4], strict=True))
    assert not all(torch.equal(one, other) for one, other in zip(after[4], after[5], strict=True))
    lines = (world / "run/skipped_steps.jsonl").read_text().splitlines()
    skipped = [json.loads(line) for line in lines]
    assert [entry["step"] for entry in skipped] == [3, 4]
    for entry in skipped:
        assert ("loss" if how == "loss" else "gradient norm is") in entry["reason"]
        assert len(entry["rows"]) >= 4
        assert set(entry["suspects"]) <= set(entry["rows"])
        assert bool(entry["suspects"]) == (how == "loss")
        assert all(row.split(":")[0] in {"benign", "derta", "prefix", "rto"} for row in entry["rows"])
    losses = [entry for entry in log_of(world / "run") if "loss" in entry]
    assert 3 not in {entry["step"] for entry in losses}
    assert all(torch.isfinite(torch.tensor(entry["loss"])) for entry in losses)


def test_three_in_a_row_stop_the_run_before_anything_is_applied(world, monkeypatch):
    after = spoil(monkeypatch, {3, 4, 5}, "loss")
    with pytest.raises(
        RunError, match=r"step 5: loss is not finite, 3 steps in a row.*skipped_steps\.jsonl"
    ) as error:
        run(settings(world))
    assert "\n" not in str(error.value)
    assert max(after) == 4
    assert all(torch.equal(one, other) for one, other in zip(after[2], after[4], strict=True))
    assert not (world / "run/model").exists()


def test_a_good_step_between_starts_the_count_anew(world, monkeypatch):
    spoil(monkeypatch, {2, 3, 5, 6}, "gradient")
    run(settings(world))
    assert len((world / "run/skipped_steps.jsonl").read_text().splitlines()) == 4


def test_a_resume_forgets_skips_behind_its_checkpoint(world, monkeypatch):
    """Killed after skipping step 4, continued from checkpoint 2: step 4 is listed once."""
    spoil(monkeypatch, {4}, "loss")
    plain, calls = RefusalTrainer._save_checkpoint, []

    def stop_at_step_4(self, *arguments):
        calls.append(self.state.global_step)
        if calls == [2, 4]:
            raise KeyboardInterrupt
        plain(self, *arguments)

    monkeypatch.setattr(RefusalTrainer, "_save_checkpoint", stop_at_step_4)
    with pytest.raises(KeyboardInterrupt):
        run(settings(world))
    run(settings(world))
    lines = (world / "run/skipped_steps.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [4]
