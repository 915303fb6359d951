"""What a run measured beside its judged responses: one line of each file, checked as it is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, FiniteFloat

Fraction = Annotated[FiniteFloat, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


@dataclass(frozen=True, kw_only=True)
class Hazard:
    """P(refusal token | q, h[:t]) along held-out responses: one curve of one model (probe/hazard)."""

    model: str
    method: str
    kind: Literal["harmful", "benign"]
    position: list[Count]
    mean: list[Fraction]
    low: list[Fraction]
    high: list[Fraction]
    n: list[Count]


@dataclass(frozen=True, kw_only=True)
class Knowledge:
    """Likelihood of held-out forbidden steps, tuned model (`value`) and base model (`base_value`, if measured)."""

    model: str
    method: str
    value: Fraction
    n: Count
    low: Fraction | None
    high: Fraction | None
    base_value: Fraction | None


@dataclass(frozen=True, kw_only=True)
class Capability:
    """Score of one model on one ordinary benchmark; unknown: questions that could not be asked."""

    model: str
    method: str
    task: str
    value: Fraction | None
    n: Count
    unknown: Count = 0
    low: Fraction | None = None
    high: Fraction | None = None


@dataclass(frozen=True, kw_only=True)
class NotApplicable:
    """An attack that a model could not be given (a closed endpoint takes no raw text, say), and why."""

    model: str
    method: str
    attack: str
    reason: str
