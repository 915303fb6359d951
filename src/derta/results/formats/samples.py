"""Several samples of one question in a row, as vLLM gives them for n > 1: {prompt, outputs: [{text, ...}, ...]}.

Also {question, responses: [text, ...]} under the usual names. Lists that run beside scores or prompts are no
samples but the attempts of a search (`searches`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from derta.results.document import Document
from derta.results.formats.answer import Answer, Format, each, message_answer, spoken, thought_of
from derta.results.formats.plain import ANSWERS, plain_answer, prompt_of, question_of, wanted
from derta.results.search_summary import is_scored

_PLURALS = frozenset(
    """responses outputs completions generations answers samples replies predictions generated_texts candidates
    model_responses target_responses model_outputs texts""".split()  # noqa: SIM905
)
_TEXTS = ("text", "content", "response", "completion", "generation", "output", "generated_text")


def _lists(row: Any) -> list[str]:
    """The fields of a row that hold samples."""
    if not isinstance(row, dict) or is_scored(row):
        return []
    names = [name for name in row if str(name).lower() in _PLURALS | ANSWERS]
    return [
        name
        for name in names
        if isinstance(row[name], list) and row[name] and all(map(_is_sample, row[name]))
    ]


def _is_sample(value: Any) -> bool:
    if isinstance(value, dict):
        texts = [value[name] for name in _TEXTS if name in value]
        return ("message" in value or bool(texts)) and "prompt" not in value and not is_scored(value)
    return value is None or isinstance(value, str)


def _fits(document: Document) -> bool:
    heads = document.heads
    return bool(heads) and all(isinstance(value, dict) for value in heads) and any(map(_lists, heads))


def _answers(row: dict[str, Any]) -> Iterator[Answer]:
    names = _lists(row)
    if not names:
        yield plain_answer(row)
        return
    if len(names) > 1:
        raise wanted(row, names)
    common: dict[str, Any] = {"question": question_of(row), "prompt": prompt_of(row), "fields": row}
    common["id"] = row.get("id")
    yield from (_sample(value, common) for value in row[names[0]])


def _sample(value: Any, common: dict[str, Any]) -> Answer:
    if not isinstance(value, dict):
        return Answer(response=value, **common)
    stop = value.get("finish_reason", value.get("stop_reason"))
    if "message" in value:
        return message_answer(value["message"], stop=stop, **common)
    name = next(name for name in _TEXTS if name in value)
    read = spoken(value[name])
    refusal = value.get("refusal") if isinstance(value.get("refusal"), str) else None
    return Answer(
        response=read.text, thought=thought_of(value) or read.thought, stop=stop, refusal=refusal, **common
    )


SAMPLES = Format("samples of each prompt", _fits, each(_answers), record="prompt")
