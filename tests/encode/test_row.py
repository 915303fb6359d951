"""Every label by hand: for each objective all ids, positions, targets of a tiny row."""

import dataclasses

import numpy as np
import pytest

from derta.encode.row import (
    IGNORE_INDEX,
    Branch,
    Objective,
    check_never_learn_harm,
    plain_row,
    prefix_row,
    rto_row,
    trunk_row,
)
from derta.errors import HarmfulTargetError

Q, H, R, END, SORRY = [1, 2], [5, 6, 7], [8, 9], 0, 8
X = IGNORE_INDEX


def entries(row):
    """(predict_at, target, objective) of every entry, in order."""
    return list(zip(row.predict_at.tolist(), row.target_ids.tolist(), row.objective.tolist(), strict=True))


def test_plain_row_trains_the_response_and_its_end():
    row = plain_row("a", Q, R, END, Objective.SAFE)
    assert row.input_ids.tolist() == [1, 2, 8, 9, 0]
    assert row.position_ids.tolist() == [0, 1, 2, 3, 4]
    assert row.subtree_end.tolist() == [5, 5, 5, 5, 5]
    assert row.is_harmful.tolist() == [False] * 5
    assert entries(row) == [(1, 8, 1), (2, 9, 1), (3, 0, 1)]
    assert row.labels() == [X, X, 8, 9, 0]


@pytest.mark.parametrize(
    ("k", "input_ids", "labels"),
    [
        (0, [1, 2, 8, 9, 0], [X, X, 8, 9, 0]),
        (1, [1, 2, 5, 8, 9, 0], [X, X, X, 8, 9, 0]),
        (3, [1, 2, 5, 6, 7, 8, 9, 0], [X, X, X, X, X, 8, 9, 0]),
    ],
)
def test_prefix_row_never_trains_the_prefix(k, input_ids, labels):
    row = prefix_row("a", Q, H[:k], R, END)
    assert row.input_ids.tolist() == input_ids
    assert row.labels() == labels
    assert row.is_harmful.tolist() == [False] * 2 + [True] * k + [False] * 3
    assert set(row.objective.tolist()) == {Objective.PREFIX}


@pytest.mark.parametrize(
    ("kept", "labels"),
    [
        ([0, 1, 2], [X, X, 8, 8, 8]),  # keep rate 100 %: the label AT h_t is predicted from q, h[:t-1]
        ([1], [X, X, X, 8, X]),  # a keep rate that left one position
    ],
)
def test_rto_row_labels_kept_positions_with_the_refusal_token(kept, labels):
    row = rto_row("a", Q, H, [SORRY] * 3, kept)
    assert row.input_ids.tolist() == [1, 2, 5, 6, 7]
    assert row.labels() == labels
    assert set(row.objective.tolist()) == {Objective.RTO}
    assert row.is_harmful.tolist() == [False, False, True, True, True]


def test_rto_row_can_label_the_end_of_text_as_the_released_code_does():
    row = rto_row("a", Q, H, [SORRY] * 4, [0, 1, 2, 3])
    assert entries(row) == [(1, 8, 3), (2, 8, 3), (3, 8, 3), (4, 8, 3)]


def test_rto_labels_can_differ_by_context():
    row = rto_row("a", Q, H, [8, 11, 12], [0, 1, 2])
    assert row.labels() == [X, X, 8, 11, 12]


@pytest.mark.parametrize(
    ("k", "input_ids", "positions", "ends", "prefix", "rto_at"),
    [
        (
            0,
            [1, 2, 8, 9, 0, 5, 6, 7],
            [0, 1, 2, 3, 4, 2, 3, 4],
            [8, 8, 5, 5, 5, 8, 8, 8],
            [1, 2, 3],
            [1, 5, 6],
        ),
        (
            1,
            [1, 2, 5, 8, 9, 0, 6, 7],
            [0, 1, 2, 3, 4, 5, 3, 4],
            [8, 8, 8, 6, 6, 6, 8, 8],
            [2, 3, 4],
            [1, 2, 6],
        ),
        (
            3,
            [1, 2, 5, 6, 7, 8, 9, 0],
            [0, 1, 2, 3, 4, 5, 6, 7],
            [8, 8, 8, 8, 8, 8, 8, 8],
            [4, 5, 6],
            [1, 2, 3],
        ),
    ],
)
def test_trunk_row_holds_both_targets_of_the_junction(k, input_ids, positions, ends, prefix, rto_at):
    row = trunk_row("a", Q, H, rto=([SORRY] * 3, [0, 1, 2]), branches=[Branch(k, R, END)])
    assert row.input_ids.tolist() == input_ids
    assert row.position_ids.tolist() == positions
    assert row.subtree_end.tolist() == ends
    assert entries(row) == [
        *zip(prefix, [8, 9, 0], [Objective.PREFIX] * 3, strict=True),
        *zip(rto_at, [8, 8, 8], [Objective.RTO] * 3, strict=True),
    ]
    check_never_learn_harm(row, frozenset({SORRY}))


def test_two_branches_do_not_see_each_other():
    row = trunk_row("a", Q, H, rto=None, branches=[Branch(2, [9], END), Branch(1, [8], END)])
    #                                   q  q  h1 r  e  h2 r  e  h3
    assert row.input_ids.tolist() == [1, 2, 5, 8, 0, 6, 9, 0, 7]
    assert row.subtree_end.tolist() == [9, 9, 9, 5, 5, 9, 8, 8, 9]
    assert row.position_ids.tolist() == [0, 1, 2, 3, 4, 3, 4, 5, 4]


def test_a_trunk_row_has_no_labels_form():
    row = trunk_row("a", Q, H, rto=([SORRY] * 3, [0, 1, 2]), branches=[Branch(1, R, END)])
    with pytest.raises(ValueError, match="no `labels` form"):
        row.labels()


def test_a_harmful_token_as_its_own_label_is_refused():
    row = rto_row("bad", Q, H, [SORRY, 6, SORRY], [0, 1, 2])  # the label of h_2 is h_2 itself
    with pytest.raises(HarmfulTargetError, match=r"row bad: 1 supervised target.*predicts id 6"):
        check_never_learn_harm(row, frozenset({SORRY}))


def test_ordinary_training_on_a_harmful_response_is_refused():
    row = plain_row("bad", Q, H, END, Objective.SAFE)
    check_never_learn_harm(row, frozenset({SORRY}))  # as long as nobody says that it is harmful
    harmful = np.array([False, False, True, True, True, False])
    with pytest.raises(HarmfulTargetError, match="3 supervised target"):
        check_never_learn_harm(dataclasses.replace(row, is_harmful=harmful), frozenset({SORRY}))


def test_a_target_that_is_not_the_next_token_is_refused():
    row = plain_row("bad", Q, R, END, Objective.BENIGN)
    shifted = dataclasses.replace(row, target_ids=np.array([9, 9, 0], dtype=np.int32))
    with pytest.raises(HarmfulTargetError):
        check_never_learn_harm(shifted, frozenset({SORRY}))
