"""Several processes train what one process trains: DDP and FSDP2 on CPU, and a resume of each."""

import json
import os
from pathlib import Path

import pytest

from training_world import (
    assert_equal_logs,
    assert_equal_weights,
    make_world,
    run,
    settings,
    start,
    stop_after,
)

FSDP = {
    "ACCELERATE_USE_FSDP": "true",
    "ACCELERATE_TORCH_DEVICE": "cpu",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT",
    "FSDP_RESHARD_AFTER_FORWARD": "true",
    "FSDP_CPU_RAM_EFFICIENT_LOADING": "true",
}
FSDP_SCRIPT = (str(Path(__file__).with_name("fsdp_on_cpu.py")),)


@pytest.fixture
def world(tmp_path, tiny_tokenizer):
    return make_world(tmp_path, tiny_tokenizer)


def small(world, name, **changes):
    """Three epochs; so few tokens a micro-batch that the processes' shares are uneven and some are empty."""
    training = {"learning_rate": 1e-3, "num_train_epochs": 3, "logging_steps": 1, "save_steps": 2}
    batch = {"rows": 8, "tokens": 64}
    return settings(world, name, **({"training": training, "batch": batch} | changes))


def finish(process):
    _, errors = process.communicate(timeout=400)
    assert process.returncode == 0, errors
    return errors


@pytest.mark.slow
def test_two_processes_reproduce_the_loss_curve_and_weights_of_one(world):
    probe = {"triples": str(world / "triples.jsonl"), "benign": str(world / "benign.jsonl"), "every": 2}
    values = small(world, "two", probe=probe)
    one = run(small(world, "one", probe=probe))
    told = finish(start(values, world, processes=2))
    assert told.count("rows benign: 8 used of 8") == 1, "only the first process speaks"
    assert_equal_weights(one, world / "two/model", tolerance=1e-6)
    assert_equal_logs(world / "one", world / "two", tolerance=1e-5)
    checkpoint = world / "two/checkpoints/checkpoint-6"
    assert {path.name for path in checkpoint.glob("rng-*.json")} == {"rng-0.json", "rng-1.json"}
    assert json.loads((world / "two/manifest.json").read_text())["processes"] == 2

    # the one-process command takes over a run of two processes
    whole = (world / "two/train_log.jsonl").read_bytes()
    stop_after(world / "two", keep=4)
    run(values)
    assert_equal_weights(one, world / "two/model", tolerance=1e-6)
    assert len((world / "two/train_log.jsonl").read_bytes().splitlines()) == len(whole.splitlines())


@pytest.mark.slow
def test_fsdp2_reproduces_one_process_and_its_shards_resume_bitwise(world):
    probe = {"triples": str(world / "triples.jsonl"), "benign": str(world / "benign.jsonl"), "every": 2}
    values = small(world, "sharded", probe=probe)
    one = run(small(world, "one", probe=probe))
    finish(start(values, world, processes=2, script=FSDP_SCRIPT, **FSDP))
    assert_equal_weights(one, world / "sharded/model", tolerance=1e-6)
    assert_equal_logs(world / "one", world / "sharded", tolerance=1e-5)
    assert (world / "sharded/checkpoints/checkpoint-6/shard-1.safetensors").exists()

    whole = (world / "sharded/train_log.jsonl").read_bytes()
    weights = (world / "sharded/model/model.safetensors").read_bytes()
    stop_after(world / "sharded", keep=4)
    told = finish(start(values, world, processes=2, script=FSDP_SCRIPT, **FSDP))
    assert "continuing from" in told
    assert (world / "sharded/model/model.safetensors").read_bytes() == weights
    assert (world / "sharded/train_log.jsonl").read_bytes() == whole

    stop_after(world / "sharded", keep=4)
    refused = start(values, world)
    _, errors = refused.communicate(timeout=200)
    assert refused.returncode == 1
    assert "written with 2 process(es), fsdp; this launch has 1, replicated" in errors
    assert "Traceback" not in errors


@pytest.mark.slow
def test_an_error_is_told_once_by_two_processes(world):
    (world / "two").mkdir()
    (world / "two/run.json").write_text('{"seed": "5", "method": "derta", "derta": "0.1.0"}')
    process = start(small(world, "two"), world, processes=2)
    _, errors = process.communicate(timeout=200)
    assert process.returncode != 0
    assert errors.count("was started with other settings") == 1


def test_fsdp_that_the_launcher_would_ignore_is_refused(world, monkeypatch):
    from derta.errors import RunError

    monkeypatch.setitem(os.environ, "ACCELERATE_USE_FSDP", "true")
    with pytest.raises(RunError, match="FSDP"):
        run(small(world, "run"))
