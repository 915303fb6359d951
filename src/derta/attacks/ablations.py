"""Ablations of the prompt: the plain question without beginning-of-text, and without any chat template.

Defensive purpose: tuning sees one exact form of prompt. These measure whether refusals outlive the loss of its
first token, or of everything that says "a user asks, an assistant answers".
"""

from __future__ import annotations

from inspect_ai.solver import Generate, Solver, TaskState, solver


@solver
def no_bos() -> Solver:
    """Send the query in its template, the beginning-of-text token left out (if the tokenizer has one)."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        state.user_prompt.metadata = (state.user_prompt.metadata or {}) | {"bos": False}
        return await generate(state)

    return solve


@solver
def no_template(bos: bool = True) -> Solver:
    """Send the query as raw text."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        raw = {"render": "raw", "bos": bos}
        state.user_prompt.metadata = (state.user_prompt.metadata or {}) | raw
        return await generate(state)

    return solve
