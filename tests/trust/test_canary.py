"""A key in the environment or in a recipe is in no file that a verb leaves and in nothing that it says."""

import json
import os
import subprocess
import sys

import pytest
import yaml

from derta.files import write_jsonl
from derta.keyed_log import SampleStore, key_of
from derta.secrecy import no_keys, public, sayable
from training_world import make_world, settings

from .tree import derta

CANARY = "hf_CANARYtoken99x"
ADDRESS = f"http://u:{CANARY}@127.0.0.1:9/v1"


@pytest.fixture(scope="module")
def world(tmp_path_factory, tiny_tokenizer):
    world = make_world(tmp_path_factory.mktemp("canary"), tiny_tokenizer)
    write_jsonl(
        world / "queries.jsonl", [{"id": "q", "query": "How do I cast the curse?", "kind": "harmful"}]
    )
    write_jsonl(
        world / "results.jsonl", [{"query": "How do I cast it?", "response": "Sorry, no.", "id": "r"}]
    )
    return world


def recipe(where, name, **values):
    path = where / f"{name}.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def build(world, where, **changes):
    source = {"name": "t", "format": "records", "path": str(world / "triples.jsonl")}
    values = {"out": str(where / "data"), "num_processes": 1, "sources": [source]}
    return ["data", "build", recipe(where, "data", **values | changes)]


def train(world, where, **changes):
    values = settings(world, **changes) | {"run_dir": str(where / "run")}
    return ["train", recipe(where, "train", **values)]


def evaluate(world, where, model=None, **changes):
    target = {"name": "m", "method": "x"} | (model or {"path": str(world / "base")})
    values = {
        "run_dir": str(where / "ev"),
        "models": [target],
        "attacks": ["direct"],
        "judge": {"name": "span"},
    }
    values |= {"queries": str(world / "queries.jsonl"), "generation": {"max_new_tokens": 4}}
    return ["evaluate", recipe(where, "ev", **values | changes)]


def judge(world, where, *more):
    return ["judge", world / "results.jsonl", "--out", where / "judged", *more]


