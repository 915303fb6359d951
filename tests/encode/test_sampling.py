from collections import Counter

import numpy as np
import pytest

from derta.encode.sampling import draw_kept_positions, draw_prefix_length, generator, seeded_order


def draws(most, rule, count=3000):
    return Counter(draw_prefix_length(generator(0, 0, str(i), "k"), most, rule) for i in range(count))


def test_draws_depend_on_nothing_but_their_key():
    first = generator(1, 2, "row", "k").random(5)
    np.random.seed(3)
    generator(1, 2, "other", "k").random(100)
    assert np.array_equal(first, generator(1, 2, "row", "k").random(5))
    for other in (generator(0, 2, "row", "k"), generator(1, 3, "row", "k"), generator(1, 2, "row", "keep")):
        assert not np.array_equal(first, other.random(5))


def test_uniform_k_covers_0_to_most_alike():
    counts = draws(3, "uniform", 4000)
    assert set(counts) == {0, 1, 2, 3}
    assert all(abs(count - 1000) < 120 for count in counts.values())


def test_thirds_gives_k_0_to_a_third():
    counts = draws(4, "thirds", 6000)
    assert set(counts) == {0, 1, 2, 3, 4}
    assert abs(counts[0] - 2000) < 150
    assert all(abs(counts[k] - 1000) < 120 for k in (1, 2, 3, 4))


@pytest.mark.parametrize("rule", ["uniform", "thirds"])
@pytest.mark.parametrize(("most", "possible"), [(0, {0}), (1, {0, 1}), (2, {0, 1, 2})])
def test_k_is_defined_for_tiny_responses(rule, most, possible):
    assert set(draws(most, rule, 300)) == possible


def test_keep_rate_1_keeps_every_position():
    assert draw_kept_positions(generator(0, 0, "a", "keep"), 5, 1.0).tolist() == [0, 1, 2, 3, 4]


def test_keep_rate_5_percent_keeps_about_so_many_and_never_none():
    kept = [draw_kept_positions(generator(0, 0, str(i), "keep"), 40, 0.05) for i in range(2000)]
    assert min(len(positions) for positions in kept) == 1
    assert all(len(set(p.tolist())) == len(p) and p.min() >= 0 and p.max() < 40 for p in kept)
    expected = 40 * 0.05 + (0.95**40)  # the row left with none gets one
    assert abs(np.mean([len(p) for p in kept]) - expected) < 0.15


def test_the_position_of_a_row_left_with_none_is_any_of_them():
    kept = [draw_kept_positions(generator(0, 0, str(i), "keep"), 3, 1e-9).tolist() for i in range(300)]
    assert {tuple(positions) for positions in kept} == {(0,), (1,), (2,)}


def test_order_depends_on_ids_and_seed_not_on_file_order():
    ids = [f"t{i}" for i in range(50)]
    first = [ids[i] for i in seeded_order(ids, 0, "triples")]
    reverse = ids[::-1]
    assert [reverse[i] for i in seeded_order(reverse, 0, "triples")] == first
    assert [ids[i] for i in seeded_order(ids, 1, "triples")] != first
