"""Judges by name; each value builds a judge from its settings.

A judge is `async (query, response) -> Judgement`. To add one: write its file, add a line here. Judges that need a
model load their libraries only when they are built.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from derta.errors import RecipeError
from derta.judges.classifier import classifier_judge
from derta.judges.human import human_judge
from derta.judges.judgement import Judge, Judgement
from derta.judges.refusal import refusal_judge
from derta.judges.rubric import rubric_judge
from derta.judges.span import span_judge
from derta.judges.thoughts import THOUGHTS, with_thoughts
from derta.judges.world import world_judge

JUDGES: dict[str, Callable[..., Judge]] = {
    "refusal": refusal_judge,
    "span": span_judge,
    "rubric": rubric_judge,
    "classifier": classifier_judge,
    "human": human_judge,
    "world": world_judge,
}

WHOLE = frozenset({"human"})  # people labelled the response as it stood, thought and all
NEEDED = {
    "model": "give --model, e.g. openai/gpt-4o for rubric, a model folder for classifier",
    "labels": "human: --labels FILE of `derta judge label`; classifier: verdicts of its labels, e.g. "
    "--set labels.safe=not_harmful --set labels.unsafe=harmful",
}


def build_judge(name: str, settings: dict[str, Any]) -> Judge:
    """A judge by name; each but people takes `thoughts: apart | judged | ignored` too (thoughts.py).

    Raises:
        RecipeError: no such judge, or settings that it does not take.
    """
    if name not in JUDGES:
        raise RecipeError(f"judge: found {name!r}, need one of {', '.join(JUDGES)}")
    own = dict(settings)
    thoughts = "judged" if name in WHOLE else own.pop("thoughts", "apart")
    if thoughts not in THOUGHTS:
        raise RecipeError(f"judge {name}: thoughts: found {thoughts!r}, need one of {', '.join(THOUGHTS)}")
    _check_settings(name, own)
    judge = JUDGES[name](**own)
    return judge if name in WHOLE else with_thoughts(judge, thoughts)


def _check_settings(name: str, settings: dict[str, Any]) -> None:
    """Name the first setting that is missing or unknown."""
    taken = inspect.signature(JUDGES[name]).parameters
    missing = [
        key
        for key, parameter in taken.items()
        if parameter.default is parameter.empty and key not in settings
    ]
    if missing:
        raise RecipeError(f"judge {name}: `{missing[0]}` is missing; {NEEDED[missing[0]]}")
    for key in settings:
        if key not in taken:
            raise RecipeError(
                f"judge {name}: these settings do not fit: {key!r}; it takes {', '.join(taken) or 'no settings'}"
            )


__all__ = ["JUDGES", "Judge", "Judgement", "build_judge"]
