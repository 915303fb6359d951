"""From chosen rows to the files: triples, benign pairs, queries, pairs, leaks, and every rejection."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from derta.data.clean.duplicates import Rows
from derta.data.clean.refusals import normalise_opening
from derta.data.corpus import Corpus
from derta.data.recipe import DataRecipe
from derta.data.select import KEPT, NOT_DRAWN, UNDECIDED, UNUSED_SAFE, Selection
from derta.files import atomic_path, dumps, sha256_file, write_jsonl
from derta.records import BenignPair, Query, Triple, as_context, as_row

Answers = dict[int, str]  # row -> response that a model wrote


@dataclass(frozen=True)
class Output:
    """One file that was written."""

    name: str
    count: int
    sha256: str


def write_outputs(corpus: Corpus, chosen: Selection, recipe: DataRecipe, answers: Answers) -> list[Output]:
    """Write all files; settles the last rows' fates. Empty files are not written, except rejected.jsonl."""
    held_triples, triples = _cut(chosen, chosen.triples, recipe.held_out.triples, recipe.triples.num)
    held_benign, benign = _cut(chosen, chosen.benign, recipe.held_out.benign, recipe.benign.num)
    kept = np.concatenate([held_triples, triples, held_benign, benign, chosen.borderline])
    chosen.status[kept] = KEPT
    _settle_safe(corpus, chosen, np.concatenate([held_triples, triples]))

    def triple(rows: Rows) -> Iterable[Any]:
        return _triples(corpus, chosen, recipe, answers, rows)

    def pair(rows: Rows) -> Iterable[Any]:
        return _benign(corpus, answers, rows)

    plans: list[tuple[str, Rows, Callable[[Rows], Iterable[Any]]]] = [
        ("triples.jsonl", triples, triple),
        ("triples.held_out.jsonl", held_triples, triple),
        ("benign.jsonl", np.concatenate([benign, chosen.borderline]), pair),
        ("benign.held_out.jsonl", held_benign, pair),
        ("queries.jsonl", chosen.queries, lambda rows: _queries(corpus, rows)),
    ]
    outputs = [_write(recipe.out, name, make(rows)) for name, rows, make in plans if len(rows)]
    outputs += [_write(recipe.out, "pairs.jsonl", _pairs(corpus, chosen))]
    outputs += [_write(recipe.out, "leaks.jsonl", _leaks(corpus, chosen))]
    rejected = _write_rejected(corpus, chosen, recipe.out / "rejected.jsonl")
    return [output for output in outputs if output.count] + [rejected]


def _cut(chosen: Selection, rows: Rows, held_out: int, wanted: int | None) -> tuple[Rows, Rows]:
    """Held-out rows and training rows, in drawing order; the others were not drawn."""
    rows = chosen.undecided(rows)
    # Rows given as held out come first; with them none is drawn as held out (recipe.split).
    held_out += int(chosen.is_held_out[rows].sum())
    end = len(rows) if wanted is None else held_out + wanted
    chosen.reject(rows[end:], NOT_DRAWN)
    return rows[:held_out], rows[held_out:end]


def _settle_safe(corpus: Corpus, chosen: Selection, triples: Rows) -> None:
    lacking = triples[corpus.index["has_safe"][triples] == 0]
    used = chosen.safe_row[lacking]
    chosen.status[used[used >= 0]] = KEPT
    chosen.reject(chosen.undecided(corpus.rows_of("safe")), UNUSED_SAFE)


def _triples(
    corpus: Corpus, chosen: Selection, recipe: DataRecipe, answers: Answers, rows: Rows
) -> Iterator[dict[str, Any]]:
    joined = chosen.safe_row[rows]
    safe = corpus.items(joined[(joined >= 0) & (corpus.index["has_safe"][rows] == 0)])
    for row, twin, item in zip(rows.tolist(), joined.tolist(), corpus.items(rows), strict=True):
        response = item.get("safe_response") or (next(safe)["response"] if twin >= 0 else answers[row])
        if recipe.safe_responses.normalise_opening:
            response = normalise_opening(response, recipe.safe_responses.opening)
        yield as_row(
            Triple(
                id=item["id"],
                harmful_query=item["query"],
                safe_response=response,
                harmful_response=item["response"],
                category=item.get("category"),
                source=item["source"],
                context=as_context(item.get("context", ())),
            )
        )


