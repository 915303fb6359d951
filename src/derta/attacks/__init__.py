"""Attacks by name; each value builds an Inspect solver from its settings.

To add one: docs/adding_an_attack.md.
"""

from __future__ import annotations

from collections.abc import Callable

from inspect_ai.solver import Solver

from derta.attacks.ablations import no_bos, no_template
from derta.attacks.autodan import autodan
from derta.attacks.ban_refusal import ban_refusal
from derta.attacks.code import code_attack
from derta.attacks.completing import completing
from derta.attacks.direct import direct
from derta.attacks.jailbreakchat import jailbreakchat
from derta.attacks.multiturn import multiturn
from derta.attacks.pair import pair
from derta.attacks.past_refusal import past_refusal
from derta.attacks.prefill import prefill
from derta.attacks.sampled import sampled
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
    "ban_refusal": ban_refusal,
    "sampled": sampled,
    "multiturn": multiturn,
    "past_refusal": past_refusal,
    "no_bos": no_bos,
    "no_template": no_template,
}

__all__ = ["ATTACKS"]
