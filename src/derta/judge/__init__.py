"""Judges by name; each value builds a judge from its settings.

A judge is `async (query, response) -> Judgement`. To add one: write its file, add a line here.
"""

from __future__ import annotations

from collections.abc import Callable

from derta.judge.judgement import Judge, Judgement
from derta.judge.refusal import refusal_judge
from derta.judge.world import world_judge

JUDGES: dict[str, Callable[..., Judge]] = {
    "refusal": refusal_judge,
    "world": world_judge,
}

__all__ = ["JUDGES", "Judge", "Judgement"]
