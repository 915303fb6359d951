"""YAML from anybody's hand: plain values only, each key once, and bounded, whatever the file holds.

A recipe may come from a stranger. PyYAML's safe loader runs no code, but it takes the last of two equal keys in
silence, follows aliases that multiply without end, and reads numbers of any length.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from derta.errors import DataError, RecipeError
from derta.files import check_regular

# A recipe is written by a person; the longest shipped one has fewer than 200 values in 6 levels.
MAX_BYTES = 1 << 20
MAX_VALUES = 20_000  # aliases counted as often as they stand
MAX_DEPTH = 50
MAX_DIGITS = 100  # of one number


class _Loader(yaml.SafeLoader):
    """YAML's safe loader with limits; also reads `1e-4` (no dot, which YAML 1.1 takes for text) as a number."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._values = 0
        self._sizes: dict[int, int] = {}  # id of a whole node -> values in it, aliases expanded

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """One value, counted.

        Raises:
            yaml.YAMLError: more than the limits allow, or a value that holds itself.
        """
        is_alias = self.check_event(yaml.AliasEvent)  # type: ignore[no-untyped-call]
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        self._depth += 1
        self._values += 1
        if self._depth > MAX_DEPTH:
            raise _fault(f"nested deeper than {MAX_DEPTH} levels", mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if is_alias:
            if id(node) not in self._sizes:
                raise _fault("a value that holds itself", mark)
            self._values += self._sizes[id(node)] - 1
        elif node is not None:
            self._sizes[id(node)] = 1 + sum(self._sizes[id(part)] for part in _parts(node))
        if self._values > MAX_VALUES:
            raise _fault(f"more than {MAX_VALUES:,} values", mark)
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """A mapping whose keys are all different (`<<` may stand several times).

        Raises:
            yaml.YAMLError: one stands twice.
        """
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen: dict[tuple[str, str], yaml.Node] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                first = seen.setdefault((key.tag, key.value), key)
                if first is not key:
                    line = first.start_mark.line + 1
                    raise _fault(f"the key `{key.value}` stands twice (first in line {line})", key.start_mark)
        return node

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        """A scalar, if it is no number of endless digits.

        Raises:
            yaml.YAMLError: it is.
        """
        if node.tag.endswith((":int", ":float")) and len(node.value) > MAX_DIGITS:
            raise _fault(f"a number of {len(node.value):,} digits", node.start_mark)
        return super().construct_scalar(node)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        RecipeError: the file is missing, too large, not YAML, holds no mapping, or names a key twice.
    """
    try:
        check_regular(path)
    except DataError as error:
        raise RecipeError(str(error)) from None
    try:
        with path.open("rb") as handle:
            content = handle.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise RecipeError(
                f"{path}: larger than {MAX_BYTES >> 20} MiB, which no recipe is; is it a data file?"
            )
        value = _load(content.decode("utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: can't be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: not UTF-8 at byte {error.start + 1}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise RecipeError(f"{where}: not YAML: {_said(error)}") from None
    if not isinstance(value, dict):
        raise RecipeError(f"{path}: need a mapping of settings, found {type(value).__name__}")
    return value


def parse_value(text: str) -> Any:
    """A setting from the command line, read as YAML (`1e-4` is a number, `[1, 2]` a list).

    Raises:
        RecipeError: not YAML.
    """
    try:
        return _load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"{text[:80]!r}: not a YAML value: {_said(error)}") from None


def _load(text: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)
    except (ValueError, OverflowError) as error:  # a date of month 13 and the like
        raise yaml.YAMLError(str(error)) from None


def _parts(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _fault(problem: str, mark: Any) -> yaml.YAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def _said(error: yaml.YAMLError) -> str:
    return " ".join(str(getattr(error, "problem", None) or error).split())[:200]
