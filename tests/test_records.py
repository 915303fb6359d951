"""Every fault of a data file is named with its line; nothing is dropped silently."""

import json

import pytest

from derta.errors import DataError
from derta.records import BenignPair, Problem, Query, Triple, detect_kind, load_records, read_records

GOOD = {"id": "a", "harmful_query": "q", "safe_response": "r", "harmful_response": "h"}


def line(**changes):
    return json.dumps({**GOOD, **changes}).encode()


FAULTS = {
    "truncated": (b'{"id": "a", "harmful_query": "q', "invalid JSON"),
    "missing": (json.dumps({"id": "a", "harmful_query": "q"}).encode(), "`safe_response` is missing"),
    "empty": (line(safe_response="  "), "`safe_response` is empty"),
    "type": (line(harmful_response=3), "need a string, found a number"),
    "boolean": (line(category=True), "need a string, found a boolean"),
    "bom": (b"\xef\xbb\xbf" + line(), "byte-order mark"),
    "crlf": (line() + b"\r", "CRLF"),
    "surrogate": (line(harmful_query="x\ud800"), "lone surrogate"),
    "nul": (line(harmful_query="x\x00"), "NUL"),
    "raw nul": (b'{"id": "\x00"}', "NUL byte at column 9"),
    "long": (b'{"id": "' + b"x" * (50 * 1024 * 1024) + b'"}', "line of 52,428,810 bytes"),
    "bytes": (b'{"id": "\xff"}', "not UTF-8 at byte 9"),
    "list": (b"[1]", "need a JSON object, found a list"),
    "deep": (b"[" * 100_000, "invalid JSON"),
    "unknown": (line(extra="x"), "unknown field `extra`"),
    "nan": (b"NaN", "need a JSON object"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_named_and_the_lines_after_it_are_read(tmp_path, name):
    raw, reason = FAULTS[name]
    path = tmp_path / "triples.jsonl"
    path.write_bytes(line(id="first") + b"\n" + raw + b"\n\n" + line(id="last") + b"\n")
    (_, first), (number, problem), (last_number, last) = read_records(path, Triple)
    assert first.id == "first"
    assert isinstance(problem, Problem)
    assert number == 2
    assert str(problem).startswith(f"{path}:2: ")
    assert reason in problem.reason
    assert (last_number, last.id) == (4, "last")


def test_duplicate_ids_name_the_first(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(line() + b"\n" + line() + b"\n")
    assert "duplicate id 'a' (first on line 1)" in str(
        [outcome for _, outcome in read_records(path, Triple)][1]
    )


def test_query_kinds(tmp_path):
    path = tmp_path / "x"
    path.write_text(
        '{"id": "1", "query": "q", "kind": "bad"}\n{"id": "2", "query": "q", "kind": "borderline"}\n'
    )
    first, second = (outcome for _, outcome in read_records(path, Query))
    assert "found 'bad', need one of harmful, benign, borderline" in str(first)
    assert second == Query(id="2", query="q", kind="borderline")


def test_strict_loading_lists_the_first_problems(tmp_path):
    path = tmp_path / "x"
    path.write_text("{\n" * 15)
    with pytest.raises(DataError) as error:
        load_records(path, Triple)
    assert str(error.value).count(f"{path}:") == 10
    assert "and 5 more" in str(error.value)
    assert f"derta data check {path}" in str(error.value)


def test_an_empty_file_and_an_absent_one_are_errors(tmp_path):
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(DataError, match="no record"):
        load_records(tmp_path / "empty", BenignPair)
    with pytest.raises(DataError, match="can't be read: No such file"):
        load_records(tmp_path / "absent", BenignPair)


def test_unusual_characters_round_trip(tmp_path):
    text = "‮right-to-left \u200b zero width \U0001f9ea é é"
    path = tmp_path / "x"
    path.write_text(json.dumps({**GOOD, "harmful_query": text}, ensure_ascii=False) + "\n", encoding="utf-8")
    assert load_records(path, Triple)[0].harmful_query == text


def test_the_kind_is_known_by_its_fields(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"{broken\n" + line() + b"\n")
    assert detect_kind(path) is Triple
    path.write_text('{"a": 1}\n')
    with pytest.raises(DataError, match="can't tell what kind"):
        detect_kind(path)
