"""Which items stay: duplicates and leaks go, evaluation questions are drawn, the rest is put in drawing order.

Order of precedence: evaluation questions, rows given as held out, triples, benign rows. Exact and normalised
comparison is across all of them; near-duplicates and shared runs of words are looked for on one side only
(forbidden with forbidden, allowed with allowed), because an allowed look-alike may differ from its forbidden twin
in a word.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from derta.data.clean.duplicates import Rows, near_duplicates
from derta.data.clean.leakage import ngram_leaks
from derta.data.clean.text import Hashes, seeded_rank
from derta.data.corpus import Corpus
from derta.data.formats.items import ROLES, Role
from derta.data.recipe import DataRecipe
from derta.data.scan import KINDS

UNDECIDED, KEPT = 0, 1
NOT_DRAWN = "not drawn: enough without it"
NO_SAFE_RESPONSE = "no safe response for this query"
UNUSED_SAFE = "safe response not needed: no triple kept for this query"
COMPARED_ONLY = "decontaminate: compared with, never written"
HELD_OUT_UNASKED = "split: the row is to be held out, which needs `split: given` in the recipe"


@dataclass
class Selection:
    """The fate of every row, and the rows of each output in drawing order.

    status: UNDECIDED, KEPT or 2 + the reason's number; of: the row that decided it, or -1.
    leaks: training row -> (evaluation row, how).
    """

    status: npt.NDArray[np.int16]
    of: Rows
    reasons: list[str] = field(default_factory=list)
    leaks: dict[int, tuple[int, str]] = field(default_factory=dict)
    queries: Rows = field(default_factory=lambda: np.empty(0, np.int64))
    triples: Rows = field(default_factory=lambda: np.empty(0, np.int64))
    benign: Rows = field(default_factory=lambda: np.empty(0, np.int64))
    borderline: Rows = field(default_factory=lambda: np.empty(0, np.int64))
    safe_row: Rows = field(default_factory=lambda: np.empty(0, np.int64))
    """For each row the row of another item that holds its safe response, or -1."""
    is_held_out: npt.NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, np.bool_))
    """For each row whether its source gives it as held out (`split: given`)."""

    def reject(self, rows: Rows, reason: str, of: Rows | None = None) -> None:
        """Give rows their reason."""
        if reason not in self.reasons:
            self.reasons.append(reason)
        self.status[rows] = 2 + self.reasons.index(reason)
        if of is not None:
            self.of[rows] = of

    def given_held_out(self, rows: Rows) -> Rows:
        """Those of `rows` that are still in and are held out because their source says so."""
        left: Rows = rows[self.is_held_out[rows] & (self.status[rows] == UNDECIDED)]
        return left

    def undecided(self, rows: Rows) -> Rows:
        """Those of `rows` that are still in."""
        left: Rows = rows[self.status[rows] == UNDECIDED]
        return left

    def reason(self, row: int) -> str | None:
        """Why the row was rejected, or None."""
        code = int(self.status[row])
        return self.reasons[code - 2] if code >= 2 else None


def select(corpus: Corpus, recipe: DataRecipe, work: Path) -> Selection:
    """Decide on every row except how many of the drawing order are used (that may need safe responses)."""
    count = len(corpus.index)
    chosen = Selection(status=np.zeros(count, np.int16), of=np.full(count, -1, np.int64))
    rank = seeded_rank(corpus.index["id"], recipe.seed) if recipe.split == "drawn" else _in_order(count)
    _reject_repeated_ids(corpus, chosen)
    held = _given_as_held_out(corpus, recipe, chosen)
    compared = _compared_only(corpus, recipe)
    chosen.reject(compared, COMPARED_ONLY)
    _draw_queries(corpus, recipe, chosen, rank)
    chosen.safe_row = _safe_rows(corpus)
    held = _with_refusal(corpus, recipe, chosen, held)
    questions = np.concatenate([chosen.queries, compared, held])
    harmful = _answered_first(corpus, chosen, _training(corpus, chosen, "harmful"))
    allowed = np.concatenate([_training(corpus, chosen, "benign"), chosen.undecided(chosen.borderline)])
    _reject_same_query(
        corpus, recipe, chosen, questions=questions, training=np.concatenate([harmful, allowed])
    )
    forbidden = np.isin(questions, compared) | (corpus.index["kind"][questions] == KINDS.index("harmful"))
    forbidden |= corpus.index["role"][questions] == ROLES.index("harmful")
    permitted = np.isin(questions, compared) | ~forbidden
    for asked, training in ((questions[forbidden], harmful), (questions[permitted], allowed)):
        _reject_near(corpus, recipe, chosen, questions=asked, training=chosen.undecided(training), work=work)
    chosen.borderline = chosen.undecided(chosen.borderline)
    _order_triples(corpus, recipe, chosen, rank)
    benign = _by_rank(
        _within_sources(corpus, recipe, chosen, _training(corpus, chosen, "benign"), rank), rank
    )
    chosen.benign = np.concatenate([chosen.given_held_out(corpus.rows_of("benign")), benign])
    return chosen


def _in_order(count: int) -> Hashes:
    """The rank that draws rows in the order of the sources."""
    return np.arange(count, dtype=np.uint64)


def _given_as_held_out(corpus: Corpus, recipe: DataRecipe, chosen: Selection) -> Rows:
    """Rows that say themselves that they are held out, each query once on each side (harmful, benign)."""
    chosen.is_held_out = corpus.index["held_out"] == 1
    if recipe.split == "drawn":
        chosen.reject(np.flatnonzero(chosen.is_held_out), HELD_OUT_UNASKED)
        return np.empty(0, np.int64)
    kept = []
    for role in ("harmful", "benign"):
        rows = chosen.given_held_out(corpus.rows_of(role))
        first = rows[_first_of_equals(corpus.index["normal"][rows])]
        chosen.reject(rows[first != rows], "duplicate of a held-out row", first[first != rows])
        kept.append(chosen.undecided(rows))
    return np.concatenate(kept)


def _with_refusal(corpus: Corpus, recipe: DataRecipe, chosen: Selection, held: Rows) -> Rows:
    """Held-out rows without those that nothing gives a safe response to."""
    lacking = held[corpus.index["role"][held] == ROLES.index("harmful")]
    lacking = lacking[(corpus.index["has_safe"][lacking] == 0) & (chosen.safe_row[lacking] < 0)]
    if recipe.safe_responses.model is None:
        chosen.reject(lacking, NO_SAFE_RESPONSE)
    return chosen.undecided(held)


def _training(corpus: Corpus, chosen: Selection, role: Role) -> Rows:
    """Undecided rows of a role that aren't given as held out."""
    rows = chosen.undecided(corpus.rows_of(role))
    left: Rows = rows[~chosen.is_held_out[rows]]
    return left


