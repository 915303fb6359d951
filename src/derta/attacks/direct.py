"""The plain question, without any attack: the base line of every table, and the way benign queries are asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from derta.attacks.contract import Attack, Inputs, Row

if TYPE_CHECKING:
    from derta.encode.chat import ChatRenderer


class Direct(Attack):
    """The plain query; asked for harmful, benign and borderline queries alike."""

    TITLES: ClassVar = {"direct": "Direct"}
    CONTROLS: ClassVar = frozenset({"direct"})

    name: Literal["direct"] = "direct"

    def rows(self, inputs: Inputs, renderer: ChatRenderer | None) -> list[Row]:
        """One a query of any kind."""
        return [Row(query=query, prompts=(self.prompt(query),)) for query in inputs.queries]
