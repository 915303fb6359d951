"""Damaged checkpoints are found before training; a second process is turned away at once."""

import json
import os
import random
import resource
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console
from safetensors.torch import save_file

from derta.errors import RunError
from derta.files import run_lock
from derta.train.checkpoints.checkpoint import damage, latest_whole, publish, rotate, save_optimizer, seal
from derta.train.checkpoints.saving import check_processes, load_shard
from derta.train.trainer import newest_checkpoint
from training import interrupted, log_of, make_world, run, settings, start

FLIPS = 60  # benchmarks/checkpoint_damage.py makes 1,000


@pytest.fixture
def world(tmp_path, tiny_tokenizer):
    return make_world(tmp_path, tiny_tokenizer)


@pytest.fixture
def checkpoints(world):
    interrupted(world, "run", keep=4)
    return world / "run/checkpoints"


def test_every_flipped_bit_is_found(checkpoints):
    rng = random.Random(0)
    files = sorted(path for path in (checkpoints / "checkpoint-4").iterdir())
    for turn in range(FLIPS):
        path = files[turn % len(files)]
        whole = path.read_bytes()
        spoilt = bytearray(whole)
        spoilt[rng.randrange(len(spoilt))] ^= 1 << rng.randrange(8)
        path.write_bytes(spoilt)
        assert damage(checkpoints / "checkpoint-4") is not None, path.name
        taken, told = latest_whole(checkpoints)
        assert taken == checkpoints / "checkpoint-2"
        assert "checkpoint-4: damaged" in told[0]
        path.write_bytes(whole)
    assert damage(checkpoints / "checkpoint-4") is None


@pytest.mark.parametrize("how", ["truncated", "removed", "added", "emptied"])
def test_every_other_change_is_found(checkpoints, how):
    for path in sorted((checkpoints / "checkpoint-4").iterdir()):
        whole = path.read_bytes()
        extra = path.with_name(f"{path.name}.bin")
        if how == "added":
            extra.write_bytes(b"pickled?")
        elif how == "removed":
            path.unlink()
        else:
            path.write_bytes(whole[:-1] if how == "truncated" else b"")
        assert damage(checkpoints / "checkpoint-4") is not None, path.name
        path.write_bytes(whole)
        extra.unlink(missing_ok=True)


def test_leftovers_of_a_killed_save_are_removed_and_never_taken(checkpoints):
    leftover = checkpoints / ".checkpoint-6.tmp"
    leftover.mkdir()
    (leftover / "model.safetensors").write_bytes(b"half")
    assert latest_whole(checkpoints) == (checkpoints / "checkpoint-4", [])
    assert not leftover.exists()


def numbered(folder, steps):
    """Whole checkpoints of these steps, made as a run makes them."""
    for step in steps:
        (folder / f".checkpoint-{step}.tmp").mkdir(parents=True)
        (folder / f".checkpoint-{step}.tmp" / "trainer_state.json").write_text(str(step))
        publish(folder / f".checkpoint-{step}.tmp", folder / f"checkpoint-{step}")


def steps_in(folder):
    return sorted(int(path.name.split("-")[1]) for path in folder.iterdir())


def test_the_newest_is_the_one_of_the_highest_step_not_of_the_last_name(tmp_path):
    numbered(tmp_path, [8, 9, 10, 100])
    assert latest_whole(tmp_path) == (tmp_path / "checkpoint-100", [])
    (tmp_path / "checkpoint-100/trainer_state.json").write_text("x")
    taken, told = latest_whole(tmp_path)
    assert taken == tmp_path / "checkpoint-10"
    assert len(told) == 1


@pytest.mark.parametrize(
    ("keep", "left"), [(1, [100]), (2, [10, 100]), (3, [9, 10, 100]), (9, [8, 9, 10, 100])]
)
def test_rotation_keeps_the_newest(tmp_path, keep, left):
    numbered(tmp_path, [8, 9, 10, 100])
    rotate(tmp_path, keep)
    assert steps_in(tmp_path) == left


def test_a_run_keeps_its_newest_checkpoints(world):
    training = settings(world)["training"] | {"save_steps": 1, "num_train_epochs": 5}
    run(settings(world, "run", training=training))
    last = log_of(world / "run")[-1]["step"]
    assert last == 10
    assert steps_in(world / "run/checkpoints") == [last - 1, last]


def spread(rank=0, processes=2, how="fsdp"):
    """As much of a trainer as says how it is spread over processes."""
    plugin = SimpleNamespace(fsdp_version=2)
    return SimpleNamespace(
        is_deepspeed_enabled=how == "deepspeed",
        is_fsdp_enabled=how == "fsdp",
        accelerator=SimpleNamespace(state=SimpleNamespace(fsdp_plugin=plugin)),
        args=SimpleNamespace(process_index=rank, world_size=processes),
    )


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (("fsdp", 2), ("fsdp", 4)),
        (("fsdp", 4), ("fsdp", 2)),
        (("deepspeed", 2), ("deepspeed", 3)),
        (("fsdp", 2), ("replicated", 2)),
        (("replicated", 1), ("fsdp", 2)),
    ],
)
def test_shards_of_another_launch_are_refused(tmp_path, before, now):
    numbered(tmp_path, [3])
    checkpoint = tmp_path / "checkpoint-3"
    (checkpoint / "processes.json").write_text(json.dumps({"sharding": before[0], "processes": before[1]}))
    seal(checkpoint)
    trainer = spread(how=now[0], processes=now[1])
    trainer.args.output_dir = str(tmp_path)
    trainer.add_callback = lambda callback: pytest.fail("it would be loaded")
    told = rf"written with {before[1]} process\(es\), {before[0]}; this launch has {now[1]}, {now[0]}"
    with pytest.raises(RunError, match=told):
        newest_checkpoint(trainer, Console(quiet=True))


@pytest.mark.parametrize("launch", [("fsdp", 2, 2), ("replicated", 1, 4), ("deepspeed", 2, 2)])
def test_a_launch_that_fits_continues(tmp_path, launch):
    how, before, now = launch
    (tmp_path / "processes.json").write_text(json.dumps({"sharding": how, "processes": before}))
    check_processes(tmp_path, spread(how=how, processes=now))


def test_a_shard_is_of_its_own_process_and_shape(tmp_path):
    """Two processes' halves of one parameter; of another number of processes the parts have other shapes."""
    model = torch.nn.Linear(4, 2, bias=False)
    optimizer = torch.optim.AdamW(model.parameters())
    for rank in (0, 1):
        save_file({"weight": torch.full((2, 4), float(rank))}, tmp_path / f"shard-{rank}.safetensors")
        save_optimizer(tmp_path, optimizer, f"-{rank}")
    load_shard(tmp_path, model, optimizer, rank=1)
    assert model.weight.unique().tolist() == [1.0]
    other = torch.nn.Linear(4, 1, bias=False)
    with pytest.raises(RunError, match="holds no shard of weight for process 1"):
        load_shard(tmp_path, other, torch.optim.AdamW(other.parameters()), rank=1)


def test_a_second_process_exits_within_two_seconds_of_work(world):
    """Processor time, as other tests may share the machine: torch is not even imported."""
    values = settings(world)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with run_lock(world / "run"):
        process = start(values, world)
        out, errors = process.communicate(timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert process.returncode == 1
    assert errors.strip().endswith(
        f"in use by process {os.getpid()}; wait for it, stop it, or choose another run_dir"
    )
    assert "Traceback" not in errors + out
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2
    assert {path.name for path in (world / "run").iterdir()} == {".lock"}, "the first is unharmed"
