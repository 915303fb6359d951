"""At the edge of `max_length`, token by token: what fits, what is cut, what has room for its end."""

import numpy as np
import pytest

from derta.encode.chat import ChatRenderer
from derta.encode.fitting import RowReport, fits
from derta.encode.refusal_token import resolve_refusal_token
from derta.encode.row import Objective
from derta.encode.settings import PrefixSettings, RowSettings, RtoSettings
from derta.encode.units import BENIGN, PREFIX, RTO, EncodedPair, EncodedTriple, Unit
from derta.methods import METHODS

END, LIMIT = 0, 16
[DERTA] = METHODS["derta"].units


@pytest.fixture
def refusal(tiny_tokenizer):
    return resolve_refusal_token(ChatRenderer.of(tiny_tokenizer))


def ids(count, first):
    return np.arange(first, first + count, dtype=np.int32)


def pair(prompt, response):
    return Unit(BENIGN, EncodedPair("b", ids(prompt, 100), ids(response, 200)))


def triple(kind, prompt, safe, harmful):
    return Unit(kind, EncodedTriple("t", ids(prompt, 100), ids(harmful, 300), (ids(safe, 200),) * 3))


def row_settings(**changes):
    return RowSettings(max_length=LIMIT, prefix=PrefixSettings(k="uniform"), **changes)


def rows(unit, refusal, settings, epoch=0, shared_trunk=False):
    return unit.make_rows(epoch, settings, refusal, END, shared_trunk=shared_trunk)


def told(unit, settings):
    """(whether it is used, what the report says is dropped, what is cut)."""
    report = RowReport()
    return fits(unit, settings, report), dict(report.dropped), dict(report.cut)


@pytest.mark.parametrize("on_long", ["drop", "cut"])
def test_a_response_fits_to_the_last_token_with_its_end(refusal, on_long):
    unit, settings = pair(6, 9), row_settings(on_long=on_long)
    assert told(unit, settings) == (True, {}, {})
    [row] = rows(unit, refusal, settings)
    assert len(row) == LIMIT
    assert row.target_ids.tolist() == [*range(200, 209), END]


def test_one_token_more_has_no_room_for_the_end(refusal):
    unit = pair(6, 10)
    reason = {f"benign: longer than {LIMIT} tokens, its end would be lost": 1}
    assert told(unit, row_settings()) == (False, reason, {})
    settings = row_settings(on_long="cut")
    assert told(unit, settings) == (True, {}, {"benign: end of the response": 1})
    [row] = rows(unit, refusal, settings)
    assert len(row) == LIMIT
    assert row.target_ids.tolist() == list(range(200, 210)), "every token that stands in the row, and no end"
    assert row.subtree_end.tolist() == [LIMIT] * LIMIT


def test_a_prompt_leaves_at_least_one_label(refusal):
    settings = row_settings(on_long="cut")
    [row] = rows(pair(LIMIT - 1, 3), refusal, settings)
    assert row.target_ids.tolist() == [200]
    assert told(pair(LIMIT - 1, 3), settings)[0]
    assert told(pair(LIMIT, 3), settings) == (
        False,
        {f"benign: prompt alone fills {LIMIT} tokens, no label is left": 1},
        {},
    )


@pytest.mark.parametrize("kind", [PREFIX, DERTA])
def test_a_safe_response_with_its_end_fits_or_the_triple_is_dropped(refusal, kind):
    settings = row_settings()
    whole = triple(kind, 6, 9, 5)
    assert told(whole, settings)[0]
    for epoch in range(5):
        row = rows(whole, refusal, settings, epoch)[0]
        assert row.input_ids.tolist() == [*range(100, 106), *range(200, 209), END], (
            "no room for a prefix: k = 0"
        )
    reason = {f"{kind.name}: prompt and safe response exceed {LIMIT} tokens": 1}
    assert told(triple(kind, 6, 10, 5), settings) == (False, reason, {})


@pytest.mark.parametrize(("harmful", "most"), [(20, 6), (6, 6), (5, 5)])
def test_a_prefix_takes_all_the_room_that_the_safe_response_and_its_end_leave(refusal, harmful, most):
    """6 tokens of prompt, 3 of safe response, its end: 6 are left of 16."""
    unit = triple(PREFIX, 6, 3, harmful)
    lengths = set()
    for epoch in range(60):
        [row] = rows(unit, refusal, row_settings(), epoch)
        assert row.target_ids.tolist() == [200, 201, 202, END]
        lengths.add(int(row.is_harmful.sum()))
    assert lengths == set(range(most + 1))


def test_a_harmful_response_is_cut_at_the_limit_and_not_before(refusal):
    settings = row_settings()
    assert told(triple(RTO, 6, 3, 10), settings) == (True, {}, {})
    assert told(triple(RTO, 6, 3, 11), settings) == (True, {}, {"rto: end of the harmful response": 1})
    for harmful in (10, 11):
        [row] = rows(triple(RTO, 6, 3, harmful), refusal, settings)
        assert row.input_ids[6:].tolist() == list(range(300, 310))
        assert row.predict_at.tolist() == list(range(5, 15))


@pytest.mark.parametrize("shared_trunk", [False, True])
@pytest.mark.parametrize(("harmful", "labels"), [(9, 10), (10, 11), (11, 10), (30, 10)])
def test_the_end_of_text_is_labelled_only_where_the_response_ends(refusal, harmful, labels, shared_trunk):
    """A response that was cut does not end where its row ends."""
    settings = row_settings(rto=RtoSettings(end_of_text=True))
    made = rows(triple(DERTA, 6, 3, harmful), refusal, settings, shared_trunk=shared_trunk)
    entries = sum(int((row.objective == Objective.RTO).sum()) for row in made)
    assert entries == labels
