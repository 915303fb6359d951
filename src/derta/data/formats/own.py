"""Rows under our own field names: the three kinds of record, parts of a triple, and any table's columns."""

from __future__ import annotations

import re
from typing import Any

from derta.data.formats import items, messages
from derta.data.formats.dialogues import with_system
from derta.data.formats.items import SPLITS, Converted, Item
from derta.data.recipe import SourceSettings
from derta.records import Context, text_problem

Row = dict[str, Any]

SINGLE_ONLY = "evaluation asks single questions; the row has turns before its question"
_ABSENT = object()


def records(row: Row, settings: SourceSettings) -> Converted:
    """Our own three kinds of line (records.py), the same field names in any table, or part of a triple."""
    row, context = _plain_fields(row)
    if isinstance(context, str):
        return [context]
    optional = {name: row.get(name) for name in ("category", "id", "opening", "reference", "pair")}
    split = row.get("split") or None
    if split is not None and split not in SPLITS:
        return [f"field `split`: found {split!r}, need {' or '.join(SPLITS)}"]
    common = {
        "category": optional["category"],
        "id": _as_text(optional["id"]),
        "split": split,
        "context": context,
    }
    if "harmful_response" in row:
        return [
            items.harmful(
                row, "harmful_query", "harmful_response", safe_response=row.get("safe_response"), **common
            )
        ]
    if "safe_response" in row:
        return [items.safe(row, "harmful_query", "safe_response", **common)]
    if "benign_query" in row:
        return [items.benign(row, "benign_query", "response", **common)]
    if context:
        return [SINGLE_ONLY]
    if "borderline_query" in row or "harmful_query" in row:
        return _look_alike(row)
    kind = row.get("kind") or settings.kind
    if kind not in ("harmful", "benign", "borderline"):
        return [f"field `kind`: found {kind!r}, need harmful, benign or borderline (or `kind` in the recipe)"]
    response = row.get("response")
    if kind == "borderline" and response:
        return [items.checked(Item(role="query", query=row.get("query", ""), kind=kind, response=response))]
    more = {
        "opening": optional["opening"],
        "reference": optional["reference"],
        "pair": _as_text(optional["pair"]),
    }
    return [items.query(row, "query", kind, **(common | {"split": None, "context": ()}), **more)]


def _plain_fields(row: Row) -> tuple[Row, Context | str]:
    """The row with texts in the place of conversations, and what was said before its question."""
    context = messages.context_of(row)
    found = dict(row)
    for name in ("harmful_query", "benign_query", "query"):
        if messages.is_conversation(value := messages.unquoted(row.get(name))):
            said = messages.turns_of(value)
            asked = said if isinstance(said, str) else messages.before(with_system(row, said))
            if isinstance(asked, str):
                return row, f"field `{name}`: {asked}"
            context, found[name] = asked
    for name in ("harmful_response", "safe_response", "response"):
        value = messages.unquoted(row.get(name))
        if messages.is_conversation([value] if isinstance(value, dict) else value):
            said = messages.turns_of([value] if isinstance(value, dict) else value)
            if isinstance(said, str) or said[-1]["role"] != "assistant":
                why = said if isinstance(said, str) else "the last turn is not the assistant's"
                return row, f"field `{name}`: {why}"
            found[name] = said[-1]["content"]
    return found, context


def _look_alike(row: Row) -> Converted:
    """{harmful_query, borderline_query}: a forbidden query and its allowed look-alike, paired by their text."""
    problem = items.missing(row, "harmful_query", "borderline_query")
    if problem:
        return [problem]
    pair = f"{row['harmful_query']}/{row['borderline_query']}"
    answered = row.get("response") if text_problem("response", row.get("response")) is None else None
    return [
        items.query(row, "harmful_query", "harmful", pair=pair),
        items.checked(
            Item(role="query", query=row["borderline_query"], kind="borderline", pair=pair, response=answered)
        ),
    ]


def columns(row: Row, settings: SourceSettings) -> Converted:
    """Any table: the recipe's `columns` says which column holds which field; `a.b.0` looks inside column `a`."""
    found = {field: _cell(row, column) for field, column in settings.columns.items()}
    absent = [settings.columns[field] for field, value in found.items() if value is _ABSENT]
    if absent:
        return [f"column `{absent[0]}` is missing; found {sorted(map(str, row))[:12]}"]
    return records(found, settings)


def _cell(row: Row, column: str) -> Any:
    """The row's cell of that name, or what a dotted name finds inside its objects and lists."""
    if column in row:
        return row[column]
    value: Any = row
    for part in column.split("."):
        value = messages.unquoted(value)
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif (
            isinstance(value, list)
            and re.fullmatch(r"-?\d{1,6}", part)
            and -len(value) <= int(part) < len(value)
        ):
            value = value[int(part)]
        else:
            return _ABSENT
    return value


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value
