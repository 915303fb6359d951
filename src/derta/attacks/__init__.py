"""Attacks by name; each value builds an Inspect solver from its settings.

To add one: write its file (a pure function that makes the text, a solver that sends it), add a line here and
a settings class in `config/attacks.py`.
"""

from __future__ import annotations

from collections.abc import Callable

from inspect_ai.solver import Solver

from derta.attacks.autodan import autodan
from derta.attacks.code import code_attack
from derta.attacks.completing import completing
from derta.attacks.direct import direct
from derta.attacks.jailbreakchat import jailbreakchat
from derta.attacks.pair import pair
from derta.attacks.prefill import prefill
from derta.attacks.selfcipher import selfcipher

ATTACKS: dict[str, Callable[..., Solver]] = {
    "direct": direct,
    "code": code_attack,
    "jailbreakchat": jailbreakchat,
    "selfcipher": selfcipher,
    "completing": completing,
    "prefill": prefill,
    "pair": pair,
    "autodan": autodan,
}

__all__ = ["ATTACKS"]
