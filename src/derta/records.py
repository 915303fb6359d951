"""The three data files and the judged response: what a line holds, and how it is read.

    triples.jsonl   {id, harmful_query, safe_response, harmful_response, category?, source?, context?}
    benign.jsonl    {id, benign_query, response, source?, context?}
    queries.jsonl   {id, query, kind: harmful|benign|borderline, category?, opening?, reference?, source?, target?}

context: the turns before the query, [{role, content}]; nothing in them is ever learned. A file may be packed (.gz,
.zst, .xz, .bz2).

Every line is either a record or a `Problem` with its file and line number; nothing is dropped silently.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypedDict, TypeVar, get_args, get_type_hints

from derta.errors import DataError
from derta.text_files import Damaged, checked_stream, open_bytes
from derta.visible import visible

MAX_LINE_BYTES = 4 * 1024 * 1024  # a line above this is refused, never loaded
MAX_DEPTH = 100  # levels of one JSON value; published rows have up to 6
MAX_COLUMNS = 1000  # of a table; the widest published one has 60
SHOWN_PROBLEMS = 10  # lines of a strict error message

QueryKind = Literal["harmful", "benign", "borderline"]
Verdict = Literal["harmful", "not_harmful", "unknown"]
Role = Literal["system", "user", "assistant"]
ResponseClass = Literal["refusal", "partial_refusal", "compliance", "unknown"]


@dataclass(frozen=True)
class Turn:
    """One turn before a query."""

    role: Role
    content: str


Context = tuple[Turn, ...]
"""A system turn or none, then questions with their answers."""


class Message(TypedDict):
    """One turn as chat templates take it. role: system, user or assistant."""

    role: str
    content: str


def turns_to(query: str, context: Context = ()) -> list[Message]:
    """The messages of a conversation whose last turn is the user's `query`."""
    return [*(Message(role=t.role, content=t.content) for t in context), Message(role="user", content=query)]


@dataclass(frozen=True, kw_only=True)
class Triple:
    """A harmful query with a safe and a harmful response (docs/method.md: q, r, h).

    context: what was said before; the harm is asked for, and refused, in the last turn.
    """

    id: str
    harmful_query: str
    safe_response: str
    harmful_response: str
    category: str | None = None
    source: str | None = None
    context: Context = ()


@dataclass(frozen=True, kw_only=True)
class BenignPair:
    """An ordinary query with its response; context: what was said before."""

    id: str
    benign_query: str
    response: str
    source: str | None = None
    context: Context = ()


@dataclass(frozen=True, kw_only=True)
class Preference:
    """A benign query with a better and a worse response, for methods that train on pairs."""

    id: str
    benign_query: str
    chosen: str
    rejected: str
    source: str | None = None
    context: Context = ()


@dataclass(frozen=True, kw_only=True)
class Query:
    """An evaluation question.

    opening: first-person declarative opening for CompletingAttack; reference: the answer that a capability
    or over-refusal judge compares with; target: the affirmative beginning of an answer (AdvBench's and
    JailbreakBench's `target`), which a prefill can force.
    """

    id: str
    query: str
    kind: QueryKind
    category: str | None = None
    opening: str | None = None
    reference: str | None = None
    source: str | None = None
    target: str | None = None


@dataclass(frozen=True, kw_only=True)
class JudgedResponse:
    """One line of `responses.jsonl`: what was sent, what came back, and how it was read.

    verdict: the ASR judge's reading of a harmful query's response; `unknown` always has a `reason`.
    response_class: XSTest's classes (refusal, partial_refusal, compliance) or unknown.
    helpful: benign and borderline queries only: the answer is right (None when not measured).
    words_before_refusal, tokens_before_refusal: 0 = the response opens with the refusal; None = no refusal.
    refused_after_completing: the harmful answer was complete before the refusal came.
    thought: the judge's verdict on the thought of a model that thinks aloud, read apart from its answer.
    followed_format: the attack's output format was kept (CodeAttack); None when it has none.
    votes: each judge's own verdict, where several voted; left out of the file where they did not.
    """

    model: str
    method: str
    attack: str
    attack_params: dict[str, Any]
    judge: str
    seed: int
    query_id: str
    query: str
    kind: QueryKind
    category: str | None
    prompt: str
    prompt_sha256: str
    template_hash: str
    response: str
    stop_reason: str
    num_tokens: int
    verdict: Verdict
    reason: str | None
    response_class: ResponseClass
    helpful: bool | None
    words_before_refusal: int | None
    tokens_before_refusal: int | None
    refused_after_completing: bool
    followed_format: bool | None
    thought: Verdict | None = None
    votes: dict[str, Verdict] | None = None


