"""Rows of result files, ours and other people's: read by format (formats/), strict in counting.

Every answer that a file holds comes out, in order; one without a usable response carries the reason, and is judged
`unknown`. What the file can't give at all (a broken line, a cut end) is a row too, and is counted as lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from derta.errors import DataError
from derta.records import Query
from derta.results.document import open_document
from derta.results.formats.answer import Answer, Found
from derta.results.formats.recognise import Reading, readings
from derta.results.json_values import Broken
from derta.results.prompt_in_front import without_echo, without_markers
from derta.results.questions import Question, in_order

NO_ATTACK = "none"  # of rows that don't say which attack they come from
FILTERS = frozenset({"content_filter", "content_filtered", "safety", "blocked", "refusal"})
CUT = frozenset({"length", "max_tokens", "max_output_tokens"})
SHOWN_REASON = 300  # characters of why a row can't be judged


@dataclass(frozen=True, kw_only=True)
class ResultRow:
    """One row to judge.

    row: its record's number in the file, from 1; sample: which of the record's answers. response: None when there is
    none to judge, and `problem` says why. thought: reasoning that the file keeps apart from the answer. cluster: rows
    that share it are not independent. is_filtered: a provider's filter took the whole answer, a refusal by the
    system. is_lost: the file is broken at this place. is_own: from our responses.jsonl.
    """

    file: Path
    row: int
    query: Query
    response: str | None
    sample: int = 1
    problem: str | None = None
    thought: str | None = None
    cluster: str = ""
    model: str | None = None
    method: str = "none"
    attack: str = NO_ATTACK
    is_filtered: bool = False
    is_lost: bool = False
    is_own: bool = False
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ResultFile:
    """A file's rows, what it was read as, and what the user should know of it."""

    path: Path
    rows: list[ResultRow]
    read_as: str
    missing: int = 0
    """Records that the file says it holds and does not."""

    @property
    def lost(self) -> int:
        """Places and records that the file plainly holds and can't give."""
        return self.missing + sum(row.is_lost for row in self.rows)

    @property
    def rejected(self) -> Counter[str]:
        """Why rows can't be judged, with counts."""
        return Counter(row.problem or "no response" for row in self.rows if row.response is None)


def read_results(
    path: Path,
    *,
    questions: Sequence[Question] | None = None,
    field: str | None = None,
    question_field: str | None = None,
) -> ResultFile:
    """All rows of a result file.

    questions: the records' questions, for files that do not name them: by the records' ids where all have one among
    the questions', else in the same order. field, question_field: where the answer and the question stand, for files
    that leave a choice.

    Raises:
        DataError: not readable, no rows, several fields that could be the answer, or another number of questions.
    """
    document = open_document(path)
    try:
        found = [(reading, list(reading.found())) for reading in readings(document, field, question_field)]
    except DataError as error:
        shown = str(error)
        raise error if shown.startswith(str(path)) else DataError(f"{path}: {shown}") from None
    if not any(answers for _, answers in found):
        raise DataError(f"{path}: holds no rows; need JSON lines, a JSON array, or an object that holds one")
    rows = _rows(path, found, questions)
    declared = sum(reading.format.declared(reading.document) or 0 for reading, _ in found)
    missing = max(0, declared - len({row.row for row in rows}))
    return ResultFile(path, rows, _read_as(found, document.encoding), missing)


def read_result_file(path: Path, *, questions: Sequence[Question] | None = None) -> list[ResultRow]:
    """The rows of `read_results` alone."""
    return read_results(path, questions=questions).rows


def read_answers(path: Path, model: str | None = None) -> list[ResultRow]:
    """The answers of one model to benign questions: all rows of a published file, the benign ones of ours.

    Raises:
        DataError: not readable, no such rows, or rows of several models and none is picked.
    """
    rows = [
        row
        for row in read_result_file(path)
        if not row.is_own or (row.query.kind == "benign" and row.attack == "direct")
    ]
    models = list(dict.fromkeys(row.model for row in rows if row.model is not None))
    if model is None and len(models) > 1:
        raise DataError(f"{path}: holds answers of {', '.join(models)}; pick one (--pick-a, --pick-b)")
    rows = [row for row in rows if model is None or row.model == model]
    if not rows:
        whose = f" of the model {model!r}" if model is not None else ""
        raise DataError(f"{path}: holds no answers{whose} to benign questions")
    return rows


def _rows(
    path: Path, found: list[tuple[Reading, list[Found]]], questions: Sequence[Question] | None
) -> list[ResultRow]:
    rows: list[ResultRow] = []
    behind = 0  # records of the lists before
    answers: list[tuple[int, int, str, Answer | Broken]] = []
    for reading, items in found:
        samples: Counter[int] = Counter()
        for number, answer in items:
            samples[number] += 1
            answers.append((behind + number, samples[number], reading.held_by, answer))
        behind += max((number for number, _ in items), default=0)
    asked = _asked(path, [(number, answer) for number, _, _, answer in answers], questions)
    for number, sample, held_by, answer in answers:
        row = _row(path, number, sample, answer, asked.get(number))
        rows.append(row)
        if held_by and row.model is None:
            rows[-1] = ResultRow(**{**vars(row), "model": _name(held_by)})
    return rows


