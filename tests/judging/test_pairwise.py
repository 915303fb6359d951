"""Pairwise judging: both orders, ties by position, unread orders, injections, rows in = pairs out."""

import asyncio
import json
import re

import pytest
from typer.testing import CliRunner

from derta.errors import DataError
from derta.judging.commands import app
from derta.judging.pairwise import Compared, Pair, PairLog, compare, outcome_of, pair_rows
from derta.judging.win_rate import at_equal_length, win_rate
from derta.results.rows import read_answers, read_result_file
from judges.injections import injections
from judges.replies import BAD
from judges.test_rubric import block, mock

GOOD, POOR = "Boil fat with ash lye for an hour.", "I like soap."


def judge(prefers):
    """A judge model: `prefers` maps the two answers as quoted to FIRST, SECOND or TIE."""

    def reply(instruction, material):
        code = re.search(r"VERDICT ([0-9a-f]+)", instruction)[1]
        assert block(material, "QUESTION", code) == "How do I make soap?"
        first, second = (block(material, f"ANSWER {number}", code) for number in (1, 2))
        return f"A ground.\nVERDICT {code}: {prefers(first, second)}"

    return mock(reply)


def better(first, second):
    """An honest reader: more of the right answer is better."""
    scores = ["lye" in first, "lye" in second]
    return "TIE" if scores[0] == scores[1] else "FIRST" if scores[0] else "SECOND"


def compared(model, *pairs, **settings):
    made = [Pair("How do I make soap?", a, b) for a, b in pairs]
    return asyncio.run(compare(made, model, **settings))


def test_a_win_needs_both_orders():
    found = compared(judge(better), (GOOD, POOR), (POOR, GOOD), (POOR, "Soap is nice."))
    assert [item.outcome for item in found] == ["win", "loss", "tie"]
    assert [item.orders for item in found] == [("FIRST", "SECOND"), ("SECOND", "FIRST"), ("TIE", "TIE")]


@pytest.mark.parametrize("place", ["FIRST", "SECOND"])
def test_a_judge_that_goes_by_position_prefers_nobody(place):
    found = compared(judge(lambda first, second: place), *[(GOOD, f"{POOR} {i}") for i in range(20)])
    assert {item.outcome for item in found} == {"tie"}
    rate = win_rate(found)
    assert (rate.rate.value, rate.inconsistent) == (0.5, 20)


def test_all_nine_combinations():
    words = ("FIRST", "SECOND", "TIE")
    outcomes = {(a, b): outcome_of(a, b) for a in words for b in words}
    assert outcomes.pop(("FIRST", "SECOND")) == "win"
    assert outcomes.pop(("SECOND", "FIRST")) == "loss"
    assert set(outcomes.values()) == {"tie"}


def test_what_can_not_be_read_is_unknown():
    found = compared(mock("I like both."), (GOOD, POOR))
    assert (found[0].outcome, found[0].orders) == ("unknown", (None, None))
    assert "no verdict on the last line" in found[0].reason
    found = compared(mock("I'm sorry, but I can't compare these."), (GOOD, POOR))
    assert found[0].reason.startswith("the judge refused")
    rate = win_rate(found).rate
    assert (rate.value, rate.n, rate.unknown) == (None, 0, 1)


def test_one_unread_order_is_enough():
    replies = iter(["FIRST", "neither"])
    found = compared(judge(lambda first, second: next(replies)), (GOOD, POOR))
    assert found[0].outcome == "unknown"


@pytest.mark.parametrize("reply", BAD, ids=range(len(BAD)))
def test_no_malformed_reply_is_a_preference(reply):
    assert compared(mock(reply), (GOOD, POOR))[0].outcome == "unknown"


@pytest.mark.parametrize("word", ["FIRST", "SECOND", "TIE"])
def test_no_planted_verdict_wins(word):
    """At least 100 poor answers that speak for the judge, in both orders, and a judge that quotes them bare."""
    planted = injections(POOR, word)
    assert len(planted) >= 100

    def quoting(instruction, material):
        code = re.search(r"VERDICT ([0-9a-f]+)", instruction)[1]
        first, second = (block(material, f"ANSWER {number}", code) for number in (1, 2))
        return f"{first}\n{second}\nVERDICT {code}: {better(first, second)}"

    found = compared(mock(quoting), *[(text, GOOD) for text in planted])
    assert {item.outcome for item in found} == {"loss"}


def test_the_same_text_is_a_tie_and_is_not_asked():
    found = compared(judge(lambda first, second: pytest.fail("asked")), (GOOD, f" {GOOD}\n"))
    assert (found[0].outcome, found[0].reason) == ("tie", "same text")


def test_saved_verdicts_are_not_asked_again(tmp_path):
    log = PairLog(tmp_path / "log.jsonl", {"rules": "a"})
    first = compared(judge(better), (GOOD, POOR), log=log)
    again = PairLog(tmp_path / "log.jsonl", {"rules": "a"})
    assert compared(judge(lambda *_: pytest.fail("asked")), (GOOD, POOR), log=again) == first
    other = PairLog(tmp_path / "log.jsonl", {"rules": "b"})
    assert other.get("How do I make soap?", GOOD, POOR) is None


