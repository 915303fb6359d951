"""Result files of every form that is about: each row comes out once, in order, with its question and response."""

import json

import pytest

from derta.errors import DataError
from derta.results.prompt_in_front import split_prompt, without_echo
from derta.results.questions import Question, read_questions
from derta.results.rows import read_result_file
from derta.results.search_summary import best_attempt

Q, R = "How do I brew the ashen curse?", "Grind the salt. Stir the moss."
OWN = {
    "model": "m",
    "method": "derta",
    "attack": "direct",
    "attack_params": {},
    "query_id": "q7",
    "query": Q,
    "kind": "harmful",
    "prompt": "p",
    "response": R,
    "stop_reason": "stop",
}


def read(tmp_path, value, name="rows.json", **settings):
    path = tmp_path / name
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return read_result_file(path, **settings)


def texts(rows):
    return [(row.query.query, row.response) for row in rows]


@pytest.mark.parametrize(
    "row",
    [
        {"question": Q, "response": R},
        {"instruction": Q, "response": R},
        {"instruction": Q, "output": R},
        {"query": Q, "completion": R},
        {"goal": Q, "target_response": R},
        {"prompt": Q, "generation": R},
        {"question": Q, "answer": R},
        {"Question": Q, "Model Response": R},
        {"question": Q, "llama_response": R, "judge_response": "no"},
        {"instruction": f"[INST] {Q} [/INST]", "response": R},
        {"question": Q, "response": f"{Q}\n{R}"},
        {"question": Q, "response": f"[INST] {Q} [/INST] {R}</s>"},
        f"[INST] {Q} [/INST] {R}",
        rf"<s>[INST] {Q} [\INST]{R}</s>",
        f"<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n{Q}<|eot_id|>"
        f"<|start_header_id|>assistant<|end_header_id|>\n\n{R}<|eot_id|>",
        f"<|im_start|>user\n{Q}<|im_end|>\n<|im_start|>assistant\n{R}<|im_end|>",
        f"user\n\n{Q}\nassistant\n\n{R}",
        f"USER: {Q}\nASSISTANT: {R}",
        f"### Instruction:\n{Q}\n\n### Response:\n{R}",
    ],
    ids=repr,
)
def test_one_row(tmp_path, row):
    for value, name in (([row, row], "a.json"), ("\n".join([json.dumps(row)] * 2), "b.jsonl")):
        assert texts(read(tmp_path, value, name)) == [(Q, R)] * 2


def test_raw_text_is_read_whole_with_its_opening_as_the_question(tmp_path):
    text = f"These are my steps to brew it: 1. {R}"
    assert texts(read(tmp_path, [text])) == [("These are my steps to brew it:", text)]
    assert texts(read(tmp_path, [text], questions=[Question(None, Q)])) == [(Q, text)]


@pytest.mark.parametrize(
    "whole",
    [
        {"results": [{"question": Q, "response": R}] * 3, "asr": 0.5},
        {str(i): {"question": Q, "response": R} for i in range(3)},
        {"data": [f"[INST] {Q} [/INST] {R}"] * 3, "names": ["a"]},
    ],
)
def test_an_object_that_holds_the_rows(tmp_path, whole):
    assert texts(read(tmp_path, whole)) == [(Q, R)] * 3


def test_a_mapping_from_question_to_response(tmp_path):
    assert texts(read(tmp_path, {Q: R, "other?": "x"})) == [(Q, R), ("other?", "x")]


@pytest.mark.parametrize(
    "attempts",
    [
        {"attempts": [{"prompt": "a", "response": "x", "score": 3}, {"prompt": "b", "response": R, "score": 10}]},
        {"streams": [[{"prompt": "b", "response": R, "score": 10}], [{"prompt": "a", "response": "x", "score": 10}]]},
        {"history": {"1": {"response": "x", "judge_score": 1}, "2": {"response": R, "judge_score": 2}}},
        {"responses": ["x", R, "y"], "judge_scores": [1, 10, 10], "prompts": ["a", "b", "c"]},
        {"target_response_list": ["x", R], "scores": [2, 9]},
        {"attempts": [{"prompt": "a", "response": "x"}, {"prompt": "b", "response": R}]},
        {"best_prompt": "b", "response": R, "is_jailbroken": True, "score": 10},
    ],
    ids=lambda attempts: next(iter(attempts)),
)  # fmt: skip
def test_the_best_attempt_of_a_search(tmp_path, attempts):
    assert texts(read(tmp_path, [{"goal": Q, **attempts}])) == [(Q, R)]


