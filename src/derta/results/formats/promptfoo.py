"""promptfoo's output: JSON {results: {results: [...]}} (or the inner summary), and JSON lines of the same results.

A result: {prompt: {raw}, vars, response: {output | error}, provider, testCase, metadata, error}.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from derta.results.document import Document
from derta.results.formats.answer import Answer, Format, Found, each, thought_of


def _is_result(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("prompt"), dict)
        and "raw" in value["prompt"]
        and ("vars" in value or "testCase" in value)
    )


def _results(document: Document) -> list[Any] | None:
    """The list of results in the file's one object."""
    inner = (document.whole or {}).get("results")
    for found in (inner, inner.get("results") if isinstance(inner, dict) else None):
        if isinstance(found, list) and any(map(_is_result, found)):
            return found
    return None


def _fits(document: Document) -> bool:
    heads = document.heads
    return _results(document) is not None or (bool(heads) and all(map(_is_result, heads)))


def _read(document: Document) -> Iterator[Found]:
    results = _results(document)
    yield from each(_answers)(document if results is None else document.holding(results))


def _answers(row: dict[str, Any]) -> Iterator[Answer]:
    response, meta = row.get("response"), _dict(row.get("metadata"))
    meta = {**_dict(_dict(row.get("testCase")).get("metadata")), **meta}
    sent = _dict(row.get("prompt")).get("raw")
    provider = _dict(row.get("provider"))
    output = response.get("output") if isinstance(response, dict) else response
    error = _dict(response).get("error") or (row.get("error") if output is None else None)
    yield Answer(
        question=meta.get("goal") or _asked(_dict(row.get("vars"))) or sent,
        response=output,
        prompt=sent,
        thought=thought_of(_dict(response)),
        error=error,
        model=provider.get("label") or provider.get("id"),
        attack=meta.get("strategyId") or meta.get("pluginId"),
        fields=row,
    )


def _asked(variables: dict[str, Any]) -> Any:
    """The variable that holds the question: the only one, or one of the usual names."""
    texts = {name: value for name, value in variables.items() if isinstance(value, str)}
    named = next((texts[name] for name in ("query", "question", "prompt", "goal") if name in texts), None)
    return named or (next(iter(texts.values())) if len(texts) == 1 else None)


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _declared(document: Document) -> int | None:
    whole = document.whole or {}
    stats = _dict(_dict(whole.get("results")).get("stats") or whole.get("stats"))
    counts = [stats.get(name) for name in ("successes", "failures", "errors")]
    found = [count for count in counts if isinstance(count, int)]
    return sum(found) if found else None


PROMPTFOO = Format("promptfoo results", _fits, _read, record="result", declared=_declared)
