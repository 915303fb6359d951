"""Names and orders that a reader sees: attacks, methods, models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from derta.attacks.catalogue import title
from derta.methods import METHODS
from derta.results.cell import System
from derta.visible import one_line

LABEL_LENGTH = 32  # characters; a longer name is cut in figures and tables, never in files


def attack_name(attack: str) -> str:
    """The attack's name for a reader; `prefill@20` becomes `Prefill 20`."""
    return title(attack) or one_line(attack, LABEL_LENGTH)


def method_name(method: str) -> str:
    """The method's name for a reader."""
    return METHODS[method].title if method in METHODS else one_line(method, LABEL_LENGTH)


def system_labels(systems: Sequence[System]) -> dict[System, str]:
    """One short, distinct name per system: its method where that tells them apart, else its model, else both."""
    methods = [method_name(system.method) for system in systems]
    models = [one_line(system.model, LABEL_LENGTH) for system in systems]
    both = [f"{model} · {method}" for model, method in zip(models, methods, strict=True)]
    for names in (methods, models, both):
        if len(set(names)) == len(names):
            return dict(zip(systems, names, strict=True))
    counts: Counter[str] = Counter()
    labels = {}
    for system, name in zip(systems, both, strict=True):  # names that differ only in what a label can't show
        counts[name] += 1
        labels[system] = f"{name} ({counts[name]})"
    return labels
