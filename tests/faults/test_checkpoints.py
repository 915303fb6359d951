"""Damaged checkpoints are found before training; a second process is turned away at once."""

import os
import random
import resource

import pytest

from derta.files import run_lock
from derta.training.checkpoints.checkpoint import damage, latest_whole
from training_world import interrupted, make_world, settings, start

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
