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
from derta.judges.rules_hash import rules_hash
from derta.judges.span import span_judge
from derta.judges.thoughts import THOUGHTS, with_thoughts
from derta.judges.vote import vote_judge
from derta.judges.world import world_judge

JUDGES: dict[str, Callable[..., Judge]] = {
    "refusal": refusal_judge,
    "span": span_judge,
    "rubric": rubric_judge,
    "classifier": classifier_judge,
    "human": human_judge,
    "vote": vote_judge,
    "world": world_judge,
}

WHOLE = frozenset(
    {"human", "vote"}
)  # people labelled the response as it stood, thought and all; voters part it
NEEDED = {
    "model": "give --model, e.g. openai/gpt-4o for rubric, a model folder for classifier",
    "of": "a list of two judges or more, e.g. --set 'of=[span, {name: rubric, model: openai/gpt-4o}]'",
    "labels": "human: --labels FILE of `derta judge label`; classifier: verdicts of its labels, e.g. "
    "--set labels.safe=not_harmful --set labels.unsafe=harmful",
}


def build_judge(name: str, settings: dict[str, Any]) -> Judge:
    """A judge by name; each but people and a vote takes `thoughts: apart | judged | ignored` too (thoughts.py).

    A vote's judges stand in its `of`: names, or mappings with `name`, `label` and settings.

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
    if name == "vote":
        own["of"] = {label: build_judge(*member) for label, member in members_of(own["of"]).items()}
    judge = JUDGES[name](**own)
    return judge if name in WHOLE else with_thoughts(judge, thoughts)


def members_of(of: Any) -> dict[str, tuple[str, dict[str, Any]]]:
    """(name, settings) of each judge of a vote, by the label that reports show.

    Raises:
        RecipeError: not such a list, a vote inside a vote, or one label twice.
    """
    if not isinstance(of, list):
        raise RecipeError(f"judge vote: of: found {of!r}, need a list of judges")
    members: dict[str, tuple[str, dict[str, Any]]] = {}
    for entry in of:
        settings = dict(entry) if isinstance(entry, dict) else {"name": entry}
        name = settings.pop("name", None)
        label = str(settings.pop("label", settings.get("preset", name)))
        if not isinstance(name, str) or name not in JUDGES or name == "vote":
            known = ", ".join(judge for judge in JUDGES if judge != "vote")
            raise RecipeError(
                f"judge vote: of: found {name!r}, need one of {known}, or a mapping with `name`"
            )
        if label in members:
            raise RecipeError(f"judge vote: of: {label!r} comes twice; give one of them a `label`")
        members[label] = (name, settings)
    return members


def rules_of(name: str, settings: dict[str, Any]) -> str:
    """The hash of the rules behind a judge's verdicts, those of a vote's judges included."""
    members = members_of(settings.get("of")).values() if name == "vote" else []
    return rules_hash(name, *sorted({member for member, _ in members}))


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


__all__ = ["JUDGES", "Judge", "Judgement", "build_judge", "rules_of"]
