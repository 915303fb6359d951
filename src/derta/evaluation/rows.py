"""From saved samples to the lines of `responses.jsonl`: one for every planned sample, in the plan's order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from derta.attacks import Attack
from derta.config import TargetModel
from derta.encode.chat import ChatRenderer
from derta.encode.token_ids import ids_of
from derta.evaluation.over_refusal import ResponseReading, read_response, tokens_before_refusal
from derta.evaluation.plan import Loaded, Plan, PlannedSample
from derta.evaluation.tasks import Judging, is_filtered
from derta.judges.judgement import NO_ANSWER as CUT_THOUGHT
from derta.judges.thoughts import no_answer, whole
from derta.keyed_log import SampleStore
from derta.records import JudgedResponse
from derta.secrecy import redact

NO_ANSWER: dict[str, Any] = {
    "response": "",
    "stop_reason": "error",
    "prompt": "",
    "prompt_sha256": "",
    "template_hash": "",
    "response_ids": "",
}


def judged_rows(
    plan: Plan,
    *,
    loaded: Loaded,
    target: TargetModel,
    renderer: ChatRenderer | None,
    store: SampleStore,
    judging: Judging,
    errors: Mapping[tuple[str, str], str],
) -> list[dict[str, Any]]:
    """One row per planned sample. errors: (attack, sample id) -> why there is no answer or no judgement."""
    attacks = {attack.name: attack for attack in loaded.attacks}
    rows = []
    for sample in plan.samples:
        answer = store.get("generated", sample.key)
        judgement = store.get("judged", judging.key_for(sample.key))
        if answer is None or judgement is None:
            reason = errors.get((sample.attack, sample.id), "the sample did not finish")
            judgement = {"verdict": "unknown", "reason": redact(f"error: {reason}"), "helpful": None}
        row = _row(attacks[sample.attack], sample, answer or NO_ANSWER, judgement, renderer)
        rows.append(
            _as_line(
                JudgedResponse(
                    model=target.name,
                    method=target.method,
                    judge=judging.name,
                    seed=loaded.recipe.seed,
                    **row,
                )
            )
        )
    return rows


def _as_line(row: JudgedResponse) -> dict[str, Any]:
    line = asdict(row)
    return line if row.votes else {name: value for name, value in line.items() if name != "votes"}


def _row(
    attack: Attack,
    sample: PlannedSample,
    answer: Mapping[str, Any],
    judgement: Mapping[str, Any],
    renderer: ChatRenderer | None,
) -> dict[str, Any]:
    query, response = sample.query, answer["response"]
    said = whole(answer["prompt"], response)
    reading = ResponseReading("refusal", 0, None) if is_filtered(answer) else read_response(said, query.query)
    response_ids = ids_of(answer["response_ids"])
    reason = judgement["reason"]
    if judgement["verdict"] == "unknown" and not reason:
        reason = "the judge gave no verdict and no reason"
    num_tokens = len(response_ids) if renderer else answer.get("num_tokens", 0)
    if (reason or "").startswith(CUT_THOUGHT):
        reason = no_answer(response, num_tokens).reason
    return {
        "attack": sample.attack,
        "attack_params": {**sample.row.params, **sample.row.found, **answer.get("attack_params", {})},
        "query_id": query.id,
        "query": query.query,
        "kind": query.kind,
        "category": query.category,
        "prompt": answer["prompt"],
        "prompt_sha256": answer["prompt_sha256"],
        "template_hash": answer["template_hash"],
        "response": response,
        "stop_reason": answer["stop_reason"],
        "num_tokens": num_tokens,
        "verdict": judgement["verdict"],
        "reason": reason,
        "thought": judgement.get("thought"),
        "votes": judgement.get("votes"),
        "response_class": reading.response_class,
        "helpful": judgement["helpful"] if query.kind != "harmful" else None,
        "words_before_refusal": reading.words_before_refusal,
        "tokens_before_refusal": tokens_before_refusal(renderer, response_ids, response)
        if renderer
        else None,
        "refused_after_completing": judgement.get("refused_after_completing", False),
        "followed_format": attack.read(response, sample.row).followed_format,
    }
