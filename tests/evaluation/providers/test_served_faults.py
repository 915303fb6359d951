"""A server that fails in every way: nothing lost, nothing twice, few calls; and a grid killed again and again."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from derta import calls

from ..stub_server import Stub, serving
from ..worlds import read, run, write_world

pytest.importorskip("openai")

COUNT = 200


def target(url, folder, name="m", **requests):
    endpoint = {"url": url, "model": name, "tokenizer": str(folder)}
    return {"name": name, "method": "derta", "endpoint": endpoint, "requests": requests}


@pytest.mark.slow
def test_with_thirty_percent_faults_every_sample_is_answered_once(tmp_path, save_model, monkeypatch):
    monkeypatch.setattr(calls, "FIRST_WAIT", 0.01)
    folder = save_model(tmp_path / "model")
    settings = write_world(tmp_path, count=COUNT - 1)
    stub = Stub(lambda ids: f"Sorry, no {sum(ids)}.", fault_rate=0.3, slow_seconds=16.0)
    with serving(stub) as url:
        path = run(settings, models=[target(url, folder, timeout=9, max_attempts=12, max_connections=12)])
    rows = read(path)
    assert [row["query_id"] for row in rows] == [*(f"h{i}" for i in range(COUNT - 1)), "b0"]
    assert all(row["verdict"] != "unknown" for row in rows)
    assert len({row["response"] for row in rows}) > 1
    assert stub.num_faults > 50
    assert stub.calls.total() == COUNT + stub.num_faults <= 1.5 * COUNT  # one call more per fault, no other
    assert stub.early == []  # Retry-After was obeyed
    saved = Counter((line["kind"], line["key"]) for line in read(path.parent / "samples.jsonl"))
    assert set(saved.values()) == {1}
    assert json.loads((path.parent / "manifest.json").read_text())["asked"]["calls"] == stub.calls.total()


def test_what_never_succeeds_is_unknown_with_its_reason_and_asked_again_next_time(
    tmp_path, save_model, monkeypatch
):
    monkeypatch.setattr(calls, "FIRST_WAIT", 0.01)
    folder = save_model(tmp_path / "model")
    settings = write_world(tmp_path)
    stub = Stub(lambda ids: "Sorry, no.", fault_rate=1.0, faults=("500",))
    with serving(stub) as url:
        models = [target(url, folder, max_attempts=3)]
        [row, *_] = read(run(settings, models=models, max_unknown_rate=1.0))
        assert (row["verdict"], row["response"], row["stop_reason"]) == ("unknown", "", "error")
        assert "no answer in 3 calls; the last: m at 127.0.0.1 port" in row["reason"]
        assert "InternalServerError (500)" in row["reason"]
        assert stub.calls.total() == 5 * 3
        stub.fault_rate = 0.0
        rows = read(run(settings, models=models))
    assert {row["verdict"] for row in rows} == {"not_harmful"}
    assert stub.calls.total() == 5 * 4


def test_too_many_unknowns_end_the_command_with_code_1_and_both_bounds(tmp_path, save_model):
    folder = save_model(tmp_path / "model")
    settings = write_world(tmp_path, count=4)
    bad = {0, 2}  # of the harmful queries; the others comply, so 2 of 4 are harmful for sure

    def answer(ids):
        text = str(tokenizer.decode(ids))
        return "" if any(f"number {i}?" in text for i in bad) else "STEP ONE. Take salt."

    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    with serving(Stub(answer)) as url:
        (tmp_path / "recipe.yaml").write_text(
            json.dumps(settings | {"models": [target(url, folder, max_connections=1)]})
        )
        done = subprocess.run(
            [sys.executable, "-m", "derta", "evaluate", str(tmp_path / "recipe.yaml")],
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert done.returncode == 1
    assert "2 of 5 responses have no verdict" in done.stderr
    assert "the success rate lies between 50.0% and 100.0%" in done.stderr
    assert "at most 5% are allowed" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert len(read(tmp_path / "run" / "responses.jsonl")) == 5


PROGRAM = """
import json, sys
from derta import calls
from derta.config import check_recipe
from derta.evaluation.recipe import EvaluateRecipe
from derta.evaluation.run import evaluate
evaluate(check_recipe(json.load(open(sys.argv[1])), EvaluateRecipe, "recipe"))
"""


@pytest.mark.slow
def test_a_grid_killed_again_and_again_ends_with_the_same_bytes(tmp_path, save_model):
    folder = save_model(tmp_path / "model")
    settings = write_world(tmp_path, count=12)
    del settings["judge"]
    stub = Stub(lambda ids: time.sleep(0.01) or f"Sorry, no {sum(ids)}.")
    rng = random.Random(0)
    with serving(stub) as url:
        settings |= {
            "models": [target(url, folder, name=name, max_connections=2) for name in ("a", "b")],
            "seeds": [0, 1],
            "judges": [{"name": "refusal"}, {"name": "span"}],
            "attacks": ["direct", "code"],
        }
        whole = run(settings, run_dir=str(tmp_path / "whole")).read_bytes()
        num_calls = stub.calls.total()
        (tmp_path / "recipe.json").write_text(json.dumps(settings))
        store = tmp_path / "run" / "samples.jsonl"
        total = len(read(tmp_path / "whole" / "samples.jsonl"))
        for mark in sorted(rng.sample(range(1, total), 2)):
            _kill_at(store, mark, tmp_path)
        path = run(settings)
    assert path.read_bytes() == whole
    saved = Counter((line["kind"], line["key"]) for line in read(store))
    assert set(saved.values()) == {1}
    assert len(saved) == total
    assert stub.calls.total() - num_calls <= num_calls + 2 * 2  # only what was in flight is asked twice


def _kill_at(store, mark, folder):
    """Run until the store holds `mark` lines, then kill -9."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder / "recipe.json")],
        env=dict(os.environ),
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 300
    while not store.exists() or store.read_bytes().count(b"\n") < mark:
        if process.poll() is not None:
            assert process.returncode == 0, process.stderr.read().decode()
            break
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate()
