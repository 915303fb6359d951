"""Benchmark files as the user has them: published forms and the ones of the DeRTa release.

    gsm8k   {question, answer: "working\\n#### 42"}
    mmlu    {question: "Text\\n-options\\n-(A) one\\n-(B) two ...", answer: "B"}     (release)
            {question, choices: [...], answer: 1 | "B", subject?}                  (published)
            {question, A, B, C, D, answer: "B", subject?}                          (tables)

Every row is used, or named with its place and reason; nothing is left out silently.
"""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

from derta.capability.recipe import TaskName
from derta.data.formats.read import RawRow, Unreadable, parse_line, read_source
from derta.data.recipe import SourceSettings
from derta.errors import DataError
from derta.records import text_problem

LETTERS = "ABCDEFGHIJ"
SHOWN_PROBLEMS = 5
Doc = dict[str, Any]

_GSM8K_ANSWER = re.compile(r"####\s*\S")
_OPTION = re.compile(r"^-?\s*\(([A-J])\)[ \t]*", re.MULTILINE)
_OPTIONS_HEAD = re.compile(r"\n-?\s*options\s*:?\s*$", re.IGNORECASE)


def read_questions(path: Path, task: TaskName) -> list[Doc]:
    """The questions of a file, in order, in the form that the task needs.

    gsm8k: {question, answer}; mmlu: {question, choices, answer (index), subject ("" when unknown)}.

    Raises:
        DataError: not readable, empty, or rows that can't be used (the first ones are listed).
    """
    docs: list[Doc] = []
    problems: list[str] = []
    for row in read_source(SourceSettings(name="questions", format="columns", path=path)):
        doc = _doc(_value(row), task)
        if isinstance(doc, str):
            problems.append(f"{row.file}:{row.line}: {doc}")
        else:
            docs.append(doc)
    if problems:
        more = f"\n... and {len(problems) - SHOWN_PROBLEMS} more" if len(problems) > SHOWN_PROBLEMS else ""
        raise DataError("\n".join(problems[:SHOWN_PROBLEMS]) + more)
    if not docs:
        raise DataError(f"{path}: holds no question; need rows with `question` and `answer`")
    return docs


def drawn(docs: list[Doc], number: int | None, seed: int) -> list[Doc]:
    """So many of the questions, in their order; all for None.

    Raises:
        DataError: there are fewer.
    """
    if number is None or number == len(docs):
        return docs
    if number > len(docs):
        raise DataError(f"num_questions: found {number}, the file holds {len(docs)}")
    chosen = sorted(random.Random(f"capability {seed}").sample(range(len(docs)), number))
    return [docs[index] for index in chosen]


def _value(row: RawRow) -> Any:
    return parse_line(row.value) if isinstance(row.value, bytes) else row.value


def _doc(value: Any, task: TaskName) -> Doc | str:
    """The question, or the reason why it is none."""
    if isinstance(value, Unreadable):
        return value.reason
    if not isinstance(value, dict):
        return f"need an object with `question` and `answer`, found {type(value).__name__}"
    problem = text_problem("question", value.get("question"))
    if problem:
        return problem if "question" in value else f"no `question`; found {sorted(map(str, value))[:8]}"
    return _gsm8k(value) if task == "gsm8k" else _mmlu(value)


def _gsm8k(value: dict[str, Any]) -> Doc | str:
    answer = value.get("answer")
    if not isinstance(answer, str) or not _GSM8K_ANSWER.search(answer):
        return "field `answer`: need a worked answer that ends in `#### number`"
    return {"question": value["question"], "answer": answer}


def _mmlu(value: dict[str, Any]) -> Doc | str:
    question, choices = str(value["question"]), value.get("choices")
    if isinstance(choices, str):  # CSV holds the list as text
        try:
            choices = json.loads(choices)
        except ValueError:
            return "field `choices`: need a list of texts"
    if choices is None and all(letter in value for letter in "ABCD"):
        choices = [value[letter] for letter in "ABCD"]
    if choices is None:
        question, choices = _inline_options(question)
    if not isinstance(choices, list) or not 2 <= len(choices) <= len(LETTERS):
        return "no choices; need `choices`, columns A to D, or lines `-(A) ...` in the question"
    index = _index(value.get("answer", value.get("target")), len(choices))
    if index is None:
        return (
            f"field `answer`: found {value.get('answer')!r}, need one of {', '.join(LETTERS[: len(choices)])}"
        )
    return {
        "question": question.strip(),
        "choices": [str(choice).strip() for choice in choices],
        "answer": index,
        "subject": str(value.get("subject") or ""),
    }


def _inline_options(question: str) -> tuple[str, list[str] | None]:
    """Question and options, where the options are its last lines."""
    marks = list(_OPTION.finditer(question))
    letters = [mark[1] for mark in marks]
    if len(marks) < 2 or letters[-len(marks) :] != list(LETTERS[: len(marks)]):
        return question, None
    ends = [*(mark.start() for mark in marks[1:]), len(question)]
    options = [question[mark.end() : end].strip() for mark, end in zip(marks, ends, strict=True)]
    return _OPTIONS_HEAD.sub("", question[: marks[0].start()].rstrip()), options


def _index(answer: Any, number: int) -> int | None:
    if isinstance(answer, bool):
        return None
    text = str(answer).strip().upper()
    if text.isdecimal():
        return int(text) if int(text) < number else None
    return LETTERS.index(text) if len(text) == 1 and text in LETTERS[:number] else None
