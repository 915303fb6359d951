"""What a saved verdict depends on beside its settings: the source of the rules that gave it.

A saved verdict is taken again only under the same hash, so that a changed rule is never mixed with old verdicts.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import derta
from derta.files import sha256_text

PACKAGE = Path(derta.__file__).parent
ALWAYS = ("refusal", "thoughts")  # every judged row also has the refusal's position and the span before it
# What the judges' rules are made of; the bottom (records, files) changes no verdict.
_READ_FROM = ("derta.judge", "derta.data.clean.refusals", "derta.words")
_NOT_RULES = frozenset({"derta.judge", "derta.judge.judgement", "derta.judge.rules_hash"})


@cache
def rules_hash(judge: str) -> str:
    """The hash of the sources behind a judge's verdicts."""
    sources = [f"{module}\x00{_source(module)}" for module in sorted(rule_modules(judge))]
    return sha256_text("\x00".join(sources))[:16]


def rule_modules(judge: str) -> set[str]:
    """The modules behind a judge's verdicts."""
    found: set[str] = set()
    for name in (judge, *ALWAYS):
        _collect(f"derta.judge.{name}", found)
    return found


def _collect(module: str, found: set[str]) -> None:
    """The module and, through its imports (those inside functions too), all others that hold rules."""
    if (
        module in found
        or module in _NOT_RULES
        or not module.startswith(_READ_FROM)
        or not _path(module).is_file()
    ):
        return
    found.add(module)
    for node in ast.walk(ast.parse(_source(module))):
        if isinstance(node, ast.ImportFrom) and node.module:
            _collect(node.module, found)


def _path(module: str) -> Path:
    return PACKAGE.joinpath(*module.split(".")[1:]).with_suffix(".py")


def _source(module: str) -> str:
    return _path(module).read_text(encoding="utf-8")