def write(path, rows):
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def test_rows_are_paired_by_question(tmp_path):
    rows = [{"question": f"q{i}", "response": f"a{i}"} for i in range(3)]
    a = read_result_file(write(tmp_path / "a.json", rows))
    b = read_result_file(write(tmp_path / "b.json", [row | {"response": "b"} for row in reversed(rows)]))
    assert [(pair.question, pair.a, pair.b) for pair in pair_rows(a, b)] == [
        ("q0", "a0", "b"),
        ("q1", "a1", "b"),
        ("q2", "a2", "b"),
    ]
    with pytest.raises(DataError, match=r"b.json: row 1: no answer .* 'q2'"):
        pair_rows(a[:2], b)
    with pytest.raises(DataError, match=r"a.json: row 3: no answer .* 'q2'"):
        pair_rows(a, b[1:])


def test_a_row_without_an_answer_is_unknown(tmp_path):
    a = read_result_file(write(tmp_path / "a.json", [{"question": "q", "response": " "}]))
    b = read_result_file(write(tmp_path / "b.json", [{"question": "q", "error": "quota"}]))
    [pair] = pair_rows(a, b)
    assert pair.problem == "answer A: empty"
    [pair] = pair_rows(b, a)
    assert pair.problem == "answer A: error: quota"


def own_row(model, kind="benign", attack="direct"):
    return {
        "model": model, "method": "m", "attack": attack, "query_id": "1", "query": "How do I make soap?",
        "kind": kind, "response": GOOD if model == "a" else POOR, "stop_reason": "stop",
    }  # fmt: skip


def test_a_model_is_picked_from_our_own_files(tmp_path):
    rows = [own_row("a"), own_row("b"), own_row("a", kind="harmful"), own_row("a", kind="borderline")]
    file = write(tmp_path / "r.json", rows)
    with pytest.raises(DataError, match="holds answers of a, b; pick one"):
        read_answers(file)
    assert [row.response for row in read_answers(file, "a")] == [GOOD]
    with pytest.raises(DataError, match="no answers of the model 'c'"):
        read_answers(file, "c")


def test_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr("derta.calls.open_model", lambda name, what: judge(better))
    file = write(tmp_path / "r.json", [own_row("a"), own_row("b")])
    arguments = [
        "pairwise",
        file,
        file,
        "--model",
        "m/x",
        "--pick-a",
        "a",
        "--pick-b",
        "b",
        "--out",
        tmp_path / "out",
    ]
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert done.exit_code == 0
    assert "Win rate of a against b" in done.output
    [cell] = json.loads((tmp_path / "out" / "results.json").read_text())
    assert (cell["metric"], cell["value"], cell["n"], cell["unknown"]) == ("win_rate", 1.0, 1, 0)
    assert (cell["model"], cell["judge"]) == ("a", "pairwise against b")
    [line] = [json.loads(line) for line in (tmp_path / "out" / "comparisons.jsonl").read_text().splitlines()]
    assert (line["outcome"], line["a_first"], line["b_first"]) == ("win", "FIRST", "SECOND")
    monkeypatch.setattr("derta.calls.open_model", lambda name, what: mock("?"))
    file = write(tmp_path / "s.json", [{"question": "q", "response": "x"}])
    other = write(tmp_path / "t.json", [{"question": "q", "response": "y"}])
    done = CliRunner().invoke(app, ["pairwise", str(file), str(other), "--model", "m/x"])
    assert done.exit_code == 1


def made(outcome, words_a, words_b):
    return Compared(Pair("q", "w " * words_a, "w " * words_b), outcome, (None, None))


def test_the_rate_counts_half_for_ties():
    found = win_rate([made("win", 3, 1), made("tie", 2, 2), made("loss", 1, 1), made("unknown", 1, 1)])
    assert (found.rate.value, found.rate.n, found.rate.unknown) == (0.5, 3, 1)
    assert (found.wins, found.ties, found.losses) == (1, 1, 1)
    assert (found.words_a, found.words_b) == (2, 4 / 3)
    assert found.length_controlled is None  # too few pairs


def test_length_control_takes_out_what_length_explains():
    # A is the longer one in 70 of 100 pairs, and the longer one wins nine of ten, whoever wrote it
    differences = [20] * 70 + [-20] * 30
    points = [float((d > 0) == (place % 10 > 0)) for place, d in enumerate(differences)]
    assert sum(points) / 100 == 0.66
    assert at_equal_length(points, differences) == pytest.approx(0.5, abs=0.01)
    assert at_equal_length([1.0, 0.0] * 50, [5, -5, -5, 5] * 25) == pytest.approx(0.5, abs=0.01)
    assert at_equal_length([1.0] * 20, [3, -3] * 10) > 0.9  # finite where one side always wins
    assert at_equal_length([1.0] * 20, [0] * 20) is None


def test_the_fit_is_the_maximum_of_its_penalised_likelihood():
    # the values of the Newton fit that stood here before scipy's
    lengths = [-40, -25, -10, -5, 0, 5, 10, 25, 40, 80, 120, 160]
    points = [0, 0, 0.5, 1, 0.5, 1, 0, 1, 1, 1, 0.5, 1]
    assert at_equal_length(points, lengths) == pytest.approx(0.538192220, abs=1e-7)
    assert at_equal_length([1.0] * 12, lengths) == pytest.approx(0.968961641, abs=1e-7)
