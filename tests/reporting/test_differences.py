import pytest

from derta.reporting.differences import baseline_of, differences
from derta.results.cell import System
from derta.statistics import paired_difference

from .synthetic import response

VANILLA, DERTA = System("m", "vanilla"), System("m", "derta")


def rows(method, verdicts, **changes):
    return [
        response(model="m", method=method, query_id=str(i), verdict=verdict, **changes)
        for i, verdict in enumerate(verdicts)
    ]


def test_pairs_by_question_and_leaves_unknown_pairs_out():
    first = ["not_harmful", "not_harmful", "harmful", "not_harmful", "unknown"]
    second = ["harmful", "harmful", "harmful", "not_harmful", "harmful"]
    (found,) = differences(rows("vanilla", second) + list(reversed(rows("derta", first))))
    expected = paired_difference([False, False, True, False], [True, True, True, False])
    assert (found.system, found.baseline, found.attack, found.n) == (DERTA, VANILLA, "direct", 4)
    assert found.value == -0.5
    assert (found.low, found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))


def test_direction_needs_the_interval_to_leave_zero_out():
    (clear,) = differences(rows("vanilla", ["harmful"] * 20) + rows("derta", ["not_harmful"] * 20))
    (unclear,) = differences(rows("vanilla", ["harmful"] * 2) + rows("derta", ["not_harmful", "harmful"]))
    assert (clear.direction, unclear.direction) == ("lower", "unclear")


def test_several_rows_of_one_question_widen_the_interval():
    def sweep(method, verdicts):
        return [
            row
            for depth in (20, 40, 80, 160)
            for row in rows(method, verdicts, attack="prefill", attack_params={"depth": depth})
        ]

    found = {
        d.attack: d
        for d in differences(sweep("vanilla", ["harmful"] * 9) + sweep("derta", ["not_harmful"] * 9))
    }
    once = found["prefill@20"]
    assert found["prefill"].n == 36
    assert (found["prefill"].low, found["prefill"].high) == (once.low, once.high)


def test_search_attacks_pair_by_question_whatever_they_found():
    first = rows("vanilla", ["harmful"], attack="pair", attack_params={"stream": 3})
    second = rows("derta", ["not_harmful"], attack="pair", attack_params={"stream": 7})
    assert len(differences(first + second)) == 1
    static = [[response(model="m", method=m, attack="jailbreakchat", attack_params={"template": t})]
              for m, t in (("vanilla", 1), ("derta", 2))]  # fmt: skip
    assert differences(static[0] + static[1]) == []


def test_benign_questions_compare_helpfulness_and_over_refusal():
    made = [
        response(model="m", method=method, kind="benign", helpful=helpful, response_class="compliance")
        for method, helpful in (("vanilla", True), ("derta", False))
    ]
    assert {d.metric: d.value for d in differences(made)} == {"helpfulness": -1.0, "over_refusal": 0.0}


def test_baseline_is_that_of_the_same_model_else_the_only_one():
    other = System("other", "vanilla")
    assert baseline_of(DERTA, [VANILLA, other, DERTA]) == VANILLA
    assert baseline_of(System("x", "derta"), [VANILLA]) == VANILLA
    assert baseline_of(System("x", "derta"), [VANILLA, other]) is None
    assert baseline_of(VANILLA, [VANILLA, other]) is None
    assert baseline_of(DERTA, [DERTA]) is None


def test_rows_of_other_seeds_are_pairs_of_their_own():
    def runs(method, *verdicts):
        return [row for seed, given in enumerate(verdicts) for row in rows(method, given, seed=seed)]

    yes, no = ["harmful"] * 6, ["not_harmful"] * 6
    (twice,) = differences(runs("vanilla", yes, no) + runs("derta", no, no))
    assert (twice.n, twice.value) == (12, -0.5)
    expected = paired_difference([False] * 12, [True] * 6 + [False] * 6, [str(i) for i in range(6)] * 2)
    assert (twice.low, twice.high) == (expected.low, expected.high)
    assert differences(rows("vanilla", yes, seed=0) + rows("derta", no, seed=1)) == []


def test_no_difference_in_helpfulness_where_a_judge_read_refusals_alone():
    def benign(method, helpful):
        refused = response(model="m", method=method, kind="benign", query_id="r", helpful=False)
        kept = [response(model="m", method=method, kind="benign", query_id=str(i), helpful=helpful,
                         response_class="compliance", words_before_refusal=None) for i in range(3)]  # fmt: skip
        return [refused, *kept]

    def metrics(helpful):
        return [d.metric for d in differences(benign("vanilla", helpful) + benign("derta", helpful))]

    assert metrics(None) == ["over_refusal"]
    assert metrics(True) == ["helpfulness", "over_refusal"]
