"""Which format a file is of, and its answers.

The formats are asked in order, the most particular first; `plain` takes what is left. An object that holds the rows
is opened first: {results: [rows], ...}, {id: row, ...}, {question: response, ...}.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from derta.errors import DataError
from derta.results.document import Document
from derta.results.formats.answer import Answer, Format, Found
from derta.results.formats.conversations import MESSAGES, SHAREGPT
from derta.results.formats.garak import GARAK_HITLOG, GARAK_REPORT
from derta.results.formats.harmbench import HARMBENCH
from derta.results.formats.inspect_log import INSPECT
from derta.results.formats.jailbreaks import EASYJAILBREAK, JAILBREAKBENCH
from derta.results.formats.lm_eval import LM_EVAL
from derta.results.formats.openai import CHAT_COMPLETIONS, OPENAI_BATCH
from derta.results.formats.own import OWN
from derta.results.formats.plain import PLAIN, STRONGREJECT, XSTEST, answer_names, by_field
from derta.results.formats.promptfoo import PROMPTFOO
from derta.results.formats.pyrit import PYRIT
from derta.results.formats.release import STRINGS, TRAINING
from derta.results.formats.samples import SAMPLES
from derta.results.formats.searches import SEARCHES

FORMATS = (
    *(INSPECT, OWN, GARAK_REPORT, GARAK_HITLOG, PROMPTFOO, PYRIT, JAILBREAKBENCH, HARMBENCH, LM_EVAL),
    *(OPENAI_BATCH, CHAT_COMPLETIONS, EASYJAILBREAK, TRAINING, MESSAGES, SHAREGPT, SAMPLES, SEARCHES),
    *(STRINGS, XSTEST, STRONGREJECT),
)


class Reading(NamedTuple):
    """A file's answers in one format.

    held_by: the key of the list in the file's object; "" where there is one. unread: the object's other keys.
    """

    format: Format
    document: Document
    held_by: str = ""
    unread: tuple[str, ...] = ()

    def found(self) -> Iterator[Found]:
        """The answers in order."""
        return self.format.read(self.document)


def readings(
    document: Document, field: str | None = None, question_field: str | None = None
) -> list[Reading]:
    """How a file is read: one format; several lists of rows in one object are read one after another.

    Raises:
        DataError: text that is neither JSON nor a table.
    """
    is_named = field is not None or question_field is not None
    known = None if is_named else next((form for form in FORMATS if form.fits(document)), None)
    if known is not None:
        return [Reading(known, document)]
    if document.shape == "text":
        raise DataError(
            f"{document.path}: neither JSON nor a table; need JSON lines, one JSON array, an object that holds "
            "the rows, CSV or Parquet"
        )
    inner = _held_rows(document) if document.whole is not None else []
    if inner:
        read = {key for key, _ in inner}
        unread = () if "" in read else tuple(str(key) for key in document.whole or () if key not in read)
        return [
            Reading(reading.format, reading.document, key if len(inner) > 1 else "", unread)
            for key, values in inner
            for reading in readings(document.holding(values), field, question_field)
        ]
    return [Reading(by_field(field, question_field) if is_named else PLAIN, document)]


def _held_rows(document: Document) -> list[tuple[str, list[Any]]]:
    """The lists of rows in the file's object; none where the object is a row itself."""
    whole = document.whole or {}
    if answer_names(whole) or "error" in whole:
        return []
    if _is_mapping(whole):
        return [("", [_mapped(key, value) for key, value in whole.items()])]
    lists = [(str(key), value) for key, value in whole.items() if _is_rows(value)]
    if lists:
        return _with_answers(document, lists)
    inner = [(str(key), found) for key, value in whole.items() if (found := _rows_inside(value))]
    if inner:
        return _with_answers(document, inner)
    if len(whole) > 1 and all(isinstance(value, dict) for value in whole.values()):
        return [("", [{"id": str(key), **value} for key, value in whole.items()])]
    return []


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, (dict, str)) for item in value)


def _rows_inside(value: Any) -> list[Any]:
    """Rows one level further in: {results: {rows: [...]}}."""
    lists = [inner for inner in value.values() if _is_rows(inner)] if isinstance(value, dict) else []
    return lists[0] if len(lists) == 1 and all(isinstance(item, dict) for item in lists[0]) else []


def _with_answers(document: Document, lists: list[tuple[str, list[Any]]]) -> list[tuple[str, list[Any]]]:
    """Those lists that hold answers; all of them where none does, so that the reader says what is missing."""
    if len(lists) == 1:
        return lists
    holding = [(key, values) for key, values in lists if _holds_answers(document.holding(values))]
    return holding or [max(lists, key=lambda item: len(item[1]))]


def _holds_answers(document: Document) -> bool:
    heads = document.heads
    if any(form.fits(document) for form in FORMATS if form is not STRINGS):
        return True
    rows = [value for value in heads if isinstance(value, dict)]
    long = [value for value in heads if isinstance(value, str) and len(value.split()) > 3]
    return any(map(answer_names, rows)) or (len(long) == len(heads) and bool(heads))


def _is_mapping(whole: dict[Any, Any]) -> bool:
    """{question: response} or {question: [responses]}: keys of several words, and texts under most of them."""
    keys = [str(key) for key in whole]
    sentences = sum(len(key.split()) > 2 or key.rstrip().endswith("?") for key in keys)
    texts = sum(
        isinstance(value, str) or (isinstance(value, list) and any(isinstance(item, str) for item in value))
        for value in whole.values()
    )
    return min(sentences, texts) >= max(1, len(keys) / 2)


def _mapped(question: Any, value: Any) -> dict[str, Any]:
    return {"question": str(question), "responses" if isinstance(value, list) else "response": value}


__all__ = ["FORMATS", "Answer", "Reading", "readings"]
