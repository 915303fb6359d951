"""Recipes are strict YAML, checked before anything heavy is loaded.

Unknown keys are refused with the nearest valid one; every message is `file: field: found, needed`.
"""

from __future__ import annotations

import difflib
import math
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from derta.config.overrides import Overrides, with_overrides
from derta.config.paths import at_home
from derta.config.yaml_file import read_yaml
from derta.errors import RecipeError
from derta.secrecy import no_keys, sayable


class StrictModel(BaseModel):
    """Base of all recipe parts: immutable, unknown keys refused, numbers never NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())

    @field_validator("*", mode="after")
    @classmethod
    def _no_keys(cls, value: Any, info: ValidationInfo) -> Any:
        annotation = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, str) or annotation in (dict[str, Any], list[dict[str, Any]]):
            no_keys(value)
        return value

    @field_validator("*", mode="after")
    @classmethod
    def _paths(cls, value: Any) -> Any:
        if isinstance(value, list):
            return [at_home(entry) if isinstance(entry, Path) else entry for entry in value]
        return at_home(value) if isinstance(value, Path) else value


Recipe = TypeVar("Recipe", bound=StrictModel)


def load_recipe(path: Path, model: type[Recipe], overrides: Overrides | None = None) -> Recipe:
    """Read and check a recipe.

    overrides: dotted keys that replace the file's values (from the command line).

    Raises:
        RecipeError: unreadable file, unknown key (with the nearest valid one), wrong type or contradiction.
    """
    return check_recipe(with_overrides(read_yaml(path), overrides or {}), model, str(path))


def check_recipe(value: dict[str, Any], model: type[Recipe], where: str) -> Recipe:
    """The recipe in `value`; `where` names its origin in messages.

    Raises:
        RecipeError: as `load_recipe`.
    """
    _check_finite(value, where)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise RecipeError("\n".join(f"{where}: {line}" for line in told(error, model))) from None


def told(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Every fault as `field: found, needed`."""
    return [_explain(fault, model) for fault in error.errors()]


def unknown_key(name: str, valid: Iterable[str]) -> str:
    """What is wrong with a key that is none of the valid ones."""
    names = sorted(valid)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean `{near[0]}`?" if near else f"valid keys: {', '.join(names)}"
    return f"unknown key; {hint}"


def _check_finite(value: Any, where: str, field: str = "") -> None:
    """Also below settings that are passed on as they are, e.g. `training`."""
    if isinstance(value, float) and not math.isfinite(value):
        raise RecipeError(f"{where}: {field}: found {value}, need a finite number")
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in parts:
        _check_finite(part, where, f"{field}.{name}" if field else str(name))


def _explain(fault: Any, model: type[BaseModel]) -> str:
    location = [str(part) for part in fault["loc"]]
    field = ".".join(location) or "recipe"
    if fault["type"] == "extra_forbidden":
        owner = _model_at(model, fault["loc"][:-1])
        return f"{field}: {unknown_key(location[-1], owner.model_fields if owner else ())}"
    if fault["type"] == "missing":
        return f"{field}: missing; it must be set"
    if fault["type"] == "value_error":
        return str(fault["ctx"]["error"]) if field == "recipe" else f"{field}: {fault['ctx']['error']}"
    message = fault["msg"][0].lower() + fault["msg"][1:]
    given = fault["input"]
    shown = f"{type(given).__name__}" if isinstance(given, dict | list) else sayable(repr(given))
    return f"{field}: found {shown}, {message}"


def _model_at(model: type[BaseModel], location: tuple[Any, ...]) -> type[BaseModel] | None:
    """The recipe part that a fault's path points into, through lists, dicts and unions."""
    current: Any = model
    for part in location:
        candidates = _models(current)
        owners = [owner for owner in candidates if isinstance(part, str) and part in owner.model_fields]
        if owners:
            current = owners[0].model_fields[part].annotation
        elif isinstance(part, str) and any(owner.__name__ == part for owner in candidates):
            current = next(owner for owner in candidates if owner.__name__ == part)
    found = _models(current)
    return found[0] if found else None


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, types.UnionType, list, dict, tuple, Annotated):
        return [model for argument in get_args(annotation) for model in _models(argument)]
    return []
