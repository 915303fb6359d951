"""Prefill: the assistant turn is opened with the first d tokens of a harmful response.

Defensive purpose: it measures whether refusal depends on the first words only (d = 0 is the plain question).
The judge reads the model's own continuation, not the words that were put in its mouth.
"""

from __future__ import annotations

from collections.abc import Sequence

from inspect_ai.model import ChatMessageAssistant
from inspect_ai.solver import Generate, Solver, TaskState, solver


def prefill_ids(harmful_ids: Sequence[int], depth: int) -> list[int] | None:
    """The first `depth` ids of a harmful response (as the renderer encodes it); None when it is too short."""
    return list(harmful_ids[:depth]) if len(harmful_ids) >= depth else None


@solver
def prefill() -> Solver:
    """Open the assistant turn with the sample's `prefill_ids` ("12 5 99"; `prefill` is their text, for the log)."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        ids: str = state.metadata["prefill_ids"]
        if ids:
            opening = ChatMessageAssistant(content=state.metadata["prefill"], metadata={"prefill_ids": ids})
            state.messages.append(opening)
        return await generate(state)

    return solve
