"""The attempt that a search (PAIR and the like) ended with: the best score, the earliest on ties."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_SCORES = ("score", "judge_score", "judge_scores", "scores", "rating", "best_score", "judge_rating")
_MOST = 1e9  # what is larger, or no number, is no score
_SUCCESS = ("is_jailbroken", "jailbroken", "success", "is_success")


def best_attempt(summary: Mapping[str, Any], responses: Sequence[str]) -> dict[str, Any] | None:
    """The final attempt of a summary as one flat row; None when the row is no summary.

    Attempts are objects anywhere inside, or lists that run side by side (responses, scores, prompts). Without
    scores the last attempt is the final one.
    """
    side_by_side = _columns(summary, responses)
    if side_by_side:
        return _best(side_by_side)
    if any(isinstance(summary.get(name), str) for name in responses):
        return None
    attempts = list(_attempts(list(summary.values()), responses))
    return _best(attempts) if attempts else None


def _columns(summary: Mapping[str, Any], responses: Sequence[str]) -> list[dict[str, Any]]:
    names = {*responses, *(f"{name}s" for name in responses), *(f"{name}_list" for name in responses)}
    for name in summary:
        column = summary[name]
        if (
            name in names
            and isinstance(column, list)
            and column
            and all(isinstance(item, str) for item in column)
        ):
            rows: list[dict[str, Any]] = [{"response": text} for text in column]
            for other, values in summary.items():
                if other != name and isinstance(values, list) and len(values) == len(column):
                    singular = other.removesuffix("_list")
                    for row, value in zip(rows, values, strict=True):
                        row[singular if singular in _SCORES else singular.removesuffix("s")] = value
            return rows
    return []


def _attempts(value: Any, responses: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Objects with a response, in the order in which they stand."""
    if isinstance(value, dict):
        if any(isinstance(value.get(name), str) for name in responses):
            yield value
        else:
            for inner in value.values():
                yield from _attempts(inner, responses)
    elif isinstance(value, list):
        for inner in value:
            if isinstance(inner, (dict, list)):
                yield from _attempts(inner, responses)


def _best(attempts: list[dict[str, Any]]) -> dict[str, Any]:
    scored = [(score, attempt) for attempt in attempts if (score := _score(attempt)) is not None]
    if not scored:
        return attempts[-1]
    return max(scored, key=lambda pair: pair[0])[1]  # max keeps the first of equals


def is_scored(attempt: Mapping[str, Any]) -> bool:
    """Whether a row or attempt carries a search's scores, of its own or in a list."""
    names = {*_SCORES, *_SUCCESS, *(f"{name}s" for name in _SCORES)}
    return any(isinstance(attempt.get(name), (int, float, list)) for name in names)


def _score(attempt: Mapping[str, Any]) -> float | None:
    for name in (*_SCORES, *_SUCCESS):
        value = attempt.get(name)
        if isinstance(value, (int, float)) and abs(value) < _MOST:  # a bool counts: success 1, failure 0
            return float(value)
    return None
