"""What fits a row, to the token: prompt, response, and the end that is learned."""

from dataclasses import replace

import pytest

from derta.encode.row import Objective
from derta.errors import DataError
from encode.test_row_set import BENIGN, TRIPLES, all_rows
from encode.test_row_set import build as build  # a fixture


def length_of(build, row_id, **changes):
    rows, _ = build("derta", max_length=256, **changes)
    return len(next(row for row in all_rows(rows) if row.row_id == row_id))


@pytest.mark.parametrize("on_long", ["drop", "cut"])
@pytest.mark.parametrize("room", [0, -1])
def test_a_pair_that_fits_to_the_token_is_whole_and_one_token_less_is_not(build, on_long, room):
    whole = length_of(build, "benign:b0")  # q r END
    rows, report = build(
        "derta", benign=BENIGN[:1], max_length=whole + room, on_long=on_long, max_dropped_rate=1.0
    )
    kept = [row for row in all_rows(rows) if row.row_id == "benign:b0"]
    if room == 0:
        assert [len(row) for row in kept] == [whole]
        assert kept[0].target_ids[-1] == rows.end_id
        assert not {name for name in [*report.cut, *report.dropped] if name.startswith("benign")}
    elif on_long == "drop":
        assert not kept
    else:
        assert [len(row) for row in kept] == [whole - 1]
        assert rows.end_id not in kept[0].target_ids
        assert report.cut["benign: end of the response"] == 1


def test_a_prompt_leaves_room_for_one_label_or_is_dropped(build):
    rows, _ = build("derta", benign=BENIGN[:1], max_length=256)
    [row] = [row for row in all_rows(rows) if row.row_id == "benign:b0"]
    prompt = len(row) - len(row.target_ids)
    changes = {"benign": BENIGN[:1], "on_long": "cut", "max_dropped_rate": 1.0}
    rows, _ = build("derta", max_length=prompt + 1, **changes)
    [row] = [row for row in all_rows(rows) if row.row_id == "benign:b0"]
    assert len(row.target_ids) == 1
    _, report = build("derta", max_length=prompt, **changes)
    assert report.dropped[f"benign: prompt alone fills {prompt} tokens, no label is left"] == 1


@pytest.mark.parametrize("room", [0, 1, -1])
def test_k_leaves_exactly_the_room_for_the_safe_response_and_its_end(build, room):
    """At k = 0 the prefix row is q r END; with `room` tokens more, k is at most that."""
    rows, _ = build("derta", max_length=256, benign=[])
    safe_rows = [row for row in all_rows(rows) if row.row_id.startswith("prefix:")]
    bare = max(len(row) - int(row.is_harmful.sum()) for row in safe_rows)
    rows, report = build(
        "derta", max_length=bare + room, benign=[], max_dropped_rate=1.0, prefix={"k": "uniform"}
    )
    lengths = {
        int(row.is_harmful.sum())
        for epoch in range(12)
        for row in all_rows(rows, epoch)
        if (row.objective == Objective.PREFIX).any() and len(row) - int(row.is_harmful.sum()) == bare
    }
    if room < 0:
        assert any("prompt and safe response exceed" in reason for reason in report.dropped)
        assert not lengths
    else:
        assert lengths == set(range(room + 1))


@pytest.mark.parametrize(
    "thought", ["<think>Wax melts.</think>\nFold it.", "[THINK]Wax.[/THINK]Fold it.", "Wax.</think> Fold."]
)
def test_a_response_that_thinks_aloud_is_dropped_with_its_reason_never_learned_as_text(build, thought):
    pairs = [replace(BENIGN[0], id="loud", response=thought), *BENIGN]
    triples = [replace(TRIPLES[0], harmful_response=thought), *TRIPLES[1:]]
    rows, report = build("derta", triples=triples, benign=pairs, max_dropped_rate=0.5)
    names = [row.row_id for row in all_rows(rows)]
    assert not [name for name in names if name.endswith(":loud") or name.endswith(":t0")]
    assert [reason.split(":")[0] for reason in report.dropped if "thinks aloud" in reason]
    assert sum(report.dropped.values()) + sum(report.used.values()) == sum(report.given.values())
    with pytest.raises(DataError, match=r"thinks aloud; .* the first: loud"):
        build("derta", benign=pairs)


def test_a_mark_that_is_no_thought_stays(build):
    talk = replace(BENIGN[0], id="talk", response="The tag is written think, in sharp brackets.")
    rows, _ = build("derta", benign=[talk])
    assert "benign:talk" in [row.row_id for row in all_rows(rows)]
