"""`--set a.b=value`, the same in every verb."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from derta.config.yaml_file import parse_value
from derta.errors import RecipeError

Overrides = dict[str, Any]
"""Dotted key -> value."""


def parse_overrides(pairs: Sequence[str] | None, **options: Any) -> Overrides:
    """`key=value` pairs as dotted keys with YAML values; then `options`, the verb's own, where they are given.

    Raises:
        RecipeError: a pair without `=` or with an empty key, or a value that is no YAML.
    """
    found: Overrides = {}
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        key = key.strip()
        if not equals or not all(part.strip() for part in key.split(".")):
            raise RecipeError(f"--set {pair}: need key=value, e.g. --set seed=1")
        try:
            found[key] = parse_value(value)
        except RecipeError as error:
            raise RecipeError(f"--set {key}: {error}") from None
    return found | {name: value for name, value in options.items() if value is not None}


def with_overrides(settings: Mapping[str, Any], overrides: Overrides) -> dict[str, Any]:
    """The settings with some replaced or added; `settings` itself stays as it is.

    Raises:
        RecipeError: a key that leads into a value that is no mapping.
    """
    changed = dict(settings)
    for key, value in overrides.items():
        place = changed
        *outer, last = key.split(".")
        for depth, part in enumerate(outer, 1):
            inner = place.get(part)
            if inner is not None and not isinstance(inner, Mapping):
                raise RecipeError(f"--set {key}: `{'.'.join(outer[:depth])}` is not a mapping")
            place[part] = place = dict(inner or {})
        place[last] = value
    return changed
