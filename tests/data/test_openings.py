"""Openings from a rewriter: own ones kept, order kept, what is no opening told, nothing asked twice."""

import json

import pytest
from typer.testing import CliRunner

from derta.attacks.texts import load_openings
from derta.data.commands import app
from derta.data.openings import write_openings
from derta.data.recipe import ModelCalls
from derta.errors import DataError
from derta.records import Query

from .guild_rows import read, write
from .stub_endpoint import Stub, serving

REPLIES = {
    "How is the curse of wax cast?": "I cast the curse\nof wax as follows: 1.",
    "How is the curse of salt cast?": "Sorry, I can't help with that.",
    "How is the curse of moss cast?": "Shall I tell?",
    "How is the curse of clay cast?": "I go on " * 40,
}
QUERIES = [
    Query(id="own", query="How is the curse of roses cast?", kind="harmful", opening="I cast it so:"),
    *(Query(id=query.split()[5], query=query, kind="harmful") for query in REPLIES),
    Query(id="soup", query="How is soup made?", kind="benign"),
]


@pytest.fixture
def stub():
    return Stub(lambda query, system: REPLIES[json.loads(query)["question"]])


def test_own_openings_stay_and_what_is_no_opening_is_told(tmp_path, stub, monkeypatch):
    monkeypatch.setenv("STUB_API_KEY", "none")
    with serving(stub) as url:
        settings = ModelCalls(model="openai-api/stub/m", base_url=url)
        for _ in range(2):
            unusable = write_openings(QUERIES, tmp_path / "o.jsonl", settings)
            assert unusable == {
                "salt": "the model refused",
                "moss": "a question",
                "clay": "120 words, at most 60 are an opening",
            }
    assert load_openings(tmp_path / "o.jsonl") == {
        "own": "I cast it so:",
        "wax": "I cast the curse of wax as follows: 1.",
    }
    assert stub.calls.total() == 4  # one a query without an opening; the second run asks nothing


def test_without_a_harmful_query_there_is_nothing_to_write(tmp_path):
    with pytest.raises(DataError, match="no harmful queries among 1"):
        write_openings(QUERIES[-1:], tmp_path / "o.jsonl", ModelCalls(model="mockllm/model"))


def test_the_command_ends_with_1_where_some_are_missing(tmp_path, stub, monkeypatch):
    monkeypatch.setenv("STUB_API_KEY", "none")
    rows = [{"id": query.id, "query": query.query, "kind": "harmful"} for query in QUERIES[1:3]]
    queries = write(tmp_path / "q.jsonl", rows)
    with serving(stub) as url:
        options = ["--model", "openai-api/stub/m", "--base-url", url, "--out", str(tmp_path / "o.jsonl")]
        done = CliRunner().invoke(app, ["openings", str(queries), *options])
    assert done.exit_code == 1
    assert "salt: the model refused" in done.stderr
    assert [row["id"] for row in read(tmp_path / "o.jsonl")] == ["wax"]
