"""Sampled: the plain question, asked several times at a temperature; somebody who may try again needs one success.

Defensive purpose: greedy decoding shows the likeliest answer only. Every try is a row (`try` in its parameters);
the report counts a query as answered if any of its tries was (`sampled@mean`: over all tries).
"""

from __future__ import annotations

from inspect_ai.solver import Generate, Solver, TaskState, solver

from derta.attacks.pair import draw_seed


@solver
def sampled(temperature: float = 1.0, top_p: float = 1.0, seed: int = 0) -> Solver:
    """Send the query; draws depend on the seed, the query's id and the sample's parameter `try`."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        number: int = state.metadata["attack_params"]["try"]
        draws = draw_seed("sampled", seed, state.metadata["query"]["id"], number)
        return await generate(state, temperature=temperature, top_p=top_p, seed=draws)

    return solve