Record = TypeVar("Record", Triple, BenignPair, Preference, Query)


@dataclass(frozen=True)
class Problem:
    """One fault of a data file; prints as `file:line: reason`."""

    path: Path
    line: int
    reason: str

    def __str__(self) -> str:
        return visible(f"{self.path}:{self.line}: {self.reason}")


def read_records(path: Path, kind: type[Record]) -> Iterator[tuple[int, Record | Problem]]:
    """Yield (line number, record or problem) for every line that is not blank.

    Streams in constant memory. Ids must be unique within the file.

    Raises:
        DataError: the file can't be opened.
    """
    seen: dict[str, int] = {}
    for number, raw in _lines(path):
        value = _parse(raw) if isinstance(raw, bytes) else raw
        outcome = _to_record(value, kind) if isinstance(value, dict) else value
        if isinstance(outcome, str):
            yield number, Problem(path, number, outcome)
        elif outcome.id in seen:
            reason = f"duplicate id {outcome.id!r} (first on line {seen[outcome.id]}); ids must be unique"
            yield number, Problem(path, number, reason)
        else:
            seen[outcome.id] = number
            yield number, outcome


def load_records(path: Path, kind: type[Record]) -> list[Record]:
    """All records of a file, strict.

    Raises:
        DataError: any line has a problem (the first ones are listed), or the file holds no record.
    """
    records: list[Record] = []
    problems: list[Problem] = []
    for _, outcome in read_records(path, kind):
        if isinstance(outcome, Problem):
            problems.append(outcome)
        else:
            records.append(outcome)
    if problems:
        shown = "\n".join(str(problem) for problem in problems[:SHOWN_PROBLEMS])
        more = f"\n... and {len(problems) - SHOWN_PROBLEMS} more" if len(problems) > SHOWN_PROBLEMS else ""
        raise DataError(f"{shown}{more}\nmend the lines, or see all with: derta data check {path}")
    if not records:
        raise DataError(f"{path}:1: no record found; need one JSON object a line ({kind.__name__})")
    return records


def as_row(record: Triple | BenignPair | Query) -> dict[str, Any]:
    """The record as a JSON object, absent optional fields left out."""
    return {name: value for name, value in asdict(record).items() if value not in (None, ())}


def detect_kind(path: Path) -> type[Triple] | type[BenignPair] | type[Query]:
    """Which of the three files this is, by the fields of its first readable line.

    Raises:
        DataError: no line has the fields of any of the three.
    """
    names: set[str] = set()
    for _, raw in _lines(path):
        value = _parse(raw) if isinstance(raw, bytes) else raw
        if isinstance(value, dict):
            names = set(value)
            for field, kind in (("harmful_query", Triple), ("benign_query", BenignPair), ("query", Query)):
                if field in names:
                    return kind  # type: ignore[return-value]  # a tuple of types loses the union
    raise DataError(
        f"{path}:1: can't tell what kind of file this is; need `harmful_query` (triples), `benign_query` "
        f"(benign pairs) or `query` (evaluation), found fields {sorted(names) or 'none'}"
    )


def _lines(path: Path) -> Iterator[tuple[int, bytes | str]]:
    """(line number, bytes without the newline), or (line number, reason) for a line that is too long."""
    number = 0
    try:
        with checked_stream(open_bytes(path)) as handle:
            while raw := handle.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(raw) > MAX_LINE_BYTES:
                    length = len(raw)
                    while not raw.endswith(b"\n") and (raw := handle.readline(MAX_LINE_BYTES)):
                        length += len(raw)
                    length -= raw.endswith(b"\n")
                    yield number, f"line of {length:,} bytes; at most {MAX_LINE_BYTES:,} are read"
                elif raw.strip():
                    yield number, raw.removesuffix(b"\n")
    except Damaged as error:
        yield number + 1, str(error)


