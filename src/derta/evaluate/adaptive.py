"""Rows of the adaptive probes: the plain question to somebody who has the weights, or a second try."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from derta.attacks.ban_refusal import banned_runs
from derta.attacks.past_refusal import nudge_ids
from derta.config import (
    AttackSettings,
    BanRefusalAttack,
    EvaluateRecipe,
    NoTemplateAttack,
    PastRefusalAttack,
    SampledAttack,
)
from derta.encode.chat import ChatRenderer
from derta.encode.token_ids import ids_text
from derta.records import Query

Row = tuple[dict[str, Any], Query, dict[str, Any]]  # attack parameters, query, extra


def adaptive_rows(
    attack: AttackSettings, recipe: EvaluateRecipe, harmful: Sequence[Query], renderer: ChatRenderer | None
) -> list[Row] | None:
    """The rows of one of these attacks; None: it is another one."""
    match attack:
        case SampledAttack():
            settings = attack.model_dump(include={"temperature", "top_p"})
            tries = [{"try": number, **settings} for number in range(attack.tries)]
            return [(params, query, {}) for params in tries for query in harmful]
        case BanRefusalAttack():
            banned = _banned(attack, recipe, renderer)
            return [({"tokens": banned["banned_tokens"]}, query, banned) for query in harmful]
        case PastRefusalAttack():
            assert renderer is not None, "only a model that is computed here can go on"
            nudge = {"nudge_ids": ids_text(nudge_ids(renderer, attack.nudge))}
            return [({"tokens": attack.tokens}, query, nudge) for query in harmful]
        case NoTemplateAttack():
            return [({} if attack.bos else {"bos": False}, query, {}) for query in harmful]
        case _:
            return None


def _banned(
    attack: BanRefusalAttack, recipe: EvaluateRecipe, renderer: ChatRenderer | None
) -> dict[str, Any]:
    assert renderer is not None, "tokens are banned in a model that is computed here"
    words = list(dict.fromkeys([recipe.refusal.text, *attack.words]))
    return {
        "banned_ids": [ids_text(run) for run in banned_runs(renderer, words)],
        "banned_tokens": attack.tokens or recipe.generation.max_new_tokens,
    }
