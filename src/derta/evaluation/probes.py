"""White-box measurements beside the responses: `hazard.jsonl` and `knowledge.jsonl`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

from transformers import PreTrainedModel

from derta.config import TargetModel
from derta.encode.chat import ChatRenderer
from derta.encode.refusal_token import resolve_refusal_token
from derta.evaluation.recipe import EvaluateRecipe
from derta.files import sha256_file
from derta.keyed_log import SampleStore, key_of
from derta.models import fingerprint, load_model
from derta.probe.hazard import hazard
from derta.probe.knowledge import knowledge
from derta.progress import SILENT, Progress, Step
from derta.records import BenignPair, Triple, load_records, turns_to

Weights = Callable[[], PreTrainedModel]


def probe_rows(
    recipe: EvaluateRecipe,
    target: TargetModel,
    *,
    renderer: ChatRenderer,
    model_key: str,
    weights: Weights,
    store: SampleStore,
    progress: Progress = SILENT,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(lines of hazard.jsonl, lines of knowledge.jsonl) of one model; saved values are not measured again.

    weights: gives the model, called only when something must be measured. Each measurement is a step of its own.
    """
    if recipe.triples is None:
        return [], []
    refusal = resolve_refusal_token(renderer, recipe.refusal.text, recipe.refusal.token).ids
    triples = load_records(recipe.triples, Triple)
    rows = {
        "harmful": renderer.encode_pairs(
            [(turns_to(triple.harmful_query, triple.context), triple.harmful_response) for triple in triples]
        )
    }
    files = {"harmful": recipe.triples}
    if recipe.benign is not None:
        benign = load_records(recipe.benign, BenignPair)
        rows["benign"] = renderer.encode_pairs(
            [(turns_to(pair.benign_query, pair.context), pair.response) for pair in benign]
        )
        files["benign"] = recipe.benign

    def saved(what: str, kind: str, model: str, measure: Callable[[Step], Any]) -> Any:
        key = key_of(
            probe=what,
            model=model,
            template=renderer.template_hash,
            refusal=sorted(refusal),
            rows=sha256_file(files[kind]),
        )
        if store.get("probe", key) is None:
            said = f"{target.name}: {what}, {kind}"
            with progress.step(said if model == model_key else f"{said}, base", len(rows[kind])) as step:
                store.put("probe", key, {"result": measure(step)})
        return store.get("probe", key)["result"]  # type: ignore[index]

    def known(model: Weights, step: Step) -> dict[str, Any] | None:
        found = knowledge(model(), rows["harmful"], refusal, advance=step)
        return asdict(found) if found else None

    def curve(kind: str, step: Step) -> dict[str, Any]:
        return asdict(hazard(weights(), rows[kind], refusal, advance=step))

    name = {"model": target.name, "method": target.method}
    hazards = [
        name | {"kind": kind} | saved("hazard", kind, model_key, partial(curve, kind)) for kind in rows
    ]
    value = saved("knowledge", "harmful", model_key, partial(known, weights))
    base = None
    if recipe.base is not None:
        path = recipe.base
        base = saved(
            "knowledge",
            "harmful",
            fingerprint(path),
            partial(known, partial(load_model, path, target.dtype)),
        )
    controls = [name | value | {"base_value": base["value"] if base else None}] if value else []
    return hazards, controls
