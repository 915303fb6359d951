"""An attack of the user's own: one Python file that a recipe names (docs/adding_an_attack.md).

    attack(**settings)      required: builds an Inspect solver, as the attacks here do
    read_answer(response)   optional: what of a response the judge reads, if not all of it

The file is run as Python, with the rights of whoever starts `derta evaluate`.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from inspect_ai.solver import Solver

from derta.errors import RecipeError

DOC = "docs/adding_an_attack.md"


class OwnAttack(NamedTuple):
    """What such a file defines."""

    build: Callable[..., Solver]
    read_answer: Callable[[str], str] | None


@cache
def load_own_attack(path: str) -> OwnAttack:
    """Run the file, once.

    Raises:
        RecipeError: no such file, an error in it, or no function `attack`.
    """
    file = Path(path)
    if not file.is_file():
        raise RecipeError(f"{path}: no such file; an attack's `file` is a Python file ({DOC})")
    spec = importlib.util.spec_from_file_location(f"derta_attack_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise RecipeError(f"{path}: not a Python file; need a name that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and Inspect look their own module up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever the user's code raises
        del sys.modules[spec.name]
        said = str(error).split("\n", 1)[0]
        raise RecipeError(f"{path}: can't be run: {type(error).__name__}: {said}") from error
    build, read = getattr(module, "attack", None), getattr(module, "read_answer", None)
    if not callable(build):
        raise RecipeError(f"{path}: defines no function `attack`, which builds the solver ({DOC})")
    return OwnAttack(build, read if callable(read) else None)


def check_settings(path: str, settings: Mapping[str, Any]) -> None:
    """Whether the file's `attack` takes these settings.

    Raises:
        RecipeError: as `load_own_attack`, or it does not take them.
    """
    signature = inspect.signature(load_own_attack(path).build)
    try:
        signature.bind(**settings)
    except TypeError as error:
        takes = ", ".join(signature.parameters) or "no settings"
        raise RecipeError(f"{path}: settings: {error}; attack() takes {takes}") from None
