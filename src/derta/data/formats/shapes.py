"""The rows of one JSON value: a list of them, an object around one, or a table as pandas and datasets write it.

{"data": [row, ...]}                         a list under one name
{"train": [row, ...], "test": [row, ...]}    a list a split
{"column": {"0": cell, ...}, ...}            pandas: to_json(orient="columns"), its default
{"0": {"column": cell, ...}, ...}            orient="index"
{"columns": [...], "data": [[...], ...]}     orient="split"
{"schema": {...}, "data": [row, ...]}        orient="table"
{"column": [cell, ...], ...}                 datasets: Dataset.to_dict
"""

from __future__ import annotations

from typing import Any

from derta.data.formats.folders import ALL, split_of
from derta.data.formats.rows import Unreadable

_TURN_KEYS = ({"role", "content"}, {"from", "value"})


def rows_in(value: Any, split: str) -> list[Any]:
    """The rows of a file that is one value; an `Unreadable` where it can't be told what they are."""
    if isinstance(value, list):
        return value
    if not isinstance(value, dict):
        return [value]
    if isinstance(value.get("columns"), list) and isinstance(value.get("data"), list):
        return _pandas_split(value["columns"], value["data"])
    lists = {name: inner for name, inner in value.items() if _is_rows(inner)}
    if len(lists) < len(value) and _are_columns(list(value.values())):
        return [dict(zip(value, cells, strict=True)) for cells in zip(*value.values(), strict=True)]
    if lists:
        return _listed(lists, split)
    if value and all(isinstance(inner, dict) and inner for inner in value.values()):
        return _of_objects(value)
    return [value]


def _are_columns(values: list[Any]) -> bool:
    """Whether all are lists of one length, and none is a conversation."""
    lengths = {len(inner) if isinstance(inner, list) else 0 for inner in values}
    return len(lengths) == 1 and lengths != {0} and not any(map(_is_turns, values))


def _is_rows(value: Any) -> bool:
    is_list = isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)
    return is_list and not _is_turns(value)


def _is_turns(value: Any) -> bool:
    """A conversation is a list of objects, and no list of rows."""
    return isinstance(value, list) and all(
        isinstance(turn, dict) and any(keys <= set(turn) for keys in _TURN_KEYS) for turn in value
    )


def _listed(lists: dict[str, list[Any]], split: str) -> list[Any]:
    if len(lists) == 1:
        [(name, rows)] = lists.items()
        said = split_of(name)
        if said not in (None, split) and split != ALL:
            return [Unreadable(f"holds split {said} alone; the recipe asks for {split} (`split`)")]
        return [row["row"] if set(row) >= {"row_idx", "row"} else row for row in rows]
    if split == ALL:
        return [row for rows in lists.values() for row in rows]
    chosen = [rows for name, rows in lists.items() if name == split or split_of(name) == split]
    if len(chosen) == 1:
        return chosen[0]
    return [Unreadable(f"an object with several lists of rows ({', '.join(list(lists)[:12])}); set `split`")]


def _of_objects(value: dict[str, Any]) -> list[Any]:
    keys = list(next(iter(value.values())))
    if any(list(inner) != keys for inner in value.values()):
        return [value]
    if all(map(_is_number, keys)):
        return [{column: cells[key] for column, cells in value.items()} for key in keys]
    return list(value.values()) if all(map(_is_number, value)) else [value]


def _is_number(key: str) -> bool:
    return key.isdecimal()


def _pandas_split(columns: list[Any], data: list[Any]) -> list[Any]:
    return [
        dict(zip(map(str, columns), cells, strict=True))
        if isinstance(cells, list) and len(cells) == len(columns)
        else Unreadable(f"need a list of {len(columns)} cells")
        for cells in data
    ]
