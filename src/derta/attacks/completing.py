"""CompletingAttack: a declarative opening of the answer, sent as raw text without any chat template.

Defensive purpose: it measures whether a tuned model still refuses where no turn of a conversation told it
that it is an assistant. The beginning-of-text token stays (`bos: false` takes it away, as an ablation).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from derta.attacks.contract import Attack, Inputs, Row
from derta.attacks.prompt import Prompt
from derta.attacks.texts import load_openings
from derta.errors import DataError
from derta.records import Query

if TYPE_CHECKING:
    from derta.encode.chat import ChatRenderer


def completing_prompt(query: Query, openings: Mapping[str, str] | None = None) -> str:
    """The raw text: the opening that a file gives for this query's id, else the query's own.

    Raises:
        DataError: there is none.
    """
    opening = (openings or {}).get(query.id, query.opening)
    if not opening:
        raise DataError(
            f"completing: query {query.id!r} has no opening; give it a field `opening`, or name a file of them (made "
            "by hand or by `derta data openings`) in texts.completing"
        )
    return opening


class Completing(Attack):
    """The query's opening as raw text; openings may come from the file texts.completing."""

    TITLES: ClassVar = {"completing": "Completing"}
    NEEDS: ClassVar = "raw text"
    TEXTS: ClassVar = ("completing",)
    READS_PROMPT: ClassVar = True

    name: Literal["completing"] = "completing"
    bos: bool = True
    """Keep the beginning-of-text token."""

    def check(self, inputs: Inputs) -> None:
        """Every harmful query has an opening."""
        self.rows(inputs, None)

    def rows(self, inputs: Inputs, renderer: ChatRenderer | None) -> list[Row]:
        """One a harmful query."""
        openings = inputs.text(self.name, load_openings)
        params = {} if self.bos else {"bos": False}
        return [
            Row(
                query=query,
                prompts=(Prompt.user(completing_prompt(query, openings), raw=True, bos=self.bos),),
                params=params,
            )
            for query in inputs.harmful
        ]
