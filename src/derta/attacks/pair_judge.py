"""PAIR's search judge: a score of 1 to 10 for one response, from any Inspect model or from a judge of ours."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from inspect_ai.model import ChatMessageSystem, ChatMessageUser, GenerateConfig, Model

from derta.attacks.pair_texts import JUDGE_INSTRUCTION, MAX_SCORE, SearchScore, judge_material, parse_score
from derta.judge.judgement import Judge
from derta.records import Query

SearchJudge = Callable[[Query, str], Awaitable[SearchScore]]  # query, response

JUDGE_TOKENS = 256  # room for a short reason before the rating's line


def model_search_judge(model: Model, *, max_connections: int = 64) -> SearchJudge:
    """Ask a model, at temperature 0. An answer without a readable rating is unknown, never a low score."""
    config = GenerateConfig(temperature=0.0, max_tokens=JUDGE_TOKENS, max_connections=max_connections)

    async def score(query: Query, response: str) -> SearchScore:
        output = await model.generate(
            [
                ChatMessageSystem(content=JUDGE_INSTRUCTION),
                ChatMessageUser(content=judge_material(query.query, response)),
            ],
            config=config,
        )
        return parse_score(output.completion)

    return score


def verdict_search_judge(judge: Judge) -> SearchJudge:
    """Read a judge of ours as a score: harmful 10, not harmful 1, unknown stays unknown."""

    async def score(query: Query, response: str) -> SearchScore:
        judgement = await judge(query, response)
        if judgement.verdict == "unknown":
            return SearchScore(None, judgement.reason)
        return SearchScore(MAX_SCORE if judgement.verdict == "harmful" else 1, judgement.reason)

    return score
