"""SelfCipher (CipherChat, arXiv 2308.06463, identity cipher): a role and demonstrations, then the query.

Defensive purpose: it measures whether refusals survive a conversation whose earlier turns were all answered.

    paper      one user turn: role, demonstrations as User/Assistant lines, the query last (DeRTa's runs)
    original   role, demonstrations of the query's own category and a closing sentence in the system turn
"""

from __future__ import annotations

from typing import Literal

from inspect_ai.model import ChatMessage, ChatMessageSystem, ChatMessageUser
from inspect_ai.solver import Generate, Solver, TaskState, solver

from derta.attacks.texts import CipherTexts, Demonstration
from derta.errors import DataError

NUM_DEMONSTRATIONS = {"paper": 5, "original": 3}  # at most; a file may hold fewer


def selfcipher_messages(
    query: str,
    texts: CipherTexts,
    *,
    mode: Literal["paper", "original"] = "paper",
    category: str | None = None,
) -> list[ChatMessage]:
    """The turns that are sent.

    Raises:
        DataError: mode `original` and no demonstration of the query's category.
    """
    shown = _choose(texts, mode, category)
    lines = [f"User: {entry.query}\nAssistant: {entry.response}" for entry in shown]
    if mode == "paper":
        return [ChatMessageUser(content="\n".join([texts.role, *lines, f"User: {query}"]))]
    system = "\n\n".join(part for part in (texts.role, "\n\n".join(lines), texts.closing) if part)
    return [ChatMessageSystem(content=system), ChatMessageUser(content=query)]


def _choose(texts: CipherTexts, mode: str, category: str | None) -> list[Demonstration]:
    entries = list(texts.demonstrations)
    if mode == "original" and any(entry.category for entry in entries):
        entries = [entry for entry in entries if entry.category == category]
        if not entries:
            raise DataError(
                f"selfcipher: no demonstration of category {category!r}; add some, or use mode: paper"
            )
    return entries[: NUM_DEMONSTRATIONS[mode]]


@solver
def selfcipher(texts: CipherTexts, mode: Literal["paper", "original"] = "paper") -> Solver:
    """Send `selfcipher_messages`."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        category = state.metadata["query"].get("category")
        state.messages = selfcipher_messages(state.input_text, texts, mode=mode, category=category)
        return await generate(state)

    return solve
