"""Ablations of the prompt: the plain question without beginning-of-text, and without any chat template.

Defensive purpose: tuning sees one exact form of prompt. These measure whether refusals outlive the loss of its
first token, or of everything that says "a user asks, an assistant answers".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from derta.attacks.contract import Attack, Inputs, Row
from derta.attacks.prompt import Prompt
from derta.records import Query

if TYPE_CHECKING:
    from derta.encode.chat import ChatRenderer


class NoBos(Attack):
    """The plain query in its template, without the beginning-of-text token (same as direct where there is none)."""

    TITLES: ClassVar = {"no_bos": "No BOS"}
    NEEDS: ClassVar = "raw text"

    name: Literal["no_bos"] = "no_bos"

    def prompt(self, query: Query) -> Prompt:
        """The query."""
        return Prompt.user(query.query, bos=False)


class NoTemplate(Attack):
    """The plain query as raw text."""

    TITLES: ClassVar = {"no_template": "No template"}
    NEEDS: ClassVar = "raw text"

    name: Literal["no_template"] = "no_template"
    bos: bool = True
    """Keep the beginning-of-text token."""

    def rows(self, inputs: Inputs, renderer: ChatRenderer | None) -> list[Row]:
        """One a harmful query."""
        params = {} if self.bos else {"bos": False}
        return [Row(query=query, prompts=(self.prompt(query),), params=params) for query in inputs.harmful]

    def prompt(self, query: Query) -> Prompt:
        """The query."""
        return Prompt.user(query.query, raw=True, bos=self.bos)
