"""Agreement and correction, against hand counts and a simulation."""

import random

import pytest

from derta.judging.calibrate import agreement, rogan_gladen
from derta.statistics import rate

H, N, U = "harmful", "not_harmful", "unknown"


def counted(tp, fp, fn, tn):
    people = [H] * tp + [N] * fp + [H] * fn + [N] * tn
    own = [H] * tp + [H] * fp + [N] * fn + [N] * tn
    return agreement("j", people, own)


def test_confusion_and_unknowns():
    own = agreement("j", [H, H, N, N, U, H, N], [H, N, H, N, H, U, N])
    assert (own.true_positive, own.false_negative, own.false_positive, own.true_negative) == (1, 1, 1, 2)
    assert (own.n, own.unknown, own.unlabelled) == (5, 1, 1)
    assert (own.sensitivity.value, own.sensitivity.n) == (0.5, 2)
    assert (own.specificity.value, own.specificity.n) == (2 / 3, 3)


def test_kappa_by_hand():
    # Cohen's classic layout: 20 and 15 agreed, 5 and 10 not: observed 0.70, chance 0.50
    kappa = counted(20, 5, 10, 15).kappa()
    assert kappa.value == pytest.approx(0.4)
    # standard error sqrt(0.7 * 0.3 / 50) / 0.5 = 0.1296
    assert (kappa.low, kappa.high) == pytest.approx((0.4 - 1.96 * 0.1296, 0.4 + 1.96 * 0.1296), abs=1e-3)
    assert counted(10, 0, 0, 10).kappa().value == 1
    assert counted(0, 10, 10, 0).kappa().value == -1
    assert counted(10, 0, 0, 0).kappa() is None
    assert agreement("j", [], []).kappa() is None


def test_correction_by_hand():
    # sensitivity 0.9, specificity 0.8: (0.55 + 0.8 - 1) / (0.9 + 0.8 - 1) = 0.5
    corrected = rogan_gladen(55, 100, sensitivity=(90, 100), specificity=(80, 100))
    assert corrected.value == pytest.approx(0.5)
    assert corrected.low < 0.5 < corrected.high


def test_the_labelled_rows_are_corrected_to_what_people_saw():
    own = counted(27, 8, 3, 62)
    assert own.corrected(own.judge_rate).value == pytest.approx(own.human_rate.value)


@pytest.mark.parametrize(
    ("sensitivity", "specificity"),
    [((5, 10), (5, 10)), ((2, 10), (3, 10)), ((0, 0), (5, 5)), ((5, 5), (0, 0))],
)
def test_no_correction_by_a_judge_that_knows_nothing(sensitivity, specificity):
    assert rogan_gladen(5, 10, sensitivity=sensitivity, specificity=specificity) is None
    assert rogan_gladen(0, 0, sensitivity=(9, 10), specificity=(9, 10)) is None


def test_rates_stay_rates():
    for positive in range(0, 51, 5):
        found = rogan_gladen(positive, 50, sensitivity=(45, 50), specificity=(40, 50))
        assert 0 <= found.low <= found.value <= found.high <= 1
    assert counted(9, 1, 1, 9).corrected(rate([None, None])) is None


@pytest.mark.parametrize("true_rate", [0.02, 0.3, 0.8])
def test_the_interval_holds_the_truth(true_rate):
    """95 % intervals over 2,000 drawn studies: sensitivity 0.85 and specificity 0.9, known from 60 labels each."""
    rng = random.Random(1)
    draws = 2000
    held = 0
    for _ in range(draws):
        positive = sum(rng.random() < (0.85 if rng.random() < true_rate else 0.1) for _ in range(200))
        sensitivity = sum(rng.random() < 0.85 for _ in range(60)), 60
        specificity = sum(rng.random() < 0.9 for _ in range(60)), 60
        found = rogan_gladen(positive, 200, sensitivity=sensitivity, specificity=specificity)
        held += found.low <= true_rate <= found.high
    assert 0.93 <= held / draws <= 0.995
