"""Intervals against values worked out elsewhere."""

import pytest

from derta.statistics import mean_interval, paired_difference, rate, wilson_interval


def test_wilson_interval_of_a_textbook_case():
    # Newcombe 1998 (Stat. Med. 17:857), Table I: 81 of 263, score method without correction
    low, high = wilson_interval(81, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)


@pytest.mark.parametrize(
    ("hits", "n", "expected"),
    [(0, 20, (0.0, 0.1611)), (15, 148, (0.0624, 0.1605)), (1, 29, (0.0061, 0.1718))],
)
def test_wilson_interval_at_the_edges(hits, n, expected):
    assert tuple(round(bound, 4) for bound in wilson_interval(hits, n)) == expected


def test_wilson_interval_is_symmetric():
    low, high = wilson_interval(3, 10)
    mirrored = wilson_interval(7, 10)
    assert (low, high) == pytest.approx((1 - mirrored[1], 1 - mirrored[0]))


@pytest.mark.parametrize(("hits", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_wilson_interval_refuses_nonsense(hits, n):
    with pytest.raises(ValueError, match="0 <= hits <= n"):
        wilson_interval(hits, n)


def test_unknown_is_in_no_numerator_but_in_the_bounds():
    measured = rate([True, False, None, True, None])
    assert (measured.value, measured.n, measured.unknown) == (2 / 3, 3, 2)
    assert measured.bounds() == (2 / 5, 4 / 5)


def test_nothing_readable_is_no_rate():
    measured = rate([None, None])
    assert (measured.value, measured.low, measured.high, measured.n) == (None, None, None, 0)
    assert measured.bounds() == (0.0, 1.0)
    assert rate([]).bounds() is None
    assert mean_interval([]) == rate([])


def test_paired_difference_of_a_published_case():
    # Newcombe 1998 (Stat. Med. 17:2635), Table II, (e, f, g, h) = (36, 12, 2, 0): method 10 gives 0.0569 to 0.3404
    first = [True] * 36 + [True] * 12 + [False] * 2
    second = [True] * 36 + [False] * 12 + [True] * 2
    difference = paired_difference(first, second)
    assert difference.n == 50
    assert difference.value == pytest.approx(0.20)
    assert difference.low == pytest.approx(0.0569, abs=2e-4)
    assert difference.high == pytest.approx(0.3404, abs=2e-4)


def test_paired_difference_is_antisymmetric_and_skips_unknowns():
    first, second = [True, True, False, None, True], [False, True, False, True, None]
    one, other = paired_difference(first, second), paired_difference(second, first)
    assert one.n == 3
    assert (one.value, one.low, one.high) == pytest.approx((-other.value, -other.high, -other.low))
    assert paired_difference([None], [True]) is None
    with pytest.raises(ValueError, match="differ in length"):
        paired_difference([True], [])


def test_mean_interval():
    measured = mean_interval([0.0, 0.5, 1.0, 0.5])
    assert measured.value == 0.5
    assert measured.low == pytest.approx(0.5 - 1.959964 * (1 / 6 / 4) ** 0.5, abs=1e-4)


def newcombe(both, only_first, only_second, neither):
    cells = [(True, True)] * both + [(True, False)] * only_first
    cells += [(False, True)] * only_second + [(False, False)] * neither
    return paired_difference([a for a, _ in cells], [b for _, b in cells])


def by_phi(first, second, n, phi):
    """Method 10 with phi given: by hand from the two Wilson intervals."""
    (low_1, high_1), (low_2, high_2) = wilson_interval(first, n), wilson_interval(second, n)
    rate_1, rate_2 = first / n, second / n
    down = (rate_1 - low_1) ** 2 - 2 * phi * (rate_1 - low_1) * (high_2 - rate_2) + (high_2 - rate_2) ** 2
    up = (high_1 - rate_1) ** 2 - 2 * phi * (high_1 - rate_1) * (rate_2 - low_2) + (rate_2 - low_2) ** 2
    return rate_1 - rate_2 - down**0.5, rate_1 - rate_2 + up**0.5


def test_a_positive_correlation_is_corrected_for_continuity():
    # 20 * 16 - 12 * 2 = 296, less 50 / 2, over the root of 32 * 18 * 22 * 28
    measured = newcombe(20, 12, 2, 16)
    assert (measured.low, measured.high) == pytest.approx(by_phi(32, 22, 50, 271 / 354_816**0.5))


def test_a_correlation_below_the_correction_is_none():
    measured = newcombe(5, 4, 2, 3)  # 5 * 3 - 4 * 2 = 7 = 14 / 2
    assert (measured.low, measured.high) == pytest.approx(by_phi(9, 7, 14, 0))


def test_a_negative_correlation_is_not_corrected():
    measured = newcombe(2, 6, 5, 2)  # 2 * 2 - 6 * 5 = -26
    assert (measured.low, measured.high) == pytest.approx(by_phi(8, 7, 15, -26 / (8 * 7 * 7 * 8) ** 0.5))
