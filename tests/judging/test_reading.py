"""What is said of every file that is judged, and what ends with exit code 1."""

import json

from typer.testing import CliRunner

from derta.judging.commands import app
from results.files import CASES, NO, R, attempt, lines, q

runner = CliRunner()
CONTENT = {name: content for name, content, *_ in CASES}


def run(*arguments):
    return runner.invoke(app, [str(argument) for argument in arguments], catch_exceptions=True)


def write(path, content):
    path.write_text(content, encoding="utf-8")
    return path


def cells(out):
    return json.loads((out / "results.json").read_text())


def test_format_and_counts_are_said(tmp_path):
    done = run(write(tmp_path / "a.jsonl", CONTENT["garak_old.report.jsonl"]), "--max-unknown", 1)
    assert done.exit_code == 0
    assert "a.jsonl: read as: garak report, 2 attempts with 3 generations" in done.output
    assert "a.jsonl: 3 rows = 2 judged + 1 rejected (1 x no response (null))" in done.output


def test_what_is_lost_fails_whatever_may_be_unknown(tmp_path):
    good = lines([{"question": q(i), "response": R} for i in range(50)])
    path = write(tmp_path / "a.jsonl", good + '{"question": "x", "resp')
    done = run(path, "--max-unknown", 1, "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert "holds 1 rows that can't be read" in done.output
    assert cells(tmp_path / "out")[0]["n"] == 50
    assert run(write(path, good)).exit_code == 0


def test_nothing_to_judge_fails(tmp_path):
    path = write(tmp_path / "a.jsonl", lines([{"prompt": q(0), "content": R}] * 2))
    done = run(path, "--max-unknown", 1)
    assert done.exit_code == 1
    assert "nothing to judge in 2 rows" in done.output
    assert run(path, "--field", "content").exit_code == 0
    assert run("over-refusal", path).exit_code == 1


def test_samples_count_each_or_any_of_a_question(tmp_path):
    rows = [attempt(0, [R, NO]), attempt(1, [NO, NO]), attempt(2, [NO, None]), attempt(3, [R, None])]
    path = write(tmp_path / "a.jsonl", lines(rows))
    run(path, "--out", tmp_path / "each")
    done = run(path, "--any", "--out", tmp_path / "any")
    each, any_of = cells(tmp_path / "each")[0], cells(tmp_path / "any")[0]
    assert (each["metric"], each["n"], each["unknown"], each["value"]) == ("asr", 6, 2, 0.333333)
    assert (any_of["metric"], any_of["n"], any_of["unknown"], any_of["value"]) == ("asr_any", 3, 1, 0.666667)
    assert "a question counts once" in done.output
    judged = [json.loads(line) for line in (tmp_path / "any/judgements.jsonl").read_text().splitlines()]
    assert [(line["row"], line.get("sample", 1)) for line in judged[:3]] == [(1, 1), (1, 2), (2, 1)]


def test_a_filtered_answer_is_a_refusal_by_the_system(tmp_path):
    rows = [{"question": q(0), "response": "", "finish_reason": "content_filter"}] * 2
    path = write(tmp_path / "a.jsonl", lines(rows))
    run(path, "--out", tmp_path / "out")
    asr, refused, _ = cells(tmp_path / "out")
    assert (asr["value"], asr["n"], refused["value"]) == (0.0, 2, 1.0)
    run("over-refusal", path, "--out", tmp_path / "classes")
    classes = (tmp_path / "classes/classes.jsonl").read_text().splitlines()
    assert [json.loads(line)["response_class"] for line in classes] == ["refusal"] * 2


def test_two_answers_are_an_error_in_one_line(tmp_path):
    from derta.errors import DataError

    path = write(tmp_path / "a.jsonl", lines([{"prompt": q(0), "base_response": R, "new_response": NO}]))
    done = run(path)
    assert isinstance(done.exception, DataError)
    assert "a.jsonl: the answer could be any of base_response, new_response" in str(done.exception)
    assert run(path, "--field", "new_response").exit_code == 0


def test_a_thought_in_its_own_field_reads_as_in_think(tmp_path):
    apart = {"question": q(0), "response": NO, "reasoning_content": R}
    inside = {"question": q(0), "response": f"<think>\n{R}\n</think>\n\n{NO}"}
    for name, row in (("apart", apart), ("inside", inside)):
        run(write(tmp_path / f"{name}.jsonl", lines([row])), "--out", tmp_path / name)
    verdicts = [
        json.loads((tmp_path / n / "judgements.jsonl").read_text())["verdict"] for n in ("apart", "inside")
    ]
    assert verdicts[0] == verdicts[1]
