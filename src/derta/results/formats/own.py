"""`responses.jsonl` of our own runs (records.JudgedResponse)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from derta.attacks.catalogue import reads_prompt
from derta.records import QueryKind
from derta.results.formats.answer import Answer, Format, all_have, each


def _answers(row: dict[str, Any]) -> Iterator[Answer]:
    kind: QueryKind = row["kind"] if row.get("kind") in ("benign", "borderline") else "harmful"
    response, failed = row.get("response"), row.get("stop_reason") == "error"
    if isinstance(response, str) and reads_prompt(str(row.get("attack"))):
        response = f"{row.get('prompt') or ''}{response}"  # the judge reads opening and continuation
    params = row.get("attack_params")
    depth = params.get("depth") if isinstance(params, dict) else None
    yield Answer(
        question=row.get("query"),
        response=response,
        thought=row.get("thought"),
        stop=row.get("stop_reason"),
        error=(row.get("reason") or "the sample did not finish") if failed else None,
        id=row.get("query_id"),
        model=row.get("model"),
        method=str(row.get("method") or "none"),
        attack=row.get("attack") if depth is None else f"{row.get('attack')}@{depth}",
        kind=kind,
        own=True,
        fields=row,
    )


OWN = Format("derta responses", all_have("query_id", "attack", "stop_reason", "response"), each(_answers))
