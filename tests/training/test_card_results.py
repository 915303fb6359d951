"""The results on an exported model's card."""

from derta.training.checkpoints.card import _results


def cell(metric, value, attack="benign"):
    return {"model": "m", "method": "derta", "attack": attack, "judge": "span", "metric": metric, "value": value,
            "n": 30, "unknown": 0, "low": None, "high": None}  # fmt: skip


def test_helpfulness_that_no_judge_read_is_said_to_be_not_measured():
    assert "| helpfulness | benign | | not measured |" in _results([cell("over_refusal", 0.1)])
    assert "not measured" not in _results([cell("over_refusal", 0.1), cell("helpfulness", 0.9)])
    assert "not measured" in _results(
        [cell("over_refusal", 0.1), cell("helpfulness", 0.9, attack="borderline")]
    )
    assert "not measured" not in _results([cell("asr", 0.1, attack="code")])
