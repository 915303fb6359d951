"""Safe responses from a real endpoint with injected faults, and from a model in this process."""

import json

import pytest

from derta import calls
from derta.data.build import build
from derta.data.clean.filters import NO_REFUSAL
from derta.data.recipe import DataRecipe
from derta.errors import RecipeError, RunError

from .guild_rows import pairs, queries, read, triples, write
from .stub_endpoint import Stub, serving

pytest.importorskip("openai")

REFUSAL = "Sorry, the guild forbids that craft."


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("STUB_API_KEY", "canary-key-5d1f")
    monkeypatch.setattr(calls, "FIRST_WAIT", 0.01)


def unanswered(count):
    return [{name: row[name] for name in row if name != "safe_response"} for row in triples(count)]


def recipe_for(folder, url, rows, **settings):
    source = {"name": "t", "format": "records", "path": str(write(folder / "t.jsonl", rows))}
    model = {"model": "openai-api/stub/m", "base_url": url, "timeout": 60.0, "max_attempts": 12} | settings
    out = {"out": str(folder / "out"), "num_processes": 1, "sources": [source], "safe_responses": model}
    return DataRecipe.model_validate(out)


def test_with_thirty_percent_faults_every_query_is_answered_once(tmp_path):
    stub = Stub(lambda query, system: f"Sorry, no: {query}", fault_rate=0.3, slow_seconds=16.0)
    with serving(stub) as url:
        recipe = recipe_for(tmp_path, url, unanswered(200), max_connections=12, timeout=9.0)
        build(recipe)
    rows = read(recipe.out / "triples.jsonl")
    assert len(rows) == 200
    assert all(row["safe_response"] == f"Sorry, no: {row['harmful_query']}" for row in rows)
    assert stub.calls.total() == 200 + stub.num_faults <= 1.5 * 200  # one call more per fault, no other
    assert stub.num_faults > 50
    assert stub.early == []  # Retry-After was obeyed
    assert stub.most_in_flight <= 12 + 8  # abandoned slow calls may still be running in the server
    log = read(recipe.out / ".answers" / "responses.jsonl")
    assert len({entry["key"] for entry in log}) == len(log) == 200
    assert json.loads((recipe.out / "data_card.json").read_text())["written_by_model"]["responses"] == 200


def test_a_spent_budget_stops_and_the_same_command_goes_on(tmp_path):
    stub = Stub(lambda query, system: REFUSAL)
    with serving(stub) as url:
        recipe = recipe_for(tmp_path, url, unanswered(40), budget=25)
        with pytest.raises(RunError, match="budget of 25 calls"):
            build(recipe)
        assert not (recipe.out / "manifest.json").exists()
        build(recipe)
    assert len(read(recipe.out / "triples.jsonl")) == 40
    assert set(stub.calls.values()) == {1}


def test_the_budget_counts_the_calls_that_fail_too(tmp_path):
    stub = Stub(lambda query, system: REFUSAL, fault_rate=0.5, faults=("500", "429"))
    with serving(stub) as url, pytest.raises(RunError, match="budget of 20 calls"):
        build(recipe_for(tmp_path, url, unanswered(40), budget=20))
    assert stub.calls.total() == 20


def test_answers_that_are_no_refusals_are_replaced_by_other_rows(tmp_path):
    rows = unanswered(40)
    weak = {row["harmful_query"] for row in rows[:10]}
    stub = Stub(lambda query, system: "Gladly, here it is." if query in weak else REFUSAL)
    with serving(stub) as url:
        recipe = recipe_for(tmp_path, url, rows)
        build(recipe.model_copy(update={"triples": recipe.triples.model_copy(update={"num": 30})}))
    kept = read(recipe.out / "triples.jsonl")
    assert len(kept) == 30
    assert not {row["harmful_query"] for row in kept} & weak
    reasons = {row["reason"] for row in read(recipe.out / "rejected.jsonl")}
    assert f"model answer: {NO_REFUSAL}" in reasons