def _reject_repeated_ids(corpus: Corpus, chosen: Selection) -> None:
    """Ids are unique in a file, so within a role."""
    for role in ROLES:
        rows = corpus.rows_of(role)
        first = rows[_first_of_equals(corpus.index["id"][rows])]
        chosen.reject(rows[first != rows], "duplicate id", first[first != rows])


def _compared_only(corpus: Corpus, recipe: DataRecipe) -> Rows:
    marked = [number for number, source in enumerate(recipe.sources) if source.use == "decontaminate"]
    return np.flatnonzero(np.isin(corpus.source, marked))


def _draw_queries(corpus: Corpus, recipe: DataRecipe, chosen: Selection, rank: Hashes) -> None:
    """Evaluation questions, each asked once; some borderline ones go to training instead."""
    rows = chosen.undecided(corpus.rows_of("query"))
    first = rows[_first_of_equals(corpus.index["normal"][rows])]
    again = rows[first != rows]
    chosen.reject(again, "duplicate of an evaluation question", first[first != rows])
    rows = chosen.undecided(rows)
    wanted = recipe.benign.borderline
    if wanted is not None:
        look_alikes = rows[corpus.index["kind"][rows] == KINDS.index("borderline")]
        usable = look_alikes[(corpus.index["has_response"][look_alikes] == 1) | (wanted.model is not None)]
        taken = np.isin(corpus.index["id"][usable], corpus.index["id"][corpus.rows_of("benign")])
        chosen.borderline = _by_rank(usable[~taken], rank)[: wanted.num]
    rows = rows[~np.isin(rows, chosen.borderline)]
    chosen.queries = np.sort(_within_sources(corpus, recipe, chosen, rows, rank))
    chosen.status[chosen.queries] = KEPT


def _reject_same_query(
    corpus: Corpus, recipe: DataRecipe, chosen: Selection, *, questions: Rows, training: Rows
) -> None:
    """Training rows whose query is a question, or an earlier row's, exactly or but for case, blanks, stops."""
    _leak_in_the_last_turn(corpus, recipe, chosen, questions=questions, training=training)
    rows = np.concatenate([questions, training])
    normal, exact = corpus.index["normal"], corpus.index["exact"]
    is_question = np.arange(len(rows)) < len(questions)
    first = _first_of_equals(normal[rows])
    # An exact twin gives the sharper reason, even if the first equal row differs in case.
    exact_first = _first_of_equals(exact[rows])
    leaking = ~is_question & is_question[first]
    asked, how = rows[first[leaking]], exact[rows[first[leaking]]] == exact[rows[leaking]]
    how |= is_question[exact_first[leaking]]
    for word, part in (("exact", how), ("normalised", ~how)):
        _leak(recipe, chosen, rows[leaking][part], asked[part], word)
    rows = (
        np.concatenate([questions, chosen.undecided(training)])
        if recipe.clean.leakage.action == "drop"
        else training
    )
    fixed = len(questions) if recipe.clean.leakage.action == "drop" else 0
    first, exact_first = _first_of_equals(normal[rows]), _first_of_equals(exact[rows])
    again = (first != np.arange(len(rows))) & (np.arange(len(rows)) >= fixed)
    same = exact_first != np.arange(len(rows))
    chosen.reject(rows[again & same], "duplicate query: exact", rows[first[again & same]])
    chosen.reject(rows[again & ~same], "duplicate query: normalised", rows[first[again & ~same]])


