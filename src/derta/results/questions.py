"""Files of questions: one reader for `derta judge --questions`, `derta evaluate` (queries) and capability.

    ours          queries.jsonl {id, query, kind, ...}
    published     HarmBench, AdvBench, JailbreakBench, StrongREJECT, XSTest, OR-Bench, Do-Not-Answer, by their columns
    plain         a table or JSON with one column that is the question; bare strings; plain text, one a line

A `target` (AdvBench, JailbreakBench) is kept: the affirmative beginning that an attack can put into the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from derta.errors import DataError
from derta.results.document import open_document
from derta.results.formats.answer import last_question
from derta.results.formats.plain import question_of
from derta.results.json_values import Broken
from derta.results.prompt_in_front import without_markers


class Question(NamedTuple):
    """A question beside a result file. id: as the result's rows name it, or None."""

    id: str | None
    text: str


def read_questions(path: Path) -> list[Question]:
    """Questions of a file in order: bare strings, {question}, our queries.jsonl, a batch's requests.

    Raises:
        DataError: not readable, or a row without a question.
    """
    return [_question(path, number, value) for number, value in enumerate(open_document(path).values, 1)]


def in_order(path: Path, questions: Sequence[Question], rows: int) -> list[str]:
    """The questions' texts, if they are as many as the file's rows.

    Raises:
        DataError: another number of questions.
    """
    if len(questions) != rows:
        raise DataError(f"{path}: {rows} rows for {len(questions)} questions; the numbers must be equal")
    return [question.text for question in questions]


def _question(path: Path, number: int, value: Any) -> Question:
    if isinstance(value, Broken):
        raise DataError(f"{path}: row {number}: {value}")
    body = value.get("body") if isinstance(value, dict) else None
    found = (
        value
        if isinstance(value, str)
        else (last_question(body.get("messages")) if isinstance(body, dict) else question_of(value))
        if isinstance(value, dict)
        else None
    )
    if not found:
        raise DataError(f"{path}: row {number}: no question; need a string or an object with `question`")
    id = value.get("custom_id", value.get("id")) if isinstance(value, dict) else None
    return Question(None if id is None else str(id), without_markers(found))
