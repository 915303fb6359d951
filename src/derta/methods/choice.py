"""The `method` of a recipe: one that comes with derta, by its name, or a Python file of the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from derta.config import StrictModel, check_recipe
from derta.errors import RecipeError
from derta.methods import METHODS


class MethodChoice(StrictModel):
    """A method by name; with `file` one of your own (docs/adding_a_method.md). The file is run."""

    name: str = Field(min_length=1)
    """With `file`: its name in tables; another one than those of the methods that come with derta."""
    file: Path | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    """With `file`: what its function `method` is called with."""

    @model_validator(mode="before")
    @classmethod
    def _bare_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _known(self) -> MethodChoice:
        if self.file is not None and self.name in METHODS:
            raise ValueError(f"found name {self.name!r}, a method of derta's; name yours otherwise")
        if self.file is None and self.name not in METHODS:
            raise ValueError(
                f"found {self.name!r}, need one of {', '.join(METHODS)}, or one of your own "
                "({name: NAME, file: FILE.py})"
            )
        if self.file is None and METHODS[self.name].settings is None and self.settings:
            raise ValueError(f"settings: {self.name} takes none; its rows follow from `prefix` and `rto`")
        return self


def with_own_settings(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's values, the settings of its method moved into `method` from the block of the method's name.

    Raises:
        ValueError: no such block, one of another method, or settings that the method does not take.
    """
    changed = dict(recipe)
    chosen = changed.get("method")
    for name, method in METHODS.items():
        if method.settings is None:
            continue
        found = changed.pop(name, None)
        if chosen != name and found is None:
            continue
        if chosen != name or found is None:
            wrong = "it is missing" if found is None else f"found method: {chosen}"
            raise ValueError(f"{name}: settings of method {name}, {wrong}")
        try:
            settings = check_recipe(found, method.settings, name)
        except RecipeError as error:
            raise ValueError(str(error)) from None
        changed["method"] = {"name": name, "settings": settings.model_dump()}
    return changed


def as_written(recipe: dict[str, Any]) -> dict[str, Any]:
    """The opposite of `with_own_settings`: a bare name where there is no file, its settings in a block beside it."""
    chosen = recipe["method"]
    if chosen["file"] is not None:
        return recipe
    blocks = {chosen["name"]: chosen["settings"]} if chosen["settings"] else {}
    return {**recipe, "method": chosen["name"], **blocks}
