"""Out of memory: micro-batches halve, global batches stay, training goes on from the last finished step."""

import json
import shutil

import pytest
import torch
from rich.console import Console

from derta.config import check_recipe
from derta.errors import RunError
from derta.training.collate import MicroBatches, collate
from derta.training.cost.memory import fitting_tokens, is_out_of_memory
from derta.training.encoding import records_and_method
from derta.training.model import model_for_training
from derta.training.preparation import prepare, replan
from derta.training.recipe import TrainRecipe
from derta.training.run import train
from derta.training.trainer import RefusalTrainer
from training_world import assert_equal_logs, assert_equal_weights, make_world, run, settings

ERRORS = {
    "host": MemoryError(),
    "gpu": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    "cpu allocator": RuntimeError(
        "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"
    ),
}


@pytest.fixture
def world(tmp_path, tiny_tokenizer):
    return make_world(tmp_path, tiny_tokenizer)


def too_big(monkeypatch, most_tokens, error, from_step=3):
    """From a step on, micro-batches of more tokens than fit raise."""
    plain = RefusalTrainer.compute_loss

    def compute_loss(self, model, inputs, *rest, **more):
        if self.state.global_step + 1 >= from_step and inputs["input_ids"].numel() > most_tokens:
            raise error
        return plain(self, model, inputs, *rest, **more)

    monkeypatch.setattr(RefusalTrainer, "compute_loss", compute_loss)


def values_of(world, name, **changes):
    """No checkpoint of its own before the run is over."""
    training = settings(world)["training"] | {"save_steps": 12, "num_train_epochs": 3}
    return settings(world, name, **({"training": training, "batch": {"rows": 8, "tokens": 512}} | changes))


@pytest.mark.parametrize("kind", ERRORS)
def test_training_goes_on_with_half_the_tokens_from_the_last_finished_step(world, monkeypatch, kind, capsys):
    whole = run(values_of(world, "whole"))
    too_big(monkeypatch, 100, ERRORS[kind])
    recipe = check_recipe(values_of(world, "shrunk"), TrainRecipe, "test")
    shrunk = train(recipe, Console(force_terminal=False, width=300))
    out = capsys.readouterr().out
    assert "out of memory at step 3 with batch.tokens = 512; on with 256 (same global batches)" in out
    assert out.count("out of memory at step") == out.count("checkpoint-2") >= 1, (
        "steps 1 and 2 are not repeated"
    )
    assert_equal_weights(whole, shrunk, tolerance=1e-5)
    assert_equal_logs(world / "whole", world / "shrunk", tolerance=1e-4)
    assert json.loads((world / "shrunk/micro_batch.json").read_text())["tokens"] <= 256


def test_the_gradient_is_the_same_to_one_millionth(world):
    recipe = check_recipe(values_of(world, "run"), TrainRecipe, "test")
    records, method = records_and_method(recipe)
    prepared = prepare(recipe, method, records)
    gradients = []
    for plan in (prepared.plan, replan(recipe, prepared, 256).plan, replan(recipe, prepared, 64).plan):
        torch.manual_seed(0)
        model = model_for_training(recipe, prepared.architecture, torch.device("cpu"))
        source = MicroBatches(prepared.rows, plan, 0)
        for planned in (micro for micro in plan.micro_batches if micro.step == 0):
            batch = collate(source.lines(planned), 0, planned.denominator, prepared.rows.refusal.ids)
            batch.pop("objective")
            model(**batch).loss.backward()
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in model.parameters()]))
    for other in gradients[1:]:
        assert float((gradients[0] - other).norm() / gradients[0].norm()) < 1e-6


def test_one_row_that_does_not_fit_is_a_clear_error(world, monkeypatch):
    too_big(monkeypatch, 1, ERRORS["gpu"])
    with pytest.raises(RunError, match=r"smallest micro-batch .*activation_checkpointing"):
        run(values_of(world, "run"))


def test_a_broken_optimizer_step_is_not_saved(world, monkeypatch):
    """Weights may be half moved: back to the checkpoint before, here the start."""
    whole = run(values_of(world, "whole"))
    plain, calls = torch.optim.AdamW.step, []

    def step(self, *arguments, **more):
        calls.append(1)
        if len(calls) == 3:
            with torch.no_grad():
                self.param_groups[0]["params"][0].add_(1.0)
            raise ERRORS["gpu"]
        return plain(self, *arguments, **more)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    again = run(values_of(world, "again"))
    assert_equal_weights(whole, again, tolerance=1e-5)


def test_the_next_start_remembers(world, monkeypatch, capsys):
    """Also where the run can't go on by itself (several processes): the same command takes smaller micro-batches."""
    too_big(monkeypatch, 100, ERRORS["gpu"], from_step=1)
    recipe = check_recipe(values_of(world, "run"), TrainRecipe, "test")
    train(recipe, Console(force_terminal=False, width=300))
    assert "out of memory at step 1 with batch.tokens = 512" in capsys.readouterr().out
    found = json.loads((world / "run/micro_batch.json").read_text())["tokens"]
    shutil.rmtree(world / "run/model")
    shutil.rmtree(world / "run/checkpoints")
    train(recipe, Console(force_terminal=False, width=300))
    assert "out of memory" not in capsys.readouterr().out
    assert json.loads((world / "run/micro_batch.json").read_text())["tokens"] == found < 512


@pytest.mark.parametrize("damaged", ["", "[]", "{}", '{"tokens": null}', '{"tokens": 4096}'])
def test_what_is_remembered_is_never_more_than_the_recipe_says(tmp_path, damaged):
    (tmp_path / "micro_batch.json").write_text(damaged)
    assert fitting_tokens(tmp_path, 512) == 512


def test_other_errors_are_not_taken_for_it(world, monkeypatch):
    assert not is_out_of_memory(RuntimeError("size mismatch"))
    too_big(monkeypatch, 1, RuntimeError("size mismatch"))
    with pytest.raises(RuntimeError, match="size mismatch"):
        run(values_of(world, "run"))
