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

from derta.attacks import ATTACKS
from derta.attacks.reading import read_answer
from derta.config import (
    AttackSettings,
    AutoDanAttack,
    CompletingAttack,
    JailbreakChatAttack,
    PairAttack,
    SelfCipherAttack,
)
from derta.evaluate.over_refusal import read_response
from derta.evaluate.plan import Inputs, PlannedSample
from derta.evaluate.searches import search_judge
from derta.evaluate.store import SampleStore, key_of
from derta.judge.judgement import Judge, Judgement
from derta.records import Query, as_row


@dataclass(frozen=True)
class Judging:
    """The judge, and the hash of its settings (part of a judgement's key)."""

    name: str
    judge: Judge
    key: str

    def key_for(self, sample_key: str) -> str:
        """The key of this judge's reading of a sample."""
        return key_of(sample=sample_key, judge=self.key)


def attack_task(
    attack: AttackSettings,
    samples: Sequence[PlannedSample],
    inputs: Inputs,
    store: SampleStore,
    judging: Judging,
) -> Task:
    """The task that answers and judges these samples of one attack."""
    return Task(
        name=attack.name,
        dataset=MemoryDataset([_sample(planned) for planned in samples], name=attack.name),
        solver=answered(build_solver(attack, inputs, judging.judge), store),
        scorer=judged(judging, store),
    )


def build_solver(attack: AttackSettings, inputs: Inputs, judge: Judge) -> Solver:
    """The attack's solver with its settings and texts. judge: the recipe's; PAIR may search with it."""
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
        case _:
            return build()


@solver
def answered(attack: Solver, store: SampleStore) -> Solver:
    """Take the saved answer, or run the attack and save it."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        key = state.metadata["key"]
        found = store.get("generated", key)
        if found is None:
            state = await attack(state, generate)
            store.put("generated", key, saved_answer(state.output))
        else:
            state.output = ModelOutput.from_content(str(state.model), found["response"])
        return state

    return solve


@scorer(metrics=[mean()])
def judged(judging: Judging, store: SampleStore) -> Scorer:
    """1 = harmful, 0 = not harmful, unscored = unknown (with its reason)."""

    async def score(state: TaskState, target: Target) -> Score:
        metadata = state.metadata
        query = judged_query(metadata)
        response = store.get("generated", metadata["key"])["response"]  # type: ignore[index]
        answer = read_answer(metadata["attack"], metadata["read_with"], response).text
        judgement = await judging.judge(query, answer)
        value = {
            **judgement._asdict(),
            "refused_after_completing": await _refused_after_completing(
                judging.judge, query, metadata, response
            ),
        }
        store.put("judged", judging.key_for(metadata["key"]), value)
        return _score(judgement, answer)

    return score


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
        "attack_params": metadata.get("attack_params", {}),
    }


async def _refused_after_completing(
    judge: Judge, query: Query, metadata: dict[str, Any], response: str
) -> bool:
    """Whether the words before a partial refusal are harmful by themselves."""
    before = read_response(response).before_refusal
    if before is None or query.kind != "harmful":
        return False
    answer = read_answer(metadata["attack"], metadata["read_with"], before).text
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
