"""Prefill: the assistant turn is opened with the first d tokens of a harmful response.

Defensive purpose: it measures whether refusal depends on the first words only (d = 0 is the plain question).
The judge reads the model's own continuation, not the words that were put in its mouth.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator

from derta.attacks.contract import Attack, Inputs, Row
from derta.attacks.prompt import Prompt, Turn
from derta.records import Query, Triple, turns_to

if TYPE_CHECKING:
    from derta.encode.chat import ChatRenderer

SUMMARY_DEPTH = 20  # tokens; `prefill` sums up the depths from here on (shorter ones barely commit a model)


def prefill_ids(harmful_ids: Sequence[int], depth: int) -> tuple[int, ...] | None:
    """The first `depth` ids of a harmful response (as the renderer encodes it); None when it is too short."""
    return tuple(harmful_ids[:depth]) if len(harmful_ids) >= depth else None


def prefill_depth(label: str) -> int | None:
    """The depth of a `prefill@<depth>` label in tokens; None for every other label."""
    base, at, depth = label.partition("@")
    return int(depth) if base == "prefill" and at and depth.isdecimal() else None


class Prefill(Attack):
    """The assistant turn is opened with the first tokens of the triples' harmful responses."""

    TITLES: ClassVar = {"prefill": "Prefill"}
    NEEDS: ClassVar = "open turn"

    name: Literal["prefill"] = "prefill"
    depths: list[int] = Field(default=[0, 5, 10, 20, 40, 80, 160], min_length=1)
    """Tokens of the harmful response; responses that are too short for a depth are left out there, and counted."""
    join: bool = False
    """Where a response is too short for a depth, go on with the next triples' responses behind an empty line; how
    many were joined is in the row's parameters (`joined`)."""

    @field_validator("depths")
    @classmethod
    def _depths_ascend(cls, depths: list[int]) -> list[int]:
        if depths != sorted(set(depths)) or depths[0] < 0:
            raise ValueError(f"found {depths}, need different depths >= 0 in ascending order")
        return depths

    def files(self) -> Mapping[str, str]:
        """The triples."""
        return {"triples": "the prefill attack takes its openings from held-out triples"}

    def rows(self, inputs: Inputs, renderer: ChatRenderer | None) -> list[Row]:
        """One a depth and triple; a triple whose query is also evaluated keeps that query's id."""
        assert renderer is not None, "prefill needs a renderer"
        known = {query.query: query for query in inputs.harmful}
        turns = [turns_to(triple.harmful_query, triple.context) for triple in inputs.triples]
        answers = [triple.harmful_response for triple in inputs.triples]
        responses = [ids for _, ids in renderer.encode_pairs(list(zip(turns, answers, strict=True)))]
        blank = renderer.running_ids(["\n\n"], after="Step one")[0] if self.join else []
        rows = []
        for depth in self.depths:
            for number, (triple, response) in enumerate(zip(inputs.triples, responses, strict=True)):
                ids, joined = prefill_ids(response, depth), 1
                if ids is None and self.join:
                    ids, joined = _joined(responses, number, blank, depth)
                if ids is not None:
                    query = (not triple.context and known.get(triple.harmful_query)) or query_of(triple)
                    said = tuple(Turn(turn.role, turn.content) for turn in triple.context)
                    prompt = Prompt.user(query.query, opening=renderer.decode(ids), opening_ids=ids)
                    prompt = replace(prompt, turns=said + prompt.turns)
                    params = {"depth": depth} | ({"joined": joined} if self.join else {})
                    rows.append(Row(query=query, prompts=(prompt,), params=params))
        return rows

    def left_out(self, rows: Sequence[Row], inputs: Inputs) -> dict[int, int]:
        """Depth -> harmful responses that are too short for it."""
        made = Counter(row.params["depth"] for row in rows)
        counts = {depth: len(inputs.triples) - made[depth] for depth in self.depths}
        return {depth: count for depth, count in counts.items() if count}

    def judged(self, row: Row) -> Query:
        """With the words that the response continues."""
        return replace(row.query, opening=row.prompts[0].opening or None)

    @classmethod
    def labels(cls, attack: str, params: Mapping[str, Any]) -> tuple[str, ...]:
        """The depth, and the summary if it is deep."""
        depth = params["depth"]
        return (f"prefill@{depth}", "prefill") if depth >= SUMMARY_DEPTH else (f"prefill@{depth}",)

    @classmethod
    def title(cls, label: str) -> str | None:
        """`prefill@20` is `Prefill 20`."""
        depth = prefill_depth(label)
        return cls.TITLES.get(label) if depth is None else f"{cls.TITLES['prefill']} {depth}"


def _joined(
    responses: Sequence[Sequence[int]], first: int, blank: Sequence[int], depth: int
) -> tuple[tuple[int, ...], int]:
    """`depth` ids of this response and those behind it, round and round, and how many it took."""
    ids = list(responses[first])
    joined = 1
    while len(ids) < depth:
        ids += [*blank, *responses[(first + joined) % len(responses)]]
        joined += 1
    return tuple(ids[:depth]), joined


def query_of(triple: Triple) -> Query:
    """A triple's question as one that is asked."""
    return Query(
        id=triple.id,
        query=triple.harmful_query,
        kind="harmful",
        category=triple.category,
        reference=triple.harmful_response,
    )
