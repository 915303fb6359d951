"""The estimate before a run against what the run then asks for."""

import json
import subprocess
import sys

import pytest

from derta.evaluation.estimate import estimate, summary

from .stub_server import Stub, serving
from .worlds import checked, run, write_world

pytest.importorskip("openai")

ATTACKS = ["direct", "code", "completing", {"name": "prefill", "depths": [0, 3]}]


@pytest.fixture
def world(tmp_path, save_model):
    folder = save_model(tmp_path / "model", max_position_embeddings=512)
    settings = write_world(tmp_path) | {"triples": str(tmp_path / "triples.jsonl"), "attacks": ATTACKS}

    def models(url):
        served = {"url": url, "model": "s", "tokenizer": str(folder)}
        closed = {"model": "openai-api/stub/m", "base_url": url}
        return [
            {"name": "here", "method": "a", "path": str(folder)},
            {"name": "served", "method": "a", "endpoint": served},
            {"name": "closed", "method": "a", "inspect": closed},
        ]

    return settings, models


def test_calls_and_prompt_tokens_are_those_of_the_run(world, monkeypatch):
    monkeypatch.setenv("STUB_API_KEY", "k")
    settings, models = world
    stub = Stub(lambda prompt: "Sorry, no.")
    with serving(stub) as url:
        recipe = settings | {"models": models(url), "seeds": [0, 1]}
        lines = estimate(checked(recipe))
        assert stub.calls.total() == 0
        path = run(recipe)
        asked = json.loads((path.parent / "manifest.json").read_text())["asked"]
        there = [line for line in lines if not line.is_local]
        assert sum(line.cost.calls for line in there) == asked["calls"] == stub.calls.total()
        served = [line.cost for line in lines if line.model == "served"]
        sent = [body["prompt"] for body in stub.bodies if "prompt" in body]
        assert sum(cost.input_tokens for cost in served) == sum(map(len, sent))
        assert sum(cost.output_tokens for cost in served) == 8 * len(sent)
        again = estimate(checked(recipe))
    assert sum(line.cost.calls for line in again) == 0
    assert all(line.done == line.rows for line in again)
    assert {(line.model, line.what) for line in lines if line.not_applicable} == {
        ("closed", "completing"),
        ("closed", "prefill"),
    }


def test_seeds_of_a_local_greedy_model_share_their_answers(world):
    settings, models = world
    [here, *_] = models("http://127.0.0.1:9/v1")
    once, thrice = (
        estimate(checked(settings, models=[here], attacks=["direct"], seeds=seeds))[0]
        for seeds in ([0], [0, 1, 2])
    )
    assert thrice.rows == 3 * once.rows
    assert thrice.cost == once.cost
    assert once.cost.money == 0.0


def test_prices_judges_and_searches_are_reckoned_at_their_most(world):
    settings, models = world
    url = "http://127.0.0.1:9/v1"
    judge = {"name": "rubric", "model": "mockllm/judge", "max_tokens": 100}
    prices = {"served": {"input": 0, "output": 2_000_000}, "mockllm/judge": {"input": 0, "output": 1_000_000}}
    pair = {"name": "pair", "attacker": "mockllm/model", "preset": "3x3"}
    recipe = checked(
        settings,
        models=models(url)[1:2],
        attacks=["direct", pair],
        judge=judge,
        prices=prices,
        budget={"calls": 10, "money": 1},
    )
    direct, search, judged = estimate(recipe)
    assert (direct.cost.calls, direct.cost.money) == (5, 5 * 8 * 2.0)
    assert search.cost.calls == 4 * (3 * 3 + 1)
    assert (judged.what, judged.cost.calls, judged.cost.money) == ("judge rubric", 9, 9 * 100.0)
    said = "\n".join(summary([direct, search, judged], recipe))
    assert "54 calls" in said
    assert "budget.calls: 10 may not be enough" in said
    assert "budget.money: 1.0 may not be enough" in said
    assert "PAIR's attacker and search judge" in said


def test_the_command_prints_the_table_and_asks_nothing(world, tmp_path):
    settings, models = world
    stub = Stub(lambda prompt: "Sorry, no.")
    with serving(stub) as url:
        (tmp_path / "r.yaml").write_text(json.dumps(settings | {"models": models(url)[:2]}))
        done = subprocess.run(
            [sys.executable, "-m", "derta", "evaluate", str(tmp_path / "r.yaml"), "--dry-run"],
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert (done.returncode, stub.calls.total()) == (0, 0), done.stderr
    assert "asked of other models: 19 calls" in done.stdout
    assert not (tmp_path / "run").exists()
