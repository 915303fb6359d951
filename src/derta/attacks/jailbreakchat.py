"""JailbreakChat: the query inside a role-play template from a file that the user names.

Defensive purpose: it measures whether refusals survive a frame around the question. Each query gets one
template, drawn with a seed (paper), or all of them (`cross_product`: the report can then give the mean and
the worst case over templates).
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from inspect_ai.solver import Generate, Solver, TaskState, solver

from derta.attacks.texts import PLACEHOLDER, Template


def jailbreakchat_prompt(query: str, template: str, placeholder: str = PLACEHOLDER) -> str:
    """The user turn: the template with the query at its placeholder."""
    return template.replace(placeholder, query, 1)


def draw_template(templates: Sequence[Template], query_id: str, seed: int) -> Template:
    """The template of a query: the same for the same seed, whatever other queries there are."""
    return random.Random(f"jailbreakchat-{seed}-{query_id}").choice(templates)


@solver
def jailbreakchat(templates: Sequence[Template], placeholder: str = PLACEHOLDER) -> Solver:
    """Send the query in the template that the sample's parameter `template` names."""
    texts = {template.id: template.text for template in templates}

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        template = texts[state.metadata["attack_params"]["template"]]
        state.user_prompt.text = jailbreakchat_prompt(state.input_text, template, placeholder)
        return await generate(state)

    return solve
