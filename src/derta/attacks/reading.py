"""What of a response a judge reads, and whether it kept the attack's format."""

from __future__ import annotations

from typing import NamedTuple

from derta.attacks.code import extract_answer
from derta.attacks.completing import completed_text
from derta.attacks.own import load_own_attack


class Answer(NamedTuple):
    """text: for the judge; followed_format: None for attacks that ask for none."""

    text: str
    followed_format: bool | None


def read_answer(attack: str, prompt_text: str, response: str, own_file: str | None = None) -> Answer:
    """The answer in a response to an attack.

    prompt_text: what was sent as the last user turn or raw text; CompletingAttack's judge reads it too.
    own_file: the Python file of an attack of the user's own.
    """
    if own_file is not None:
        read = load_own_attack(own_file).read_answer
        return Answer(read(response) if read else response, None)
    if attack == "code":
        answer = extract_answer(response)
        return Answer(answer.text, answer.followed_format)
    if attack == "completing":
        return Answer(completed_text(prompt_text, response), None)
    return Answer(response, None)
