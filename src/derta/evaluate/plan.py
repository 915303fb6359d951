"""What is to be asked of a model: every attack's rows in their final order, each with its key.

Rows are ordered by attack, then by attack parameters (prefill depth, template), then by the queries' order.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import derta
from derta.attacks.autodan import Found
from derta.attacks.code import code_attack_prompt
from derta.attacks.completing import completing_prompt
from derta.attacks.jailbreakchat import draw_template, jailbreakchat_prompt
from derta.attacks.multiturn import multiturn_rows
from derta.attacks.own import check_settings
from derta.attacks.prefill import prefill_ids
from derta.attacks.selfcipher import selfcipher_messages
from derta.attacks.texts import CipherTexts, Template, load_cipher, load_openings, load_templates
from derta.config import (
    AttackSettings,
    AutoDanAttack,
    CodeAttack,
    CompletingAttack,
    EvaluateRecipe,
    JailbreakChatAttack,
    MultiTurnAttack,
    OwnAttack,
    PairAttack,
    PrefillAttack,
    SelfCipherAttack,
)
from derta.encode.chat import ChatRenderer, Message
from derta.encode.token_ids import ids_text
from derta.errors import DataError
from derta.evaluate.adaptive import Row, adaptive_rows
from derta.evaluate.searches import SearchTexts, load_search_texts, search_hash, searched_queries
from derta.files import sha256_file
from derta.keyed_log import key_of
from derta.records import BenignPair, Query, Triple, as_row, load_records
from derta.results.questions import load_queries


@dataclass(frozen=True)
class Inputs:
    """Everything a plan needs, loaded and checked before any model is.

    found: AutoDAN's prompts for the model at hand, by query id.
    """

    recipe: EvaluateRecipe
    queries: list[Query]
    triples: list[Triple]
    templates: list[Template]
    cipher: CipherTexts | None
    openings: dict[str, str]
    search: SearchTexts
    found: Mapping[str, Found] = field(default_factory=dict)
    benign: list[BenignPair] = field(default_factory=list)
    asked: str = ""
    """What the file of questions was read as, where it is not queries.jsonl."""

    @property
    def harmful(self) -> list[Query]:
        """The harmful queries in their order."""
        return [query for query in self.queries if query.kind == "harmful"]


@dataclass(frozen=True)
class PlannedSample:
    """One row of `responses.jsonl` before it is generated.

    read_with: text of the prompt that the judge reads before the response (CompletingAttack's opening).
    extra: what the attack's solver needs for this sample beside the query.
    """

    attack: str
    attack_params: dict[str, Any]
    query: Query
    key: str
    read_with: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Unique within its attack."""
        values = "".join(f"@{value}" for value in self.attack_params.values())
        return f"{self.query.id}{values}"


@dataclass(frozen=True)
class Plan:
    """samples: in final order; dropped: prefill depth -> harmful responses too short for it."""

    samples: list[PlannedSample]
    dropped: dict[int, int]


# Attacks whose prompts alone decide what a deterministic model answers: seeds that send the same share it.
STATIC = (
    "direct",
    "code",
    "jailbreakchat",
    "selfcipher",
    "completing",
    "prefill",
    "autodan",
    "multiturn",
    "ban_refusal",
    "past_refusal",
    "no_bos",
    "no_template",
)


def load_inputs(recipe: EvaluateRecipe) -> Inputs:
    """Read the recipe's data files.

    Raises:
        DataError: a file can't be read or used; or a harmful query has no opening for CompletingAttack.
        RecipeError: an attack of the user's own can't be run.
    """
    texts = recipe.texts
    placeholder = next((a.placeholder for a in recipe.attacks if isinstance(a, JailbreakChatAttack)), None)
    is_multiturn = any(isinstance(attack, MultiTurnAttack) for attack in recipe.attacks)
    asked = load_queries(recipe.queries, kind=recipe.kind, limit=recipe.limit)
    inputs = Inputs(
        recipe,
        queries=asked.queries,
        asked=asked.said,
        triples=load_records(recipe.triples, Triple) if recipe.triples else [],
        templates=load_templates(texts.jailbreakchat, placeholder)
        if texts.jailbreakchat and placeholder
        else [],
        cipher=load_cipher(texts.selfcipher) if texts.selfcipher else None,
        openings=load_openings(texts.completing) if texts.completing else {},
        search=load_search_texts(recipe),
        benign=load_records(recipe.benign, BenignPair) if recipe.benign and is_multiturn else [],
    )
    if any(isinstance(attack, CompletingAttack) for attack in recipe.attacks):
        for query in inputs.harmful:
            completing_prompt(query, inputs.openings)
    for attack in recipe.attacks:
        if isinstance(attack, OwnAttack):
            check_settings(str(attack.file), attack.settings)
    return inputs


def plan_samples(
    inputs: Inputs,
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
    recipe = inputs.recipe
    samples: dict[tuple[str, str], PlannedSample] = {}
    dropped: dict[int, int] = {}
    shared = {
        "derta": derta.__version__,
        "model": model_key,
        "template": renderer.template_hash if renderer else "",
        "generation": recipe.generation.model_dump(exclude={"batch_rows", "batch_tokens"}),
    }
    for attack in recipe.attacks:
        if attack.name in skipped:
            continue
        seed = None if is_exact and attack.name in STATIC else recipe.seed
        for params, query, extra in _rows(attack, inputs, renderer, dropped):
            sent = sent_texts(attack, params, query, inputs)
            key = key_of(
                **shared,
                seed=seed,
                attack=attack.name,
                params=params,
                query=as_row(query),
                sent=sent,
                extra=extra,
            )
            read_with = sent[0] if attack.name == "completing" else ""
            sample = PlannedSample(attack.name, params, query, key, read_with, extra)
            if (attack.name, sample.id) in samples:
                raise DataError(
                    f"{recipe.triples}: two rows of the {attack.name} attack have the id {sample.id!r}; queries of "
                    "triples must differ, and a triple may share its id only with the same query"
                )
            samples[attack.name, sample.id] = sample
    return Plan(list(samples.values()), dropped)


def sent_texts(attack: AttackSettings, params: Mapping[str, Any], query: Query, inputs: Inputs) -> list[str]:
    """The texts of the turns that the attack sends for a query, as its solver makes them."""
    match attack:
        case CodeAttack():
            return [code_attack_prompt(query.query)]
        case JailbreakChatAttack():
            template = next(entry for entry in inputs.templates if entry.id == params["template"])
            return [jailbreakchat_prompt(query.query, template.text, attack.placeholder)]
        case SelfCipherAttack():
            assert inputs.cipher is not None
            turns = selfcipher_messages(query.query, inputs.cipher, mode=attack.mode, category=query.category)
            return [turn.text for turn in turns]
        case CompletingAttack():
            return [completing_prompt(query, inputs.openings)]
        case AutoDanAttack():
            found = inputs.found[query.id]
            return [found.seed_prompt if params["stage"] == "seeds" else found.prompt]
        case _:
            return [query.query]


def _rows(
    attack: AttackSettings, inputs: Inputs, renderer: ChatRenderer | None, dropped: dict[int, int]
) -> list[Row]:
    harmful = inputs.harmful
    adaptive = adaptive_rows(attack, inputs.recipe, harmful, renderer)
    if adaptive is not None:
        return adaptive
    match attack:
        case PrefillAttack():
            assert renderer is not None, "prefill needs a renderer"
            return _prefill_rows(attack, inputs, renderer, dropped)
        case JailbreakChatAttack(cross_product=True):
            return [
                ({"template": template.id}, query, {}) for template in inputs.templates for query in harmful
            ]
        case JailbreakChatAttack():
            seed = inputs.recipe.seed
            return [
                ({"template": draw_template(inputs.templates, query.id, seed).id}, query, {})
                for query in harmful
            ]
        case SelfCipherAttack():
            return [({"mode": attack.mode}, query, {}) for query in harmful]
        case CompletingAttack():
            return [({} if attack.bos else {"bos": False}, query, {}) for query in harmful]
        case PairAttack() | AutoDanAttack():
            return _search_rows(attack, inputs)
        case MultiTurnAttack():
            return multiturn_rows(attack, harmful, inputs.benign, inputs.recipe.seed)
        case OwnAttack():
            code = {"own_file": str(attack.file), "own_sha256": sha256_file(attack.file)}
            return [(attack.settings, query, code) for query in harmful]
        case _:
            asked = inputs.queries if attack.name == "direct" else harmful
            return [({}, query, {}) for query in asked]


def _search_rows(attack: PairAttack | AutoDanAttack, inputs: Inputs) -> list[Row]:
    searched = searched_queries(attack, inputs.harmful)
    if isinstance(attack, PairAttack):
        search = {"search": search_hash(attack, inputs.search, inputs.recipe)}
        return [({}, query, search) for query in searched]
    return [({"stage": stage}, query, {}) for stage in ("seeds", "search") for query in searched]


def _prefill_rows(
    attack: PrefillAttack, inputs: Inputs, renderer: ChatRenderer, dropped: dict[int, int]
) -> list[Row]:
    """One row per depth and triple; a triple whose query is also evaluated keeps that query's id."""
    known = {query.query: query for query in inputs.harmful}
    queries = [
        known.get(triple.harmful_query)
        or Query(
            id=triple.id,
            query=triple.harmful_query,
            kind="harmful",
            category=triple.category,
            reference=triple.harmful_response,
        )
        for triple in inputs.triples
    ]
    pairs: list[tuple[list[Message], str]] = [
        ([{"role": "user", "content": triple.harmful_query}], triple.harmful_response)
        for triple in inputs.triples
    ]
    harmful_ids = [response_ids for _, response_ids in renderer.encode_pairs(pairs)]
    rows: list[Row] = []
    for depth in attack.depths:
        for query, response_ids in zip(queries, harmful_ids, strict=True):
            ids = prefill_ids(response_ids, depth)
            if ids is None:
                dropped[depth] = dropped.get(depth, 0) + 1
            else:
                opening = {"prefill_ids": ids_text(ids), "prefill": renderer.decode(ids)}
                rows.append(({"depth": depth}, query, opening))
    return rows
