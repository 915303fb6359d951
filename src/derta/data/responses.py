"""What models do in a build: write refusals for queries that lack one, answer allowed look-alikes, screen pairs.

A model's text is checked before it is used, and a harmful response is never asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from derta.data.asking import Asker
from derta.data.clean.duplicates import Rows
from derta.data.clean.filters import Filters
from derta.data.clean.screening import BENIGN, HARMFUL, Judge
from derta.data.corpus import Corpus
from derta.data.recipe import DataRecipe
from derta.data.select import Selection
from derta.progress import SILENT, Progress

NO_CONVERSATION = "no safe response for this conversation: a model is asked single questions alone"

Accept = Callable[[str], str | None]  # the reason why a text can't be used, or None


@dataclass
class Written:
    """What models did in a build: responses by row, and the number of calls."""

    responses: dict[int, str] = field(default_factory=dict)
    num_calls: int = 0


def settle_with_models(
    corpus: Corpus, chosen: Selection, recipe: DataRecipe, filters: Filters, progress: Progress = SILENT
) -> Written:
    """Ask the recipe's models: safe responses, answers to look-alikes, and their word on the pairs drawn."""
    written = Written()
    _settle_triples(corpus, chosen, recipe, filters, written, progress)
    _answer_borderline(corpus, chosen, recipe, filters, written, progress)
    _screen_benign(corpus, chosen, recipe, written, progress)
    return written


def _settle_triples(
    corpus: Corpus,
    chosen: Selection,
    recipe: DataRecipe,
    filters: Filters,
    written: Written,
    progress: Progress,
) -> None:
    """In drawing order, until enough triples are screened and have a safe response."""
    settings = recipe.safe_responses
    prompt = settings.system_prompt.replace("{opening}", settings.opening)
    asker = Asker(settings, prompt, _log(recipe), progress) if settings.model else None
    judge = Judge.of(recipe.triples.filter, HARMFUL, _log(recipe), progress)
    if asker is None and judge is None:
        return
    wanted = _wanted(chosen, chosen.triples, recipe.held_out.triples, recipe.triples.num)
    for batch in _until_enough(chosen, chosen.triples, wanted):
        if judge is not None:
            judge.screen(corpus, chosen, batch)
        left = chosen.undecided(batch)
        lacking = left[(corpus.index["has_safe"][left] == 0) & (chosen.safe_row[left] < 0)]
        later = lacking[corpus.index["has_context"][lacking] == 1]
        if asker is not None:
            chosen.reject(later, NO_CONVERSATION)
            lacking = chosen.undecided(lacking)
            written.responses |= _checked_answers(corpus, chosen, asker, lacking, filters.safe_reason)
    written.num_calls += (asker.num_calls if asker else 0) + (judge.asker.num_calls if judge else 0)


def _answer_borderline(
    corpus: Corpus,
    chosen: Selection,
    recipe: DataRecipe,
    filters: Filters,
    written: Written,
    progress: Progress,
) -> None:
    """Answers for the look-alikes that come without a response; a refusal is no answer."""
    lacking = chosen.borderline[corpus.index["has_response"][chosen.borderline] == 0]
    wanted = recipe.benign.borderline
    if wanted is None or wanted.model is None or not len(lacking):
        return
    settings = recipe.safe_responses.model_copy(
        update={"model": wanted.model, "base_url": wanted.base_url, "max_tokens": wanted.max_tokens}
    )
    asker = Asker(settings, "", _log(recipe), progress)
    written.responses |= _checked_answers(corpus, chosen, asker, lacking, filters.benign_response_reason)
    written.num_calls += asker.num_calls
    chosen.borderline = chosen.undecided(chosen.borderline)


def _screen_benign(
    corpus: Corpus, chosen: Selection, recipe: DataRecipe, written: Written, progress: Progress
) -> None:
    """The model's word on benign pairs, in drawing order until enough are left, and on the look-alikes."""
    judge = Judge.of(recipe.benign.filter, BENIGN, _log(recipe), progress)
    if judge is None:
        return
    judge.screen(corpus, chosen, chosen.borderline, written.responses)
    chosen.borderline = chosen.undecided(chosen.borderline)
    wanted = _wanted(chosen, chosen.benign, recipe.held_out.benign, recipe.benign.num)
    for batch in _until_enough(chosen, chosen.benign, wanted):
        judge.screen(corpus, chosen, batch)
    written.num_calls += judge.asker.num_calls


def _wanted(chosen: Selection, rows: Rows, held_out: int, num: int | None) -> int:
    """How many of `rows` the files take."""
    return len(rows) if num is None else min(len(rows), held_out + len(chosen.given_held_out(rows)) + num)


def _until_enough(chosen: Selection, rows: Rows, wanted: int) -> Iterator[Rows]:
    """Batches of `rows` in order, each as large as what is missing after the ones before were decided on."""
    begin, ready = 0, 0
    while ready < wanted and begin < len(rows):
        batch = rows[begin : begin + wanted - ready]
        begin += len(batch)
        yield batch
        ready += len(chosen.undecided(batch))


def _log(recipe: DataRecipe) -> Path:
    return recipe.out / ".answers" / "responses.jsonl"


def _checked_answers(
    corpus: Corpus, chosen: Selection, asker: Asker, rows: Rows, accept: Accept
) -> dict[int, str]:
    """Usable answers; a row without one is rejected with its reason."""
    queries = {row: item["query"] for row, item in zip(rows.tolist(), corpus.items(rows), strict=True)}
    answers, failures = asker.ask(queries)
    reasons = {row: f"model answer: {why}" for row, why in failures.items()}
    for row, text in answers.items():
        problem = "empty (content filter)" if not text else accept(text)
        if problem:
            reasons[row] = f"model answer: {problem}"
    for row, reason in reasons.items():
        chosen.reject(rows[rows == row], reason)
    return {row: text for row, text in answers.items() if row not in reasons}
