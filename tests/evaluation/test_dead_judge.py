"""A judge whose server is down ends a command soon, in one line that names model, address and cause."""

import json
import socket

import pytest
from typer.testing import CliRunner

from derta import calls
from derta.cli import app
from derta.errors import RunError
from derta.evaluation.budget import Meter
from derta.evaluation.recipe import Budget

from .stub_server import Stub, serving
from .worlds import read, run, write_world

pytest.importorskip("openai")

ROWS = [
    {"question": f"How is tea number {i} made?", "response": "Boil water, steep leaves."} for i in range(4)
]


@pytest.fixture
def dead(monkeypatch):
    """The address of a port on which nobody listens, and how the judge's line begins."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("DEAD_API_KEY", "none")
    monkeypatch.setenv("STUB_API_KEY", "none")
    monkeypatch.setattr(calls, "FIRST_WAIT", 0.01)
    line = f"judge error: openai-api/dead/m at 127.0.0.1 port {port}, APIConnectionError by ConnectError, "
    return f"http://127.0.0.1:{port}/v1", line + "no answer in 2 calls, it says Connection error."


def judge_at(url):
    args = {"base_url": url, "memoize": False}
    return {"name": "rubric", "model": "openai-api/dead/m", "model_args": args, "max_attempts": 2}


def test_of_a_file(tmp_path, dead):
    url, said = dead
    (tmp_path / "rows.json").write_text(json.dumps(ROWS), encoding="utf-8")
    settings = ["--set", f"model_args.base_url={url}", "--set", "max_attempts=2"]
    model = ["--judge", "rubric", "--model", "openai-api/dead/m"]
    done = CliRunner().invoke(app, ["judge", str(tmp_path / "rows.json"), *model, *settings])
    assert done.exit_code == 1
    assert " ".join(done.output.split()).count(said) == 1
    assert "Traceback" not in done.output


@pytest.mark.parametrize("kind", ["local", "served"])
def test_of_a_model_under_test(tmp_path, save_model, dead, kind):
    url, said = dead
    folder = str(save_model(tmp_path / "model"))
    settings = write_world(tmp_path) | {"generation": {"max_new_tokens": 4}, "judge": judge_at(url)}
    with serving(Stub(lambda ids: "Boil water.")) as target:
        endpoint = {"url": target, "model": "m", "tokenizer": folder}
        place = {"path": folder} if kind == "local" else {"endpoint": endpoint}
        with pytest.raises(RunError, match="have no verdict") as caught:
            run(settings, models=[{"name": "m", "method": "x", **place}])
    assert str(caught.value).count(said) == 1
    assert "\n" not in str(caught.value)
    assert all(row["reason"].startswith("judge error") for row in read(tmp_path / "run" / "responses.jsonl"))


def test_a_target_whose_server_is_down_is_asked_no_more_after_its_minutes(tmp_path, dead):
    url, _ = dead
    inspect = {"model": "openai-api/dead/m", "base_url": url}
    target = {"name": "t", "method": "x", "inspect": inspect}
    requests = {"max_attempts": 1000, "max_minutes": 0.02, "max_connections": 2}
    with pytest.raises(RunError, match=r"no answer in .* minutes, the last: .*openai-api/dead/m at 127"):
        run(write_world(tmp_path, count=30), models=[target | {"requests": requests}])


def test_tokens_from_a_servers_cache_count_in_budget_and_money():
    from inspect_ai.model import ModelUsage

    from derta.evaluation.recipe import Price

    meter = Meter(Budget(), {"openai/m": Price(input=1_000, output=0)})
    usage = ModelUsage(input_tokens=100, input_tokens_cache_read=900, output_tokens=5, total_tokens=1005)
    meter.after("openai/m", usage)
    assert (meter.input_tokens, meter.output_tokens, meter.money) == (1000, 5, 1.0)


def test_a_closed_endpoint_gets_its_own_names_and_no_temperature(tmp_path, monkeypatch):
    monkeypatch.setenv("STUB_API_KEY", "none")
    stub = Stub(lambda text: "Sorry, no.")
    with serving(stub) as url:
        inspect = {"model": "openai-api/stub/m", "base_url": url}
        own = {"send_temperature": False, "token_limit": "max_completion_tokens"}
        models = [{"name": "m", "method": "x", "inspect": inspect | own}]
        run(write_world(tmp_path), models=models, generation={"max_new_tokens": 9})
    assert {body["max_completion_tokens"] for body in stub.bodies} == {9}
    assert not any({"temperature", "top_p", "max_tokens"} & set(body) for body in stub.bodies)


def test_an_attacker_that_refused_is_told_once_however_many_judges_read(capsys):
    from dataclasses import fields
    from types import SimpleNamespace

    from rich.console import Console

    from derta.evaluation.grid import ModelResult
    from derta.evaluation.run import _say_what_is_left_out

    rows = [
        {"judge": judge, "attack": "pair", "attack_params": {"attacker_refusals": count}}
        for judge in ("a", "b")
        for count in (3, 0, 2)
    ]
    given = {field.name: {} for field in fields(ModelResult)}
    result = ModelResult(**given | {"target": SimpleNamespace(name="m"), "rows": rows})
    _say_what_is_left_out(Console(stderr=True, width=200), result)
    assert "m: pair: the attacker model refused 5 times" in capsys.readouterr().err
