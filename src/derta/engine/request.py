"""One answer that is asked for: its limits, what it must not say, how its tokens are drawn."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import torch

StopReason = Literal["stop", "max_tokens", "model_length", "watch"]


class Watched(Protocol):
    """One answer that is watched while it is decoded (guard/ has the one that is used)."""

    def step(self, hazard: float) -> bool:
        """Read P(any of the watched ids) before the next token; whether the answer must end here."""
        ...


@dataclass(frozen=True)
class Request:
    """What to generate. temperature 0 is greedy; otherwise draws depend on `seed` and the prompt's ids only.

    min_new_tokens: no stop id before. banned: runs of ids that must not come within the first banned_tokens
    tokens (the last id of a run is what is forbidden, after the others).
    guide: ids to follow, one a step, where they are among the guide_rank likeliest; no ban holds for them.
    watch: sees the probability of the decoder's `watched_ids` before each token, bans and temperature apart.
    """

    ids: tuple[int, ...]
    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    min_new_tokens: int = 0
    banned: tuple[tuple[int, ...], ...] = ()
    banned_tokens: int = 0
    guide: tuple[int, ...] = ()
    guide_rank: int = 0
    watch: Watched | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Generated:
    """ids: the response without its stop id. model_length: the model's longest context was reached;
    watch: the request's watch ended it, and the token that would have followed is not in ids.
    """

    ids: tuple[int, ...]
    stop_reason: StopReason


def forbidden_ids(request: Request, ids: Sequence[int], stop_ids: Iterable[int]) -> list[int]:
    """What may not follow the new tokens `ids`."""
    forbidden = list(stop_ids) if len(ids) < request.min_new_tokens else []
    if len(ids) < request.banned_tokens:
        forbidden += [
            run[-1]
            for run in request.banned
            if 0 < len(run) <= len(ids) + 1 and tuple(ids[len(ids) + 1 - len(run) :]) == run[:-1]
        ]
    return forbidden


def guided_token(logits: torch.Tensor, request: Request, place: int) -> int | None:
    """The guide's token at this place of the answer, if no `guide_rank` tokens are likelier; else None.

    logits: float[V], before anything is forbidden.
    """
    if place >= len(request.guide):
        return None
    token = request.guide[place]
    return token if int((logits > logits[token]).sum()) < request.guide_rank else None


def draw_token(logits: torch.Tensor, request: Request, draws: random.Random) -> int:
    """One token by temperature and nucleus (smallest set of most likely tokens with mass >= top_p).

    Drawn in the order of the ids: two tokens that are all but equally likely may swap places in a sorted order
    by rounding alone, and another batch would then give another token.
    """
    probabilities = torch.softmax(logits.double() / request.temperature, dim=-1)
    if request.top_p < 1:
        ordered, order = probabilities.sort(descending=True, stable=True)
        outside = order[int((ordered.cumsum(0) < request.top_p).sum()) + 1 :]
        probabilities[outside] = 0
    mass = probabilities.cumsum(0)
    point = draws.random() * float(mass[-1])
    return min(int((mass <= point).sum()), int(probabilities.nonzero()[-1]))