def _leak_in_the_last_turn(
    corpus: Corpus, recipe: DataRecipe, chosen: Selection, *, questions: Rows, training: Rows
) -> None:
    """Training rows that ask an evaluation question after other turns."""
    later = training[corpus.index["has_context"][training] == 1]
    by_hash = {int(corpus.index["normal"][row]): int(row) for row in questions[::-1]}
    found = [(int(row), by_hash.get(int(corpus.index["asked"][row]))) for row in later]
    leaks = np.array([pair for pair in found if pair[1] is not None], dtype=np.int64).reshape(-1, 2)
    _leak(recipe, chosen, leaks[:, 0], leaks[:, 1], "last turn")


def _reject_near(
    corpus: Corpus, recipe: DataRecipe, chosen: Selection, *, questions: Rows, training: Rows, work: Path
) -> None:
    """On one side: near-duplicates of questions and of earlier rows, and rows that hold a question's words."""
    clean = recipe.clean
    leaks = ngram_leaks(
        corpus.tokens,
        corpus.starts,
        questions=questions,
        training=training,
        ngram=clean.leakage.ngram,
        coverage=clean.leakage.coverage,
    )
    _leak(recipe, chosen, training[leaks >= 0], questions[leaks[leaks >= 0]], f"{clean.leakage.ngram}-gram")
    if clean.near_duplicates is None:
        return
    rows = np.concatenate([questions, chosen.undecided(training)])
    fixed = len(questions)
    twin = near_duplicates(
        corpus.tokens, corpus.starts, rows, settings=clean.near_duplicates, num_fixed=fixed, work=work
    )
    leaking = (twin >= 0) & (twin < fixed)
    _leak(recipe, chosen, rows[leaking], rows[twin[leaking]], "near")
    again = twin >= fixed
    chosen.reject(rows[again], "duplicate query: near", rows[twin[again]])


def _leak(recipe: DataRecipe, chosen: Selection, rows: Rows, questions: Rows, how: str) -> None:
    for row, question in zip(rows.tolist(), questions.tolist(), strict=True):
        chosen.leaks.setdefault(row, (question, how))  # the first finding is the sharpest
    if recipe.clean.leakage.action == "drop":
        chosen.reject(rows, f"leak: {how} match with an evaluation question", questions)


def _safe_rows(corpus: Corpus) -> Rows:
    """For each row the first `safe` item with the same query, or -1."""
    found = np.full(len(corpus.index), -1, dtype=np.int64)
    safe = corpus.rows_of("safe")
    if len(safe):
        normal = corpus.index["normal"]
        order = safe[np.argsort(normal[safe], kind="stable")]
        place = np.minimum(np.searchsorted(normal[order], normal), len(order) - 1)
        match = normal[order][place] == normal
        found[match] = order[place[match]]
    return found


def _answered_first(corpus: Corpus, chosen: Selection, rows: Rows) -> Rows:
    """Of two rows with one query the first stays, so those that have a safe response come first."""
    ready = (corpus.index["has_safe"][rows] == 1) | (chosen.safe_row[rows] >= 0)
    return np.concatenate([rows[ready], rows[~ready]])


def _order_triples(corpus: Corpus, recipe: DataRecipe, chosen: Selection, rank: Hashes) -> None:
    rows = _training(corpus, chosen, "harmful")
    ready = (corpus.index["has_safe"][rows] == 1) | (chosen.safe_row[rows] >= 0)
    if recipe.safe_responses.model is None:
        chosen.reject(rows[~ready], NO_SAFE_RESPONSE)
        rows = rows[ready]
    rows = _by_rank(_within_sources(corpus, recipe, chosen, rows, rank), rank)
    if recipe.triples.balance == "even" and recipe.split == "drawn":
        # The n-th row of every category before the (n+1)-th of any: small categories run out, none is starved.
        category = corpus.index["category"][rows]
        grouped = np.argsort(category, kind="stable")
        _, begins, sizes = np.unique(category[grouped], return_index=True, return_counts=True)
        turn = np.empty(len(rows), dtype=np.int64)
        turn[grouped] = np.arange(len(rows)) - np.repeat(begins, sizes)
        rows = rows[np.argsort(turn, kind="stable")]
    chosen.triples = np.concatenate([chosen.given_held_out(corpus.rows_of("harmful")), rows])


def _within_sources(corpus: Corpus, recipe: DataRecipe, chosen: Selection, rows: Rows, rank: Hashes) -> Rows:
    """At most `num` rows of each source, drawn by rank; the others are rejected."""
    keep = np.ones(len(rows), dtype=bool)
    for number, source in enumerate(recipe.sources):
        mine = np.flatnonzero(corpus.source[rows] == number)
        if source.num is not None:
            keep[mine[np.argsort(rank[rows[mine]], kind="stable")][source.num :]] = False
    chosen.reject(rows[~keep], NOT_DRAWN)
    return rows[keep]


def _by_rank(rows: Rows, rank: Hashes) -> Rows:
    return rows[np.argsort(rank[rows], kind="stable")]


def _first_of_equals(values: Hashes) -> Rows:
    """For each value the position of its first occurrence."""
    _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    return first[inverse].astype(np.int64)