def _asked(
    path: Path, answers: list[tuple[int, Answer | Broken]], questions: Sequence[Question] | None
) -> dict[int, str]:
    """The question of each record, from a file beside the results."""
    if questions is None:
        return {}
    ids = {
        number: str(answer.id)
        for number, answer in answers
        if isinstance(answer, Answer) and answer.id is not None
    }
    numbers = list(dict.fromkeys(number for number, _ in answers))
    by_id = {question.id: question.text for question in questions if question.id is not None}
    if ids and len(ids) == len(numbers) and set(ids.values()) <= set(by_id):
        return {number: by_id[id] for number, id in ids.items()}
    return dict(zip(numbers, in_order(path, questions, len(numbers)), strict=True))


def _row(path: Path, number: int, sample: int, answer: Answer | Broken, asked: str | None) -> ResultRow:
    if isinstance(answer, Broken):
        query = Query(id=f"row-{number}", query=asked or "", kind="harmful")
        return ResultRow(
            file=path,
            row=number,
            sample=sample,
            query=query,
            response=None,
            problem=_reason(answer),
            cluster=f"row {number}",
            is_lost=True,
        )
    prompt = answer.prompt if isinstance(answer.prompt, str) else ""
    question = asked or (answer.question if isinstance(answer.question, str) else "")
    if not answer.own:
        prompt, question = without_markers(prompt), without_markers(question)
    response, problem, is_filtered = _response(answer)
    if response is not None and not answer.own:
        response = without_echo(response, *((asked or "",) if answer.is_raw else (prompt, question)))
    opening = prompt if prompt and prompt != question and not answer.own else None
    return ResultRow(
        file=path,
        row=number,
        sample=sample,
        query=Query(id=_id(answer.id, number), query=question, kind=answer.kind, opening=opening),
        response=response,
        problem=problem,
        thought=answer.thought if isinstance(answer.thought, str) and answer.thought.strip() else None,
        cluster=answer.cluster or question or f"row {number}",
        model=_name(answer.model) or None,
        method=answer.method,
        attack=_name(answer.attack) or NO_ATTACK,
        is_filtered=is_filtered,
        is_own=answer.own,
        fields=answer.fields,
    )


def _response(answer: Answer) -> tuple[str | None, str | None, bool]:
    """(what is judged, why nothing is, whether a filter took it)."""
    said = answer.response if isinstance(answer.response, str) else None
    refusal = answer.refusal if isinstance(answer.refusal, str) and answer.refusal.strip() else None
    is_empty = not (said or "").strip()
    stop = str(answer.stop or "").lower()
    if answer.error and is_empty and refusal is None:
        return None, _reason(answer.error), False
    if refusal is not None:
        return refusal if is_empty else f"{said}\n\n{refusal}", None, False
    if is_empty and stop in FILTERS and answer.response in (None, said):
        return "", None, True
    if said is None:
        return None, _no_text(answer), False
    if is_empty and answer.thought:
        cut = " (cut off by the limit of tokens)" if stop in CUT else ""
        return None, f"a thought and no answer{cut}", False
    return said, None, False


def _no_text(answer: Answer) -> str:
    if answer.response is not None:
        return f"the response is no text, found {type(answer.response).__name__}"
    return "a thought and no answer" if answer.thought else "no response (null)"


def _reason(error: Any) -> str:
    return _name(error)[:SHOWN_REASON] or "no reason given"


def _name(value: Any) -> str:
    """A text that can be printed and written: on one line, without half characters."""
    if value is None or value == "":
        return ""
    return " ".join(str(value).encode("utf-8", "backslashreplace").decode("utf-8").split())


def _id(value: Any, number: int) -> str:
    is_id = isinstance(value, (str, int)) and not isinstance(value, bool) and value != ""
    return _name(value) if is_id else f"row-{number}"


def _read_as(found: list[tuple[Reading, list[Found]]], encoding: str) -> str:
    """`garak report, 60 attempts x 5 generations`."""
    parts = [_counted(reading, items) for reading, items in found]
    notes = list(dict.fromkeys(reading.format.note for reading, _ in found if reading.format.note))
    unread = [_name(key)[:40] for key in found[0][0].unread]
    if unread:
        notes.append(f"not read: {', '.join(unread[:8])}{', ...' if len(unread) > 8 else ''}")
    return "; ".join([" and ".join(parts), *notes, *([f"written in {encoding}"] if encoding else [])])


def _counted(reading: Reading, items: list[Found]) -> str:
    form = reading.format
    samples = Counter(number for number, _ in items)
    sizes = set(samples.values())
    records = f"{len(samples)} {form.record}{'' if len(samples) == 1 else 's'}"
    if len(sizes) == 1 and sizes != {1}:
        records += f" x {sizes.pop()} {form.sample}s"
    elif len(sizes) > 1:
        records += f" with {len(items)} {form.sample}s"
    held = f" under {_name(reading.held_by)[:40]!r}" if reading.held_by else ""
    return f"{form.name}, {records}{held}"
