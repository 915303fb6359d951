"""A small run of the benchmark: kill -9, also inside of saves; restarts by themselves; the same bytes in the end."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_killed_runs_end_like_an_undisturbed_one(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.kill_resume", "--kills", "4", "--keep", str(tmp_path)],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["differences"] == []
    assert found["restarts_that_failed"] == []
    assert found["kills"] == 4
    assert found["inside_a_save"] >= 1
