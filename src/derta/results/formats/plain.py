"""Rows whose fields say what they are: {question, response} and the same under the usual names, in JSON or a table.

Names are compared whole, never by a word inside them: `response_time` is no response. A compound counts where it
ends in the noun (`llama_response`) and nothing in it says that it is something else (`judge_response`). Where two
fields could be the answer, or two the question, nothing is guessed: `--field` and `--question-field` decide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from derta.errors import DataError
from derta.results.document import Document
from derta.results.formats.answer import (
    Answer,
    Format,
    all_have,
    each,
    last_question,
    numbered,
    spoken,
    thought_of,
)

Row = dict[str, Any]

ANSWERS = frozenset(
    """response target_response model_response final_response assistant_response llm_response bot_response
    generated_response output model_output llm_output completion model_completion generation generated_text
    reply answer model_answer prediction""".split()  # noqa: SIM905
)
QUESTIONS = frozenset(
    """query question goal harmful_query benign_query borderline_query forbidden_prompt behavior behaviour
    original_prompt original_query original_question user_query user_question request""".split()  # noqa: SIM905
)
# What was sent may be the question itself; the surest first.
SENT = ("prompt", "instruction", "input", "user_prompt", "user_input", "user_message", "user")
PROMPTS = (
    *("adversarial_prompt", "jailbreak_prompt", "jailbroken_prompt", "best_prompt", "attack_prompt"),
    *("adv_prompt", "test_case", "prompt", "instruction"),
)
_NOUNS = ("response", "output", "completion", "generation", "answer", "reply")
_OTHERS = frozenset(  # words of names that end like an answer's and are none
    """judge judged grader evaluator classifier attacker attack score safe harmful harmless reference ref label
    expected gold golden correct ideal truth true chosen rejected preferred human refusal prompt question query
    has is no num n avg max min total few shot example sample prior previous""".split()  # noqa: SIM905
)
_ERRORS = ("error", "exception")


def answer_names(row: Row) -> list[str]:
    """The fields that could be the model's answer, as the row writes them."""
    names = {_norm(name): name for name in row}
    found = [original for name, original in names.items() if name in ANSWERS or _is_compound(name)]
    if not found and "text" in names and isinstance(row[names["text"]], str):
        found = [names["text"]]  # of a row with no other: `text` is as often the question
    return found


def question_of(row: Row) -> str | None:
    """The text of the question: the plain one if it can be told from what was sent.

    Raises:
        DataError: two fields could be the question, with different texts.
    """
    names = {_norm(name): name for name in row if isinstance(row[name], str) and row[name].strip()}
    plain = [original for name, original in names.items() if name in QUESTIONS]
    if "goal" in names:  # beside a goal, `behavior` is its short title (JailbreakBench)
        plain = [original for original in plain if _norm(original) not in ("behavior", "behaviour")]
    if not plain:
        plain = [
            original for name, original in names.items() if name.endswith(("_question", "_query", "_goal"))
        ]
        plain = [name for name in plain if not _OTHERS & set(_norm(name).split("_")[:-1])]
    if len({row[name].strip() for name in plain}) > 1:
        raise DataError(
            f"the question could be any of {_listed(plain)}: name the field with --question-field"
        )
    if plain:
        return str(row[plain[0]])
    if "instruction" in names and "input" in names:  # Alpaca's: the input follows the instruction
        return f"{row[names['instruction']]}\n\n{row[names['input']]}"
    sent = next((names[name] for name in SENT if name in names), None)
    return str(row[sent]) if sent is not None else last_question(row.get("messages"))


def prompt_of(row: Row) -> str | None:
    """What was sent, if the row keeps it."""
    names = {_norm(name): name for name in row if isinstance(row[name], str)}
    return next((row[names[name]] for name in PROMPTS if name in names), None)


def wanted(row: Row, names: Iterable[str]) -> DataError:
    """The error where several fields could be the answer."""
    return DataError(
        f"the answer could be any of {_listed(names)}; found fields {_listed(row)}: name one with --field"
    )


