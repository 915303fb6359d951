"""`derta new`: a folder with held-out rows, questions and recipes for one model and its data.

1 read triples and benign pairs       3 count tokens with the model's tokenizer, look at config and machine
2 hold some of each out, by question  4 write data/ and the four recipes, each checked as its verb will check it
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from math import ceil
from pathlib import Path
from typing import TypeVar

import numpy as np

from derta.capability.recipe import CapabilityRecipe
from derta.config import load_recipe
from derta.errors import DataError, RunError
from derta.evaluation.recipe import EvaluateRecipe
from derta.files import write_jsonl
from derta.models import load_tokenizer
from derta.records import BenignPair, Query, Triple, as_row, load_records
from derta.run_folder import claim
from derta.starting.fitting import Counts, Fit, Machine, fit, this_machine
from derta.starting.texts import Project, recipe_texts
from derta.training.cost.shapes import shape_of
from derta.training.recipe import TrainRecipe

HELD_OUT_SHARE, MOST_HELD_OUT = 0.1, 100  # n of 100 keeps a rate's interval within 10 points
LEAST = 4  # rows of each kind: some to train on, some to hold out
COUNTED = 500  # rows of each kind whose tokens are counted

Record = TypeVar("Record", Triple, BenignPair)


def new_project(
    folder: Path,
    model: str,
    triples: Path,
    benign: Path,
    *,
    gsm8k: Path = Path("data/gsm8k_test.jsonl"),
    mmlu: Path = Path("data/mmlu_test.jsonl"),
    machine: Machine | None = None,
) -> tuple[Project, Fit]:
    """Write the folder. machine: this one, where none is given.

    Raises:
        DataError: too few triples or benign pairs.
        RunError: the folder is not ours to write to, or holds recipes that differ (yours, or of other data).
        DertaError: the model can't be read.
    """
    harmful, held_triples = split(load_records(triples, Triple), lambda row: row.harmful_query, triples)
    allowed, held_benign = split(load_records(benign, BenignPair), lambda row: row.benign_query, benign)
    shape = shape_of(model)
    counts = _counts(model, harmful, allowed)
    about = Project(
        folder, model, shape.parameters, counts, machine or this_machine(), gsm8k=gsm8k, mmlu=mmlu
    )
    settings = fit(shape, _context(model), counts, about.machine)
    texts = recipe_texts(about, settings)
    _check_kept(folder, texts)
    claim(folder, "new", [model, triples, benign])
    data = folder / "data"
    for name, rows in (("triples", harmful), ("triples.held_out", held_triples)):
        write_jsonl(data / f"{name}.jsonl", map(as_row, rows))
    for name, pairs in (("benign", allowed), ("benign.held_out", held_benign)):
        write_jsonl(data / f"{name}.jsonl", map(as_row, pairs))
    write_jsonl(data / "queries.jsonl", map(as_row, _queries(held_triples, held_benign)))
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    _check(folder)
    return about, settings


def _check_kept(folder: Path, texts: dict[str, str]) -> None:
    """What a person has changed is never written over."""
    for name, text in texts.items():
        path = folder / name
        if path.exists() and path.read_text(encoding="utf-8") != text:
            raise RunError(f"{path}: stands there already and differs; name another folder")


def split(
    rows: Sequence[Record], question: Callable[[Record], str], path: Path
) -> tuple[list[Record], list[Record]]:
    """(to train on, held out): every n-th question with all its rows, in the file's order.

    Raises:
        DataError: fewer than `LEAST` questions.
    """
    keys = [" ".join(question(row).lower().split()) for row in rows]
    distinct = list(dict.fromkeys(keys))
    if len(distinct) < LEAST:
        raise DataError(f"{path}: {len(distinct)} different questions; need {LEAST} or more to hold some out")
    num = min(MOST_HELD_OUT, max(2, ceil(HELD_OUT_SHARE * len(distinct))))
    held = {distinct[place * len(distinct) // num] for place in range(num)}
    pairs = list(zip(keys, rows, strict=True))
    return [row for key, row in pairs if key not in held], [row for key, row in pairs if key in held]


def _queries(triples: Sequence[Triple], pairs: Sequence[BenignPair]) -> list[Query]:
    """Held-out questions, asked singly: one whose sense needs the turns before it is left out."""
    harmful = [
        Query(id=row.id, query=row.harmful_query, kind="harmful", category=row.category)
        for row in triples
        if not row.context
    ]
    benign = [Query(id=row.id, query=row.benign_query, kind="benign") for row in pairs if not row.context]
    taken = {query.id for query in harmful}
    return harmful + [query for query in benign if query.id not in taken]


def _counts(model: str, triples: Sequence[Triple], pairs: Sequence[BenignPair]) -> Counts:
    tokenizer = load_tokenizer(model)

    def lengths(texts: Sequence[str]) -> list[int]:
        return [len(ids) for ids in tokenizer(list(texts), add_special_tokens=False)["input_ids"]]

    triples_seen, pairs_seen = triples[:COUNTED], pairs[:COUNTED]
    asked = lengths([row.harmful_query for row in triples_seen])
    safe = lengths([row.safe_response for row in triples_seen])
    harmful = lengths([row.harmful_response for row in triples_seen])
    questions = lengths([row.benign_query for row in pairs_seen])
    answers = lengths([row.response for row in pairs_seen])
    template = TEMPLATE_TOKENS
    # a prefix row holds both responses
    rows = [template + sum(parts) for parts in zip(asked, safe, harmful, strict=True)]
    rows += [template + sum(parts) for parts in zip(questions, answers, strict=True)]
    return Counts(
        len(triples),
        len(pairs),
        float(np.mean(safe)),
        float(np.mean(harmful)),
        float(np.mean(answers)),
        ceil(float(np.quantile(rows, 0.99))),
    )


TEMPLATE_TOKENS = 64  # ours: room for chat markup and a default system prompt around one exchange


def _context(model: str) -> int | None:
    """Most tokens of a model, as its config says."""
    config = Path(model) / "config.json"
    if not config.exists():
        return None
    found = json.loads(config.read_text(encoding="utf-8")).get("max_position_embeddings")
    return found if isinstance(found, int) else None


def _check(folder: Path) -> None:
    """The recipes as their verbs will read them."""
    for name in ("train", "vanilla"):
        load_recipe(folder / f"{name}.yaml", TrainRecipe)
    load_recipe(folder / "evaluate.yaml", EvaluateRecipe)
    load_recipe(folder / "capability.yaml", CapabilityRecipe)
