"""Rank-assisted prefill (RAP): the answer is led along a held-out harmful response, token by token.

    step t    the response's token h_t, if it is among the model's `rank` likeliest
              else the likeliest token that neither opens a refusal nor ends the turn

Defensive purpose: a refusal that takes the probability and leaves the harmful tokens' ranks as they were can be
stepped over by whoever sees the ranking. RTO trains one token at every place, which invites just this. The answer is
as long as h at most, and the judge reads all of it. After Vega and Singh, arXiv 2512.05518, whose picker is a person
or a model that looks for harmful tokens among the top 20; ours knows the held-out response, and can't be luckier.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from derta.attacks.ban_refusal import BanRefusal, banned_runs
from derta.attacks.contract import Attack, Inputs, Row
from derta.attacks.prefill import query_of
from derta.attacks.prompt import Prompt, Turn
from derta.records import turns_to

if TYPE_CHECKING:
    from derta.encode.chat import ChatRenderer

WORDS: list[str] = BanRefusal.model_fields["words"].default


class Rap(Attack):
    """The triples' questions, answered along their harmful responses. Needs the weights."""

    TITLES: ClassVar = {"rap": "Rank-assisted prefill"}
    SOURCE: ClassVar = "arXiv 2512.05518"
    NEEDS: ClassVar = "weights"

    name: Literal["rap"] = "rap"
    ranks: list[int] = Field(default=[5, 20], min_length=1)
    """How far down the ranking a harmful token may stand; the paper's is 20. Each rank has rows of its own."""
    words: list[str] = Field(default=WORDS)
    """What opens a refusal, beside the recipe's refusal.text."""

    def files(self) -> Mapping[str, str]:
        """The triples."""
        return {"triples": "rap leads the answer along held-out harmful responses"}

    def rows(self, inputs: Inputs, renderer: ChatRenderer | None) -> list[Row]:
        """One a rank and triple."""
        assert renderer is not None, "ranks are known of a model that is computed here"
        banned = tuple(banned_runs(renderer, list(dict.fromkeys([inputs.refusal, *self.words]))))
        known = {query.query: query for query in inputs.harmful}
        turns = [turns_to(triple.harmful_query, triple.context) for triple in inputs.triples]
        answers = [triple.harmful_response for triple in inputs.triples]
        guides = [ids for _, ids in renderer.encode_pairs(list(zip(turns, answers, strict=True)))]
        rows = []
        for rank in self.ranks:
            for triple, guide in zip(inputs.triples, guides, strict=True):
                query = (not triple.context and known.get(triple.harmful_query)) or query_of(triple)
                said = tuple(Turn(turn.role, turn.content) for turn in triple.context)
                length = min(len(guide), inputs.max_new_tokens)
                prompt = Prompt(
                    turns=(*said, Turn("user", query.query)),
                    guide=tuple(guide[:length]),
                    guide_rank=rank,
                    banned=banned,
                    banned_tokens=length,
                    min_tokens=length,
                    max_tokens=length,
                )
                rows.append(Row(query=query, prompts=(prompt,), params={"rank": rank}))
        return rows

    @classmethod
    def labels(cls, attack: str, params: Mapping[str, Any]) -> tuple[str, ...]:
        """The rank."""
        return (f"rap@{params['rank']}",)

    @classmethod
    def title(cls, label: str) -> str | None:
        """`rap@20` is `Rank-assisted prefill 20`."""
        base, _, rank = label.partition("@")
        return f"{cls.TITLES['rap']} {rank}" if base == "rap" and rank else cls.TITLES.get(label)
