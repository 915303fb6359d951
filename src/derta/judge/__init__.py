"""Judges by name; each value builds a judge from its settings.

A judge is `async (query, response) -> Judgement`. To add one: write its file, add a line here. Judges that need a
model load their libraries only when they are built.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from derta.errors import RecipeError
from derta.judge.classifier import classifier_judge
from derta.judge.human import human_judge
from derta.judge.judgement import Judge, Judgement
from derta.judge.refusal import refusal_judge
from derta.judge.rubric import rubric_judge
from derta.judge.span import span_judge
from derta.judge.world import world_judge

JUDGES: dict[str, Callable[..., Judge]] = {
    "refusal": refusal_judge,
    "span": span_judge,
    "rubric": rubric_judge,
    "classifier": classifier_judge,
    "human": human_judge,
    "world": world_judge,
}


def build_judge(name: str, settings: dict[str, Any]) -> Judge:
    """A judge by name.

    Raises:
        RecipeError: no such judge, or settings that it does not take.
    """
    if name not in JUDGES:
        raise RecipeError(f"judge: found {name!r}, need one of {', '.join(JUDGES)}")
    try:
        return JUDGES[name](**settings)
    except TypeError as error:
        raise RecipeError(f"judge {name}: these settings do not fit: {error}") from None


__all__ = ["JUDGES", "Judge", "Judgement", "build_judge"]
