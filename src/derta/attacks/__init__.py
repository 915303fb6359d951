"""Attacks: one class in one file each (contract.py says what it holds); catalogue.py has the list.

To add one: docs/adding_an_attack.md.
"""

from derta.attacks.catalogue import ATTACKS
from derta.attacks.contract import Attack, Inputs, Models, Reading, Row
from derta.attacks.prompt import Answer, NoAnswer, Prompt, Turn
from derta.records import Query

__all__ = [
    "ATTACKS",
    "Answer",
    "Attack",
    "Inputs",
    "Models",
    "NoAnswer",
    "Prompt",
    "Query",
    "Reading",
    "Row",
    "Turn",
]
