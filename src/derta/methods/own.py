"""A method of the user's own: one Python file that a recipe names (docs/adding_a_method.md).

    method(**settings)      required: returns a `derta.methods.Method`, as the files here hold one

The file is run as Python, with the rights of whoever starts `derta train`; it is run once the recipe's own data are
checked.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from derta.encode.row import Objective, Row
from derta.encode.units import BENIGN, DrawnTriple, UnitKind
from derta.errors import RecipeError
from derta.methods import METHODS
from derta.methods.choice import MethodChoice
from derta.methods.contract import Method, PairTraining

DOC = "docs/adding_a_method.md"


def method_of(choice: MethodChoice) -> Method:
    """The method that a recipe names; a file of the user's own is run.

    Raises:
        RecipeError: it can't be run, or returns no method that trains on rows.
    """
    if choice.file is None:
        return METHODS[choice.name]
    build = _run(choice.file)
    signature = inspect.signature(build)
    try:
        signature.bind(**choice.settings)
    except TypeError as error:
        takes = ", ".join(signature.parameters) or "no settings"
        raise RecipeError(f"{choice.file}: method.settings: {error}; method() takes {takes}") from None
    try:
        made = build(**choice.settings)
    except Exception as error:  # whatever the user's code raises
        raise RecipeError(f"{choice.file}: method(): {_told(error)}") from error
    if not isinstance(made, Method) or not made.units or made.pairs is not None:
        raise RecipeError(f"{choice.file}: method() returned no derta.methods.Method with `units` ({DOC})")
    _check_names(choice.file, made)
    units = tuple(
        replace(kind, make=_guarded(choice.file, kind)) if kind.make else kind for kind in made.units
    )
    return replace(made, name=choice.name, role="own", units=units)


def pairs_of(choice: MethodChoice) -> PairTraining | None:
    """What a method that comes with derta trains on with the recipe's settings; None: rows."""
    method = METHODS.get(choice.name)
    if choice.file is not None or method is None or method.pairs is None or method.settings is None:
        return None
    return method.pairs(method.settings.model_validate(choice.settings))


def _check_names(file: Path, method: Method) -> None:
    """Names stand in row ids and in the log, so that each must be free."""
    units = [BENIGN.name, *(kind.name for kind in method.units)]
    terms = [*(objective.name.lower() for objective in Objective), *(term.name for term in method.terms)]
    for what, names in (("unit", units), ("term", terms)):
        taken = [name for number, name in enumerate(names) if name in names[:number]]
        if taken:
            raise RecipeError(f"{file}: {what} {taken[0]!r}: the name is taken; choose another")


def _guarded(file: Path, kind: UnitKind) -> Callable[[DrawnTriple], list[Row]]:
    """The user's own function for rows, its faults as one line."""
    make = kind.make
    assert make is not None

    def rows(triple: DrawnTriple) -> list[Row]:
        where = f"{file}: rows of unit {kind.name!r}, record {triple.record.id}"
        try:
            made = make(triple)
        except Exception as error:  # whatever the user's code raises
            raise RecipeError(f"{where}: {_told(error)}") from error
        if not isinstance(made, list) or not made or not all(isinstance(row, Row) for row in made):
            raise RecipeError(f"{where}: need a list of derta.encode.row.Row, found {made!r:.80}")
        longest = max(len(row) for row in made)
        if longest > triple.settings.max_length:
            raise RecipeError(
                f"{where}: a row of {longest} tokens; max_length is {triple.settings.max_length}"
            )
        return made

    return rows


def _run(file: Path) -> Callable[..., Any]:
    if not file.is_file():
        raise RecipeError(f"method.file: {file}: no such file; need a Python file ({DOC})")
    spec = importlib.util.spec_from_file_location(f"derta_method_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise RecipeError(f"method.file: {file}: not a Python file; need a name that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their own module up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever the user's code raises
        del sys.modules[spec.name]
        raise RecipeError(f"{file}: can't be run: {_told(error)}") from error
    build = getattr(module, "method", None)
    if not callable(build):
        raise RecipeError(f"{file}: defines no function `method`, which returns the method ({DOC})")
    return build  # type: ignore[no-any-return]


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).split(chr(10), 1)[0]}"
