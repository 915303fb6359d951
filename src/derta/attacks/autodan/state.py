"""What an AutoDAN search knows between two steps, and its checkpoint: one atomic JSON file for all goals.

All goals step together, so a search that was killed goes on with the same lines of scoring and the same draws:
its result is the same.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from derta.errors import RunError
from derta.files import dumps, write_text


@dataclass(frozen=True)
class Goal:
    """One query to find a prompt for; affirmative: how an answer that does not refuse would begin."""

    id: str
    query: str
    affirmative: str


@dataclass(frozen=True)
class Candidate:
    """A prompt (placeholder still open), its score, the model's first tokens, and whether they end the search."""

    prompt: str
    score: float
    response: str
    succeeded: bool


@dataclass
class GoalState:
    """One goal's search.

    population: to be scored at the next step. known: scores of the population before, by prompt (elites and
    uncrossed copies are not scored again). words: the momentum dictionary. seeds: step 0's control, the best
    unchanged prototype. best, best_step: of the latest scored population. num_scored: forward passes so far.
    """

    goal_id: str
    population: list[str]
    known: dict[str, float] = field(default_factory=dict)
    words: dict[str, float] = field(default_factory=dict)
    seeds: Candidate | None = None
    best: Candidate | None = None
    best_step: int = 0
    num_scored: int = 0

    @property
    def is_done(self) -> bool:
        """Whether a prompt was found."""
        return self.best is not None and self.best.succeeded


@dataclass
class SearchState:
    """All goals, and the step that comes next."""

    goals: list[GoalState]
    step: int = 0


def step_rng(seed: int, goal_id: str, step: int | str) -> random.Random:
    """The generator of one goal's step: the same whatever came before and whatever other goals there are."""
    return random.Random(f"autodan-{seed}-{goal_id}-{step}")


def save_state(path: Path, key: str, state: SearchState) -> None:
    """Write the checkpoint atomically."""
    write_text(path, dumps({"key": key, "step": state.step, "goals": [asdict(goal) for goal in state.goals]}))


def load_state(path: Path, key: str, goals: Sequence[Goal]) -> SearchState | None:
    """The checkpoint's state, or None when there is none.

    key: hash of everything that the search depends on.

    Raises:
        RunError: damaged, or from a search with other settings.
    """
    if not path.exists():
        return None
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        found = [_goal_state(entry) for entry in value["goals"]]
        state, saved_key = SearchState(found, int(value["step"])), value["key"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{path}: not a readable AutoDAN checkpoint ({error}); delete it to search again"
        ) from None
    if saved_key != key or [goal.goal_id for goal in found] != [goal.id for goal in goals]:
        raise RunError(
            f"{path}: from a search with other settings, queries, texts or model; delete it, or use another run_dir"
        )
    return state


def _goal_state(entry: dict[str, Any]) -> GoalState:
    for name in ("seeds", "best"):
        if entry[name] is not None:
            entry[name] = Candidate(**entry[name])
    return GoalState(**entry)