def leaks(folder):
    """Files below a folder that hold the canary, but for the recipes that brought it in."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".yaml"]
    return [path for path in files if CANARY.encode() in path.read_bytes()]


SERVED = {"url": "http://127.0.0.1:9/v1", "model": "m", "tokenizer": "t"}
BROUGHT = {
    "data base_url": lambda w, t: build(w, t, safe_responses={"model": "mockllm/model", "base_url": ADDRESS}),
    "data filter": lambda w, t: build(w, t, benign={"filter": {"model": "mockllm/m", "base_url": ADDRESS}}),
    "data borderline": lambda w, t: build(w, t, benign={"borderline": {"num": 1, "base_url": ADDRESS}}),
    "train hub_token": lambda w, t: train(w, t, training={"hub_token": CANARY}),
    "train model address": lambda w, t: train(w, t, model={"path": ADDRESS}),
    "train unknown": lambda w, t: train(w, t, api_key=CANARY),
    "evaluate url": lambda w, t: evaluate(w, t, {"endpoint": SERVED | {"url": ADDRESS}}),
    "evaluate odd url": lambda w, t: evaluate(
        w, t, {"endpoint": SERVED | {"url": ADDRESS.replace("http", "ftp")}}
    ),
    "evaluate query": lambda w, t: evaluate(
        w, t, {"endpoint": SERVED | {"url": f"http://127.0.0.1:9/v1?api_key={CANARY}"}}
    ),
    "evaluate wrong type": lambda w, t: evaluate(w, t, {"endpoint": ADDRESS}),
    "evaluate mapping": lambda w, t: evaluate(w, t, {"inspect": {"model": {"api_key": CANARY}}}),
    "evaluate key as its name": lambda w, t: evaluate(
        w, t, {"endpoint": SERVED | {"api_key_env": "x" + CANARY}}
    ),
    "evaluate extra_body": lambda w, t: evaluate(
        w, t, {"endpoint": SERVED | {"extra_body": {"deep": [{"Authorization": CANARY}]}}}
    ),
    "evaluate model_args": lambda w, t: evaluate(
        w, t, {"inspect": {"model": "openai/x", "model_args": {"default_headers": {"Cookie": CANARY}}}}
    ),
    "evaluate judge": lambda w, t: evaluate(
        w, t, judge={"name": "rubric", "model": "mockllm/model", "model_args": {"base_url": ADDRESS}}
    ),
    "judge --set key": lambda w, t: judge(w, t, "--set", f"model_args.api_key={CANARY}"),
    "judge --set address": lambda w, t: judge(w, t, "--set", f"model_args.base_url={ADDRESS}"),
    "openings": lambda w, t: [
        *("data", "openings", w / "queries.jsonl", "--model", "mockllm/model"),
        *("--out", t / "openings.jsonl", "--base-url", ADDRESS),
    ],
}


@pytest.mark.parametrize("case", BROUGHT)
def test_a_key_in_a_recipe_is_refused_and_not_repeated(world, tmp_path, monkeypatch, capfd, case):
    assert derta(monkeypatch, *BROUGHT[case](world, tmp_path)) == 1
    said = capfd.readouterr()
    assert "error: " in said.err
    assert CANARY not in said.out + said.err
    assert leaks(tmp_path) == []


def test_a_key_of_the_environment_is_in_no_file_of_any_verb(world, tmp_path, monkeypatch, capfd):
    """Where it can come in by itself: in a row of data, in a result, in what is passed on."""
    monkeypatch.setenv("SOME_API_KEY", CANARY)
    own = tmp_path / "own"
    own.mkdir()
    rows = [
        {
            "id": "t",
            "harmful_query": f"Why {CANARY}?",
            "safe_response": "Sorry.",
            "harmful_response": "1. " * 12,
        }
    ]
    (own / "triples.jsonl").write_text(json.dumps(rows[0]) + "\n")
    out = tmp_path / "out"
    out.mkdir()
    steps = {
        "build": build(own, out, triples={"query": {"min_words": 1}}),
        "train": train(world, out, training={"num_train_epochs": 1}),
        "evaluate": evaluate(world, out),
        "judge": judge(world, out),
        "over": ["judge", "over-refusal", world / "results.jsonl", "--out", out / "classes"],
        "report": ["report", out / "ev", "--out", out / "report"],
        "export": ["export", out / "run", "--out", out / "model"],
        "encode": ["encode", out / "train.yaml", "--out", out / "labels"],
        "page": ["judge", "label", world / "results.jsonl", "--page", "--out", out / "page.html"],
    }
    for verb, words in steps.items():
        assert derta(monkeypatch, *words) == 0, (verb, capfd.readouterr().err)
    assert leaks(out) == []
    said = capfd.readouterr()
    assert CANARY not in said.out + said.err


def test_a_crash_shows_no_key(tmp_path):
    code = (
        "import sys, derta.data.check as c\n"
        f"def crash(*a, **k): raise ZeroDivisionError('{CANARY} and {ADDRESS}')\n"
        "c.check_files = crash; sys.argv = ['derta', 'data', 'check', 'x']\n"
        "from derta.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "SOME_API_KEY": CANARY},
    )
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert CANARY not in done.stdout + done.stderr


def test_the_store_keeps_no_key(tmp_path, monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", CANARY)
    with SampleStore(tmp_path / "samples.jsonl") as store:
        store.put("generated", key_of(a=1), {"text": f"said {CANARY}", "deep": [{CANARY: CANARY}]})
        assert store.get("generated", key_of(a=1))["text"] == "said [redacted]"
    assert leaks(tmp_path) == []


def test_of_what_is_passed_on_only_listed_texts_are_written():
    given = {
        "inspect": {"model_args": {"knob": CANARY, "n": 3, "model": "m", "a": {"b": [CANARY]}}},
        "name": "x",
    }
    assert public(given) == {
        "inspect": {"model_args": {"knob": "[redacted]", "n": 3, "model": "m", "a": {"b": ["[redacted]"]}}},
        "name": "x",
    }
    assert CANARY not in sayable(f"at {ADDRESS}?token={CANARY}&n=3: no")


@pytest.mark.parametrize(
    "value",
    [{"a": {"access_key": "x"}}, {"h": [{"X-Auth": "x"}]}, ADDRESS, ["a", ADDRESS], {"u": f"see {ADDRESS}"}],
)
def test_what_holds_a_key(value):
    with pytest.raises(ValueError, match="environment"):
        no_keys(value)


@pytest.mark.parametrize(
    "value",
    [{"max_tokens": 3, "stop_token_ids": [1]}, "http://localhost:8000/v1?n=1", {"api_key": None}, "a@b.org"],
)
def test_what_holds_none(value):
    no_keys(value)
