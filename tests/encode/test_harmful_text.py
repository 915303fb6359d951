"""What a row would teach of a harmful response, found by its text: against the definition, entry by entry."""

import random
from itertools import pairwise

import numpy as np
import pytest

from derta.encode.harmful_text import WINDOW, HarmfulText, check_against_triple, learned_runs
from derta.encode.row import Objective, Row, plain_row
from derta.encode.units import EncodedTriple
from derta.errors import HarmfulTargetError

PROMPT, HARMFUL, SAFE, END = [1, 2], [5, 6, 5, 7, 6, 8, 9], [10, 11], 0
REFUSAL = frozenset({10})


def triple(harmful=HARMFUL, safe=SAFE):
    return EncodedTriple(
        id="t",
        prompt_ids=np.array(PROMPT, dtype=np.int32),
        safe_ids=tuple(np.array(ids, dtype=np.int32) for ids in (safe, SAFE, SAFE)),
        harmful_ids=np.array(harmful, dtype=np.int32),
    )


def tree_row(rng, objectives):
    """A random tree of few ids, many of them the prompt's and the harmful response's; some tokens are targets."""
    text = [*PROMPT, *HARMFUL]
    parents, ids = [-1], [text[0]]
    for index in range(1, rng.randint(4, 24)):
        line = [index - 1]  # depth-first: a parent is the last token or one above it
        while parents[line[-1]] >= 0:
            line.append(parents[line[-1]])
        parent = line[0] if rng.random() < 0.85 else rng.choice(line)
        depth = len(path(parents, parent))
        ids.append(text[depth] if depth < len(text) and rng.random() < 0.85 else rng.choice([5, 6, 10]))
        parents.append(parent)
    ends = [max(i for i in range(len(ids)) if key in path(parents, i)) + 1 for key in range(len(ids))]
    targets = [i for i in range(1, len(ids)) if rng.random() < 0.8] or [1]
    return parents, Row(
        row_id="x",
        input_ids=np.array(ids, dtype=np.int32),
        position_ids=np.array([len(path(parents, i)) - 1 for i in range(len(ids))], dtype=np.int32),
        subtree_end=np.array(ends, dtype=np.int32),
        is_harmful=np.zeros(len(ids), dtype=np.bool_),
        predict_at=np.array([parents[i] for i in targets], dtype=np.int32),
        target_ids=np.array([ids[i] for i in targets], dtype=np.int32),
        target_index=np.array(targets, dtype=np.int32),
        weight=np.ones(len(targets), dtype=np.float32),
        objective=np.array([rng.choice(objectives) for _ in targets], dtype=np.uint8),
    )


def path(parents, index):
    """A token and those above it, the root first."""
    found = []
    while index >= 0:
        found.append(index)
        index = parents[index]
    return found[::-1]


def taught(parents, row):
    """Entries that teach the harmful response's next token behind its own beginning, by the definition."""
    text, found = [*PROMPT, *HARMFUL], []
    for at, target in zip(row.predict_at, row.target_ids, strict=True):
        before = [int(row.input_ids[i]) for i in path(parents, int(at))]
        where = len(before)
        is_next = len(PROMPT) <= where < len(text) and before == text[:where] and target == text[where]
        found.append(bool(is_next and target not in REFUSAL))
    return found


@pytest.mark.parametrize("block", range(4))
def test_by_context_a_row_is_refused_exactly_where_it_teaches_the_response(block):
    refused = 0
    for seed in range(100 * block, 100 * block + 100):
        parents, row = tree_row(random.Random(seed), [Objective.SAFE, Objective.PREFIX])
        count = sum(taught(parents, row))
        if count < min(WINDOW, 4):
            check_against_triple(row, triple(), REFUSAL)
            continue
        refused += 1
        with pytest.raises(HarmfulTargetError, match=f": {count} supervised targets"):
            check_against_triple(row, triple(), REFUSAL)
    assert 5 < refused < 95


def test_runs_are_targets_that_follow_each_other():
    for seed in range(200):
        parents, row = tree_row(random.Random(seed), [Objective.SAFE, Objective.RTO])
        runs = [row.target_index[run].tolist() for run in learned_runs(row)]
        learned = sorted(row.target_index[row.objective != Objective.RTO].tolist())
        assert sorted(index for run in runs for index in run) == learned
        for run in runs:
            assert all(parents[later] == earlier for earlier, later in pairwise(run))
        starts = {run[0] for run in runs}
        ends = {run[-1] for run in runs}
        assert not [start for start in starts if parents[start] in ends and parents[start] == start - 1]


@pytest.mark.parametrize(
    ("harmful", "learned", "refused"),
    [(3, 1, False), (3, 2, True), (2, 1, True), (9, 4, False), (9, 5, True)],
)
def test_of_a_short_response_half_is_too_much(harmful, learned, refused):
    ids = list(range(20, 20 + harmful))
    row = plain_row("x", PROMPT, [*ids[:learned], 3], END, Objective.SAFE)
    if not refused:
        return check_against_triple(row, triple(ids), REFUSAL)
    with pytest.raises(HarmfulTargetError, match=f"{learned} supervised targets"):
        check_against_triple(row, triple(ids), REFUSAL)


def test_a_safe_response_may_go_on_as_the_harmful_one_does():
    ids = list(range(20, 28))
    row = plain_row("x", PROMPT, ids, END, Objective.SAFE)
    check_against_triple(row, triple(ids, safe=ids), REFUSAL)


def test_a_row_of_a_triple_is_not_benign():
    row = plain_row("x", PROMPT, SAFE, END, Objective.BENIGN)
    with pytest.raises(HarmfulTargetError, match="with objective BENIGN"):
        check_against_triple(row, triple(), REFUSAL)


@pytest.mark.parametrize(("learned", "refused"), [(WINDOW - 1, False), (WINDOW, True), (WINDOW + 2, True)])
def test_by_text_a_window_of_harm_is_refused_wherever_it_stands(learned, refused):
    ids = list(range(20, 30))
    text = HarmfulText([triple([31, 32]), triple(ids), triple(list(range(40, 50)))], END)
    row = plain_row("x", [7, 7, 7], [3, *ids[2 : 2 + learned], 4], END, Objective.SAFE)
    if not refused:
        return text.check(row)
    with pytest.raises(HarmfulTargetError, match=f"{learned} supervised targets.*predicts id 22"):
        text.check(row)


def test_by_text_what_a_safe_response_says_too_is_free_and_benign_rows_pass():
    ids = list(range(20, 30))
    shared = plain_row("x", [7], ids, END, Objective.PREFIX)
    HarmfulText([triple(ids, safe=ids)], END).check(shared)
    text = HarmfulText([triple(ids)], END)
    text.check(plain_row("x", [7], ids, END, Objective.BENIGN))
    with pytest.raises(HarmfulTargetError):
        text.check(shared)
    HarmfulText([], END).check(shared)
