"""Disk trouble at every writing call of a save: nothing half-written under a final name, the last good one loads."""

import resource
import subprocess

import pytest
from faulty_writes import KINDS, FaultyWrites

from derta.errors import RunError
from derta.training import run as run_module
from derta.training.checkpoints.checkpoint import damage, latest_whole
from derta.training.checkpoints.saving import save_checkpoint
from training_world import assert_equal_weights, make_world, run, settings, start


@pytest.fixture
def world(tmp_path, tiny_tokenizer):
    return make_world(tmp_path, tiny_tokenizer)


@pytest.fixture
def trained(world, monkeypatch):
    """A trainer at step 3 with checkpoint-2 on disk, and its folder."""
    caught = []
    monkeypatch.setattr(run_module, "publish_run", lambda *arguments, **facts: caught.append(arguments[3]))
    training = {"learning_rate": 1e-3, "max_steps": 3, "logging_steps": 1, "save_steps": 2}
    run(settings(world, training=training))
    return caught[0], world / "run/checkpoints"


@pytest.mark.parametrize("kind", KINDS)
def test_trouble_at_every_write_of_a_checkpoint(trained, kind):
    trainer, folder = trained
    for fail_at in range(1, 1000):
        told = ""
        with FaultyWrites(fail_at, kind) as faults:
            try:
                save_checkpoint(trainer)
            except RunError as error:
                told = str(error)
        if not faults.happened:
            break
        assert told, f"write {fail_at} failed and nobody noticed"
        assert "\n" not in told
        assert "step 3: checkpoint can't be written" in told
        assert any(reason in told for reason in ("No space", "Input/output", "Read-only"))
        assert not list(folder.glob(".*")), "what was half-written is gone"
        for path in folder.iterdir():
            assert damage(path) is None
        assert latest_whole(folder)[0] is not None
    assert fail_at > 30, "every writing call was tried"
    assert latest_whole(folder)[0] == folder / "checkpoint-3"


@pytest.mark.parametrize("fail_at", [1, 4, 9, 16])
def test_trouble_while_publishing_the_model_leaves_none(world, fail_at, monkeypatch):
    """The training itself is done and kept: the same command only publishes."""
    plain = run_module.publish_run

    def publish_with_trouble(*arguments, **facts):
        with FaultyWrites(fail_at, "no space"):
            plain(*arguments, **facts)

    monkeypatch.setattr(run_module, "publish_run", publish_with_trouble)
    training = {"learning_rate": 1e-3, "max_steps": 2, "logging_steps": 1, "save_steps": 2}
    with pytest.raises(RunError, match="No space left"):
        run(settings(world, training=training))
    assert not (world / "run/model").exists()
    monkeypatch.setattr(run_module, "publish_run", plain)
    assert damage(run(settings(world, training=training))) is None


@pytest.mark.slow
def test_a_real_limit_on_file_size_ends_with_one_line_and_exit_code_1(world):
    """The kernel refuses; the writer is safetensors' own, in Rust."""
    values = settings(world)
    command = subprocess.Popen

    def limited(*arguments, **more):
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

        return command(*arguments, preexec_fn=limit, **more)

    subprocess.Popen = limited
    try:
        process = start(values, world)
    finally:
        subprocess.Popen = command
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 1
    last = errors.strip().splitlines()[-1]
    assert last.startswith("error: step 2: checkpoint can't be written")
    assert "File too large" in last
    assert "Traceback" not in errors
    assert not list((world / "run/checkpoints").iterdir())
    assert not (world / "run/model").exists()
    assert_equal_weights(run(settings(world, "whole")), run(values))
