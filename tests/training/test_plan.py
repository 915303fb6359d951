"""The global batch fixes the numbers; micro-batches and processes only share it out."""

from collections import Counter
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from derta.errors import RunError
from derta.training.plan import best_fit, plan_batches


@dataclass
class FakeRows:
    """Units of given row lengths; weight of a row = its length."""

    lengths: list

    def __post_init__(self):
        self.units = [
            SimpleNamespace(name=f"x:{i}", record=SimpleNamespace(id=str(i)), num_rows=len(rows))
            for i, rows in enumerate(self.lengths)
        ]
        self.settings = SimpleNamespace(seed=0)

    def __len__(self):
        return len(self.units)

    def sizes(self, index, epoch):
        return [(n, np.array([n, 0.0, 0.0, 0.0])) for n in self.lengths[index]]


def random_rows(count=100, seed=0):
    rng = np.random.default_rng(seed)
    return FakeRows([[int(n) for n in rng.integers(5, 60, size=1 + i % 3 // 2)] for i in range(count)])


def plan(rows, **changes):
    settings = {"num_epochs": 2, "batch_rows": 16, "micro_batch_tokens": 256, "line_tokens": None}
    return plan_batches(rows, **(settings | changes))


def rows_by_step(made):
    steps = {}
    for micro in made.micro_batches:
        steps.setdefault(micro.step, Counter()).update(ref for line in micro.lines for ref in line)
    return steps


def test_every_row_once_an_epoch():
    rows = random_rows()
    made = plan(rows)
    for epoch in (0, 1):
        seen = Counter(
            ref
            for micro in made.micro_batches
            if micro.epoch == epoch
            for line in micro.lines
            for ref in line
        )
        assert seen == Counter((u, n) for u in range(len(rows)) for n in range(len(rows.lengths[u])))


@pytest.mark.parametrize(
    "changes",
    [{"micro_batch_tokens": 64}, {"micro_batch_tokens": 1000}, {"world_size": 3}, {"line_tokens": 128}],
)
def test_the_same_global_batches_whatever_the_machine(changes):
    rows = random_rows()
    base, other = plan(rows), plan(rows, **changes)
    assert rows_by_step(base) == rows_by_step(other)
    weights = [{m.step: m.denominator for m in p.micro_batches} for p in (base, other)]
    assert weights[0] == weights[1]


def test_the_denominator_is_the_whole_steps_weight():
    rows = random_rows()
    made = plan(rows)
    for step, refs in rows_by_step(made).items():
        weight = sum(rows.lengths[u][n] for u, n in refs)
        assert {m.denominator for m in made.micro_batches if m.step == step} == {weight}


@pytest.mark.parametrize("world_size", [1, 2, 5])
def test_each_step_has_the_same_number_of_micro_batches(world_size):
    made = plan(random_rows(), world_size=world_size)
    counts = Counter(m.step for m in made.micro_batches)
    assert set(counts.values()) == {made.accumulation * world_size}
    assert [m.step for m in made.micro_batches] == sorted(m.step for m in made.micro_batches)


def test_micro_batches_fit_their_budget():
    rows = random_rows()
    made = plan(rows, micro_batch_tokens=128, line_tokens=100)
    for micro in made.micro_batches:
        lengths = [sum(rows.lengths[u][n] for u, n in line) for line in micro.lines]
        assert not lengths or max(lengths) * len(lengths) <= 128


def test_epochs_have_their_own_order_and_seeds_theirs():
    rows = random_rows()
    orders = [plan(rows, num_epochs=1).micro_batches[0].lines]
    second = plan(rows)
    orders.append(next(m for m in second.micro_batches if m.epoch == 1).lines)
    rows.settings.seed = 1
    orders.append(plan(rows, num_epochs=1).micro_batches[0].lines)
    assert len(set(orders)) == 3


def test_best_fit_is_tight():
    assert best_fit([5, 3, 4, 2, 6], 10) == [[4, 2], [0, 1, 3]]
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(5.6, 0.64, 2000), 8, 1024).astype(int).tolist()
    lines = best_fit(lengths, 4096)
    assert sorted(i for line in lines for i in line) == list(range(2000))
    assert sum(lengths) / (len(lines) * 4096) > 0.97


def test_max_steps_cuts_the_plan():
    assert plan(random_rows(), max_steps=3).num_steps == 3


def test_a_row_longer_than_a_micro_batch_is_named():
    with pytest.raises(RunError, match=r"record 1: a row of 300 tokens.*batch\.tokens = 256"):
        plan(FakeRows([[5], [300]]))


def test_no_rows_is_an_error():
    with pytest.raises(RunError, match="no row"):
        plan(FakeRows([]))


def test_a_row_may_fill_a_micro_batch_and_not_more():
    rows = FakeRows([[60], [20]])
    made = plan(rows, micro_batch_tokens=60)
    assert sum(len(line) for micro in made.micro_batches for line in micro.lines) == 4  # two rows, two epochs
    with pytest.raises(RunError, match=r"record 0: a row of 60 tokens does not fit batch\.tokens = 59"):
        plan(rows, micro_batch_tokens=59)
