"""What is to be asked of a model: every attack's rows in their final order, each with its key.

Rows are ordered by attack, then as the attack makes them. A key is the hash of all that decides an answer: the model,
the settings, and the prompts exactly as they are sent.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import derta
from derta.attacks import Attack, Inputs, Prompt, Row
from derta.attacks.catalogue import ATTACKS
from derta.encode.chat import ChatRenderer
from derta.errors import DataError, DertaError, RecipeError
from derta.evaluation.recipe import EvaluateRecipe
from derta.files import sha256_file
from derta.keyed_log import key_of
from derta.records import BenignPair, Query, Triple, as_row, load_records
from derta.results.questions import Asked, load_queries

T = TypeVar("T")


@dataclass(frozen=True)
class Loaded:
    """A recipe with everything that a plan needs, loaded and checked before any model is.

    attacks: the recipe's, the user's own out of their files. inputs: what they are made from, for one seed.
    """

    recipe: EvaluateRecipe
    attacks: tuple[Attack, ...]
    inputs: Inputs
    asked: str = ""
    """What the file of questions was read as, where it is not queries.jsonl."""

    def at_seed(self, seed: int) -> Loaded:
        """The same for another seed."""
        recipe = self.recipe.model_copy(update={"seed": seed})
        return replace(self, recipe=recipe, inputs=replace(self.inputs, seed=seed))


@dataclass(frozen=True)
class PlannedSample:
    """One row of `responses.jsonl` before it is generated. parts: hash of each thing that its key is made of."""

    attack: str
    row: Row
    key: str
    parts: Mapping[str, str]

    @property
    def query(self) -> Query:
        """The question."""
        return self.row.query

    @property
    def id(self) -> str:
        """Unique within its attack."""
        values = "".join(f"@{value}" for value in self.row.params.values())
        return f"{self.query.id}{values}"


@dataclass(frozen=True)
class Plan:
    """samples: in final order; dropped: prefill depth -> harmful responses too short for it."""

    samples: list[PlannedSample]
    dropped: dict[int, int]


def load_inputs(recipe: EvaluateRecipe, faults: list[DertaError]) -> Loaded:
    """Read the recipe's data files, and have every attack check its own.

    faults: gets what is missing or can't be used: a file that is not named, can't be read or used, a harmful query
    that lacks what an attack needs, an attack of the user's own that can't be run. Without a new one all is loaded.
    """

    def tried(make: Callable[[], T], otherwise: T) -> T:
        try:
            return make()
        except DertaError as error:
            if str(error) not in map(str, faults):  # two attacks may need one file
                faults.append(error)
            return otherwise

    attacks = tuple(tried(attack.opened, attack) for attack in recipe.attacks)
    needs_benign = any("benign" in attack.files() for attack in attacks)
    asked = tried(partial(load_queries, recipe.queries, kind=recipe.kind, limit=recipe.limit), Asked([]))
    benign: list[BenignPair] = []
    if recipe.benign is not None:
        benign = tried(partial(load_records, recipe.benign, BenignPair), benign)
    inputs = Inputs(
        queries=asked.queries,
        triples=tried(partial(load_records, recipe.triples, Triple), []) if recipe.triples else [],
        benign=benign if needs_benign else [],
        texts=recipe.texts,
        seed=recipe.seed,
        refusal=recipe.refusal.text,
        max_new_tokens=recipe.generation.max_new_tokens,
        judge=recipe.judge,
    )
    for attack in attacks:
        unset = [RecipeError(line) for line in recipe.unset(attack)]
        faults += [error for error in unset if str(error) not in map(str, faults)]
        if not unset:
            tried(partial(attack.check, inputs), None)
    return Loaded(recipe, attacks, inputs, asked.said)


def plan_samples(
    loaded: Loaded,
    renderer: ChatRenderer | None,
    model_key: str,
    *,
    skipped: Collection[str] = (),
    is_exact: bool = False,
) -> Plan:
    """All rows for one model.

    model_key: fingerprint of the model; part of every sample's key. renderer: None where prompts are not made here.
    skipped: attacks that do not apply to it. is_exact: the same prompt always gets the same answer.

    Raises:
        DataError: two rows of an attack would have the same id.
    """
    recipe = loaded.recipe
    samples: dict[tuple[str, str], PlannedSample] = {}
    dropped: dict[int, int] = {}
    shared = {
        "derta": derta.__version__,
        "model": model_key,
        "template": renderer.template_hash if renderer else "",
        "generation": recipe.generation.model_dump(exclude={"batch_rows", "batch_tokens"}),
    }
    for attack in loaded.attacks:
        if attack.name in skipped:
            continue
        rows = attack.rows(loaded.inputs, renderer)
        for depth, count in attack.left_out(rows, loaded.inputs).items():
            dropped[depth] = dropped.get(depth, 0) + count
        own = {
            **shared,
            "attack": attack.name,
            "code": _own_code(attack),
            "seed": recipe.seed if attack.draws or not is_exact else None,
        }
        own_parts = _parts(own)
        for row in rows:
            sample = _planned(attack.name, row, own, own_parts)
            if (attack.name, sample.id) in samples:
                raise DataError(
                    f"{recipe.triples}: two rows of the {attack.name} attack have the id {sample.id!r}; queries of "
                    "triples must differ, and a triple may share its id only with the same query"
                )
            samples[attack.name, sample.id] = sample
    return Plan(list(samples.values()), dropped)


def _planned(attack: str, row: Row, own: Mapping[str, Any], own_parts: Mapping[str, str]) -> PlannedSample:
    """own: what all rows of the attack share."""
    decided = {
        "params": dict(row.params),
        "query": as_row(row.query),
        "prompts": [_as_sent(prompt) for prompt in row.prompts],
        "search": dict(row.search),
    }
    return PlannedSample(attack, row, key_of(**own, **decided), {**own_parts, **_parts(decided)})


def _as_sent(prompt: Prompt) -> dict[str, Any]:
    """All that is sent. Without a guide its fields are left out: answers of runs that knew none keep their keys."""
    sent = asdict(prompt)
    return sent if prompt.guide else {k: v for k, v in sent.items() if k not in ("guide", "guide_rank")}


def _parts(decided: Mapping[str, Any]) -> dict[str, str]:
    return {name: key_of(part=value)[:8] for name, value in decided.items()}


def _own_code(attack: Attack) -> str | None:
    """Hash of the file of an attack that is not derta's."""
    if type(attack) in ATTACKS:
        return None
    path = getattr(sys.modules[type(attack).__module__], "__file__", None)
    return sha256_file(Path(path)) if path else None
