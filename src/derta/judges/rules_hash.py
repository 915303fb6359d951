"""What a saved verdict depends on beside its settings: the rules that gave it.

A saved verdict is taken again only under the same hash, so that a changed rule is never mixed with old verdicts.
"""

from __future__ import annotations

from functools import cache

from derta.code_hash import code_files, code_hash

ALWAYS = ("refusal", "thoughts")  # every judged row also has the refusal's position and the span before it
# What the judges' rules are made of; the bottom (records, files) changes no verdict.
_READ_FROM = ("derta.judges", "derta.data.clean.refusals", "derta.words")
_NOT_RULES = ("derta.judges.judgement", "derta.judges.rules_hash")


@cache
def rules_hash(judge: str, *more: str) -> str:
    """The hash of the sources behind a judge's verdicts. more: the judges of a vote."""
    return code_hash(*_entries(judge, *more), within=_READ_FROM, without=_NOT_RULES)


def rule_files(judge: str) -> set[str]:
    """The source files behind a judge's verdicts, by their paths in the package."""
    return set(code_files(*_entries(judge), within=_READ_FROM, without=_NOT_RULES))


def _entries(*judges: str) -> list[str]:
    return [f"derta.judges.{name}" for name in (*judges, *ALWAYS)]
