"""lm-eval's samples: lines {doc_id, doc, target, arguments, resps, filtered_resps, ...}, or results with `samples`.

`resps` holds a list of texts for each request of a document; more than one text: repeats. Tasks that compare
likelihoods hold numbers there, and no answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

from derta.results.document import Document
from derta.results.formats.answer import Answer, Format, Found, all_have, each
from derta.results.formats.plain import question_of

_fits_lines = all_have("doc_id", "resps")


def _in_results(document: Document) -> list[Any]:
    """The samples in a results file: {samples: {task: [...]}}."""
    samples = (document.whole or {}).get("samples")
    lists = samples.values() if isinstance(samples, dict) else ()
    return list(chain.from_iterable(value for value in lists if isinstance(value, list)))


def _fits(document: Document) -> bool:
    return _fits_lines(document) or _fits_lines(document.holding(_in_results(document)))


def _read(document: Document) -> Iterator[Found]:
    inner = _in_results(document)
    yield from each(_answers)(document.holding(inner) if inner else document)


def _answers(row: dict[str, Any]) -> Iterator[Answer]:
    doc = row.get("doc")
    prompt = _argument(row.get("arguments"))
    asked = question_of(doc) if isinstance(doc, dict) else doc
    common: dict[str, Any] = {
        "question": asked or prompt,
        "prompt": prompt,
        "id": row.get("doc_id"),
        "fields": row,
    }
    texts = list(_flat(row.get("resps")))
    if not texts:
        yield Answer(error="`resps` is empty", **common)
    elif not any(isinstance(text, str) for text in texts):
        yield Answer(error="`resps` holds no text: a task that compares likelihoods", **common)
    else:
        yield from (Answer(response=text, **common) for text in texts)


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for inner in value:
            yield from _flat(inner)
    else:
        yield value


def _argument(arguments: Any) -> Any:
    """The prompt: [[prompt, settings]], or {gen_args_0: {arg_0: prompt, arg_1: settings}}."""
    first = arguments
    while isinstance(first, (list, dict)) and first:
        first = next(iter(first.values())) if isinstance(first, dict) else first[0]
    return first if isinstance(first, str) else None


LM_EVAL = Format("lm-eval samples", _fits, _read, record="document")
