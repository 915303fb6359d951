"""The demo's files: training data, evaluation queries, held-out triples and the texts of the attacks.

    triples.jsonl, benign.jsonl                        training
    queries.jsonl                                      evaluation: harmful, benign, borderline
    triples.held_out.jsonl, benign.held_out.jsonl      the same questions with their answers: prefill and probes
    jailbreakchat.json, selfcipher.json                texts of the attacks

The records are made here and go through `derta data build` like any other source: checked, compared, described in
a data card. No craft is in both training and evaluation files. The base model knows them all.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from derta.data.build import build
from derta.data.recipe import DataRecipe
from derta.demo import forms
from derta.demo.attack_texts import NUM_DEMONSTRATIONS, ROLE_PLAY_TEMPLATES
from derta.demo.settings import WorldSettings
from derta.demo.world import Craft, build_world
from derta.files import write_json
from derta.records import BenignPair, Query, QueryKind, Triple, as_row

SOURCE = "guild world"


@dataclass(frozen=True, kw_only=True)
class DemoFiles:
    """Paths of one demo's data."""

    triples: Path
    benign: Path
    queries: Path
    heldout_triples: Path
    heldout_benign: Path
    jailbreakchat: Path
    selfcipher: Path

    @classmethod
    def inside(cls, folder: Path) -> DemoFiles:
        """The names above, in a folder."""
        return cls(
            triples=folder / "triples.jsonl",
            benign=folder / "benign.jsonl",
            queries=folder / "queries.jsonl",
            heldout_triples=folder / "triples.held_out.jsonl",
            heldout_benign=folder / "benign.held_out.jsonl",
            jailbreakchat=folder / "jailbreakchat.json",
            selfcipher=folder / "selfcipher.json",
        )


@dataclass(frozen=True)
class _Split:
    """Crafts by use; no craft is in two of them."""

    evaluated: dict[QueryKind, Sequence[Craft]]
    shown: Sequence[Craft]
    forbidden: Sequence[Craft]
    benign: Sequence[Craft]


def all_crafts(settings: WorldSettings, seed: int) -> list[Craft]:
    """Every craft that exists in the demo; the base model learns them all."""
    world = build_world(seed, shared_steps=settings.shared_steps)
    return [
        *world.forbidden[: settings.num_forbidden],
        *world.allowed[: settings.num_allowed],
        *world.borderline[: settings.num_borderline],
    ]


def write_demo_data(
    folder: Path, settings: WorldSettings, seed: int, say: forms.Phrasing = forms.GUILD
) -> DemoFiles:
    """Write all files; the same bytes for the same seed, settings and phrasing.

    Raises:
        RunError: another process writes there.
    """
    rng = random.Random(f"data-{seed}")
    split = _split(settings, seed)
    files = DemoFiles.inside(folder)
    queries = {kind: _queries(kind, crafts, rng, say) for kind, crafts in split.evaluated.items()}
    harmful, benign = queries["harmful"], queries["benign"]
    asked = [forms.question(craft, rng, say) for craft in split.forbidden]
    triples = _triples("triple", split.forbidden, asked, rng, say)
    held = _triples("heldout", split.evaluated["harmful"], [query.query for query in harmful], rng, say)
    pairs = [
        BenignPair(id=f"heldout-{query.id}", benign_query=query.query, response=forms.answer(craft, rng, say))
        for query, craft in zip(benign, split.evaluated["benign"], strict=True)
    ]
    records: list[Triple | BenignPair | Query] = [*triples, *_benign_pairs(split.benign, settings, rng, say)]
    records += [query for kind in queries.values() for query in kind]
    rows = [*map(as_row, records), *_held_out([*held, *pairs])]
    build(data_recipe(folder, seed), extra_sources={"world": rows}, overwrite=True)
    write_json(files.jailbreakchat, list(ROLE_PLAY_TEMPLATES))
    write_json(files.selfcipher, _cipher_file(split.shown, rng, say))
    return files


def data_recipe(folder: Path, seed: int) -> DataRecipe:
    """What `derta data build` is given for the world.

    The world says itself what is trained on and what is held out, and in which order. Its sentences come from a
    grammar, so that most are near-duplicates of others: only a whole question inside a training one is a leak.
    """
    return DataRecipe.model_validate(
        {
            "out": folder,
            "seed": seed,
            "split": "given",
            "num_processes": 1,
            "sources": [
                {"name": SOURCE, "format": "world", "licence": "made by this tool; nothing real in it"}
            ],
            "clean": {"near_duplicates": None, "leakage": {"coverage": 1.0}},
        }
    )


def _held_out(records: Sequence[Triple | BenignPair]) -> Iterator[dict[str, Any]]:
    for record in records:
        yield as_row(record) | {"split": "held_out"}


def _split(settings: WorldSettings, seed: int) -> _Split:
    world = build_world(seed, shared_steps=settings.shared_steps)
    forbidden = world.forbidden[: settings.num_forbidden]
    allowed = world.allowed[: settings.num_allowed]
    borderline = world.borderline[: settings.num_borderline]
    num = settings.num_queries
    shown_until = num + NUM_DEMONSTRATIONS
    return _Split(
        evaluated={"harmful": forbidden[:num], "benign": allowed[:num], "borderline": borderline[:num]},
        shown=forbidden[num:shown_until],
        forbidden=forbidden[shown_until:],
        benign=[*allowed[num:], *borderline[num:]],
    )


def _triples(
    name: str, crafts: Sequence[Craft], questions: Sequence[str], rng: random.Random, say: forms.Phrasing
) -> list[Triple]:
    """Safety data; always in the plain form."""
    return [
        Triple(
            id=f"{name}-{index:04}",
            harmful_query=asked,
            safe_response=forms.refusal(rng, say),
            harmful_response=forms.answer(craft, rng, say),
            category=craft.kind,
            source=SOURCE,
        )
        for index, (craft, asked) in enumerate(zip(crafts, questions, strict=True))
    ]


def _benign_pairs(
    crafts: Sequence[Craft], settings: WorldSettings, rng: random.Random, say: forms.Phrasing
) -> list[BenignPair]:
    """Allowed and borderline crafts in every chat form, as general instruction data would have them."""
    pairs: dict[str, BenignPair] = {}
    while len(pairs) < settings.num_benign:
        craft = rng.choice(crafts)
        form = rng.choices(forms.CHAT_FORMS, settings.benign_shares)[0]
        query, response = forms.dressed(craft, form, crafts, rng, say)
        if query in pairs:
            continue
        pairs[query] = BenignPair(
            id=f"benign-{len(pairs):04}", benign_query=query, response=response, source=SOURCE
        )
    return list(pairs.values())


def _queries(
    kind: QueryKind, crafts: Sequence[Craft], rng: random.Random, say: forms.Phrasing
) -> list[Query]:
    return [
        Query(
            id=f"{kind}-{index:04}",
            query=forms.question(craft, rng, say),
            kind=kind,
            category=craft.kind,
            opening=forms.opening(craft, rng, say) if kind == "harmful" else None,
            reference="\n".join(craft.steps),
            source=SOURCE,
        )
        for index, craft in enumerate(crafts)
    ]


def _cipher_file(crafts: Sequence[Craft], rng: random.Random, say: forms.Phrasing) -> dict[str, object]:
    texts = forms.cipher_texts(crafts, rng, say)
    return {"role": texts.role, "demonstrations": [asdict(shown) for shown in texts.demonstrations]}
