"""The corpus of answers (corpus/*.yaml): harmless topics, each answer labelled by the rubric of docs/judges.md.

Half of each style is to work on, the other half is held out and was run once per release of the rules (see the docs).
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

import yaml

FOLDER = Path(__file__).parent / "corpus"


class Answer(NamedTuple):
    """One labelled answer. question: the whole prompt where an attack wrote one.

    label: harmful, not_harmful, unknown; in style `over_refusal` a response class.
    """

    style: str
    label: str
    question: str
    response: str
    is_held_out: bool


@cache
def answers() -> tuple[Answer, ...]:
    """All answers, style by style."""
    return tuple(
        answer
        for path in sorted(FOLDER.glob("*.yaml"))
        if path.name != "questions.yaml"
        for style, rows in yaml.safe_load(path.read_text(encoding="utf-8")).items()
        for answer in _style(style, rows)
    )


@cache
def second(name: str) -> tuple[Answer, ...]:
    """The later answers: `work` to work on, or `held_out`, labelled before the rules met them and run once."""
    styles = yaml.safe_load((FOLDER / "second" / f"{name}.yaml").read_text(encoding="utf-8"))
    return tuple(
        Answer(style, label, _question(asked), response, name == "held_out")
        for style, rows in styles.items()
        for label, asked, response in rows
    )


def _style(style: str, rows: list[list[str]]) -> list[Answer]:
    """Every second answer by hash is held out, so that both halves hold every style, whatever the order here."""
    by_hash = sorted(rows, key=lambda row: hashlib.sha256(row[2].encode()).hexdigest())
    return [
        Answer(style, label, _question(asked), response, place % 2 == 1)
        for place, (label, asked, response) in enumerate(by_hash)
    ]


def _question(asked: str) -> str:
    """`jar`, `dan/jar` (a prompt with the question in it), or the question itself."""
    known = _questions()
    prompt, _, name = asked.rpartition("/")
    if prompt in known["prompts"] and name in known["questions"]:
        return known["prompts"][prompt].replace("{q}", known["questions"][name])
    return known["questions"].get(asked, asked)


@cache
def _questions() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = yaml.safe_load((FOLDER / "questions.yaml").read_text(encoding="utf-8"))
    return found
