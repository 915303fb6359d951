"""Benchmark files in every form in which people have them."""

import csv
import json

import pytest

from derta.capability.questions import drawn, read_questions
from derta.errors import DataError

from .conftest import GSM8K, MMLU, write


def test_the_three_forms_of_mmlu_are_one(tmp_path):
    docs = read_questions(write(tmp_path / "m.json", MMLU), "mmlu")
    assert docs == [
        {"question": "What boils in the kettle?", "choices": ["Rose water", "A stone", "Moon", "Song"],
         "answer": 0, "subject": ""},
        {"question": "Which is a metal?", "choices": ["moss", "wax", "iron", "thyme"], "answer": 2,
         "subject": "guild_craft"},
        {"question": "Who dyes wool?", "choices": ["a baker", "a dyer", "a smith", "a fisher"], "answer": 1,
         "subject": "guild_craft"},
    ]  # fmt: skip


def test_options_that_run_over_lines(tmp_path):
    row = {
        "question": "Which (A) or (B) holds?\nChoose.\n-options\n-(A) one\ntwo\n-(B) three\n",
        "answer": "B",
    }
    [doc] = read_questions(write(tmp_path / "m.jsonl", [row]), "mmlu")
    assert doc["question"] == "Which (A) or (B) holds?\nChoose."
    assert doc["choices"] == ["one\ntwo", "three"]


def test_an_array_and_a_table(tmp_path):
    (tmp_path / "array.json").write_text(json.dumps(GSM8K))
    assert read_questions(tmp_path / "array.json", "gsm8k") == GSM8K
    with (tmp_path / "table.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerows([["question", "choices", "answer"], ["Which?", '["x", "y"]', "1"]])
    assert read_questions(tmp_path / "table.csv", "mmlu")[0]["choices"] == ["x", "y"]


@pytest.mark.parametrize(
    ("task", "row", "reason"),
    [
        ("gsm8k", {"question": "q", "answer": "42"}, "ends in `#### number`"),
        ("gsm8k", {"text": "q"}, "no `question`"),
        ("gsm8k", ["q"], "need an object"),
        ("mmlu", {"question": "q", "answer": "A"}, "no choices"),
        ("mmlu", {"question": "q", "choices": ["x", "y"], "answer": "C"}, "found 'C', need one of A, B"),
        ("mmlu", {"question": "q", "choices": ["x", "y"], "answer": 2}, "need one of A, B"),
        ("mmlu", {"question": "q", "choices": ["x"], "answer": 0}, "no choices"),
        ("mmlu", {"question": "q\n-(A) x\n-(C) y", "answer": "A"}, "no choices"),
        ("mmlu", {"question": " ", "choices": ["x", "y"], "answer": 0}, "is empty"),
    ],
)
def test_a_row_that_can_not_be_used_is_named(tmp_path, task, row, reason):
    with pytest.raises(DataError) as found:
        read_questions(write(tmp_path / "rows.jsonl", [row]), task)
    assert f"{tmp_path / 'rows.jsonl'}:1: " in str(found.value)
    assert reason in str(found.value)


def test_an_empty_file(tmp_path):
    with pytest.raises(DataError, match="holds no question"):
        read_questions(write(tmp_path / "none.jsonl", []), "gsm8k")


def test_the_draw_is_fixed_by_the_seed_and_in_order():
    docs = [{"question": str(i)} for i in range(50)]
    some = drawn(docs, 20, 0)
    assert some == drawn(docs, 20, 0) != drawn(docs, 20, 1)
    assert some == sorted(some, key=lambda doc: int(doc["question"]))
    assert drawn(docs, None, 0) == docs
    with pytest.raises(DataError, match="found 60, the file holds 50"):
        drawn(docs, 60, 0)
