"""Decoupled Refusal Training (arXiv 2407.09121) for any causal language model, and the proof that it worked.

`import derta` loads nothing heavy: a name below is loaded when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from derta.api.judging import ajudge, judge, judge_many
    from derta.api.probing import HazardAlong, knowledge, refusal_hazard, refusal_token
    from derta.api.rows import Rows, rows_for
    from derta.api.runs import Run, evaluate, report, train
    from derta.errors import DertaError
    from derta.guard.guard import Guard
    from derta.judges.judgement import Judgement
    from derta.records import BenignPair, Query, Triple

__version__ = "0.1.0"

_ROOMS = {
    "BenignPair": "records",
    "DertaError": "errors",
    "Guard": "guard.guard",
    "HazardAlong": "api.probing",
    "Judgement": "judges.judgement",
    "Query": "records",
    "Rows": "api.rows",
    "Run": "api.runs",
    "Triple": "records",
    "ajudge": "api.judging",
    "evaluate": "api.runs",
    "judge": "api.judging",
    "judge_many": "api.judging",
    "knowledge": "api.probing",
    "refusal_hazard": "api.probing",
    "refusal_token": "api.probing",
    "report": "api.runs",
    "rows_for": "api.rows",
    "train": "api.runs",
}

__all__ = [
    "BenignPair",
    "DertaError",
    "Guard",
    "HazardAlong",
    "Judgement",
    "Query",
    "Rows",
    "Run",
    "Triple",
    "ajudge",
    "evaluate",
    "judge",
    "judge_many",
    "knowledge",
    "refusal_hazard",
    "refusal_token",
    "report",
    "rows_for",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"derta.{_ROOMS[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return ["__version__", *__all__]
