"""Files of questions: one reader for `derta evaluate` (queries) and `derta judge --questions`.

    ours        queries.jsonl {id, query, kind, ...}
    published   HarmBench, AdvBench, JailbreakBench, StrongREJECT, XSTest, OR-Bench, Do-Not-Answer, by their columns
    other       a table or JSON with one column that is the question; strings; plain text, one question a line

A `target` (AdvBench, JailbreakBench) is kept: the affirmative beginning that an attack can force on the answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from derta.data.formats.items import Item
from derta.data.formats.sources import FORMATS, convert_row
from derta.data.recipe import SourceSettings
from derta.errors import DataError
from derta.records import Query, QueryKind, load_records, text_problem
from derta.results.document import Document, open_document
from derta.results.formats.answer import last_question
from derta.results.formats.plain import question_of
from derta.results.json_values import Broken
from derta.results.prompt_in_front import without_markers

SHOWN_PROBLEMS = 5
_KEPT = ("target", "opening", "reference")  # beside the question, where a file has them
KINDS: tuple[QueryKind, ...] = ("harmful", "benign", "borderline")


class Question(NamedTuple):
    """A question beside a result file. id: as the result's rows name it, or None."""

    id: str | None
    text: str


class Known(NamedTuple):
    """A published set. columns: what tells it, in lower case; form: its schema in data/formats, or "": read here."""

    name: str
    columns: frozenset[str]
    form: str = ""


KNOWN = (
    Known("HarmBench", frozenset({"behavior", "behaviorid", "functionalcategory"}), "harmbench"),
    Known("JailbreakBench", frozenset({"goal", "target", "behavior", "category"})),
    Known("AdvBench", frozenset({"goal", "target"})),
    Known("StrongREJECT", frozenset({"forbidden_prompt", "category"})),
    Known("XSTest", frozenset({"prompt", "type", "focus"}), "xstest"),
    Known("Do-Not-Answer", frozenset({"question", "risk_area", "types_of_harm"}), "do_not_answer"),
    Known("OR-Bench", frozenset({"prompt", "category"})),
)


class Asked(NamedTuple):
    """Questions to ask. said: what their file was read as, one line; "" for our own."""

    queries: list[Query]
    said: str = ""


def load_queries(path: Path, *, kind: QueryKind | None = None, limit: int | None = None) -> Asked:
    """The questions of an evaluation, in order. kind: of those whose file doesn't say it; limit: the first so many.

    Raises:
        DataError: not readable, no known column holds the questions, or rows that can't be used.
    """
    document = open_document(path)
    heads = document.heads
    is_own = any(isinstance(row, dict) and {"query", "kind"} <= set(row) for row in heads[:1])
    if is_own and path.suffix == ".jsonl":
        return Asked(load_records(path, Query)[:limit])
    known = _known(document)
    if known and known.name == "OR-Bench" and kind is None:
        raise DataError(
            f"{path}: columns prompt and category, as OR-Bench (borderline; its toxic part harmful) and others have "
            "them: say which with `kind: borderline` or `kind: harmful`"
        )
    queries, left_out = _queries(document, known, kind)
    name = known.name if known else "questions"
    counts = Counter(query.kind for query in queries[:limit])
    shown = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    rest = "".join(f"; left out: {count} x {reason}" for reason, count in left_out.items())
    only = f" (the first of {len(queries)})" if limit is not None and limit < len(queries) else ""
    how = f", written in {document.encoding}" if document.encoding else ""
    return Asked(queries[:limit], f"{path.name}: read as: {name}, {shown}{only}{how}{rest}")


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


def _known(document: Document) -> Known | None:
    """The published set whose columns every row has."""
    rows = [value for value in document.heads if isinstance(value, dict)]
    if not rows or len(rows) < len(document.heads):
        return None
    shared = set.intersection(*({str(name).strip().lower() for name in row} for row in rows))
    return next((known for known in KNOWN if known.columns <= shared), None)


