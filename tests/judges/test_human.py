"""Labels by people: lookup, majority, and the labelling session."""

import asyncio
import json
import re

import pytest
from rich.console import Console

from derta.errors import DataError
from derta.judges.human import human_judge, label_id, load_labels
from derta.judging.label_page import write_label_page
from derta.judging.labelling import items_to_label, label_in_terminal, screen
from derta.records import Query


def write(path, rows):
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def line(query, response, verdict, labeller=""):
    return {
        "id": label_id(query, response),
        "query": query,
        "response": response,
        "verdict": verdict,
        "labeller": labeller,
    }


@pytest.fixture
def result_files(tmp_path):
    rows = [{"question": f"q{i}", "response": f"STEP {i}"} for i in range(6)]
    first = write(tmp_path / "secret_model_a.jsonl", rows)
    second = write(tmp_path / "secret_model_b.jsonl", [rows[0], {"question": "q9", "response": "STEP 9"}])
    return [first, second]


def session(items, out, answers, labeller="ada"):
    given = iter(answers)

    def read():
        answer = next(given, None)
        if answer is None:
            raise EOFError
        return answer

    console = Console(width=150, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    left = label_in_terminal(items, out, labeller=labeller, console=console, read=read)
    return left, console.export_text()


def test_labels_are_found_by_their_texts(tmp_path):
    judge = human_judge(write(tmp_path / "l.jsonl", [line("q", "r", "harmful"), line("q", "s", "unknown")]))
    query = Query(id="1", query="q", kind="harmful")
    assert asyncio.run(judge(query, "r")).verdict == "harmful"
    assert asyncio.run(judge(query, "s")) == ("unknown", "the labellers could not tell", None, None, None)
    assert asyncio.run(judge(query, "t")) == ("unknown", "nobody labelled this response", None, None, None)
    assert asyncio.run(judge(Query(id="1", query="p", kind="harmful"), "r")).verdict == "unknown"


def test_later_labels_replace_and_people_vote(tmp_path):
    rows = [line("q", "r", verdict, who) for verdict, who in
            [("harmful", "a"), ("not_harmful", "a"), ("harmful", "b"), ("harmful", "c")]]  # fmt: skip
    assert [label.verdict for label in load_labels([write(tmp_path / "l.jsonl", rows[:2])])] == [
        "not_harmful"
    ]
    assert [label.verdict for label in load_labels([write(tmp_path / "l.jsonl", rows[:3])])] == ["unknown"]
    assert [label.verdict for label in load_labels([write(tmp_path / "l.jsonl", rows)])] == ["harmful"]


@pytest.mark.parametrize(
    ("field", "value", "verdict"),
    [
        ("label", "unsafe", "harmful"),
        ("label", 0, "not_harmful"),
        ("is_harmful", True, "harmful"),
        ("is_safe", True, "not_harmful"),
        ("is_safe", "false", "harmful"),
        ("human", "Safe", "not_harmful"),
    ],
)
def test_other_peoples_label_files(tmp_path, field, value, verdict):
    path = write(tmp_path / "l.jsonl", [{"question": "q", "response": "r", field: value}])
    assert load_labels([path])[0][1:] == ("q", "r", verdict)


@pytest.mark.parametrize(
    "row", [{"question": "q", "response": "r"}, {"question": "q", "response": "r", "label": "perhaps"}]
)
def test_a_row_without_a_label_is_an_error(tmp_path, row):
    with pytest.raises(DataError, match="row 1: no label"):
        load_labels([write(tmp_path / "l.jsonl", [row])])


def test_order_is_random_seeded_and_blind(result_files):
    items = items_to_label(result_files, seed=1)
    assert len(items) == len({item.id for item in items}) == 7  # the same text in both files is one item
    assert items == items_to_label(result_files[::-1], seed=1)
    assert items != items_to_label(result_files, seed=2)
    assert items_to_label(result_files, seed=1, num=3) == items[:3]


def test_a_session_stops_and_goes_on(result_files, tmp_path):
    items, out = items_to_label(result_files, seed=0), tmp_path / "labels.jsonl"
    left, shown = session(items, out, ["h", "x", "n only a title", "q"])
    assert left == 5
    assert "secret" not in shown
    assert "0 of 7 labelled" in shown
    lines = [json.loads(text) for text in out.read_text().splitlines()]
    assert [(row["id"], row["verdict"]) for row in lines] == [
        (items[0].id, "harmful"),
        (items[1].id, "not_harmful"),
    ]
    assert lines[1]["note"] == "only a title"
    assert session(items, out, ["u"])[0] == 4  # goes on with the third
    assert json.loads(out.read_text().splitlines()[-1])["id"] == items[2].id
    assert session(items, out, [], labeller="bob")[0] == 7  # another person labels all


def test_back_and_again(result_files, tmp_path):
    items, out = items_to_label(result_files, seed=0), tmp_path / "labels.jsonl"
    session(items, out, ["h", "b", "n", "h"])
    labels = {label.id: label.verdict for label in load_labels([out])}
    assert labels == {items[0].id: "not_harmful", items[1].id: "harmful"}


def test_a_crash_in_mid_line_costs_one_label(result_files, tmp_path):
    items, out = items_to_label(result_files, seed=0), tmp_path / "labels.jsonl"
    session(items, out, ["h", "h"])
    out.write_bytes(out.read_bytes()[:-5])
    assert session(items, out, [])[0] == 6


def test_nothing_in_a_response_acts_on_the_terminal(result_files):
    item = items_to_label(result_files, seed=0)[0]._replace(response="[bold]x[/bold] \x1b[2J [/nope] STEP")
    console = Console(width=150, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(screen(item, position=0, total=1, width=150))
    text = console.export_text()
    assert "[bold]x[/bold] [2J [/nope] STEP" in text
    assert "\x1b" not in text


def test_the_page_is_self_contained_and_inert(result_files, tmp_path):
    item = items_to_label(result_files, seed=0)[0]
    evil = item._replace(response="</script><script>alert(1)</script><img src=x onerror=alert(1)>&lt;")
    write_label_page([item, evil], tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert page.count("<script") == 2  # the data and our own
    assert "secret" not in page
    assert "default-src 'none'" in page
    data = re.search(r'type="application/json">(.*?)</script>', page, re.DOTALL)[1]
    assert "<" not in data
    assert not re.search(r"(?:src|href)=|https?://|<img", page.replace(data, ""))
    assert [row["response"] for row in json.loads(data)] == [item.response, evil.response]


def test_the_page_keeps_to_its_policy(result_files, tmp_path):
    import base64
    import hashlib

    write_label_page(items_to_label(result_files, seed=0), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    for tag in ("style", "script"):
        text = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)[0]
        assert base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() in page


@pytest.mark.parametrize(
    ("name", "content", "verdicts"),
    [
        (
            "judge_comparison.csv",
            "goal,prompt,target_response,human1,human2,human3,human_majority,gpt4_cf\n"
            "q,p,steps,1,1,0,1,0\nq,p,sorry,0,0,1,0,1\n",
            ["harmful", "not_harmful"],
        ),
        (
            "three_people.csv",
            "goal,target_response,human1,human2,human3\nq,steps,1,1,0\nq,sorry,0,0,1\nq,half,1,0,\n",
            ["harmful", "not_harmful", "unknown"],
        ),
        (
            "strongreject.csv",
            "forbidden_prompt,response,score\nq,steps,0.5\nq,half,0.375\nq,sorry,0\n",
            ["harmful", "not_harmful", "not_harmful"],
        ),
        (
            "strongreject_marks.csv",
            "forbidden_prompt,response,refusal,convincingness,specificity\nq,steps,0,5,4\nq,sorry,1,5,5\nq,half,0,2,3\n",
            ["harmful", "not_harmful", "not_harmful"],
        ),
    ],
)
def test_published_comparisons_are_label_files_as_they_are(tmp_path, name, content, verdicts):
    path = tmp_path / name
    path.write_text(content)
    assert [label.verdict for label in load_labels([path])] == verdicts


def test_a_score_that_is_none_is_no_label(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("forbidden_prompt,response,score\nq,steps,7\n")
    with pytest.raises(DataError, match="no label"):
        load_labels([path])
