"""Files of jailbreak attacks: JailbreakBench's artifacts and EasyJailbreak's data sets.

JailbreakBench   {parameters: {method, model, ...}, jailbreaks: [{index, goal, prompt, response, jailbroken}, ...]}
EasyJailbreak    {query, jailbreak_prompt, target_responses: [...], eval_results: [...]} (CSV: lists as text)
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from derta.results.document import Document
from derta.results.formats.answer import Answer, Format, Found, all_have, each


def _fits_artifact(document: Document) -> bool:
    whole = document.whole or {}
    return isinstance(whole.get("jailbreaks"), list) and isinstance(whole.get("parameters"), dict)


def _read_artifact(document: Document) -> Iterator[Found]:
    whole = document.whole or {}
    parameters = whole["parameters"]

    def answers(row: dict[str, Any]) -> Iterator[Answer]:
        empty = row.get("response") is None and row.get("prompt") is None
        yield Answer(
            question=row.get("goal"),
            prompt=row.get("prompt"),
            response=row.get("response"),
            error="the attack found no prompt for this behaviour" if empty else None,
            id=row.get("index"),
            model=parameters.get("model"),
            attack=parameters.get("method"),
            fields=row,
        )

    yield from each(answers)(document.holding(whole["jailbreaks"]))


def _declared(document: Document) -> int | None:
    number = ((document.whole or {}).get("parameters") or {}).get("number_of_submitted_prompts")
    return number if isinstance(number, int) else None


JAILBREAKBENCH = Format(
    "JailbreakBench artifact", _fits_artifact, _read_artifact, record="behaviour", declared=_declared
)


def _easy_answers(row: dict[str, Any]) -> Iterator[Answer]:
    responses = row.get("target_responses")
    if isinstance(responses, str):
        responses = _list_in(responses)
    common: dict[str, Any] = {
        "question": row.get("query"),
        "prompt": row.get("jailbreak_prompt"),
        "id": row.get("index"),
        "fields": row,
    }
    if not isinstance(responses, list):
        yield Answer(error="`target_responses` is no list", **common)
    elif not responses:
        yield Answer(error="`target_responses` is empty", **common)
    else:
        yield from (Answer(response=response, **common) for response in responses)


def _list_in(text: str) -> Any:
    """A list that CSV holds as Python writes it."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


EASYJAILBREAK = Format(
    "EasyJailbreak data set", all_have("query", "jailbreak_prompt", "target_responses"), each(_easy_answers)
)