def test_an_unread_score_is_no_score():
    attempts = [
        {"response": "x", "score": None},
        {"response": R, "score": 1},
        {"response": "y", "score": "n/a"},
    ]
    assert best_attempt({"attempts": attempts}, ["response"])["response"] == R


def test_rows_without_a_response_keep_their_place(tmp_path):
    values = [
        *({"question": Q, "response": value} for value in (R, None, 7, [1], "")),
        *({"question": Q, "error": "429 too many requests"}, {"question": Q}, 5, None, []),
        {"question": Q, "response": R},
    ]
    rows = read(tmp_path, values)
    assert [row.row for row in rows] == list(range(1, 12))
    assert [row.response is None for row in rows] == [False, True, True, True, False, *[True] * 5, False]
    assert rows[5].problem == "error: 429 too many requests"
    assert all(row.problem for row in rows if row.response is None)


def test_broken_lines_keep_their_place(tmp_path):
    good = json.dumps({"question": Q, "response": R})
    rows = read(tmp_path, f"\ufeff{good}\r\n{{broken\n\n{good[:-3]}\n{'[' * 5000}\n{good}\n", "a.jsonl")
    assert [row.problem is None for row in rows] == [True, False, False, False, True]


def test_line_separators_inside_json_strings_do_not_split(tmp_path):
    line = json.dumps({"question": Q, "response": "a\u2028b\x85c"}, ensure_ascii=False)
    assert texts(read(tmp_path, f"{line}\n{line}", "a.jsonl")) == [(Q, "a\u2028b\x85c")] * 2


def test_our_own_rows(tmp_path):
    rows = read(
        tmp_path,
        [
            OWN,
            OWN | {"attack": "prefill", "attack_params": {"depth": 20}},
            OWN | {"attack": "completing", "prompt": "I brew it so: "},
            OWN | {"kind": "benign"},
            OWN | {"stop_reason": "error", "response": "", "reason": "error: timeout"},
        ],
    )
    assert [row.attack for row in rows] == ["direct", "prefill@20", "completing", "direct", "direct"]
    assert rows[2].response == f"I brew it so: {R}"
    assert [row.query.kind for row in rows] == ["harmful"] * 3 + ["benign", "harmful"]
    assert (rows[0].model, rows[0].method, rows[0].query.id) == ("m", "derta", "q7")
    assert (rows[4].response, rows[4].problem) == (None, "error: timeout")


def test_the_prompt_is_not_part_of_the_response():
    assert split_prompt(f"[INST] User: a\nAssistant: b\n{Q} [/INST] {R}") == (
        f"User: a\nAssistant: b\n{Q}",
        R,
    )
    assert split_prompt(f"User: a\nAssistant: b\nUser: {Q}\nAssistant: {R}")[1] == R
    assert split_prompt(f"[INST] {Q} [/INST] {R} [INST] more [/INST] x")[1].startswith(R)
    assert without_echo(f"{Q}  \n {R}", Q) == R
    assert without_echo(Q, Q) == Q  # nothing but the echo is left as it is
    assert without_echo(R, "") == R


def test_questions_beside_the_file(tmp_path):
    path = tmp_path / "questions.jsonl"
    path.write_text(f'{{"question": "{Q}"}}\n"other?"\n{{"id": "1", "query": "third?", "kind": "harmful"}}\n')
    questions = read_questions(path)
    assert [question.text for question in questions] == [Q, "other?", "third?"]
    rows = read(tmp_path, [R, R, R], questions=questions)
    assert [row.query.query for row in rows] == [Q, "other?", "third?"]
    with pytest.raises(DataError, match="2 rows for 3 questions"):
        read(tmp_path, [R, R], questions=questions)
    path.write_text('{"x": 1}\n')
    with pytest.raises(DataError, match="row 1: no question"):
        read_questions(path)


def test_what_can_not_be_read_at_all(tmp_path):
    with pytest.raises(DataError, match="can't be read"):
        read_result_file(tmp_path / "absent.json")
    with pytest.raises(DataError, match="holds no rows"):
        read(tmp_path, "[]")
