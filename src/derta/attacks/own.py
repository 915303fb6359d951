"""An attack of the user's own: one Python file that a recipe names (docs/adding_an_attack.md).

The file defines one class that extends `derta.attacks.Attack`, as derta's own do. It is run as Python, with the
rights of whoever starts `derta evaluate`.
"""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from derta.attacks.contract import Attack
from derta.config.strict import told
from derta.errors import RecipeError
from derta.files import sha256_text

DOC = "docs/adding_an_attack.md"


class OwnAttack(Attack):
    """An attack of your own, out of one Python file. The file is run."""

    name: str = Field(min_length=1)
    """Its name in tables; another one than those of derta's attacks."""
    file: Path
    settings: dict[str, Any] = Field(default_factory=dict)
    """Of its class."""

    def opened(self) -> Attack:
        """The file's attack, with these settings.

        Raises:
            RecipeError: as `load_own_attack`, or it does not take them.
        """
        attack = load_own_attack(str(self.file))
        try:
            return attack.model_validate({**self.settings, "name": self.name})
        except ValidationError as error:
            lines = [f"{self.file}: settings: {line}" for line in told(error, attack)]
            raise RecipeError("\n".join(lines)) from None


@cache
def load_own_attack(path: str) -> type[Attack]:
    """Run the file, once, and give its class.

    Raises:
        RecipeError: no such file, an error in it, or not one class that extends `Attack`.
    """
    file = Path(path)
    if not file.is_file():
        raise RecipeError(f"{path}: no such file; an attack's `file` is a Python file ({DOC})")
    spec = importlib.util.spec_from_file_location(f"derta_attack_{file.stem}_{sha256_text(path)[:8]}", file)
    if spec is None or spec.loader is None:
        raise RecipeError(f"{path}: not a Python file; need a name that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # pydantic and dataclasses look their own module up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever the user's code raises
        del sys.modules[spec.name]
        said = str(error).split("\n", 1)[0]
        raise RecipeError(f"{path}: can't be run: {type(error).__name__}: {said}") from error
    found: list[type[Attack]] = [value for value in vars(module).values() if _is_attack(value, spec.name)]
    if len(found) != 1:
        raise RecipeError(
            f"{path}: defines {len(found) or 'no'} class{'es' if found else ''} that extend"
            f"{'' if found else 's'} derta.attacks.Attack; need one ({DOC})"
        )
    return found[0]


def _is_attack(value: Any, module: str) -> bool:
    return isinstance(value, type) and issubclass(value, Attack) and value.__module__ == module
