"""Names and orders that a reader sees: attacks as in the paper's tables, methods, models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from derta.results.cell import System
from derta.visible import one_line

# In the order of the paper's tables; `direct` is the plain question, prefill is the sweep's summary.
ATTACK_NAMES = {
    "direct": "Direct",
    "code": "Code",
    "pair": "PAIR",
    "jailbreakchat": "JailbreakChat",
    "selfcipher": "SelfCipher",
    "completing": "Completing",
    "autodan": "AutoDAN",
    "autodan@seeds": "AutoDAN, step 0",
    "prefill": "Prefill",
    "ban_refusal": "Banned refusal",
    "sampled": "Sampled, any try",
    "sampled@mean": "Sampled, a try",
    "past_refusal": "Past the refusal",
    "multiturn@after_benign": "After benign turns",
    "multiturn@split": "Split over turns",
    "no_bos": "No BOS",
    "no_template": "No template",
}
# Measured beside the attacks; in no mean over attacks.
CONTROLS = frozenset({"direct", "autodan@seeds", "sampled@mean"})
METHOD_NAMES = {
    "vanilla": "vanilla",
    "vanilla_half": "vanilla, half the data",
    "prefix": "prefix only",
    "rto": "RTO only",
    "derta": "DeRTa",
    "dpo": "DPO",
}
LABEL_LENGTH = 32  # characters; a longer name is cut in figures and tables, never in files


def attack_name(attack: str) -> str:
    """The attack's name for a reader; `prefill@20` becomes `Prefill 20`."""
    depth = prefill_depth(attack)
    if depth is not None:
        return f"{ATTACK_NAMES['prefill']} {depth}"
    return ATTACK_NAMES.get(attack, one_line(attack, LABEL_LENGTH))


def method_name(method: str) -> str:
    """The method's name for a reader."""
    return METHOD_NAMES.get(method, one_line(method, LABEL_LENGTH))


def prefill_depth(attack: str) -> int | None:
    """The depth of a `prefill@<depth>` label in tokens; None for every other attack."""
    base, at, depth = attack.partition("@")
    return int(depth) if base == "prefill" and at and depth.isdecimal() else None


def in_order(attacks: Iterable[str]) -> list[str]:
    """Attacks without repeats: known ones in the paper's order, then the others, then depths by number."""
    known = list(ATTACK_NAMES)

    def rank(attack: str) -> tuple[int, int]:
        depth = prefill_depth(attack)
        if depth is not None:
            return len(known) + 1, depth
        return (known.index(attack) if attack in known else len(known)), 0

    return sorted(dict.fromkeys(attacks), key=rank)


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
