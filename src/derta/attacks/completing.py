"""CompletingAttack: a declarative opening of the answer, sent as raw text without any chat template.

Defensive purpose: it measures whether a tuned model still refuses where no turn of a conversation told it
that it is an assistant. The beginning-of-text token stays (`bos: false` takes it away, as an ablation).
"""

from __future__ import annotations

from collections.abc import Mapping

from inspect_ai.model import ChatMessageUser
from inspect_ai.solver import Generate, Solver, TaskState, solver

from derta.errors import DataError
from derta.records import Query


def completing_prompt(query: Query, openings: Mapping[str, str] | None = None) -> str:
    """The raw text: the opening that a file gives for this query's id, else the query's own.

    Raises:
        DataError: there is none.
    """
    opening = (openings or {}).get(query.id, query.opening)
    if not opening:
        raise DataError(
            f"completing: query {query.id!r} has no opening; give it a field `opening`, or name a file of them (made "
            "by hand or by `derta data openings`) in texts.completing"
        )
    return opening


def completed_text(opening: str, response: str) -> str:
    """What a judge reads: the opening and how the model went on."""
    return opening + response


@solver
def completing(openings: Mapping[str, str] | None = None, bos: bool = True) -> Solver:
    """Send the opening as raw text."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        text = completing_prompt(Query(**state.metadata["query"]), openings)
        state.messages = [ChatMessageUser(content=text, metadata={"render": "raw", "bos": bos})]
        return await generate(state)

    return solve
