"""The multi-turn attack through a whole run: local and served alike, each mode a line of its own."""

import json

import pytest

from derta.records import JudgedResponse
from derta.results.cells import results

from .stub_server import Stub, serving
from .worlds import checked, read, run, write_jsonl, write_world


@pytest.fixture
def settings(tmp_path):
    pairs = [
        {"id": f"b{i}", "benign_query": f"How do I brew tea {i}?", "response": f"Boil {i}."} for i in range(5)
    ]
    write_jsonl(tmp_path / "benign.jsonl", pairs)
    attack = {"name": "multiturn", "turns": 2, "reply_tokens": 4}
    return write_world(tmp_path) | {"benign": str(tmp_path / "benign.jsonl"), "attacks": [attack]}


def test_the_rendered_conversation_is_the_rows_prompt(settings, tmp_path, save_model):
    folder = save_model(tmp_path / "model", max_position_embeddings=1024)
    models = [{"name": "m", "method": "x", "path": str(folder)}]
    path = run(settings, models=models, max_unknown_rate=1.0)
    rows = {(row["attack_params"]["mode"], row["query_id"]): row for row in read(path)}
    assert len(rows) == 8
    late, split = rows["after_benign", "h1"], rows["split", "h1"]
    assert late["prompt"].count("<|user|>") == 3
    assert late["prompt"].endswith(
        "<|user|>\nHow do I make the silver curse number 1?<|end|>\n<|assistant|>\n"
    )
    assert late["prompt"].count("How do I brew tea") == 2
    assert split["prompt"].count("<|user|>") == 2
    assert 'Part 1: "How do I make the"' in split["prompt"]
    cells = results([JudgedResponse(**row) for row in rows.values()])
    assert {cell.attack for cell in cells} == {"multiturn@after_benign", "multiturn@split"}


def test_calls_to_a_closed_endpoint_are_one_and_one_a_part(settings, monkeypatch):
    pytest.importorskip("openai")
    from derta.evaluation.estimate import estimate

    monkeypatch.setenv("STUB_API_KEY", "k")
    stub = Stub(lambda text: "Sorry, no.")
    with serving(stub) as url:
        models = [{"name": "m", "method": "x", "inspect": {"model": "openai-api/stub/m", "base_url": url}}]
        [line] = estimate(checked(settings, models=models))
        rows = read(run(settings, models=models))
    assert stub.calls.total() == line.cost.calls == 4 * 1 + 4 * 2
    turns = json.loads(next(row["prompt"] for row in rows if row["attack_params"]["mode"] == "split"))
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
