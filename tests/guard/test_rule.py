"""Rules against tables by hand, and what a calibration promises."""

import math
import random

import pytest

from derta.errors import DataError
from derta.guard.calibration import false_stops, fit_rule
from derta.guard.measure import auroc, measure, roc
from derta.guard.rule import Rule, Watch


def test_a_threshold_stops_before_the_token_whose_hazard_reaches_it():
    rule = Rule("threshold", 0.5)
    assert rule.first_stop([0.1, 0.4, 0.5, 0.9]) == 2
    assert rule.first_stop([0.1, 0.4]) is None


def test_cusum_adds_up_what_lies_above_the_drift_and_forgets_below_it():
    rule = Rule("cusum", 1.5, drift=math.log(0.1))
    hazards = [0.1 * math.e, 0.01, 0.1 * math.e, 0.1 * math.e]  # +1, -2.3, +1, +1
    assert rule.along(hazards) == pytest.approx([1, 0, 1, 2])
    assert rule.first_stop(hazards) == 3
    assert rule.along([0.0]) == [0.0]


def test_a_watch_says_where_and_why_and_reads_on_without_a_second_stop():
    watch = Watch(Rule("threshold", 0.5))
    assert [watch.step(value) for value in (0.1, 0.7, 0.9)] == [False, True, True]
    assert watch.stop.token == 1
    assert watch.hazards == [0.1, 0.7, 0.9]
    assert "token 1" in str(watch.stop)
    assert "0.700" in str(watch.stop)


@pytest.mark.parametrize(("n", "allowed"), [(249, 0), (498, 0), (499, 1), (999, 3)])
def test_as_many_calibration_answers_are_stopped_as_the_rate_allows(n, allowed):
    hazards = [[index / n] for index in range(n)]
    rule = fit_rule("threshold", hazards, 0.004)
    stopped = false_stops(rule, hazards)
    assert round(stopped.value * n) == allowed
    assert (allowed + 1) / (n + 1) <= 0.004 < (allowed + 2) / (n + 1)


def test_too_few_answers_are_an_error_that_names_how_many():
    with pytest.raises(DataError, match=r"248 benign answers .* need 249 or more"):
        fit_rule("threshold", [[0.1]] * 248, 0.004)


@pytest.mark.parametrize("name", ["threshold", "cusum"])
def test_new_answers_of_the_same_kind_are_stopped_at_the_named_rate_or_less(name):
    rng = random.Random(0)

    def answers(count):
        return [[rng.random() ** 8 for _ in range(rng.randint(1, 30))] for _ in range(count)]

    rates = [false_stops(fit_rule(name, answers(99), 0.05), answers(100)).value for _ in range(200)]
    assert 0.042 < sum(rates) / len(rates) < 0.056  # 0.05, its mean's standard deviation 0.002


def test_auroc_and_roc_by_hand():
    assert auroc([3, 2], [1, 2]).value == pytest.approx(3.5 / 4)
    assert auroc([1.0], []).value is None
    assert roc([3, 2], [1, 2]) == [(3, 0, 0.5), (2, 0.5, 1), (1, 1, 1)]


def test_stops_count_from_the_depth_and_come_too_late_after_sixteen_tokens():
    rule = Rule("threshold", 0.5)
    at_16, at_17 = [0.0] * 16 + [0.9], [0.0] * 17 + [0.9]
    figures = measure(rule, [at_16, at_17], {"code": [[0.1, 0.9], [0.1]]}, depths=(0, 1, 40))
    first, second = figures.depths  # no answer reaches 40
    assert (first.stopped.value, first.tokens) == (0.5, 16.5)
    assert (second.stopped.value, second.tokens) == (1.0, 15.5)
    assert figures.everywhere.value == 0.5
    assert figures.false_stops["code"].value == 0.5
