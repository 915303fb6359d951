"""Summaries of a search (PAIR and the like): {goal, attempts: [{prompt, response, score}, ...]}, or lists in step.

A search is one attempt at one question: what it ended with is judged (search_summary.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from derta.results.document import Document
from derta.results.formats.answer import Answer, Format, each
from derta.results.formats.plain import ANSWERS, QUESTIONS, plain_answer, prompt_of, question_of
from derta.results.search_summary import best_attempt


def _fits(document: Document) -> bool:
    heads = document.heads
    is_rows = bool(heads) and all(isinstance(value, dict) for value in heads)
    if document.whole is not None and not _asks(document.whole):
        return False  # an object that holds rows, each with a question of its own
    return is_rows and any(_best(value) is not None for value in heads)


def _asks(whole: dict[str, Any]) -> bool:
    """Whether one question stands above all that an object holds."""
    lists = [value for value in whole.values() if isinstance(value, list)]
    inner = [item for value in lists for item in value if isinstance(item, dict)]
    own = {str(name).lower() for item in inner for name in item} & QUESTIONS
    return bool(question_of(whole)) and not own


def _best(row: dict[str, Any]) -> dict[str, Any] | None:
    return best_attempt(row, sorted(ANSWERS))


def _answers(row: dict[str, Any]) -> Iterator[Answer]:
    best = _best(row)
    if best is None:
        yield plain_answer(row)
        return
    asked = question_of(row) or question_of(best)
    yield plain_answer(best, question=asked, prompt=prompt_of(best), id=row.get("id"), fields=row)


SEARCHES = Format(
    "searches", _fits, each(_answers), record="search", note="the best-scored attempt of each is judged"
)
