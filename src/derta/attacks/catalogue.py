"""The attacks that come with derta: the one list, and what recipes, results and reports ask of it by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic_core import PydanticCustomError

from derta.attacks.ablations import NoBos, NoTemplate
from derta.attacks.adaptive.best_of_n import BestOfN
from derta.attacks.adaptive.insertion import Insertion
from derta.attacks.adaptive.rap import Rap
from derta.attacks.autodan import AutoDan
from derta.attacks.ban_refusal import BanRefusal
from derta.attacks.code import Code
from derta.attacks.completing import Completing
from derta.attacks.contract import Attack
from derta.attacks.direct import Direct
from derta.attacks.jailbreakchat import JailbreakChat
from derta.attacks.multiturn import MultiTurn
from derta.attacks.own import OwnAttack
from derta.attacks.pair import Pair
from derta.attacks.past_refusal import PastRefusal
from derta.attacks.prefill import Prefill
from derta.attacks.sampled import Sampled
from derta.attacks.selfcipher import SelfCipher
from derta.config.strict import unknown_key

# In the order of tables: the paper's, then the others. A line here and one above: an attack that comes with derta.
ATTACKS: list[type[Attack]] = [
    Direct,
    Code,
    Pair,
    JailbreakChat,
    SelfCipher,
    Completing,
    AutoDan,
    Prefill,
    BanRefusal,
    Sampled,
    PastRefusal,
    Rap,
    Insertion,
    BestOfN,
    MultiTurn,
    NoBos,
    NoTemplate,
]


def attack_class(name: str) -> type[Attack] | None:
    """derta's attack of this name; None: there is none (it is a user's own)."""
    return next((attack for attack in ATTACKS if attack.own_name() == name), None)


def text_names() -> list[str]:
    """Every key of a recipe's `texts`."""
    return list(dict.fromkeys(name for attack in ATTACKS for name in attack.TEXTS))


def read_attack(value: Any) -> Attack:
    """An entry of a recipe's `attacks`: a name, {name, settings...}, or {name, file, settings} of a user's own.

    Raises:
        ValueError: no such attack, or settings that it does not take.
    """
    if isinstance(value, Attack):
        return value
    entry = {"name": value} if isinstance(value, str) else value
    if not isinstance(entry, dict):
        raise _unknown_attack()
    name = entry.get("name")
    found = attack_class(name) if isinstance(name, str) else None
    if "file" in entry:
        if found is not None:
            raise ValueError(f"found {name!r}, which is an attack of derta's; name yours otherwise")
        found = OwnAttack
    if found is None:
        raise _unknown_attack()
    for key in entry:
        if key not in found.model_fields:
            raise ValueError(f"{name}.{key}: {unknown_key(str(key), found.model_fields)}")
    return found.model_validate(entry)


def _unknown_attack() -> PydanticCustomError:
    names = ", ".join(attack.own_name() for attack in ATTACKS)
    return PydanticCustomError(
        "unknown_attack", "need one of {names}, or one of your own (file: FILE.py)", {"names": names}
    )


def labels_of(attack: str, params: Mapping[str, Any]) -> tuple[str, ...]:
    """The names that a row of this attack is counted under."""
    found = attack_class(attack)
    return (attack,) if found is None else found.labels(attack, params)


def question_params(attack: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
    """A row's parameters that belong to its question, not to its answer."""
    found = attack_class(attack)
    return params if found is None else found.question_params(params)


def reads_prompt(attack: str) -> bool:
    """Whether a judge reads the prompt's text in front of the answer."""
    found = attack_class(attack)
    return found is not None and found.READS_PROMPT


def title(label: str) -> str | None:
    """A label as a reader sees it; None: it is of no attack of derta's."""
    found = attack_class(label.partition("@")[0])
    return None if found is None else found.title(label)


def controls() -> frozenset[str]:
    """Labels that are measured beside the attacks, and are in no mean over attacks."""
    return frozenset().union(*(attack.CONTROLS for attack in ATTACKS))


def sums() -> dict[str, str]:
    """Label -> the label whose rows it sums up: a query counts as answered if any of its rows was."""
    return {label: rows for attack in ATTACKS for label, rows in attack.ANY_OF.items()}


def in_order(labels: Iterable[str]) -> list[str]:
    """Labels without repeats: those with a title in the order of the list, then the others, then depths by number."""
    known = [label for attack in ATTACKS for label in attack.TITLES]

    def rank(label: str) -> tuple[int, int]:
        _, _, variant = label.partition("@")
        if variant.isdecimal() and title(label) is not None:
            return len(known) + 1, int(variant)
        return (known.index(label) if label in known else len(known)), 0

    return sorted(dict.fromkeys(labels), key=rank)
