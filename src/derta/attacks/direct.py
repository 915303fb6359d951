"""The plain question, without any attack: the base line of every table, and the way benign queries are asked."""

from __future__ import annotations

from inspect_ai.solver import Generate, Solver, TaskState, solver


@solver
def direct() -> Solver:
    """Send the query as the only user turn."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        return await generate(state)

    return solve
