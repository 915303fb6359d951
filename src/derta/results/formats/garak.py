"""garak's report.jsonl and hitlog.jsonl.

report   lines {entry_type, ...}; those of type `attempt` hold {uuid, status, probe_classname, prompt, outputs, ...}.
         An attempt is written once when the target has answered (status 1) and again when it is evaluated (2).
hitlog   {prompt, output, probe, detector, score, attempt_id, attempt_idx, ...}: only what a detector flagged,
         once for each detector.
Prompts and outputs are strings in old versions, messages {text} and conversations {turns} in newer ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from derta.results.document import Document
from derta.results.formats.answer import Answer, Format, Found, last_question, numbered, spoken
from derta.results.json_values import Broken

_OTHER_ENTRIES = (
    "init",
    "start_run setup",
    "eval",
    "completion",
    "digest",
    "attempt",
    "config",
    "plugin_cache",
)


def _fits_report(document: Document) -> bool:
    heads = [value for value in document.heads if isinstance(value, dict)]
    typed = [value for value in heads if isinstance(value.get("entry_type"), str)]
    return bool(typed) and len(typed) == len(document.heads)


def _read_report(document: Document) -> Iterator[Found]:
    values = document.values
    evaluated = {_key(value) for value in values if _is_attempt(value) and value.get("status") == 2}
    number = 0
    for value in values:
        if isinstance(value, dict) and "entry_type" in value and not _is_attempt(value):
            if value["entry_type"] not in _OTHER_ENTRIES and "outputs" in value:
                number += 1
                yield (
                    number,
                    Broken(f"an entry of unknown type {str(value['entry_type'])[:40]!r} with outputs"),
                )
            continue  # set-up and evaluation of the run
        if _is_attempt(value) and value.get("status") == 1 and _key(value) in evaluated:
            continue  # written again when it was evaluated
        number += 1
        yield from numbered(number, value, _attempt)


def _is_attempt(value: Any) -> bool:
    return isinstance(value, dict) and value.get("entry_type") == "attempt"


def _key(attempt: dict[str, Any]) -> str:
    return f"{attempt.get('uuid')} {attempt.get('seq')} {attempt.get('probe_classname')}"


def _attempt(row: dict[str, Any]) -> Iterator[Answer]:
    common: dict[str, Any] = {"question": _question(row.get("prompt")), "fields": row}
    common["attack"] = row.get("probe_classname")
    outputs = row.get("outputs")
    if not isinstance(outputs, list):
        yield Answer(error=f"no list of outputs; found {sorted(map(str, row))[:8]}", **common)
    elif not outputs:
        yield Answer(error=f"no outputs (status {row.get('status')}: 0 is not sent)", **common)
    else:
        for output in outputs:
            yield _output(output, common)


def _output(output: Any, common: dict[str, Any]) -> Answer:
    if isinstance(output, dict) and output.get("text") is None and "text" not in output:
        return Answer(error=f"an output without `text`; found {sorted(map(str, output))[:8]}", **common)
    return Answer(response=spoken(output).text, **common)


def _question(prompt: Any) -> Any:
    """The user's last turn of a prompt in any of garak's forms."""
    if isinstance(prompt, dict) and isinstance(prompt.get("turns"), list):
        return last_question(prompt["turns"])
    return last_question(prompt) if isinstance(prompt, list) else spoken(prompt).text


def _fits_hitlog(document: Document) -> bool:
    heads = document.heads
    need = {"prompt", "output", "detector", "probe"}
    return bool(heads) and all(isinstance(value, dict) and need <= set(value) for value in heads)


def _read_hitlog(document: Document) -> Iterator[Found]:
    seen: set[tuple[str, str]] = set()
    for number, value in enumerate(document.values, 1):
        if isinstance(value, dict) and "attempt_id" in value:
            key = (str(value["attempt_id"]), str(value.get("attempt_idx")))
            if key in seen:
                continue  # another detector flagged the same output
            seen.add(key)
        yield from numbered(number, value, _hit)


def _hit(row: dict[str, Any]) -> Iterator[Answer]:
    question, attack = _question(row.get("prompt")), row.get("probe")
    missing = None if "output" in row else "no `output`"
    yield Answer(
        question=question, response=spoken(row.get("output")).text, error=missing, attack=attack, fields=row
    )


GARAK_REPORT = Format("garak report", _fits_report, _read_report, record="attempt", sample="generation")
GARAK_HITLOG = Format(
    "garak hitlog",
    _fits_hitlog,
    _read_hitlog,
    record="hit",
    note="holds only what a detector flagged: the share is none of all attempts",
)
