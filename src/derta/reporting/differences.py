"""Each method against vanilla on the same questions: paired differences with their intervals."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from derta.attacks.catalogue import question_params
from derta.methods import BASELINE
from derta.records import JudgedResponse
from derta.results.cell import System
from derta.results.cells import attack_labels, helpful_outcomes, is_harmful, is_refusal
from derta.statistics import PairedDifference, paired_difference

Metric = Literal["asr", "over_refusal", "helpfulness"]
Outcomes = Callable[[Sequence[JudgedResponse]], list[bool | None]]  # of each row, in order


@dataclass(frozen=True, kw_only=True)
class Difference:
    """`system` minus `baseline` in one metric on the questions that both answered (fractions, -1..1)."""

    system: System
    baseline: System
    attack: str
    judge: str
    metric: Metric
    value: float
    n: int
    low: float
    high: float

    @property
    def direction(self) -> Literal["lower", "higher", "unclear"]:
        """Whether the 95 % interval leaves zero out, and on which side."""
        if self.high < 0:
            return "lower"
        return "higher" if self.low > 0 else "unclear"


def baseline_of(system: System, systems: Sequence[System]) -> System | None:
    """The vanilla system to compare with: that of the same model name, else the only one there is."""
    vanilla = [other for other in systems if other.method == BASELINE]
    if system.method == BASELINE:
        return None
    same_model = [other for other in vanilla if other.model == system.model]
    candidates = same_model or vanilla
    return candidates[0] if len(candidates) == 1 else None


def differences(responses: Sequence[JudgedResponse]) -> list[Difference]:
    """Every method against its baseline, per judge, attack and metric, in input order.

    The pairs are rows with the same question, attack parameters and seed, answered and judged for both.
    """
    groups: dict[tuple[System, str, str], dict[str, JudgedResponse]] = {}
    for row in responses:
        for attack in attack_labels(row):
            group = groups.setdefault((System(row.model, row.method), row.judge, attack), {})
            group[_question(row)] = row
    systems = list(dict.fromkeys(system for system, _, _ in groups))
    found = []
    for (system, judge, attack), rows in groups.items():
        baseline = baseline_of(system, systems)
        other = groups.get((baseline, judge, attack)) if baseline else None
        if baseline is None or other is None:
            continue
        for metric, outcomes in _metrics(attack).items():
            result = _difference(rows, other, outcomes)
            if result is not None:
                found.append(
                    Difference(
                        system=system,
                        baseline=baseline,
                        attack=attack,
                        judge=judge,
                        metric=metric,
                        value=result.value,
                        n=result.n,
                        low=result.low,
                        high=result.high,
                    )
                )
    return found


def _metrics(attack: str) -> dict[Metric, Outcomes]:
    if attack in ("benign", "borderline"):
        return {
            "helpfulness": helpful_outcomes,
            "over_refusal": lambda rows: [is_refusal(row) for row in rows],
        }
    return {"asr": lambda rows: [is_harmful(row) for row in rows]}


def _question(row: JudgedResponse) -> str:
    params = dict(question_params(row.attack, row.attack_params))
    return json.dumps([row.query_id, params, row.seed], sort_keys=True)


def _difference(
    rows: dict[str, JudgedResponse], other: dict[str, JudgedResponse], outcomes: Outcomes
) -> PairedDifference | None:
    """Newcombe's interval, at the number of questions where one question gives several pairs."""
    shared = [key for key in rows if key in other]
    first, second = ([of[key] for key in shared] for of in (rows, other))
    return paired_difference(outcomes(first), outcomes(second), [row.query_id for row in first])