def _parse(raw: bytes) -> dict[str, Any] | str:
    """The line's JSON object, or the reason why there is none."""
    if raw.startswith(b"\xef\xbb\xbf"):
        return "byte-order mark (BOM) at the start; save the file as UTF-8 without BOM"
    if raw.endswith(b"\r"):
        return "Windows line ending (CRLF); convert the file to LF"
    if b"\x00" in raw:
        return f"NUL byte at column {raw.index(0) + 1}; remove it"
    try:
        value = json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        return f"not UTF-8 at byte {error.start + 1}; save the file as UTF-8"
    except json.JSONDecodeError as error:
        return f"invalid JSON at column {error.colno}: {error.msg}"
    except RecursionError:
        return "invalid JSON: nested too deeply"
    except ValueError as error:  # an integer of thousands of digits
        return f"invalid JSON: {error}"
    if not isinstance(value, dict):
        return f"need a JSON object, found {_json_type(value)}"
    return value


def _to_record(value: dict[str, Any], kind: type[Record]) -> Record | str:
    """The record, or the reason why the object isn't one."""
    hints = get_type_hints(kind)
    known = {field.name: field for field in fields(kind)}
    if value.get("context", ...) is None:
        value = {name: found for name, found in value.items() if name != "context"}
    problem = context_problem(value.get("context", [])) if "context" in known else None
    for name, field in known.items():
        if name == "context":
            continue
        required = field.default is MISSING
        if name not in value:
            if required:
                return f"field `{name}` is missing; found {sorted(value)}"
            continue
        reason = text_problem(name, value[name], required=required)
        if reason:
            return reason
        allowed = get_args(hints[name]) if name == "kind" else ()
        if allowed and value[name] not in allowed:
            return f"field `{name}`: found {value[name]!r}, need one of {', '.join(allowed)}"
    unknown = sorted(set(value) - set(known))
    if unknown:
        return f"unknown field `{unknown[0]}`; {kind.__name__} has {', '.join(known)}"
    if problem:
        return problem
    return kind(**(value | {"context": as_context(value["context"])} if "context" in value else value))


def as_context(turns: Iterable[Mapping[str, Any]]) -> Context:
    """The turns of a list without a `context_problem`."""
    return tuple(Turn(turn["role"], turn["content"]) for turn in turns)


def context_problem(turns: Any) -> str | None:
    """Why `turns` can't stand before a query, or None: a system turn or none, then questions with their answers."""
    if not isinstance(turns, (list, tuple)):
        return f"field `context`: need a list of turns, found {_json_type(turns)}"
    for number, turn in enumerate(turns):
        where = f"context[{number}]"
        if not isinstance(turn, Mapping) or set(turn) != {"role", "content"}:
            return f"field `{where}`: need an object with `role` and `content`"
        problem = text_problem(f"{where}.content", turn["content"])
        if problem:
            return problem
    roles = [turn["role"] for turn in turns]
    spoken = roles[1:] if roles[:1] == ["system"] else roles
    if spoken != ["user", "assistant"] * (len(spoken) // 2):
        return (
            "field `context`: need a system turn or none, then user and assistant by turns, the last one the "
            f"assistant's; found {', '.join(map(str, roles[:12]))}"
        )
    return None


def text_problem(name: str, value: Any, *, required: bool = True) -> str | None:
    """Why `value` is no usable text (type, empty, NUL, lone surrogate), or None when it is one."""
    if value is None and not required:
        return None
    if not isinstance(value, str):
        return f"field `{name}`: need a string, found {_json_type(value)}"
    if not value.strip():
        return f"field `{name}` is empty"
    if "\x00" in value:
        return f"field `{name}`: NUL character at position {value.index(chr(0)) + 1}; remove it"
    surrogate = re.search("[\ud800-\udfff]", value)
    if surrogate:
        return (
            f"field `{name}`: lone surrogate \\u{ord(surrogate[0]):04x} at position {surrogate.start() + 1}; "
            "the text was cut inside a character"
        )
    return None


def _json_type(value: Any) -> str:
    names = {type(None): "null", bool: "a boolean", str: "a string", list: "a list", dict: "an object"}
    return names.get(type(value), "a number")
