"""The whole of `derta train` on a tiny model: batching changes nothing, resume changes nothing."""

import json
import os
import signal
import time

import pytest
import torch
from rich.console import Console
from transformers import AutoModelForCausalLM

from derta.config import check_recipe
from derta.encode.row import Objective
from derta.errors import RecipeError, RunError
from derta.training.checkpoints.checkpoint import damage
from derta.training.encoding import records_and_method
from derta.training.preparation import prepare
from derta.training.recipe import TrainRecipe
from derta.training.run import train
from training_world import assert_equal_weights, interrupted, log_of, make_world, run, settings, start


@pytest.fixture
def world(tmp_path, tiny_tokenizer):
    return make_world(tmp_path, tiny_tokenizer)


def test_a_run_leaves_a_plain_model_folder_and_a_log_by_objective(world):
    probe = {"triples": str(world / "triples.jsonl"), "benign": str(world / "benign.jsonl"), "every": 4}
    folder = run(settings(world, probe=probe))
    assert damage(folder) is None
    before = AutoModelForCausalLM.from_pretrained(world / "base").state_dict()
    after = AutoModelForCausalLM.from_pretrained(folder).state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert not [path for path in world.glob("run/**/*") if path.suffix in {".bin", ".pt", ".pth", ".pkl"}]
    log = [json.loads(line) for line in (world / "run/train_log.jsonl").read_text().splitlines()]
    losses = [entry for entry in log if "loss" in entry]
    assert all(entry["loss_rto"] > 0 for entry in losses if "loss_rto" in entry)
    assert {"loss_benign", "loss_prefix", "loss_rto"} <= set().union(*losses)
    probes = [entry for entry in log if "refusal_on_harmful" in entry]
    assert probes[0]["step"] == 0
    assert probes[-1]["refusal_on_harmful"] > probes[0]["refusal_on_harmful"]
    manifest = json.loads((world / "run/manifest.json").read_text())
    assert manifest["rows"]["used"] == {"derta": 4, "benign": 8}


@pytest.mark.parametrize("tokens", [1024, 128])
@pytest.mark.parametrize("method", ["derta", "rto", "prefix"])
def test_the_logged_losses_are_the_means_of_the_objectives(world, method, tokens):
    """The first step's, against the base model on each row alone: every target counts once, whatever is packed."""
    training = settings(world)["training"] | {"max_steps": 1, "num_train_epochs": 1}
    values = settings(
        world, method=method, training=training, batch={"rows": 8, "tokens": tokens}, rto={"keep_rate": 0.5}
    )
    recipe = check_recipe(values, TrainRecipe, "test")
    records, method = records_and_method(recipe)
    prepared = prepare(recipe, method, records)
    model = AutoModelForCausalLM.from_pretrained(world / "base").eval()
    expected = {}
    for micro in (micro for micro in prepared.plan.micro_batches if micro.step == 0):
        for unit in {unit for line in micro.lines for unit, _ in line}:
            for row in prepared.rows.apart().rows(unit, 0):
                logits = model(torch.tensor([row.input_ids.tolist()])).logits[0].log_softmax(-1)
                for at, target, objective in zip(row.predict_at, row.target_ids, row.objective, strict=True):
                    loss = -logits[int(at), int(target)].item()
                    expected.setdefault(Objective(int(objective)).name.lower(), []).append(loss)
    train(recipe, Console(quiet=True))
    [entry] = [entry for entry in log_of(world / "run") if "loss" in entry]
    logged = {name[5:]: value for name, value in entry.items() if name.startswith("loss_")}
    assert logged == pytest.approx(
        {name: sum(losses) / len(losses) for name, losses in expected.items()}, rel=1e-4
    )
    everything = [loss for losses in expected.values() for loss in losses]
    assert entry["loss"] == pytest.approx(sum(everything) / len(everything), rel=1e-4)


