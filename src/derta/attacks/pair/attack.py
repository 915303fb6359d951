"""PAIR as an attack: its settings, its rows, and the search inside each of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from derta.attacks.contract import Inputs, Models, Reckoning, Row
from derta.attacks.pair.judge import model_search_judge, verdict_search_judge
from derta.attacks.pair.search import Roles, pair_search, search_params
from derta.attacks.pair.settings import SearchSettings
from derta.attacks.pair.texts import INSTRUCTIONS, load_instructions
from derta.attacks.prompt import Answer, Prompt
from derta.attacks.texts import Template, load_affirmatives

if TYPE_CHECKING:
    from derta.encode.chat import ChatRenderer


class Pair(SearchSettings):
    """An attacker model rewrites the query in parallel conversations, guided by a judge's score."""

    TITLES: ClassVar = {"pair": "PAIR"}
    SOURCE: ClassVar = "arXiv 2310.08419"
    TEXTS: ClassVar = ("pair", "affirmative")

    name: Literal["pair"] = "pair"

    def asks(self) -> tuple[str, ...]:
        """The attacker, and a search judge that is not the recipe's."""
        return (self.attacker,) if self.search_judge == "judge" else (self.attacker, self.search_judge)

    def check(self, inputs: Inputs) -> None:
        """The files can be read."""
        self.rows(inputs, None)

    def rows(self, inputs: Inputs, renderer: ChatRenderer | None) -> list[Row]:
        """One a query. All that decides what its search finds on a model, beside the seed, is in `search`."""
        affirmatives = inputs.text("affirmative", load_affirmatives) or {}
        instructions = inputs.text("pair", load_instructions) or INSTRUCTIONS
        search = {
            "attack": self.model_dump(mode="json", exclude={"num_queries", "max_connections"}),
            "instructions": [[template.id, template.text] for template in instructions],
            "judge": dict(inputs.judge) if self.search_judge == "judge" else None,
        }
        return [
            Row(
                query=query,
                prompts=(self.prompt(query),),
                search=search | {"affirmative": affirmatives.get(query.id, self.affirmative)},
            )
            for query in inputs.harmful[: self.num_queries]
        ]

    async def solve(self, row: Row, models: Models) -> Answer:
        """Search against the model under test, then send it the best prompt at the run's own limits."""
        if self.search_judge == "judge":
            judge = verdict_search_judge(models.judge)
        else:
            judge = model_search_judge(models.model(self.search_judge, max_connections=self.max_connections))
        attacker = models.model(self.attacker, max_connections=self.max_connections)
        result = await pair_search(
            row.query,
            Roles(attacker, models, judge),
            settings=self,
            affirmative=row.search["affirmative"],
            instructions=[Template(*entry) for entry in row.search["instructions"]],
            seed=models.seed,
        )
        answer = await models.ask(Prompt.user(result.best.prompt or ""))
        return replace(answer, params=search_params(result))

    def reckon(self, row: Row, tokens: int, most: int) -> Reckoning:
        """Every stream in every iteration, and the last answer."""
        streams, iterations = self.size
        calls = streams * iterations + 1
        return Reckoning(calls, tokens * calls, (calls - 1) * self.target_tokens + most)

    def not_counted(self) -> str:
        """The other models of a search."""
        return "PAIR's attacker and search judge are asked as often as the model, and are not in these sums"

    @classmethod
    def question_params(cls, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """None: they are what the search found."""
        return {}