def _queries(
    document: Document, known: Known | None, kind: QueryKind | None
) -> tuple[list[Query], Counter[str]]:
    queries: list[Query] = []
    problems: list[str] = []
    left_out: Counter[str] = Counter()
    for number, value in enumerate(document.values, 1):
        found = _query(number, value, known, kind)
        if isinstance(found, Query):
            queries.append(found)
        elif found.startswith("copyright"):  # the set's own rows, which no judge here can read
            left_out[found] += 1
        else:
            problems.append(f"{document.path}: row {number}: {found}")
    if problems:
        more = f"\n... and {len(problems) - SHOWN_PROBLEMS} more" if len(problems) > SHOWN_PROBLEMS else ""
        raise DataError("\n".join(problems[:SHOWN_PROBLEMS]) + more)
    if not queries:
        raise DataError(f"{document.path}: holds no question")
    ids = Counter(query.id for query in queries)
    if max(ids.values()) > 1:  # a column `id` that numbers something else
        queries = [replace(query, id=f"q{number:04}") for number, query in enumerate(queries, 1)]
    return queries, left_out


def _query(number: int, value: Any, known: Known | None, kind: QueryKind | None) -> Query | str:
    """The question of one row, or why there is none."""
    if isinstance(value, Broken):
        return str(value)
    name = f"q{number:04}"
    if isinstance(value, str):
        return text_problem("question", value) or Query(id=name, query=value, kind=kind or "harmful")
    if not isinstance(value, dict):
        return f"need an object or a string, found {type(value).__name__}"
    if known and known.form:
        return _published(number, value, known.form)
    row = {str(key).strip().lower(): inner for key, inner in value.items()}
    text = question_of(row)
    if text is None:
        return (
            f"no question; found columns {', '.join(map(str, value))[:200]}: name the column of questions "
            "`question`, or make queries.jsonl with `derta data build` (a source of format `columns`)"
        )
    problem = text_problem("question", text) or _first_problem(row)
    if problem:
        return problem
    own = row.get("kind") if row.get("kind") in KINDS else None
    category = row.get("category") if isinstance(row.get("category"), str) else None
    return Query(
        id=_id(row, name),
        query=text,
        kind=own or kind or "harmful",
        category=category or None,
        **{name: row.get(name) or None for name in _KEPT},
    )


def _first_problem(row: dict[str, Any]) -> str | None:
    found = (text_problem(name, row[name]) for name in _KEPT if row.get(name))
    return next((problem for problem in found if problem), None)


def _published(number: int, row: dict[str, Any], form: str) -> Query | str:
    """A row of a set whose schema `derta data build` knows."""
    settings = SourceSettings(name=form, format=form, path=Path(form))
    [item] = convert_row(row, settings, FORMATS[form])
    if not isinstance(item, Item):
        return item
    name = _id({str(key).lower(): value for key, value in row.items()}, f"q{number:04}")
    return Query(id=name, query=item.query, kind=item.kind or "harmful", category=item.category)


def _id(row: dict[str, Any], otherwise: str) -> str:
    for name in ("behaviorid", "id_v2", "id", "index"):
        value = row.get(name)
        if isinstance(value, (str, int)) and not isinstance(value, bool) and str(value).strip():
            return str(value)
    return otherwise


def _question(path: Path, number: int, value: Any) -> Question:
    if isinstance(value, Broken):
        raise DataError(f"{path}: row {number}: {value}")
    found = value if isinstance(value, str) else _text(value) if isinstance(value, dict) else None
    if not found:
        raise DataError(f"{path}: row {number}: no question; need a string or an object with `question`")
    id = value.get("custom_id", value.get("id")) if isinstance(value, dict) else None
    return Question(None if id is None else str(id), without_markers(found))


def _text(row: dict[str, Any]) -> str | None:
    body = row.get("body")  # of a batch's request
    return last_question(body.get("messages")) if isinstance(body, dict) else question_of(row)
