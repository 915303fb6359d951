"""Rows of result files, ours and other people's: liberal in reading, strict in counting.

    ours        a line of responses.jsonl (JudgedResponse)
    published   {question, response}, {instruction, response} and the like under other names; a bare string with
                the prompt in front; a summary of a search ({goal, ..., attempts: [{prompt, response, score}]})

A file is JSON lines, one JSON array, one object that holds the rows, CSV or Parquet. Every row of a file comes out,
in order; one without a usable response carries the reason, and is judged `unknown`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from derta.data.formats.read import Unreadable, read_source
from derta.data.recipe import SourceSettings
from derta.errors import DataError
from derta.records import Query, QueryKind
from derta.results.prompt_in_front import split_prompt, without_echo, without_markers
from derta.results.search_summary import best_attempt

NO_ATTACK = "none"  # of rows that don't say which attack they come from

# Names of the same thing, the surest first; a name that only holds one of these words will do too.
RESPONSES = (
    *(
        "response",
        "target_response",
        "model_response",
        "final_response",
        "output",
        "completion",
        "generation",
    ),
    *("model_output", "generated_text", "reply", "answer", "prediction", "text"),
)
QUESTIONS = (
    *("query", "question", "goal", "harmful_query", "behavior", "behaviour", "original_prompt", "request"),
    *("instruction", "prompt", "input", "user"),
)
PROMPTS = (
    "adversarial_prompt",
    "jailbreak_prompt",
    "best_prompt",
    "attack_prompt",
    "adv_prompt",
    "prompt",
    "instruction",
)
_FOREIGN = (
    "judge",
    "attacker",
    "score",
    "safe_",
    "reference",
    "label",
)  # in names of what is not the model's answer


@dataclass(frozen=True, kw_only=True)
class ResultRow:
    """One row to judge.

    row: its number in the file, from 1. response: None when there is none to judge, and `problem` says why.
    """

    file: Path
    row: int
    query: Query
    response: str | None
    problem: str | None = None
    model: str | None = None
    method: str = "none"
    attack: str = NO_ATTACK
    fields: Mapping[str, Any] = field(default_factory=dict)


def read_result_file(path: Path, *, questions: list[str] | None = None) -> list[ResultRow]:
    """All rows of a result file.

    questions: the rows' questions in the same order, for files that do not name them.

    Raises:
        DataError: not readable, no rows, or another number of questions.
    """
    values = list(_values(path))
    if not values:
        raise DataError(f"{path}: holds no rows; need JSON lines, a JSON array, or an object that holds one")
    if questions is not None and len(questions) != len(values):
        raise DataError(
            f"{path}: {len(values)} rows for {len(questions)} questions; the numbers must be equal"
        )
    return [
        _row(path, number, value, questions[number - 1] if questions else None)
        for number, value in enumerate(values, 1)
    ]


def read_answers(path: Path, model: str | None = None) -> list[ResultRow]:
    """The answers of one model to benign questions: all rows of a published file, the benign ones of ours.

    Raises:
        DataError: not readable, no such rows, or rows of several models and none is picked.
    """
    rows = [
        row
        for row in read_result_file(path)
        if row.model is None or (row.query.kind == "benign" and row.attack == "direct")
    ]
    models = list(dict.fromkeys(row.model for row in rows if row.model is not None))
    if model is None and len(models) > 1:
        raise DataError(f"{path}: holds answers of {', '.join(models)}; pick one (--pick-a, --pick-b)")
    rows = [row for row in rows if model is None or row.model == model]
    if not rows:
        whose = f" of the model {model!r}" if model is not None else ""
        raise DataError(f"{path}: holds no answers{whose} to benign questions")
    return rows


def read_questions(path: Path) -> list[str]:
    """Questions of a file in order: bare strings, {question}, or our queries.jsonl.

    Raises:
        DataError: not readable, or a row without a question.
    """
    found = []
    for number, value in enumerate(_values(path), 1):
        question = (
            value
            if isinstance(value, str)
            else _text_of(value, QUESTIONS)
            if isinstance(value, dict)
            else None
        )
        if not question:
            raise DataError(f"{path}: row {number}: no question; need a string or an object with `question`")
        found.append(without_markers(question))
    return found


class _Broken(str):
    """Why a line is no JSON value."""


def _values(path: Path) -> Iterator[Any]:
    if path.suffix.lower() in (".csv", ".tsv", ".parquet"):
        for row in read_source(SourceSettings(name="results", format="columns", path=path)):
            yield _Broken(row.value.reason) if isinstance(row.value, Unreadable) else row.value
        return
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror}") from None
    text = raw.decode("utf-8-sig", errors="replace")
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        yield from _line_values(text)
    else:
        yield from _rows_of(whole)


def _line_values(text: str) -> Iterator[Any]:
    for line in text.split("\n"):  # not splitlines: JSON strings may hold other line separators
        if not line.strip():
            continue
        try:
            yield json.loads(line)
        except (ValueError, RecursionError) as error:
            yield _Broken(f"no JSON on this line: {str(error)[:120]}")


def _rows_of(whole: Any) -> list[Any]:
    """The rows in one JSON value: an array, one row, or an object that holds rows."""
    if isinstance(whole, list):
        return whole
    if not isinstance(whole, dict):
        return [whole]
    if _name_of(whole, RESPONSES) is not None or "error" in whole:
        return [whole]
    lists = [value for value in whole.values() if isinstance(value, list) and value]
    rows = [value for value in lists if all(isinstance(item, (dict, str)) for item in value)]
    if rows and not _name_of(whole, QUESTIONS):
        return max(rows, key=len)
    if whole and all(isinstance(value, dict) for value in whole.values()):
        return list(whole.values())
    if (
        len(whole) > 1
        and all(isinstance(value, str) for value in whole.values())
        and not _name_of(whole, QUESTIONS)
    ):
        return [{"question": question, "response": response} for question, response in whole.items()]
    return [whole]


def _row(path: Path, number: int, value: Any, question: str | None) -> ResultRow:
    if isinstance(value, _Broken):
        return _problem(path, number, str(value))
    if isinstance(value, str):
        prompt, response = split_prompt(value)
        asked = question or prompt
        response = without_echo(response, question) if question else response
        return ResultRow(file=path, row=number, query=_query(number, asked), response=response)
    if not isinstance(value, dict):
        return _problem(path, number, f"need an object or a string, found {type(value).__name__}")
    if {"query_id", "attack", "stop_reason", "response"} <= set(value):
        return _own_row(path, number, value)
    return _published_row(path, number, value, question)


def _own_row(path: Path, number: int, value: dict[str, Any]) -> ResultRow:
    kind: QueryKind = value["kind"] if value.get("kind") in ("benign", "borderline") else "harmful"
    query = Query(id=str(value["query_id"]), query=str(value.get("query") or ""), kind=kind)
    response, failed = value["response"], value["stop_reason"] == "error"
    problem = str(value.get("reason") or "the sample did not finish") if failed else _not_text(response)
    if problem is None and value["attack"] == "completing":
        response = f"{value.get('prompt') or ''}{response}"  # the judge reads opening and continuation
    depth = (value.get("attack_params") or {}).get("depth")
    return ResultRow(
        file=path,
        row=number,
        query=query,
        response=None if problem else response,
        problem=problem,
        model=str(value["model"]) if value.get("model") else None,
        method=str(value.get("method") or "none"),
        attack=value["attack"] if depth is None else f"{value['attack']}@{depth}",
        fields=value,
    )


def _published_row(path: Path, number: int, value: dict[str, Any], question: str | None) -> ResultRow:
    attempt = best_attempt(value, RESPONSES)
    merged = {**value, **attempt} if attempt is not None else value
    prompt = without_markers(_text_of(merged, PROMPTS) or "")
    asked = question or without_markers(_text_of(value, QUESTIONS) or _text_of(merged, QUESTIONS) or "")
    name = _name_of(merged, RESPONSES)
    if name is None:
        ground = (
            f"error: {value['error']}" if value.get("error") else f"no response; found {sorted(value)[:8]}"
        )
        return _problem(path, number, ground, asked)
    response = merged[name]
    problem = _not_text(response)
    if problem:
        return _problem(path, number, f"error: {value['error']}" if value.get("error") else problem, asked)
    response = without_echo(response, prompt, asked)
    return ResultRow(
        file=path,
        row=number,
        query=_query(
            number, asked, opening=prompt if prompt and prompt != asked else None, id=value.get("id")
        ),
        response=response,
        attack=value["attack"] if isinstance(value.get("attack"), str) else NO_ATTACK,
        fields=value,
    )


def _not_text(response: Any) -> str | None:
    if response is None:
        return "no response (null)"
    return None if isinstance(response, str) else f"the response is no text, found {type(response).__name__}"


def _problem(path: Path, number: int, reason: str, question: str = "") -> ResultRow:
    query = _query(number, question)
    return ResultRow(
        file=path, row=number, query=query, response=None, problem=" ".join(reason.split())[:300]
    )


def _query(number: int, text: str, *, opening: str | None = None, id: Any = None) -> Query:
    name = str(id) if isinstance(id, (str, int)) and not isinstance(id, bool) else f"row-{number}"
    return Query(id=name, query=text, kind="harmful", opening=opening)


def _text_of(value: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    name = _name_of(value, names)
    found = value[name] if name is not None else None
    return found if isinstance(found, str) else None


def _name_of(value: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    """The field of one of these names; else one whose name holds one of them."""
    lower = {str(name).lower().replace("-", "_").replace(" ", "_"): name for name in value}
    for name in names:
        if name in lower:
            return lower[name]
    for name in names:
        for field_name, original in lower.items():
            is_foreign = any(word in field_name for word in _FOREIGN)
            if name in field_name and not is_foreign and isinstance(value[original], str):
                return original
    return None
