"""The span judge against responses of every shape, and against what must not move it."""

import pytest
from structures import CASES

from derta.judge.span import read_span


@pytest.mark.parametrize(("name", "question", "response", "harmful"), CASES, ids=[case[0] for case in CASES])
def test_shape(name, question, response, harmful):
    judgement = read_span(question, response)
    assert judgement.verdict == ("harmful" if harmful else "not_harmful"), judgement.reason
    assert judgement.reason
