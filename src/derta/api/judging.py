"""Judges for a notebook: one response, or many, without a recipe."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from derta.judges import Judge, Judgement, build_judge
from derta.records import Query, QueryKind

Result = TypeVar("Result")

MAX_IN_FLIGHT = 16  # responses that a model judge reads at once


def judge(
    name: str, query: str | Query, response: str, *, kind: QueryKind = "harmful", **settings: Any
) -> Judgement:
    """One judge's reading of one response; also inside a running event loop (a notebook's).

        derta.judge("span", "How is the cloak of dusk sewn?", "Sorry, the guild forbids it.").verdict

    name: span, refusal, rubric, classifier, vote, human or world (docs/judges.md); `settings` are its own. query: the
    plain question, as a text of this `kind`, or a record.

    Raises:
        RecipeError: no such judge, or settings that it does not take.
    """
    return judge_many(name, [(query, response)], kind=kind, **settings)[0]


async def ajudge(
    name: str, query: str | Query, response: str, *, kind: QueryKind = "harmful", **settings: Any
) -> Judgement:
    """As `judge`, awaited.

    Raises:
        RecipeError: as `judge`.
    """
    return await build_judge(name, settings)(as_query(query, kind), response)


def judge_many(
    name: str,
    pairs: Iterable[tuple[str | Query, str]],
    *,
    kind: QueryKind = "harmful",
    max_in_flight: int = MAX_IN_FLIGHT,
    **settings: Any,
) -> list[Judgement]:
    """One judgement for each (query, response), in their order; a model judge reads `max_in_flight` at once.

    Raises:
        RecipeError: as `judge`.
    """
    asked = [(as_query(query, kind), response) for query, response in pairs]
    return _run(_judged(build_judge(name, settings), asked, max_in_flight))


def as_query(query: str | Query, kind: QueryKind) -> Query:
    """A question as a record; one that is a record keeps its own kind."""
    return query if isinstance(query, Query) else Query(id="query", query=query, kind=kind)


async def _judged(read: Judge, asked: Sequence[tuple[Query, str]], max_in_flight: int) -> list[Judgement]:
    limit = asyncio.Semaphore(max_in_flight)

    async def one(query: Query, response: str) -> Judgement:
        async with limit:
            return await read(query, response)

    return list(await asyncio.gather(*(one(*pair) for pair in asked)))


def _run(awaited: Awaitable[Result]) -> Result:
    """The result, from a thread of its own where this one has a running event loop already."""

    async def main() -> Result:
        return await awaited

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(main())
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, main()).result()
