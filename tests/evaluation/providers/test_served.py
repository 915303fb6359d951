"""A model on a server gets the very prompts that it gets here, and what it answers is read the same way."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import pytest

from derta.encode.chat import ChatRenderer
from derta.engine.decoder import Request, generate
from derta.errors import ModelError, RecipeError, RunError
from derta.evaluation.providers.served import ServedModel
from derta.models import load_model

from ..stub_server import Stub, serving
from ..worlds import read, run, write_world

pytest.importorskip("openai")

ATTACKS = ["direct", "code", "completing", {"name": "prefill", "depths": [0, 3, 17]}]
SAME = (
    "attack",
    "attack_params",
    "query_id",
    "prompt",
    "prompt_sha256",
    "template_hash",
    "response",
    "verdict",
)


@pytest.fixture
def world(tmp_path, save_model):
    folder = save_model(tmp_path / "model", max_position_embeddings=512)
    settings = write_world(tmp_path) | {"triples": str(tmp_path / "triples.jsonl"), "attacks": ATTACKS}
    return settings | {"max_unknown_rate": 1.0}, folder


def endpoint(url, folder, name="model", **settings):
    served = {"url": url, "model": name, "tokenizer": str(folder), **settings}
    requests = {"timeout": 30, "max_attempts": 4}
    return {"name": "m", "method": "derta", "endpoint": served, "requests": requests}


def local_rows(settings, folder, tmp_path):
    models = [{"name": "m", "method": "derta", "path": str(folder)}]
    return read(run(settings, models=models, run_dir=str(tmp_path / "local")))


def ours(rows):
    return [{name: row[name] for name in SAME} for row in rows]


def in_process(folder):
    """Answers to token ids by the local model, as a server would give them."""
    from transformers import AutoTokenizer

    model = load_model(str(folder))
    renderer = ChatRenderer.of(AutoTokenizer.from_pretrained(folder), may_think=True)

    lock = threading.Lock()

    def answer(ids):
        with lock:  # a tokenizer serves one thread at a time
            return locked(ids)

    def locked(ids):
        [generated] = generate(model, [Request(tuple(ids), 8)], stop_ids=renderer.stop_ids)
        return renderer.continuation_text(ids, generated.ids)

    return answer


def test_a_served_model_answers_as_the_local_one(world, tmp_path):
    settings, folder = world
    stub = Stub(in_process(folder))
    with serving(stub) as url:
        rows = read(run(settings, models=[endpoint(url, folder)]))
    wanted = local_rows(settings, folder, tmp_path)
    assert ours(rows) == ours(wanted)
    assert len({row["attack"] for row in rows}) == 4
    sent = {" ".join(map(str, body["prompt"])) for body in stub.bodies}
    assert len(sent) == len({row["prompt_sha256"] for row in wanted})  # ids, each prompt once
    body = stub.bodies[0]
    assert (body["max_tokens"], body["temperature"], body["seed"], body["top_p"]) == (8, 0.0, 0, 1.0)
    assert not (tmp_path / "run" / "hazard.jsonl").exists()  # needs the weights


@pytest.fixture
def transformers_serve():
    """`transformers serve` on a free port: a function (folder) -> address."""
    pytest.importorskip("fastapi")
    pytest.importorskip("uvicorn")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = "from transformers.cli.transformers import main; main()"
    arguments = ["serve", "--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", command, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        _wait_for(f"http://127.0.0.1:{port}/health", process)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.communicate()


def _wait_for(url, process):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, process.stdout.read().decode()
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError("the server did not start")


@pytest.mark.slow
def test_transformers_serve_answers_as_the_local_model(world, tmp_path, transformers_serve):
    settings, folder = world
    defaults = {"repetition_penalty": 1.9, "do_sample": True, "temperature": 2.0, "eos_token_id": 7}
    (folder / "generation_config.json").write_text(json.dumps(defaults))  # a server would obey it
    model = endpoint(transformers_serve, folder, name=str(folder), server="transformers")
    rows = read(run(settings, models=[model]))
    assert ours(rows) == ours(local_rows(settings, folder, tmp_path))
    drawn = settings["generation"] | {"temperature": 1.0, "top_p": 0.9}
    rows = read(run(settings, models=[model], attacks=["direct"], generation=drawn))
    assert {row["stop_reason"] for row in rows} <= {"stop", "max_tokens"}


def test_a_text_is_sent_only_where_it_is_read_as_the_same_tokens(world):
    _, folder = world
    served = ServedModel("m", "http://127.0.0.1:9/v1", endpoint=_settings(folder, send="text"))
    renderer = served.renderer
    chat = renderer.prompt_ids([{"role": "user", "content": "How?"}])
    text, ids = served.as_text(chat)
    assert (text, ids) == ("<|begin|><|user|>\nHow?<|end|>\n<|assistant|>\n", chat)
    with pytest.raises(ModelError, match="can't be sent as text"):
        served.as_text(renderer.raw_ids("a person wrote <|end|> here"))
    cut = [*chat, renderer.tokenizer("é", add_special_tokens=False)["input_ids"][0]]
    with pytest.raises(ModelError, match="can't be sent as text"):
        served.as_text(cut)  # half a character


def test_a_servers_own_beginning_of_text_is_not_sent_twice(tmp_path, save_model, tiny_tokenizer):
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoTokenizer

    folder = save_model(tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|begin|> $A", special_tokens=[("<|begin|>", 0)]
    )
    tokenizer.save_pretrained(folder)
    served = ServedModel("m", "http://127.0.0.1:9/v1", endpoint=_settings(folder, send="text"))
    ids = served.renderer.prompt_ids([{"role": "user", "content": "How?"}])
    text, read_ids = served.as_text(ids)
    assert ids == read_ids == served.renderer.tokenizer(text)["input_ids"]
    assert ids.count(0) == 1
    assert not text.startswith("<|begin|>")
    with pytest.raises(ModelError, match="no beginning-of-text token where it adds one"):
        served.as_text(ids[1:])


def _settings(folder, **settings):
    return endpoint("http://127.0.0.1:9/v1", folder, **settings)["endpoint"]


def test_a_server_that_reads_another_prompt_is_told_and_nothing_is_scored(world):
    settings, folder = world
    with serving(Stub(lambda ids: "Sorry, no.", extra_prompt_tokens=1)) as url:
        rows = read(run(settings, attacks=["direct"], models=[endpoint(url, folder)]))
        assert {row["verdict"] for row in rows} == {"unknown"}
        assert "the server read" in rows[0]["reason"]
        rows = read(run(settings, attacks=["direct"], models=[endpoint(url, folder, check_prompt=False)]))
        assert {row["verdict"] for row in rows} == {"not_harmful"}


def test_servers_that_take_stop_tokens_get_them_and_the_recipes_settings(world):
    settings, folder = world
    stub = Stub(lambda ids: "Sorry, no.<|end|>")
    with serving(stub) as url:
        model = endpoint(url, folder, server="vllm", extra_body={"min_p": 0.1})
        rows = read(run(settings, attacks=["direct"], models=[model]))
    sent = {
        (tuple(body["stop_token_ids"]), body["min_p"], body["repetition_penalty"]) for body in stub.bodies
    }
    assert sent == {((1,), 0.1, 1.0)}
    assert {row["response"] for row in rows} == {"Sorry, no."}
    assert {row["words_before_refusal"] for row in rows} == {0}


def test_attacks_that_need_the_weights_are_not_applicable_to_a_server(world, tmp_path):
    settings, folder = world
    (tmp_path / "autodan.json").write_text(json.dumps(["Play: [INSERT PROMPT HERE]"]))
    texts = {"autodan": str(tmp_path / "autodan.json"), "thesaurus": str(tmp_path / "thesaurus.json")}
    (tmp_path / "thesaurus.json").write_text(json.dumps({"make": ["craft"]}))
    with serving(Stub(lambda ids: "Sorry, no.")) as url:
        path = run(settings, attacks=["direct", "autodan"], texts=texts, models=[endpoint(url, folder)])
    assert {row["attack"] for row in read(path)} == {"direct"}
    [line] = read(path.parent / "not_applicable.jsonl")
    assert (line["attack"], line["reason"]) == (
        "autodan",
        "needs the model's weights, which a server's raw completions can't give",
    )


def test_a_wrong_address_stops_after_one_call_each(world):
    settings, folder = world
    stub = Stub(lambda ids: "Sorry, no.")
    with serving(stub) as url, pytest.raises(RunError, match="does not support /v1/completions"):
        run(settings, models=[endpoint(url + "/x", folder)], max_unknown_rate=0.05)
    assert stub.calls.total() == 0


def test_a_missing_key_is_named_before_anything_is_asked(world, monkeypatch):
    settings, folder = world
    monkeypatch.delenv("GUILD_API_KEY", raising=False)
    model = endpoint("http://127.0.0.1:9/v1", folder, api_key_env="GUILD_API_KEY")
    with pytest.raises(RecipeError, match="GUILD_API_KEY is not set"):
        run(settings, models=[model])
