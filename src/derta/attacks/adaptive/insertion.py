"""Random insertion: the answer is opened as a refusal, with a harmful span inside it. Does the refusal recover?

    opening    r[:j] + h[a:a+m]        a safe response's first j tokens, m tokens of the harmful one

Defensive purpose: a model that learned to refuse behind harmful text may go on with it all the same where a refusal
stood before. The judge reads what the model says behind the span. After arXiv 2606.04168, of which the abstract was
read; the grid of j and m is ours, and where the span begins (a) is drawn.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from derta.attacks.contract import Attack, Inputs, Row
from derta.attacks.prefill import query_of
from derta.attacks.prompt import Prompt, Turn
from derta.records import Query, turns_to

if TYPE_CHECKING:
    from derta.encode.chat import ChatRenderer


class Insertion(Attack):
    """The assistant turn is opened with a begun refusal and a harmful span behind it."""

    TITLES: ClassVar = {"insertion": "Random insertion"}
    SOURCE: ClassVar = "arXiv 2606.04168"
    NEEDS: ClassVar = "open turn"

    name: Literal["insertion"] = "insertion"
    before: list[int] = Field(default=[4, 16], min_length=1)
    """j: tokens of the safe response; as many as there are where it is shorter."""
    spans: list[int] = Field(default=[4, 12], min_length=1)
    """m: tokens of the harmful response; all of it where it is shorter."""

    def files(self) -> Mapping[str, str]:
        """The triples."""
        return {"triples": "insertion takes safe and harmful responses from held-out triples"}

    def rows(self, inputs: Inputs, renderer: ChatRenderer | None) -> list[Row]:
        """One a cell of the grid and triple; a depends on the seed, the triple, j and m alone."""
        assert renderer is not None, "insertion needs a renderer"
        known = {query.query: query for query in inputs.harmful}
        turns = [turns_to(triple.harmful_query, triple.context) for triple in inputs.triples]
        safe, harmful = (
            [ids for _, ids in renderer.encode_pairs(list(zip(turns, answers, strict=True)))]
            for answers in (
                [triple.safe_response for triple in inputs.triples],
                [triple.harmful_response for triple in inputs.triples],
            )
        )
        rows = []
        for j in self.before:
            for m in self.spans:
                for triple, r, h in zip(inputs.triples, safe, harmful, strict=True):
                    query = (not triple.context and known.get(triple.harmful_query)) or query_of(triple)
                    a = random.Random(f"insertion-{inputs.seed}-{triple.id}-{j}-{m}").randint(
                        0, max(0, len(h) - m)
                    )
                    ids = (*r[:j], *h[a : a + m])
                    said = tuple(Turn(turn.role, turn.content) for turn in triple.context)
                    prompt = Prompt(
                        turns=(*said, Turn("user", query.query)),
                        opening=renderer.decode(ids),
                        opening_ids=ids,
                    )
                    rows.append(Row(query=query, prompts=(prompt,), params={"before": j, "span": m}))
        return rows

    def judged(self, row: Row) -> Query:
        """With the words that the response continues."""
        return replace(row.query, opening=row.prompts[0].opening)

    @classmethod
    def labels(cls, attack: str, params: Mapping[str, Any]) -> tuple[str, ...]:
        """Its place in the grid, and the sum over it."""
        return (f"insertion@{params['before']}+{params['span']}", "insertion")

    @classmethod
    def title(cls, label: str) -> str | None:
        """`insertion@4+12` is `Random insertion 4+12`."""
        base, _, place = label.partition("@")
        return (
            f"{cls.TITLES['insertion']} {place}" if base == "insertion" and place else cls.TITLES.get(label)
        )
