"""What an evaluation needs before its first question, looked for at once: what is missing is told together.

A newcomer who lacks three files, a text and a key is told so by one run, a line each, not by five.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import derta
from derta.config import TargetModel
from derta.errors import DertaError, RecipeError
from derta.evaluation.plan import Loaded, load_inputs
from derta.evaluation.providers.remote import open_provider
from derta.evaluation.recipe import EvaluateRecipe
from derta.evaluation.targets import api_key, open_target, target_key
from derta.evaluation.tasks import Judging
from derta.files import sha256_file
from derta.judges import build_judge, rules_of
from derta.keyed_log import key_of
from derta.models import fingerprint


@dataclass(frozen=True)
class Prepared:
    """A recipe, ready to run. keys: of each model, by its name."""

    loaded: Loaded
    judgings: list[Judging]
    keys: dict[str, str]


def prepare(recipe: EvaluateRecipe) -> Prepared:
    """Judges, data, texts and models, as far as they are needed to begin; no weight is loaded.

    Raises:
        DertaError: something is missing or can't be used; several such things in one RecipeError, a line each.
    """
    faults: list[DertaError] = []
    judgings, keys = [], {}
    for settings in recipe.judges:
        with _kept(faults):
            judgings.append(build_judging(settings))
    loaded = load_inputs(recipe, faults)
    for target in recipe.models:
        with _kept(faults):
            keys[target.name] = _key(target, recipe)
    asked = [(attack.name, name) for attack in recipe.attacks for name in attack.asks()]
    for attack, name in asked:
        with _kept(faults):
            if not name.startswith(("derta/", "hf/")):  # those would load weights
                open_provider(name, f"attacks.{attack}")
    if recipe.base is not None:
        with _kept(faults):
            fingerprint(recipe.base)
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise RecipeError(
            "\n  ".join([f"{len(faults)} things are missing or can't be used:", *map(str, faults)])
        )
    return Prepared(loaded, judgings, keys)


def _key(target: TargetModel, recipe: EvaluateRecipe) -> str:
    """A model's key; asks for its secret and its client's package too, before any other model has run for an hour."""
    key = target_key(target)
    if target.endpoint is not None:
        api_key(target)
    if target.inspect is not None:  # nothing is asked
        open_target(target, key, recipe)
    return key


def build_judging(settings: dict[str, Any]) -> Judging:
    """A judge with the hash of its settings and of the files that they name."""
    name = str(settings.get("name"))
    rest = {key: value for key, value in settings.items() if key not in ("name", "label")}
    judge = build_judge(name, rest)
    own = {"name": name, **rest}
    key = key_of(derta=derta.__version__, judge=own, files=_files_in(rest), rules=rules_of(name, rest))
    return Judging(str(settings.get("label", name)), judge, key)


def _files_in(settings: dict[str, Any]) -> dict[str, str]:
    """The hash of every file that a judge's settings name, those of a vote's judges included."""
    found: dict[str, str] = {}
    for key, value in settings.items():
        if isinstance(value, str) and _is_file(value):
            found[key] = sha256_file(Path(value))
        for number, entry in enumerate(value if isinstance(value, list) else []):
            inner = _files_in(entry) if isinstance(entry, dict) else {}
            found |= {f"{key}.{number}.{own}": digest for own, digest in inner.items()}
    return found


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except OSError:  # a prompt, longer than any name
        return False


@contextmanager
def _kept(faults: list[DertaError]) -> Iterator[None]:
    """Keep what goes wrong in the block, and go on behind it."""
    try:
        yield
    except DertaError as error:
        faults.append(error)
