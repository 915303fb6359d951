"""Sampled: the plain question, asked several times at a temperature; somebody who may try again needs one success.

Defensive purpose: greedy decoding shows the likeliest answer only. Every try is a row (`try` in its parameters);
the report counts a query as answered if any of its tries was (`sampled@mean`: over all tries).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from derta.attacks.contract import Attack, Inputs, Row
from derta.attacks.draws import draw_seed
from derta.attacks.prompt import Prompt

if TYPE_CHECKING:
    from derta.encode.chat import ChatRenderer


class Sampled(Attack):
    """The plain query several times at a temperature; a success in any try counts."""

    TITLES: ClassVar = {"sampled": "Sampled, any try", "sampled@mean": "Sampled, a try"}
    CONTROLS: ClassVar = frozenset({"sampled@mean"})
    ANY_OF: ClassVar = {"sampled": "sampled@mean"}
    DRAWS: ClassVar = True

    name: Literal["sampled"] = "sampled"
    tries: int = Field(default=10, ge=1)
    temperature: float = Field(default=1.0, gt=0)
    top_p: float = Field(default=1.0, gt=0, le=1)

    def rows(self, inputs: Inputs, renderer: ChatRenderer | None) -> list[Row]:
        """One a try and harmful query; its draws depend on the seed, the query's id and the try."""
        drawn = {"temperature": self.temperature, "top_p": self.top_p}
        rows = []
        for number in range(self.tries):
            for query in inputs.harmful:
                seed = draw_seed("sampled", inputs.seed, query.id, number)
                prompt = Prompt.user(query.query, temperature=self.temperature, top_p=self.top_p, seed=seed)
                rows.append(Row(query=query, prompts=(prompt,), params={"try": number, **drawn}))
        return rows

    @classmethod
    def labels(cls, attack: str, params: Mapping[str, Any]) -> tuple[str, ...]:
        """The mean over tries; `sampled` itself is its sum."""
        return ("sampled@mean",)
