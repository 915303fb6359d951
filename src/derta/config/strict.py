"""Recipes are strict YAML, checked before anything heavy is loaded.

Unknown keys are refused with the nearest valid one; every message is `file: field: found, needed`.
"""

from __future__ import annotations

import difflib
import re
import types
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from derta.errors import RecipeError


class StrictModel(BaseModel):
    """Base of all recipe parts: immutable, unknown keys refused, numbers never NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())


Recipe = TypeVar("Recipe", bound=StrictModel)


class _SafeLoader(yaml.SafeLoader):
    """YAML's safe loader; also reads `1e-4` (no dot, which YAML 1.1 takes for text) as a number."""


_SafeLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        RecipeError: the file is missing, is not YAML, or holds no mapping.
    """
    try:
        value = yaml.load(path.read_text(encoding="utf-8"), Loader=_SafeLoader)
    except OSError as error:
        raise RecipeError(f"{path}: can't be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: not UTF-8 at byte {error.start + 1}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise RecipeError(f"{where}: not YAML: {getattr(error, 'problem', error)}") from None
    if not isinstance(value, dict):
        raise RecipeError(f"{path}: need a mapping of settings, found {type(value).__name__}")
    return value


def parse_value(text: str) -> Any:
    """A setting from the command line, read as YAML (`1e-4` is a number, `[1, 2]` a list).

    Raises:
        RecipeError: not YAML.
    """
    try:
        return yaml.load(text, Loader=_SafeLoader)
    except yaml.YAMLError:
        raise RecipeError(f"{text!r}: not a YAML value") from None


def load_recipe(path: Path, model: type[Recipe], overrides: dict[str, Any] | None = None) -> Recipe:
    """Read and check a recipe.

    overrides: dotted keys that replace the file's values (from the command line).

    Raises:
        RecipeError: unreadable file, unknown key (with the nearest valid one), wrong type or contradiction.
    """
    value = read_yaml(path)
    for key, override in (overrides or {}).items():
        _set(value, key.split("."), override)
    return check_recipe(value, model, str(path))


def check_recipe(value: dict[str, Any], model: type[Recipe], where: str) -> Recipe:
    """The recipe in `value`; `where` names its origin in messages.

    Raises:
        RecipeError: as `load_recipe`.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        lines = [f"{where}: {_explain(fault, model)}" for fault in error.errors()]
        raise RecipeError("\n".join(lines)) from None


def _set(value: dict[str, Any], keys: list[str], override: Any) -> None:
    for key in keys[:-1]:
        value = value.setdefault(key, {})
        if not isinstance(value, dict):
            raise RecipeError(f"override {'.'.join(keys)}: `{key}` is not a mapping")
    value[keys[-1]] = override


def _explain(fault: Any, model: type[BaseModel]) -> str:
    location = [str(part) for part in fault["loc"]]
    field = ".".join(location) or "recipe"
    if fault["type"] == "extra_forbidden":
        owner = _model_at(model, fault["loc"][:-1])
        names = sorted(owner.model_fields) if owner else []
        near = difflib.get_close_matches(location[-1], names, n=1, cutoff=0.5)
        hint = f"did you mean `{near[0]}`?" if near else f"valid keys: {', '.join(names)}"
        return f"{field}: unknown key; {hint}"
    if fault["type"] == "missing":
        return f"{field}: missing; it must be set"
    if fault["type"] == "value_error":
        return str(fault["ctx"]["error"]) if field == "recipe" else f"{field}: {fault['ctx']['error']}"
    message = fault["msg"][0].lower() + fault["msg"][1:]
    return f"{field}: found {fault['input']!r}, {message}"


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
