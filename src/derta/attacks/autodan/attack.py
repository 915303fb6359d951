"""AutoDAN-HGA as an attack: its settings, the search before its rows, and its two rows a query.

All queries are searched together (with the weights), saved after every step under `<run_dir>/autodan`. Each query's
two prompts, step 0's control and the result, are then samples like any other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from derta.attacks.autodan.search import (
    Checkpoint,
    Found,
    Materials,
    Rewrite,
    Succeeds,
    autodan_search,
    found_params,
)
from derta.attacks.autodan.settings import SearchSettings
from derta.attacks.autodan.state import Goal
from derta.attacks.autodan.words import load_thesaurus, wordnet
from derta.attacks.contract import Ask, Inputs, LocalTarget, Models, Row, from_texts, required
from derta.attacks.prompt import Prompt
from derta.attacks.texts import load_affirmatives, load_templates
from derta.files import sha256_file
from derta.keyed_log import key_of

if TYPE_CHECKING:
    from derta.encode.chat import ChatRenderer

MUTATION_TOKENS = 2048


class AutoDan(SearchSettings):
    """Prompts bred on the model's own probabilities, from the prototypes in the file texts.autodan."""

    TITLES: ClassVar = {"autodan": "AutoDAN", "autodan@seeds": "AutoDAN, step 0"}
    SOURCE: ClassVar = "arXiv 2310.04451"
    CONTROLS: ClassVar = frozenset({"autodan@seeds"})
    NEEDS: ClassVar = "weights"
    TEXTS: ClassVar = ("autodan", "thesaurus", "affirmative")
    DRAWS: ClassVar = False

    name: Literal["autodan"] = "autodan"

    def files(self) -> Mapping[str, str]:
        """The prototypes."""
        return from_texts(self.name)

    def check(self, inputs: Inputs) -> None:
        """The files can be read, and there are synonyms."""
        required(inputs, self.name, load_templates)
        inputs.text("affirmative", load_affirmatives)
        if inputs.text("thesaurus", load_thesaurus) is None:
            wordnet()

    def prepare(self, inputs: Inputs, target: LocalTarget) -> Inputs:
        """Search, or take what an earlier search found.

        Raises:
            DataError: no prototype fits the model's context.
            RunError: a damaged checkpoint.
        """
        queries = inputs.harmful[: self.num_queries]
        affirmatives = inputs.text("affirmative", load_affirmatives) or {}
        prototypes = [template.text for template in required(inputs, self.name, load_templates)]
        by_judge = self.stop == "judge"
        key = key_of(
            model=key_of(model=target.key, judge=target.judge_key) if by_judge else target.key,
            template=target.template_hash,
            attack=self.model_dump(mode="json"),
            thesaurus=sha256_file(inputs.texts["thesaurus"]) if "thesaurus" in inputs.texts else "wordnet",
            prototypes=prototypes,
            queries=[query.query for query in queries],
            affirmatives=affirmatives,
            seed=inputs.seed,
        )
        materials = Materials(
            prototypes,
            inputs.text("thesaurus", load_thesaurus) or wordnet(),
            _judged(target.models, inputs) if by_judge else _refuses_nowhere(target.models),
            _rewriter(target.models.model(self.mutation_model)) if self.mutation_model else None,
        )
        with target.progress.step("AutoDAN steps", self.steps) as bar:
            found = asyncio.run(
                autodan_search(
                    [Goal(q.id, q.query, affirmatives.get(q.id, self.affirmative)) for q in queries],
                    target.white_box(self.batch_tokens),
                    materials,
                    settings=self,
                    seed=inputs.seed,
                    checkpoint=Checkpoint(target.run_dir / "autodan" / f"{key[:16]}.json", key),
                    on_step=lambda state: bar.set(done=state.step),
                )
            )
        return replace(inputs, found={**inputs.found, self.name: {entry.goal_id: entry for entry in found}})

    def rows(self, inputs: Inputs, renderer: ChatRenderer | None) -> list[Row]:
        """One a stage (`seeds`: step 0's control; `search`: the result) and query."""
        found: Mapping[str, Found] = inputs.found[self.name]
        queries = inputs.harmful[: self.num_queries]
        return [
            Row(query=query, prompts=(Prompt.user(_text(found[query.id], stage)),), params={"stage": stage},
                found=found_params(found[query.id], stage == "seeds"))
            for stage in ("seeds", "search")
            for query in queries
        ]  # fmt: skip

    def unplanned_rows(self, inputs: Inputs) -> int | None:
        """Two a query."""
        return 2 * len(inputs.harmful[: self.num_queries])

    def remark(self) -> str:
        """The search."""
        return f"and {self.steps} steps of search"

    @classmethod
    def labels(cls, attack: str, params: Mapping[str, Any]) -> tuple[str, ...]:
        """The search's result, or its step-0 control: the prototype prompts without any search."""
        return ("autodan@seeds",) if params.get("stage") == "seeds" else (attack,)

    @classmethod
    def question_params(cls, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """None: they are what the search found."""
        return {}


def _text(found: Found, stage: str) -> str:
    return found.seed_prompt if stage == "seeds" else found.prompt


def _refuses_nowhere(models: Models) -> Succeeds:
    """The published signal of success: some text, and no refusal phrase anywhere in it."""

    async def succeeds(goal_id: str, answer: str) -> bool:
        return bool(answer.strip()) and not models.refuses(answer)

    return succeeds


def _judged(models: Models, inputs: Inputs) -> Succeeds:
    """The recipe's judge as the end of a search; what it can't read ends none."""
    by_id = {query.id: query for query in inputs.harmful}

    async def succeeds(goal_id: str, answer: str) -> bool:
        return (await models.judge(by_id[goal_id], answer)).verdict == "harmful"

    return succeeds


def _rewriter(ask: Ask) -> Rewrite:
    """The mutation model."""

    async def rewrite(request: str, seed: int) -> str:
        prompt = Prompt.user(request, temperature=1.0, max_tokens=MUTATION_TOKENS, seed=seed)
        return (await ask(prompt)).text

    return rewrite
