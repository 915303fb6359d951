"""HarmBench's completions and results: {behavior id: [{test_case, generation, label?}, ...]}.

Written by its generate_completions.py and evaluate_completions.py. A behaviour's text is not in the file: the
question is the test case, and the behaviour's samples count as one cluster.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from derta.results.document import Document
from derta.results.formats.answer import Answer, Format, Found, numbered
from derta.results.json_values import Broken


def _fits(document: Document) -> bool:
    whole = document.whole
    lists = [value for value in whole.values() if isinstance(value, list)] if whole else []
    entries = [entry for entries in lists for entry in entries if isinstance(entry, dict)]
    return (
        bool(whole and entries) and len(lists) == len(whole or ()) and any("generation" in e for e in entries)
    )


def _read(document: Document) -> Iterator[Found]:
    for number, (behaviour, entries) in enumerate((document.whole or {}).items(), 1):
        if not entries:
            yield number, Broken(f"behaviour {behaviour!r}: no completions")
        for entry in entries:
            yield from numbered(number, entry, lambda row, name=behaviour: [_answer(name, row)])  # type: ignore[misc]


def _answer(behaviour: str, row: dict[str, Any]) -> Answer:
    case = row.get("test_case")
    if isinstance(case, list):  # multimodal: [image file, text]
        case = next((part for part in reversed(case) if isinstance(part, str)), None)
    missing = None if "generation" in row else f"no `generation`; found {sorted(map(str, row))[:8]}"
    return Answer(
        question=case,
        response=row.get("generation"),
        error=missing,
        id=behaviour,
        cluster=behaviour,
        fields=row,
    )


HARMBENCH = Format("HarmBench completions", _fits, _read, record="behaviour", sample="completion")
