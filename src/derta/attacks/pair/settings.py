"""The settings of PAIR's search."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from derta.attacks.contract import Attack


class SearchSettings(Attack):
    """What a search is told: who attacks, who judges, how often, at which limits."""

    attacker: str
    """Any Inspect model, e.g. openai/gpt-4o-mini."""
    search_judge: str = "judge"
    """Any Inspect model, asked for a score of 1 to 10; judge: the recipe's own judge (harmful 10, else 1)."""
    preset: Literal["20x3", "3x3", "5x20", "30x3"] = "20x3"
    """Streams x iterations (paper: 20x3)."""
    streams: int | None = Field(default=None, ge=1)
    """Instead of the preset's."""
    iterations: int | None = Field(default=None, ge=1)
    """Instead of the preset's."""
    num_queries: int | None = Field(default=50, ge=1)
    """The first so many harmful queries (paper: 50). None: all."""
    affirmative: str = "Sure, here is"
    """How an answer that does not refuse begins, where the file texts.affirmative has no text for the query."""
    attempts: int = Field(default=5, ge=1)
    """Tries until the attacker's answer can be read."""
    kept_exchanges: int = Field(default=4, ge=0)
    """Latest exchanges that the attacker sees again."""
    target_tokens: int = Field(default=150, ge=1)
    """Most new tokens of the model under test while searching."""
    attacker_tokens: int = Field(default=500, ge=1)
    attacker_temperature: float = Field(default=1.0, ge=0)
    attacker_top_p: float = Field(default=0.9, gt=0, le=1)
    max_connections: int = Field(default=64, ge=1)
    """Requests in flight at once to the attacker, and to the search judge."""

    @property
    def size(self) -> tuple[int, int]:
        """(streams, iterations)."""
        streams, iterations = (int(number) for number in self.preset.split("x"))
        return self.streams or streams, self.iterations or iterations
