"""The rivals' rows against label tables written by hand: q = 1 2, h = 5 6 7 4, r = 8 9, S = 8, END = 0."""

from types import SimpleNamespace

import numpy as np
import pytest

from derta.encode.harmful_text import HarmfulText, check_against_pair, check_against_triple
from derta.encode.refusal_token import RefusalToken
from derta.encode.row import Objective, check_never_learn_harm, plain_row
from derta.encode.row_set import RowSet
from derta.encode.settings import RowSettings
from derta.encode.units import BENIGN, DrawnPair, DrawnTriple, EncodedPair, EncodedTriple, Unit
from derta.errors import HarmfulTargetError
from derta.methods import METHODS, counter, deep, end, insertion
from training_world import log_of, make_world, run, settings

END, S, N = 0, 8, -100
RIVALS = [name for name, method in METHODS.items() if method.role == "rival"]


def ids(*values):
    return np.array(values, dtype=np.int32)


REFUSAL = RefusalToken("Sorry", S, 3, 3, "start", SimpleNamespace(piece=lambda i: "Sorry"))
SAFE = ids(8, 9)
TRIPLE = EncodedTriple("t", ids(1, 2), ids(5, 6, 7, 4), (SAFE, SAFE, SAFE))
PAIR = EncodedPair("b", ids(1, 3), ids(6, 5))


def drawn(epoch=0, record=TRIPLE, **changes):
    return DrawnTriple(record, epoch, RowSettings(**changes), REFUSAL, END)


def table(row):
    """(input, label) of every token, as docs/method.md writes them."""
    return list(zip(row.input_ids.tolist(), row.labels(), strict=True))


def over_epochs(rows, number=400, **changes):
    """The row of each epoch, proved as a run proves it."""
    made = []
    for epoch in range(number):
        [row] = rows(drawn(epoch, **changes))
        check_never_learn_harm(row, REFUSAL.ids | {END})
        check_against_triple(row, TRIPLE, REFUSAL.ids | {END})
        HarmfulText([TRIPLE], END).check(row)
        made.append(row)
    return made


def by_harm(rows):
    """The rows by how many harmful tokens they show."""
    return {int(row.is_harmful.sum()): row for row in rows}


def test_deep_table():
    found = by_harm(over_epochs(deep.rows))
    assert table(found[0]) == [(1, N), (2, N), (8, 8), (9, 9), (0, 0)]
    assert table(found[2]) == [(1, N), (2, N), (5, N), (6, N), (8, 8), (9, 9), (0, 0)]
    assert set(found) == {0, 1, 2, 3, 4}


def test_deep_draws_no_prefix_half_of_the_time_and_never_more_than_100_tokens():
    ks = [deep.draw_k(drawn(epoch)) for epoch in range(400)]
    assert 160 < ks.count(0) < 240
    long = EncodedTriple("t", ids(1, 2), np.arange(10, 600, dtype=np.int32), TRIPLE.safe_ids)
    ks = [deep.draw_k(drawn(epoch, long)) for epoch in range(600)]
    assert 90 < max(ks) <= 100
    assert min(k for k in ks if k) < 10


def test_insertion_table():
    rows = over_epochs(insertion.rows)
    found = {tuple(row.input_ids.tolist()): table(row) for row in rows}
    # j = 1, a = 1, m = 2: the span stands inside the refusal, which goes on
    assert found[1, 2, 8, 6, 7, 9, 0] == [(1, N), (2, N), (8, N), (6, N), (7, N), (9, 9), (0, 0)]
    # j = |r|: only the end is left; j = 0: a harmful prefix from the middle
    assert found[1, 2, 8, 9, 5, 0] == [(1, N), (2, N), (8, N), (9, N), (5, N), (0, 0)]
    assert found[1, 2, 7, 4, 8, 9, 0] == [(1, N), (2, N), (7, N), (4, N), (8, 8), (9, 9), (0, 0)]
    assert all(1 <= row.is_harmful.sum() <= 4 for row in rows)


def test_end_table():
    [row] = end.rows(drawn())
    assert table(row) == [(1, N), (2, N), (5, N), (6, END), (7, END), (4, END)]
    kept = [end.rows(drawn(epoch, rto={"keep_rate": 0.05}))[0] for epoch in range(100)]
    assert all(len(row.predict_at) for row in kept)
    assert all(1 not in row.predict_at for row in kept)  # the first word of an answer stays the refusal's


def test_counter_table():
    refusals = (ids(8, 9, 4),)
    made = [counter.benign_row(DrawnPair(PAIR, epoch, RowSettings(), END, refusals)) for epoch in range(400)]
    for row in made:
        check_against_pair(row, PAIR, END)
    found = {len(row): table(row) for row in made}
    assert found[5] == [(1, N), (3, N), (6, 6), (5, 5), (0, 0)]
    assert found[7] == [(1, N), (3, N), (8, N), (9, N), (6, 6), (5, 5), (0, 0)]
    assert set(found) == {5, 6, 7, 8}
    assert 60 < sum(len(row) > 5 for row in made) < 140  # a quarter


def test_a_row_of_a_benign_pair_teaches_that_pair_only():
    wrong = plain_row("x", ids(1, 3), ids(6, 7), END, Objective.BENIGN)
    with pytest.raises(HarmfulTargetError, match="something else than the pair's response"):
        check_against_pair(wrong, PAIR, END)
    kind = counter.METHOD.units[-1]
    unit = Unit(kind, PAIR)
    rows = RowSet([unit], RowSettings(), REFUSAL, END, HarmfulText([], END), refusals=[SAFE])
    assert rows.rows(0, 0)
    forged = Unit(type(kind)("forged", kind.rows, make_benign=lambda pair: wrong), PAIR)
    with pytest.raises(HarmfulTargetError):
        RowSet([forged], RowSettings(), REFUSAL, END, HarmfulText([], END)).rows(0, 0)


def test_the_end_is_allowed_along_harm_for_its_method_alone():
    def allowed(kind, record):
        return RowSet([Unit(kind, record)], RowSettings(), REFUSAL, END, HarmfulText([], END)).allowed

    assert END in allowed(end.METHOD.units[-1], TRIPLE)
    assert END not in allowed(METHODS["rto"].units[-1], TRIPLE)
    assert END not in allowed(BENIGN, PAIR)


@pytest.mark.parametrize("longest", [8, 9])
@pytest.mark.parametrize("rows", [deep.rows, insertion.rows])
def test_a_short_max_length_shortens_the_harm_and_never_the_refusal(rows, longest):
    for row in over_epochs(rows, 60, max_length=longest):
        assert len(row) <= longest
        assert row.target_ids[-1] == END


@pytest.mark.parametrize("name", RIVALS)
def test_a_rival_trains_at_deRTas_budget(tmp_path, tiny_tokenizer, name):
    world = make_world(tmp_path, tiny_tokenizer)
    training = {"learning_rate": 1e-3, "max_steps": 1, "logging_steps": 1, "save_steps": 1}
    run(settings(world, method=name, training=training))
    assert "loss_benign" in log_of(world / "run")[0]
    counts = METHODS[name].triples_per_n
    assert counts == 1
    assert METHODS[name].source