def plain_answer(row: Row, **more: Any) -> Answer:
    """The one answer of a row.

    Raises:
        DataError: several fields could be the answer, or the question.
    """
    names = answer_names(row)
    error = next((row[name] for name in _ERRORS if row.get(name)), None)
    if len({_shown(row[name]) for name in names}) > 1:
        raise wanted(row, names)
    common = _common(row, more.get("question")) | more
    refusal, stop = row.get("refusal"), row.get("finish_reason", row.get("stop_reason"))
    if not names and not isinstance(refusal, str):
        why = f"no response field; found {_listed(row)}: name it with --field"
        return Answer(error=f"error: {error}" if error else why, **common)
    response = row[names[0]] if names else None
    is_text = isinstance(response, str) and response.strip()
    return Answer(
        response=response,
        refusal=refusal if isinstance(refusal, str) else None,
        thought=thought_of(row),
        stop=stop,
        error=f"error: {error}" if error and not is_text else None,
        **common,
    )


def by_field(field: str | None, question_field: str | None) -> Format:
    """The format of a file whose fields the user names. A dotted name reaches inside: `response.text`."""

    def answers(row: Row) -> Iterator[Answer]:
        more: Row = {}
        if question_field is not None:
            more["question"] = _inside(row, question_field)
        if field is None:
            yield plain_answer(row, **more)
            return
        value = _inside(row, field)
        missing = None if value is not None else f"no field {field!r}, or null; found {_listed(row)}"
        common = _common(row, question=more.get("question")) | {"stop": row.get("finish_reason")}
        values = value if isinstance(value, list) and value else [value]
        for item in values:
            yield Answer(response=spoken(item).text, thought=thought_of(row), error=missing, **common)

    def read(document: Document) -> Iterator[Any]:
        for number, value in enumerate(document.values, 1):
            yield from numbered(number, value, answers)

    shown = " and ".join(name for name in (field, question_field) if name)
    return Format(f"rows by the field {shown}", lambda document: True, read)


def _common(row: Row, question: Any = None) -> Row:
    attack = row.get("attack")
    return {
        "question": question_of(row) if question is None else question,
        "prompt": prompt_of(row),
        "id": row.get("id"),
        "attack": attack if isinstance(attack, str) else None,
        "fields": row,
    }


def _inside(row: Any, field: str) -> Any:
    """The value of a field, which may be a path with dots; lists are entered by number."""
    if isinstance(row, dict) and field in row:
        return row[field]
    first, _, rest = field.partition(".")
    if isinstance(row, list) and first.isdecimal() and int(first) < len(row):
        inner = row[int(first)]
    else:
        inner = row.get(first) if isinstance(row, dict) else None
    return _inside(inner, rest) if rest and inner is not None else inner


def _is_compound(name: str) -> bool:
    *front, last = name.split("_")
    return bool(front) and last in _NOUNS and not _OTHERS & set(front)


def _norm(name: Any) -> str:
    return "_".join(str(name).strip().lower().replace("-", " ").replace("_", " ").split())


def _shown(value: Any) -> str:
    return value.strip() if isinstance(value, str) else repr(value)


def _listed(names: Iterable[Any]) -> str:
    found = [str(name)[:40] for name in names]
    return ", ".join(found[:12]) + (", ..." if len(found) > 12 else "")


def _one(row: Row) -> list[Answer]:
    return [plain_answer(row)]


def _named(*names: str) -> Callable[[Document], bool]:
    fits = all_have(*names)
    return lambda document: fits(document) and all(answer_names(row) for row in document.heads)


XSTEST = Format("XSTest answers", _named("prompt", "type", "label"), each(_one))
STRONGREJECT = Format("StrongREJECT answers", _named("forbidden_prompt"), each(_one))
PLAIN = Format("rows of questions and responses", lambda document: True, each(_one))
