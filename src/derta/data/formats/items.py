"""What a source's row becomes before it is a record: an item with its role, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from derta.records import Context, QueryKind, text_problem

Role = Literal["harmful", "safe", "benign", "query"]
Split = Literal["train", "held_out"]
SPLITS: tuple[Split, ...] = ("train", "held_out")
ROLES: tuple[Role, ...] = ("harmful", "safe", "benign", "query")


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One usable piece of a source's row.

    context: what was said before `query`; its last turn is the assistant's.
    role: harmful = a harmful response to `query` (with its safe response, if the row brings one);
    safe = a refusal of `query`; benign = a pair; query = an evaluation question.
    pair: key that a forbidden query and its allowed look-alike share.
    split: `held_out` for a row that is set aside from training (used with `split: given`).
    """

    role: Role
    query: str
    id: str | None = None
    response: str | None = None
    safe_response: str | None = None
    kind: QueryKind | None = None
    category: str | None = None
    opening: str | None = None
    reference: str | None = None
    pair: str | None = None
    split: Split | None = None
    context: Context = ()

    @property
    def asked(self) -> str:
        """All that the user says: what is measured, and compared with other rows."""
        said = [turn.content for turn in self.context if turn.role == "user"]
        return "\n".join([*said, self.query])


ITEM_FIELDS = tuple(field.name for field in fields(Item))

Converted = list[Item | str]  # a string is the reason of a rejection

_TEXT_FIELDS = ("query", "response", "safe_response", "category", "opening", "reference", "id", "pair")


def checked(item: Item) -> Item | str:
    """The item, or why one of its texts can't be used. White space at a response's start goes: in many templates it
    would merge with the prompt.
    """
    for name in _TEXT_FIELDS:
        value = getattr(item, name)
        if value is not None:
            problem = text_problem(name, value)
            if problem:
                return problem
    starts = {name: getattr(item, name) for name in ("response", "safe_response")}
    changed = {name: text.lstrip() for name, text in starts.items() if text and text[0].isspace()}
    return replace(item, **changed) if changed else item


def harmful(row: dict[str, Any], query: str, response: str, **more: Any) -> Item | str:
    """A harmful response from two of the row's fields."""
    return _from(row, "harmful", query, response, **more)


def safe(row: dict[str, Any], query: str, response: str, **more: Any) -> Item | str:
    """A safe response from two of the row's fields."""
    return _from(row, "safe", query, response, **more)


def benign(row: dict[str, Any], query: str, response: str, **more: Any) -> Item | str:
    """A benign pair from two of the row's fields."""
    return _from(row, "benign", query, response, **more)


def query(row: dict[str, Any], field: str, kind: QueryKind, **more: Any) -> Item | str:
    """An evaluation question from one of the row's fields."""
    problem = missing(row, field)
    return problem or checked(Item(role="query", query=row[field], kind=kind, **_filled(more)))


def missing(row: dict[str, Any], *fields: str) -> str | None:
    """Why the row lacks one of these texts, or None."""
    for field in fields:
        if field not in row:
            return f"field `{field}` is missing; found {sorted(map(str, row))[:12]}"
        problem = text_problem(field, row[field])
        if problem:
            return problem
    return None


def _from(row: dict[str, Any], role: Role, query: str, response: str, **more: Any) -> Item | str:
    problem = missing(row, query, response)
    return problem or checked(Item(role=role, query=row[query], response=row[response], **_filled(more)))


def _filled(more: dict[str, Any]) -> dict[str, Any]:
    """Optional fields without the empty ones (CSV has no null)."""
    return {
        name: value
        for name, value in more.items()
        if not (value is None or (isinstance(value, str) and not value.strip()))
    }
