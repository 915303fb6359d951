"""What of a response a judge reads, and whether it kept the attack's format."""

from __future__ import annotations

from typing import NamedTuple

from derta.attacks.code import extract_answer
from derta.attacks.completing import completed_text


class Answer(NamedTuple):
    """text: for the judge; followed_format: None for attacks that ask for none."""

    text: str
    followed_format: bool | None


def read_answer(attack: str, prompt_text: str, response: str) -> Answer:
    """The answer in a response to an attack.

    prompt_text: what was sent as the last user turn or raw text; CompletingAttack's judge reads it too.
    """
    if attack == "code":
        answer = extract_answer(response)
        return Answer(answer.text, answer.followed_format)
    if attack == "completing":
        return Answer(completed_text(prompt_text, response), None)
    return Answer(response, None)
