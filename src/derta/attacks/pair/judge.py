"""PAIR's search judge: a score of 1 to 10 for one response, from any Inspect model or from a judge of ours."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from derta.attacks.contract import Ask, Judge
from derta.attacks.pair.texts import JUDGE_INSTRUCTION, MAX_SCORE, SearchScore, judge_material, parse_score
from derta.attacks.prompt import Prompt, Turn
from derta.records import Query

SearchJudge = Callable[[Query, str], Awaitable[SearchScore]]  # query, response

JUDGE_TOKENS = 256  # room for a short reason before the rating's line


def model_search_judge(ask: Ask) -> SearchJudge:
    """Ask a model, at temperature 0. An answer without a readable rating is unknown, never a low score."""

    async def score(query: Query, response: str) -> SearchScore:
        material = judge_material(query.query, response)
        turns = (Turn("system", JUDGE_INSTRUCTION), Turn("user", material))
        answer = await ask(Prompt(turns=turns, temperature=0.0, max_tokens=JUDGE_TOKENS))
        return parse_score(answer.text)

    return score


def verdict_search_judge(judge: Judge) -> SearchJudge:
    """Read a judge of ours as a score: harmful 10, not harmful 1, unknown stays unknown."""

    async def score(query: Query, response: str) -> SearchScore:
        judgement = await judge(query, response)
        if judgement.verdict == "unknown":
            return SearchScore(None, judgement.reason)
        return SearchScore(MAX_SCORE if judgement.verdict == "harmful" else 1, judgement.reason)

    return score