def test_a_content_filter_is_an_outcome_and_not_a_fault(tmp_path):
    rows = unanswered(5)
    stub = Stub(lambda query, system: None if query == rows[2]["harmful_query"] else REFUSAL)
    with serving(stub) as url:
        recipe = recipe_for(tmp_path, url, rows)
        build(recipe)
    assert set(stub.calls.values()) == {1}
    assert [row["reason"] for row in read(recipe.out / "rejected.jsonl")] == [
        "model answer: empty (content filter)"
    ]


def test_a_key_that_is_refused_stops_at_once_in_one_line(tmp_path):
    stub = Stub(lambda query, system: REFUSAL, fault_rate=1.0, faults=("401",))
    with serving(stub) as url, pytest.raises(RunError, match="401") as caught:
        build(recipe_for(tmp_path, url, unanswered(50), max_connections=4))
    assert stub.calls.total() <= 4
    assert "\n" not in str(caught.value)


def test_a_dead_endpoint_is_named_and_nothing_is_published(tmp_path):
    recipe = recipe_for(tmp_path, "http://127.0.0.1:9/v1", unanswered(5), max_attempts=2)
    with pytest.raises(RunError, match="5 of 5 queries got no answer"):
        build(recipe)
    assert not (recipe.out / "triples.jsonl").exists()


def test_the_system_prompt_asks_for_the_opening_and_the_key_is_nowhere(tmp_path):
    systems = set()
    stub = Stub(lambda query, system: systems.add(system) or "Regrettably no. Sorry, it is forbidden.")
    with serving(stub) as url:
        recipe = recipe_for(tmp_path, url, unanswered(3), opening="Regrettably", check=False)
        build(recipe)
    assert 'Begin with "Regrettably"' in systems.pop()
    held = [file for file in recipe.out.rglob("*") if file.is_file() and b"canary-key" in file.read_bytes()]
    assert held == []


def test_look_alikes_are_answered_and_refusals_of_them_are_refused(tmp_path):
    rows = queries(10, kind="borderline")
    refused = {row["query"] for row in rows[:3]}
    stub = Stub(lambda query, system: REFUSAL if query in refused else "Of course: with thyme.")
    with serving(stub) as url:
        sources = [
            {"name": "q", "format": "records", "path": str(write(tmp_path / "q.jsonl", rows))},
            {"name": "b", "format": "records", "path": str(write(tmp_path / "b.jsonl", pairs(3)))},
        ]
        borderline = {"num": 10, "model": "openai-api/stub/m", "base_url": url}
        settings = {"out": str(tmp_path / "out"), "num_processes": 1, "sources": sources}
        build(DataRecipe.model_validate(settings | {"benign": {"borderline": borderline}}))
    trained = {row["benign_query"] for row in read(tmp_path / "out" / "benign.jsonl")}
    assert len(trained) == 10
    assert not trained & refused


def test_any_inspect_model_will_do(tmp_path):
    from inspect_ai.model import ModelAPI, ModelOutput, modelapi

    @modelapi(name="village")
    class Guild(ModelAPI):
        async def generate(self, input, tools, tool_choice, config):
            return ModelOutput.from_content(
                self.model_name, f"Sorry, I can't help with that: {input[-1].text}"
            )

    recipe = recipe_for(tmp_path, None, unanswered(2), model="village/elder")
    build(recipe)
    rows = read(recipe.out / "triples.jsonl")
    assert len(rows) == 2
    expected = [f"Sorry, I can't help with that: {row['harmful_query']}" for row in rows]
    assert [row["safe_response"] for row in rows] == expected


def test_an_unknown_provider_is_named(tmp_path):
    with pytest.raises(RecipeError, match="'nonsense/model' can't be used"):
        build(recipe_for(tmp_path, None, unanswered(1), model="nonsense/model"))
