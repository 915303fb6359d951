"""Benign pairs from a model's own answers to allowed questions (self-distillation).

An instruct model that is tuned on its own answers stays itself; another model's would be a second lesson. An answer
that refuses, talks of being a model, loops, or was cut off at the token limit teaches what must not be learned: it is
left out with its reason. Look-alikes of forbidden questions (kind borderline) are asked as all others: they
teach where the border runs. A harmful question is never asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from derta.data.asking import Asker
from derta.data.clean.filters import Filters
from derta.data.clean.refusals import is_refusal
from derta.data.recipe import BenignSettings, ModelCalls, TripleSettings
from derta.degenerate import is_degenerate
from derta.errors import DataError
from derta.files import write_jsonl
from derta.progress import SILENT, Progress
from derta.records import BenignPair, Query, as_row
from derta.run_folder import check_file, sign_file

HARMFUL = "a harmful question: never asked"
TWICE = "asked before in the file"
LOOPS = "answer loops"


@dataclass(frozen=True)
class Distilled:
    """What was written, and why a question has no pair. num_borderline: pairs that are look-alikes."""

    num_pairs: int
    num_borderline: int
    left_out: dict[str, str]  # id of the question -> reason


def write_benign(
    queries: Sequence[Query],
    out: Path,
    settings: ModelCalls,
    *,
    source: str,
    model_hash: str = "",
    progress: Progress = SILENT,
) -> Distilled:
    """Write a `BenignPair` for every question that the model answers usably, in their order.

    Answers are logged beside `out`; the same command asks only for what is missing. source: of every pair.
    model_hash: as `Asker`.

    Raises:
        DataError: no question is left to ask, or none got a usable answer.
        RunError: `out` exists and is not as we wrote it; the model can't be used, the budget is spent, or too many
            calls fail.
    """
    left_out, seen = {}, set()
    asked: dict[int, str] = {}
    for row, query in enumerate(queries):
        text = " ".join(query.query.split())
        if query.kind == "harmful" or text in seen:
            left_out[query.id] = HARMFUL if query.kind == "harmful" else TWICE
            continue
        seen.add(text)
        asked[row] = query.query
    if not asked:
        raise DataError(
            f"none of {len(queries)} questions is an allowed one; need `kind` benign or borderline"
        )
    check_file(out)
    asker = Asker(settings, "", out.with_name(f"{out.name}.answers.jsonl"), progress, model_hash=model_hash)
    answers, failures = asker.ask(asked)
    filters = Filters(TripleSettings(), BenignSettings(), "any", True, is_refusal)
    pairs, num_borderline = [], 0
    for row, text in asked.items():
        query = queries[row]
        reason = failures.get(row) or _fault(answers[row], asker.was_cut(text), settings, filters)
        if reason:
            left_out[query.id] = reason
            continue
        num_borderline += query.kind == "borderline"
        pairs.append(BenignPair(id=query.id, benign_query=text, response=answers[row], source=source))
    if not pairs:
        example = list(left_out.items())[-1]
        raise DataError(
            f"none of {len(asked)} questions got a usable answer, e.g. {example[0]}: {example[1]}; see "
            f"{asker.log}, and name another model or other questions"
        )
    write_jsonl(out, map(as_row, pairs))
    sign_file(out)
    return Distilled(len(pairs), num_borderline, left_out)


def _fault(answer: str, was_cut: bool, settings: ModelCalls, filters: Filters) -> str | None:
    """Why an answer can't be learned from."""
    if not answer:
        return "an empty answer (content filter)"
    if is_degenerate(answer):
        return LOOPS
    if was_cut:
        return f"answer cut off at {settings.max_tokens} tokens (--max-tokens)"
    return filters.benign_response_reason(answer)
