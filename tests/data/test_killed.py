"""A build killed at any moment completes on the same command, and leaves the same bytes."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from .guild_rows import pairs, queries, triples, write
from .test_build import built_bytes

COMMAND = "from derta.data.commands import app; app()"


def command(path):
    return [sys.executable, "-c", COMMAND, "build", str(path)]


def write_recipe(folder, out, processes):
    sources = [
        {"name": name, "format": "records", "path": str(folder / f"{name}.jsonl")} for name in ("t", "b", "q")
    ]
    path = folder / f"{out}.yaml"
    settings = {"out": str(folder / out), "num_processes": processes, "sources": sources}
    path.write_text(json.dumps(settings | {"held_out": {"triples": 50, "benign": 50}}))
    return path


@pytest.mark.slow
def test_builds_killed_at_random_moments_complete_with_the_same_bytes(tmp_path):
    write(tmp_path / "t.jsonl", triples(1500))
    write(tmp_path / "b.jsonl", pairs(1500))
    write(tmp_path / "q.jsonl", queries(500))
    whole = write_recipe(tmp_path, "whole", 2)
    start = time.monotonic()
    subprocess.run(command(whole), check=True, capture_output=True)
    seconds = time.monotonic() - start
    expected = built_bytes(tmp_path / "whole")
    rng = random.Random(0)
    path = write_recipe(tmp_path, "killed", 2)
    for _ in range(4):  # kills add up in one folder: each build goes on from what the last one left
        process = subprocess.Popen(command(path), stdout=subprocess.DEVNULL, start_new_session=True)
        time.sleep(rng.uniform(0.2, 0.9) * seconds)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run(command(path), check=True, capture_output=True)
    assert built_bytes(tmp_path / "killed") == expected
    assert not (tmp_path / "killed" / ".work").exists()


def test_workers_end_when_their_parent_is_killed(tmp_path):
    import psutil

    write(tmp_path / "t.jsonl", triples(20_000))
    write(tmp_path / "b.jsonl", pairs(10))
    write(tmp_path / "q.jsonl", queries(10))
    process = subprocess.Popen(command(write_recipe(tmp_path, "out", 2)), stdout=subprocess.DEVNULL)
    children = []
    while len(children) < 2 and process.poll() is None:
        children = psutil.Process(process.pid).children(recursive=True)
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert psutil.wait_procs(children, timeout=30)[1] == []
