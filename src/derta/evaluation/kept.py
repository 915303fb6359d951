"""Saved answers that a plan does not take again: how many, and what changed. Nothing is asked anew silently."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from derta.evaluation.plan import PlannedSample
from derta.keyed_log import SampleStore

_CHANGED = {
    "derta": "derta's version",
    "model": "the model",
    "template": "the chat template",
    "generation": "the generation settings",
    "code": "the attack's file",
    "seed": "the seed",
    "params": "the attack's parameters",
    "query": "the question",
    "prompts": "what is sent",
    "search": "the search's settings",
}


def place_of(sample: PlannedSample, model: str, seed: int) -> dict[str, Any]:
    """What is saved with an answer: whose it is, and the hash of each part of its key."""
    return {
        "model": model,
        "attack": sample.attack,
        "id": sample.id,
        "seed": seed,
        "parts": dict(sample.parts),
    }


def asked_anew(samples: Sequence[PlannedSample], store: SampleStore, model: str, seed: int) -> str | None:
    """One line about the saved answers whose question is asked again; None: there are none."""
    missing = [sample for sample in samples if store.get("generated", sample.key) is None]
    if not missing:
        return None
    saved: dict[tuple[str, str, str, int], dict[str, str]] = {}
    without_place = 0
    for value in store.values("generated"):
        place = value.get("asked")
        if place is None:
            without_place += 1
        else:
            saved[place["model"], place["attack"], place["id"], place["seed"]] = place["parts"]
    changed: Counter[str] = Counter()
    again = 0
    for sample in missing:
        before = saved.get((model, sample.attack, sample.id, seed))
        if before is not None:
            again += 1
            changed.update(part for part in sample.parts if before.get(part) != sample.parts[part])
    said = []
    if again:
        what = ", ".join(_CHANGED.get(part, part) for part, _ in changed.most_common())
        said.append(f"{again} saved answers are not taken again, since this changed: {what}")
    if without_place:
        said.append(
            f"{without_place} answers that an earlier version of derta saved are not taken again: its keys did not "
            "hold the prompts as they are sent"
        )
    return f"{model}: {'; '.join(said)}" if said else None