def _benign(corpus: Corpus, answers: Answers, rows: Rows) -> Iterator[dict[str, Any]]:
    for row, item in zip(rows.tolist(), corpus.items(rows), strict=True):
        response = item.get("response") or answers[row]
        yield as_row(
            BenignPair(
                id=item["id"],
                benign_query=item["query"],
                response=response,
                source=item["source"],
                context=as_context(item.get("context", ())),
            )
        )


def _queries(corpus: Corpus, rows: Rows) -> Iterator[dict[str, Any]]:
    for item in corpus.items(rows):
        yield as_row(
            Query(
                id=item["id"],
                query=item["query"],
                kind=item["kind"],
                category=item.get("category"),
                opening=item.get("opening"),
                reference=item.get("reference"),
                source=item["source"],
            )
        )


def _pairs(corpus: Corpus, chosen: Selection) -> Iterator[dict[str, Any]]:
    """Forbidden questions and their allowed look-alikes among the evaluation questions, by id."""
    forbidden: dict[tuple[str, str], list[str]] = {}
    allowed: dict[tuple[str, str], list[str]] = {}
    for item in corpus.items(chosen.queries):
        if item.get("pair") is not None:
            side = forbidden if item["kind"] == "harmful" else allowed
            side.setdefault((item["source"], item["pair"]), []).append(item["id"])
    for key, ids in forbidden.items():
        for harmful_id in ids:
            for borderline_id in allowed.get(key, ()):
                yield {"harmful_id": harmful_id, "borderline_id": borderline_id, "source": key[0]}


def _leaks(corpus: Corpus, chosen: Selection) -> Iterator[dict[str, Any]]:
    for row, (question, how) in sorted(chosen.leaks.items()):
        yield {"training": corpus.place(row), "evaluation": corpus.place(question), "how": how}


def _write(out: Path, name: str, rows: Iterable[Any]) -> Output:
    path = out / name
    count = write_jsonl(path, rows)
    if not count:
        path.unlink()
        return Output(name, 0, "")
    return Output(name, count, sha256_file(path))


def _write_rejected(corpus: Corpus, chosen: Selection, path: Path) -> Output:
    """Every rejection with its reason: source by source, first those of the scan, then those of the choice."""
    assert not (chosen.status == UNDECIDED).any(), "a row without a fate"
    count = 0
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        for number, folder in enumerate(corpus.folders):
            with (folder / "rejected.jsonl").open("rb") as scanned:
                shutil.copyfileobj(scanned, handle, 1 << 20)
            count += json.loads((folder / "scan.json").read_text(encoding="utf-8"))["rejected"]
            rows = np.flatnonzero((corpus.source == number) & (chosen.status != KEPT))
            count += len(rows)
            for row in rows.tolist():
                handle.write((dumps(_fate(corpus, chosen, row, folder.name)) + "\n").encode("utf-8"))
    return Output(path.name, count, sha256_file(path))


def _fate(corpus: Corpus, chosen: Selection, row: int, source: str) -> dict[str, Any]:
    file = corpus.names[int(corpus.index["file"][row])]
    fate = {
        "source": source,
        "file": file,
        "line": int(corpus.index["line"][row]),
        "reason": chosen.reason(row),
    }
    return fate if chosen.of[row] < 0 else {**fate, "of": corpus.place(int(chosen.of[row]))}


def reasons_of(corpus: Corpus, chosen: Selection, source: int) -> Counter[str]:
    """How many rows of a source were kept and rejected by the choice, by reason."""
    rows = np.flatnonzero(corpus.source == source)
    codes, counts = np.unique(chosen.status[rows], return_counts=True)
    return Counter(
        {
            "kept" if code == KEPT else chosen.reasons[code - 2]: int(count)
            for code, count in zip(codes.tolist(), counts.tolist(), strict=True)
        }
    )
