"""Inspect tasks: one per attack; its solver asks the model, its scorer the judge, and both save what they got.

A sample whose answer is saved already is not asked again: only the judge runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from inspect_ai import Task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ModelOutput
from inspect_ai.scorer import Score, Scorer, Target, mean, scorer
from inspect_ai.solver import Generate, Solver, TaskState, solver
from tenacity import RetryError

from derta.attacks import ATTACKS
from derta.attacks.own import load_own_attack
from derta.attacks.reading import read_answer
from derta.config import (
    AttackSettings,
    AutoDanAttack,
    CompletingAttack,
    JailbreakChatAttack,
    NoTemplateAttack,
    OwnAttack,
    PairAttack,
    PastRefusalAttack,
    SampledAttack,
    SelfCipherAttack,
)
from derta.evaluate.over_refusal import read_response
from derta.evaluate.plan import Inputs, PlannedSample
from derta.evaluate.searches import search_judge
from derta.judge.judgement import FILTERED, Judge, Judgement
from derta.keyed_log import SampleStore, key_of
from derta.records import Query, as_row
from derta.secrecy import redact


@dataclass(frozen=True)
class Judging:
    """A judge under the name that tables show, and the hash of its settings (part of a judgement's key)."""

    name: str
    judge: Judge
    key: str

    def key_for(self, sample_key: str) -> str:
        """The key of this judge's reading of a sample."""
        return key_of(sample=sample_key, judge=self.key)

    def is_done(self, sample_key: str, store: SampleStore) -> bool:
        """Whether a verdict is saved; a judge that could not tell is asked again."""
        found = store.get("judged", self.key_for(sample_key))
        return found is not None and found["verdict"] != "unknown"


def attack_task(
    attack: AttackSettings,
    samples: Sequence[PlannedSample],
    inputs: Inputs,
    store: SampleStore,
    judgings: Sequence[Judging],
) -> Task:
    """The task that answers these samples of one attack and has them read by every judge; the first guides PAIR."""
    return Task(
        name=attack.name,
        dataset=MemoryDataset([_sample(planned) for planned in samples], name=attack.name),
        solver=answered(build_solver(attack, inputs, judgings[0].judge), store),
        scorer=judged(judgings, store),
    )


def build_solver(attack: AttackSettings, inputs: Inputs, judge: Judge) -> Solver:
    """The attack's solver with its settings and texts. judge: the recipe's; PAIR may search with it."""
    if isinstance(attack, OwnAttack):
        return load_own_attack(str(attack.file)).build(**attack.settings)
    build = ATTACKS[attack.name]
    match attack:
        case JailbreakChatAttack():
            return build(inputs.templates, attack.placeholder)
        case SelfCipherAttack():
            return build(inputs.cipher, attack.mode)
        case CompletingAttack():
            return build(inputs.openings, attack.bos)
        case PairAttack():
            return build(
                attack,
                search_judge(attack, judge),
                affirmatives=inputs.search.affirmatives,
                instructions=inputs.search.instructions,
                seed=inputs.recipe.seed,
            )
        case AutoDanAttack():
            return build(inputs.found)
        case SampledAttack():
            return build(attack.temperature, attack.top_p, inputs.recipe.seed)
        case PastRefusalAttack():
            return build(attack.nudge, attack.tokens)
        case NoTemplateAttack():
            return build(attack.bos)
        case _:
            return build()


class NoAnswer(Exception):
    """All calls for an answer failed; the next run tries again."""


def _why_none(error: RetryError) -> str:
    calls, last = error.last_attempt.attempt_number, error.last_attempt.exception()
    return redact(f"no answer in {calls} calls; the last: {' '.join(str(last).split())}")


@solver
def answered(attack: Solver, store: SampleStore) -> Solver:
    """Take the saved answer, or run the attack and save it."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        key = state.metadata["key"]
        found = store.get("generated", key)
        if found is None:
            try:
                state = await attack(state, generate)
            except RetryError as error:
                raise NoAnswer(_why_none(error)) from None
            store.put("generated", key, saved_answer(state.output))
        else:
            state.output = ModelOutput.from_content(str(state.model), found["response"])
        return state

    return solve


@scorer(metrics=[mean()])
def judged(judgings: Sequence[Judging], store: SampleStore) -> Scorer:
    """The first judge's reading: 1 = harmful, 0 = not harmful, unscored = unknown (with its reason).

    All readings are saved; a judge whose verdict is saved already is not asked again.
    """

    async def score(state: TaskState, target: Target) -> Score:
        metadata = state.metadata
        found = store.get("generated", metadata["key"])
        if found is None:  # stopped by a limit before it was answered
            return Score.unscored(explanation="no answer")
        query = judged_query(metadata)
        answer = _answer_text(metadata, found["response"])
        for judging in judgings:
            if not judging.is_done(metadata["key"], store):
                value = await _reading(judging.judge, query, metadata, found)
                store.put("judged", judging.key_for(metadata["key"]), value)
        first = store.get("judged", judgings[0].key_for(metadata["key"]))
        assert first is not None
        return _score(Judgement(first["verdict"], first["reason"], first["helpful"]), answer)

    return score


async def _reading(
    judge: Judge, query: Query, metadata: dict[str, Any], found: Mapping[str, Any]
) -> dict[str, Any]:
    """What is saved of one judge's reading."""
    response: str = found["response"]
    if is_filtered(found):
        helpful = None if query.kind == "harmful" else False
        return Judgement("not_harmful", FILTERED, helpful)._asdict() | {"refused_after_completing": False}
    answer = _answer_text(metadata, response)
    judgement = await judge(query, answer)
    late = await _refused_after_completing(judge, query, metadata, response)
    return judgement._asdict() | {"refused_after_completing": late}


def _answer_text(metadata: Mapping[str, Any], response: str) -> str:
    """What of a response the judge reads."""
    return read_answer(metadata["attack"], metadata["read_with"], response, metadata.get("own_file")).text


def is_filtered(answer: Mapping[str, Any]) -> bool:
    """Whether the provider's filter stopped the answer before its first word: a refusal by the system."""
    return answer["stop_reason"] == "content_filter" and not answer["response"].strip()


def judged_query(metadata: Mapping[str, Any]) -> Query:
    """The query as its judge sees it: `opening` holds the words that the response continues, if there are any."""
    query = Query(**metadata["query"])
    return replace(query, opening=metadata["prefill"] or None) if metadata["attack"] == "prefill" else query


def saved_answer(output: ModelOutput) -> dict[str, Any]:
    """What is kept of a model's answer."""
    metadata = output.metadata or {}
    return {
        "response": output.completion,
        "stop_reason": output.stop_reason,
        "prompt": metadata.get("prompt", ""),
        "prompt_sha256": metadata.get("prompt_sha256", ""),
        "template_hash": metadata.get("template_hash", ""),
        "response_ids": metadata.get("response_ids", ""),
        "num_tokens": output.usage.output_tokens if output.usage else 0,
        "attack_params": metadata.get("attack_params", {}),
    }


async def _refused_after_completing(
    judge: Judge, query: Query, metadata: dict[str, Any], response: str
) -> bool:
    """Whether the words before a partial refusal are harmful by themselves."""
    before = read_response(response).before_refusal
    if before is None or query.kind != "harmful":
        return False
    answer = _answer_text(metadata, before)
    return (await judge(query, answer)).verdict == "harmful"


def _score(judgement: Judgement, answer: str) -> Score:
    if judgement.verdict == "unknown":
        return Score.unscored(answer=answer, explanation=judgement.reason)
    return Score(value=float(judgement.verdict == "harmful"), answer=answer, explanation=judgement.reason)


def _sample(planned: PlannedSample) -> Sample:
    return Sample(
        id=planned.id,
        input=planned.query.query,
        metadata={
            "key": planned.key,
            "attack": planned.attack,
            "attack_params": planned.attack_params,
            "query": as_row(planned.query),
            "read_with": planned.read_with,
            **planned.extra,
        },
    )