def test_micro_batches_do_not_change_the_numbers(world):
    """One micro-batch of everything against many small ones: same loss curve, same weights."""
    one = run(settings(world, "one", batch={"rows": 8, "tokens": 4096}))
    many = run(settings(world, "many", batch={"rows": 8, "tokens": 64}))
    plans = [json.loads((world / name / "manifest.json").read_text()) for name in ("one", "many")]
    assert plans[0]["tokens"] == plans[1]["tokens"]
    assert_equal_weights(one, many, tolerance=2e-5)
    logs = [(world / name / "train_log.jsonl").read_text().splitlines() for name in ("one", "many")]
    for first, second in zip(*logs, strict=True):
        first, second = json.loads(first), json.loads(second)
        assert first.keys() == second.keys()
        assert first["loss"] == pytest.approx(second["loss"], rel=1e-5)


def test_the_same_seed_gives_the_same_bytes(world):
    first, second = run(settings(world, "a")), run(settings(world, "b"))
    assert_equal_weights(first, second)
    for name in ("rows/epoch_0.safetensors", "train_log.jsonl"):
        assert (world / "a" / name).read_bytes() == (world / "b" / name).read_bytes()


@pytest.mark.slow
def test_kill_9_and_the_same_command_ends_the_same(world):
    undisturbed = run(settings(world, "whole", model={"path": str(world / "dropout")}))
    values = settings(world, "killed", model={"path": str(world / "dropout")})
    process = start(values, world)
    deadline = time.time() + 120
    while not list((world / "killed/checkpoints").glob("checkpoint-[0-9]*")) and time.time() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (world / "killed/model").exists(), "it was over before it could be killed"
    again = start(values, world)
    _, errors = again.communicate(timeout=240)
    assert again.returncode == 0, errors
    assert "continuing from" in errors
    assert_equal_weights(undisturbed, world / "killed/model")
    log = [(world / name / "train_log.jsonl").read_bytes() for name in ("whole", "killed")]
    assert log[0] == log[1]


def test_a_damaged_checkpoint_is_told_and_the_one_before_is_taken(world, capsys):
    whole = run(settings(world, "whole"))
    values = interrupted(world, "damaged", keep=8)
    target = world / "damaged/checkpoints/checkpoint-8/optimizer.safetensors"
    content = bytearray(target.read_bytes())
    content[len(content) // 2] ^= 1
    target.write_bytes(content)
    train(check_recipe(values, TrainRecipe, "test"), Console(force_terminal=False, width=300))
    out = capsys.readouterr().out
    assert "checkpoint-8: damaged (optimizer.safetensors has changed)" in out
    assert "continuing from" in out
    assert "checkpoint-6" in out
    assert_equal_weights(whole, world / "damaged/model")


def test_other_settings_on_the_same_folder_are_named(world):
    values = interrupted(world, "run", keep=4)
    with (world / "triples.jsonl").open("a") as handle:
        handle.write("\n")
    changed = values | {"seed": 5, "prefix": {"k": "uniform"}}
    with pytest.raises(RunError) as error:
        run(changed)
    for name in ("seed: was 0, is 5", 'prefix.k: was "thirds", is "uniform"', "content of data.triples"):
        assert name in str(error.value)


def test_micro_batch_size_may_change_on_resume(world):
    values = interrupted(world, "run", keep=4)
    whole = run(settings(world, "whole"))
    again = run(values | {"batch": {"rows": 8, "tokens": 256}})
    assert_equal_weights(whole, again, tolerance=2e-5)


def test_a_second_process_is_kept_out(world):
    from derta.files import run_lock

    with run_lock(world / "run"), pytest.raises(RunError, match=f"in use by process {os.getpid()}"):
        run(settings(world))


def test_unknown_training_arguments_are_named(world):
    with pytest.raises(RecipeError, match="learning_rte"):
        run(settings(world, training={"learning_rte": 1e-3}))


def test_a_finished_run_is_not_repeated(world):
    folder = run(settings(world))
    stamp = (folder / "model.safetensors").stat().st_mtime_ns
    run(settings(world))
    assert (folder / "model.safetensors").stat().st_mtime_ns == stamp
