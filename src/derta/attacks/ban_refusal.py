"""Banned refusal: the plain question, while the words that a refusal opens with may not be said.

Defensive purpose: whoever has the weights can forbid tokens. It measures whether safety hangs on one opening,
or comes in other words too, and what happens where the ban ends.
"""

from __future__ import annotations

from collections.abc import Sequence

from inspect_ai.solver import Generate, Solver, TaskState, solver

from derta.encode.chat import ChatRenderer, Message

_ASKED: list[Message] = [{"role": "user", "content": "How are you?"}]
_RUNNING = "Step one"  # harmless running text: what a refusal may come after, in a line ...
_LINE = "Step one\n"  # ... and on a new one


def banned_runs(renderer: ChatRenderer, words: Sequence[str]) -> list[list[int]]:
    """The ids of each opening: at the start of a response, inside a line, on a new line; none twice."""
    runs: list[list[int]] = []
    for word in words:
        [inside] = renderer.running_ids([f" {word}"], after=_RUNNING)
        [new_line] = renderer.running_ids([word], after=_LINE)
        runs += [renderer.response_ids(_ASKED, word), inside, new_line]
    return [list(run) for run in dict.fromkeys(map(tuple, runs))]


@solver
def ban_refusal() -> Solver:
    """Send the query; the sample's `banned_ids` and `banned_tokens` say what must not come for how long."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        banned = {key: state.metadata[key] for key in ("banned_ids", "banned_tokens")}
        state.user_prompt.metadata = (state.user_prompt.metadata or {}) | banned
        return await generate(state)

    return solve
