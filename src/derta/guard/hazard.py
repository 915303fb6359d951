"""The hazard of a set of refusal openings, from the raw logits of a step or along answers that are given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from derta.encode.chat import ChatRenderer
    from derta.records import Message


def opening_ids(renderer: ChatRenderer, openings: Sequence[str]) -> tuple[int, ...]:
    """The first ids of all openings, wherever each can begin: at the start, inside a line, on a new line.

    Raises:
        TokenizerError: an opening merges with the text before it.
    """
    from derta.encode.refusal_token import resolve_refusal_token

    found = {token for text in openings for token in resolve_refusal_token(renderer, text).ids}
    return tuple(sorted(found))


def step_hazard(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """P(one of `ids`) of each row. logits: (rows, vocabulary), before any ban, temperature or sampling."""
    logits = logits.float()
    log_p: torch.Tensor = logits[:, ids].logsumexp(-1) - logits.logsumexp(-1)
    return log_p.exp()


def answer_hazards(
    model: PreTrainedModel,
    renderer: ChatRenderer,
    answers: Sequence[tuple[Sequence[Message], str]],
    ids: Sequence[int],
    *,
    advance: Callable[[int], None] | None = None,
) -> list[list[float]]:
    """The hazard at every step of given answers, the step at which the answer ends included.

    Raises:
        TokenizerError: an answer merges with its prompt.
    """
    from derta.probe.refusal_probability import refusal_probability

    pairs = [(prompt, [*ids_, renderer.end_id]) for prompt, ids_ in renderer.encode_pairs(answers)]
    measured = refusal_probability(model, pairs, frozenset(ids), advance=advance)
    return [[float(value) for value in values] for values in measured]
