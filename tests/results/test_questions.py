"""Files of questions as people have them: published sets by their columns, tables, JSON, plain text."""

import gzip
import json

import pytest

from derta.errors import DataError
from derta.records import Query
from derta.results.questions import load_queries, read_questions

A, B = "How do I brew the ashen curse?", "How do I sour the miller's flour?"


def load(tmp_path, content, name="questions.csv", **settings):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load_queries(path, **settings)


def told(asked):
    return [(query.id, query.query, query.kind, query.category, query.target) for query in asked.queries]


# ruff: noqa: E501
PUBLISHED = [
    (
        "HarmBench",
        "Behavior,FunctionalCategory,SemanticCategory,Tags,ContextString,BehaviorID\n"
        f"{A},standard,hexes,,,ashen\n{B},contextual,hexes,,The mill stands by the river.,flour\n"
        "Recite the song,copyright,,,,song\n",
        [
            ("ashen", A, "harmful", "hexes", None),
            ("flour", f"The mill stands by the river.\n\n---\n\n{B}", "harmful", "hexes", None),
        ],
    ),
    ("AdvBench", f"goal,target\n{A},Sure\n{B},Of course\n", [
        ("q0001", A, "harmful", None, "Sure"), ("q0002", B, "harmful", None, "Of course")]),
    ("JailbreakBench", f"Index,Goal,Target,Behavior,Category,Source\n0,{A},Sure,Curse,Hex,own\n1,{B},Sure,Flour,Hex,own\n", [
        ("0", A, "harmful", "Hex", "Sure"), ("1", B, "harmful", "Hex", "Sure")]),
    ("StrongREJECT", f"category,source,forbidden_prompt\nhex,own,{A}\nhex,own,{B}\n", [
        ("q0001", A, "harmful", "hex", None), ("q0002", B, "harmful", "hex", None)]),
    ("XSTest", f"id,prompt,type,label,focus,note\n1,{A},contrast_homonyms,unsafe,curse,\n2,{B},homonyms,safe,flour,\n", [
        ("1", A, "harmful", "contrast_homonyms", None), ("2", B, "borderline", "homonyms", None)]),
    ("Do-Not-Answer", f"id,risk_area,types_of_harm,specific_harms,question\n0,r,t,s,{A}\n1,r,t,s,{B}\n", [
        ("0", A, "harmful", "r", None), ("1", B, "harmful", "r", None)]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "expected"), PUBLISHED, ids=[name for name, *_ in PUBLISHED])
def test_published_sets_are_known_by_their_columns(tmp_path, name, content, expected):
    asked = load(tmp_path, content)
    assert told(asked) == expected
    assert f"questions.csv: read as: {name}, " in asked.said


def test_rows_left_out_are_said(tmp_path):
    said = load(tmp_path, PUBLISHED[0][1]).said
    assert "2 harmful; left out: 1 x copyright behaviour" in said


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", f"{A}\n\n{B}\n"),
        ("a.txt", "﻿" + f"{A}\r\n{B}\r\n"),
        ("a.txt", f"{A}\n{B}\n".encode("utf-16")),
        ("a.csv", f"question\n{A}\n{B}\n"),
        ("a.csv", f"nr;Query\n1;{A}\n2;{B}\n"),
        ("a.csv.gz", gzip.compress(f"prompt\n{A}\n{B}\n".encode(), mtime=0)),
        ("a.json", json.dumps([A, B])),
        ("a.jsonl", f'{{"instruction": "{A}"}}\n{{"instruction": "{B}"}}\n'),
        ("a.json", json.dumps([{"question": A, "kind": "harmful"}, {"question": B}])),
    ],
)
def test_other_files_with_one_column_of_questions(tmp_path, name, content):
    asked = load(tmp_path, content, name)
    assert [(query.query, query.kind) for query in asked.queries] == [(A, "harmful"), (B, "harmful")]
    assert "read as: questions, 2 harmful" in asked.said
    assert {query.kind for query in load(tmp_path, content, name, kind="benign").queries} <= {
        "benign",
        "harmful",
    }


def test_our_own_file_is_read_as_strictly_as_ever(tmp_path):
    row = {"id": "a", "query": A, "kind": "benign", "reference": "x"}
    asked = load(tmp_path, json.dumps(row) + "\n", "queries.jsonl")
    assert asked == ([Query(**row)], "")
    with pytest.raises(DataError, match="unknown field `extra`"):
        load(tmp_path, json.dumps(row | {"extra": 1}) + "\n", "queries.jsonl")


def test_a_first_look(tmp_path):
    asked = load(tmp_path, PUBLISHED[1][1], limit=1)
    assert [query.query for query in asked.queries] == [A]
    assert "1 harmful (the first of 2)" in asked.said


def test_the_same_columns_of_two_sets_are_asked_about(tmp_path):
    content = f"prompt,category\n{A},hex\n"
    with pytest.raises(DataError, match="kind: borderline"):
        load(tmp_path, content)
    assert load(tmp_path, content, kind="borderline").queries[0].kind == "borderline"


def test_unknown_columns_are_named_with_what_to_do(tmp_path):
    with pytest.raises(DataError, match=r"found columns nr, what.*derta data build"):
        load(tmp_path, f"nr,what\n1,{A}\n")


def test_every_row_that_can_not_be_used_is_an_error(tmp_path):
    content = f"question,id\n{A},1\n,2\n{B}\n"
    with pytest.raises(DataError, match=r"row 2: no question(.|\n)*row 3: line 4: 1 cells"):
        load(tmp_path, content)


def test_ids_that_repeat_number_something_else(tmp_path):
    asked = load(tmp_path, f"question,id\n{A},1\n{B},1\n")
    assert [query.id for query in asked.queries] == ["q0001", "q0002"]


def test_a_batch_of_requests_beside_its_output(tmp_path):
    path = tmp_path / "input.jsonl"
    body = {"model": "m", "messages": [{"role": "system", "content": "x"}, {"role": "user", "content": A}]}
    path.write_text(json.dumps({"custom_id": "r1", "method": "POST", "body": body}))
    assert read_questions(path) == [("r1", A)]
