"""The attacks that search for a prompt, joined to a recipe, its texts and a local model.

PAIR searches inside its samples, through Inspect. AutoDAN needs the weights: all queries are searched together
before the samples are planned, and each query's two prompts (step 0's control, the result) are samples then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from inspect_ai.model import ChatMessageUser, GenerateConfig, get_model
from transformers import PreTrainedModel

from derta.attacks.autodan import Checkpoint, Found, Materials, Rewrite, Succeeds, autodan_search
from derta.attacks.autodan_state import Goal, SearchState
from derta.attacks.pair_judge import SearchJudge, model_search_judge, verdict_search_judge
from derta.attacks.pair_texts import INSTRUCTIONS, load_instructions
from derta.attacks.texts import Template, load_affirmatives, load_templates
from derta.attacks.words import load_thesaurus, wordnet
from derta.config import AutoDanAttack, EvaluateRecipe, GenerationSettings, PairAttack
from derta.encode.chat import ChatRenderer, Message
from derta.engine.decoder import Request, context_length, generate
from derta.engine.scorer import TargetScorer
from derta.errors import DataError
from derta.evaluate.providers.local import LocalModel
from derta.files import sha256_file
from derta.judge.judgement import Judge
from derta.keyed_log import key_of
from derta.records import Query

TOO_LONG = -1000.0  # score of a prompt that evolution made longer than the context: it has no descendants
MUTATION_TOKENS = 2048


@dataclass(frozen=True)
class SearchTexts:
    """What the searches read from the recipe's files. prototypes is empty where AutoDAN is not asked for."""

    instructions: list[Template]
    prototypes: list[Template]
    affirmatives: dict[str, str]


def load_search_texts(recipe: EvaluateRecipe) -> SearchTexts:
    """Read the files of PAIR and AutoDAN.

    Raises:
        DataError: a file can't be read or used; or AutoDAN finds no synonyms.
    """
    texts = recipe.texts
    if any(isinstance(attack, AutoDanAttack) for attack in recipe.attacks) and texts.thesaurus is None:
        wordnet()  # missing data are to be told now, not after an hour
    return SearchTexts(
        load_instructions(texts.pair) if texts.pair else INSTRUCTIONS,
        load_templates(texts.autodan) if texts.autodan else [],
        load_affirmatives(texts.affirmative) if texts.affirmative else {},
    )


def searched_queries(attack: PairAttack | AutoDanAttack, harmful: Sequence[Query]) -> list[Query]:
    """The harmful queries that a search is made for."""
    return list(harmful[: attack.num_queries])


def search_hash(attack: PairAttack, texts: SearchTexts, recipe: EvaluateRecipe) -> str:
    """Hash of everything that decides what a PAIR search finds on a model, beside the query and the seed."""
    return key_of(
        attack=attack.model_dump(mode="json", exclude={"num_queries", "max_connections"}),
        instructions=[template.text for template in texts.instructions],
        affirmatives=texts.affirmatives,
        judge=recipe.model_dump(mode="json", include={"judge"}) if attack.search_judge == "judge" else None,
    )


def search_judge(attack: PairAttack, judge: Judge) -> SearchJudge:
    """PAIR's judge: the recipe's own, or an Inspect model."""
    if attack.search_judge == "judge":
        return verdict_search_judge(judge)
    return model_search_judge(get_model(attack.search_judge), max_connections=attack.max_connections)


def find_prompts(
    attack: AutoDanAttack,
    queries: Sequence[Query],
    texts: SearchTexts,
    recipe: EvaluateRecipe,
    *,
    local: LocalModel,
    key: str,
    judge: Judge,
    on_step: Callable[[SearchState], None] | None = None,
) -> dict[str, Found]:
    """AutoDAN's prompts for one model, by query id; saved after every step under `<run_dir>/autodan`.

    local: the model; its weights are loaded only where a search is not finished. key: hash of the model and, with
    `stop: judge`, of the judge that ends a search.

    Raises:
        DataError: no prototype fits the model's context.
        RunError: a damaged checkpoint.
    """
    thesaurus = recipe.texts.thesaurus
    rewrite = _rewriter(attack.mutation_model) if attack.mutation_model else None
    search_key = key_of(
        model=key,
        template=local.renderer.template_hash,
        attack=attack.model_dump(mode="json"),
        thesaurus=sha256_file(thesaurus) if thesaurus else "wordnet",
        prototypes=[template.text for template in texts.prototypes],
        queries=[query.query for query in queries],
        affirmatives=texts.affirmatives,
        seed=recipe.seed,
    )
    goals = [
        Goal(query.id, query.query, texts.affirmatives.get(query.id, attack.affirmative)) for query in queries
    ]
    box = LocalWhiteBox(
        lambda: local.weights, local.renderer, recipe.generation, batch_tokens=attack.batch_tokens
    )
    synonyms = load_thesaurus(thesaurus) if thesaurus else wordnet()
    succeeds = _judged(judge, queries) if attack.stop == "judge" else None
    materials = Materials([template.text for template in texts.prototypes], synonyms, rewrite, succeeds)
    found = asyncio.run(
        autodan_search(
            goals,
            box,
            materials,
            settings=attack,
            seed=recipe.seed,
            checkpoint=Checkpoint(checkpoint_path(recipe.run_dir, search_key), search_key),
            on_step=on_step,
        )
    )
    return {entry.goal_id: entry for entry in found}


def checkpoint_path(run_dir: Path, key: str) -> Path:
    """A search's file: another model or other settings have another one."""
    return run_dir / "autodan" / f"{key[:16]}.json"


class LocalWhiteBox:
    """A local model as AutoDAN needs it: scores on packed lines, greedy answers from the decode loop.

    load: gives the weights; called when they are first needed.
    """

    def __init__(
        self,
        load: Callable[[], PreTrainedModel],
        renderer: ChatRenderer,
        generation: GenerationSettings,
        *,
        batch_tokens: int,
    ) -> None:
        self.renderer = renderer
        self.generation = generation
        self.batch_tokens = batch_tokens
        self._load = load
        self._has_fitted = False

    @cached_property
    def scorer(self) -> TargetScorer:
        """The model behind its scorer."""
        return TargetScorer(self._load(), batch_tokens=self.batch_tokens)

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Mean log-probability of each opening after its user turn; TOO_LONG where they don't fit.

        Raises:
            DataError: not one of the first prompts fits.
        """
        context = context_length(self.scorer.model)
        turns: list[tuple[list[Message], str]] = [
            ([{"role": "user", "content": turn}], opening) for turn, opening in pairs
        ]
        encoded = self.renderer.encode_pairs(turns)
        lengths = [len(prompt) + len(opening) for prompt, opening in encoded]
        fits = [context is None or length < context for length in lengths]
        self._has_fitted = self._has_fitted or any(fits)
        if pairs and not self._has_fitted:
            raise DataError(
                f"autodan: the shortest prompt has {min(lengths)} tokens, the model's context holds {context}; "
                "name shorter prototype prompts in texts.autodan"
            )
        short = [pair for pair, is_short in zip(encoded, fits, strict=True) if is_short]
        scores = iter(self.scorer.score(short))
        return [next(scores) if is_short else TOO_LONG for is_short in fits]

    def respond(self, prompts: Sequence[str], max_new_tokens: int) -> list[str]:
        """Greedy answers."""
        requests = [
            Request(tuple(self.renderer.prompt_ids([{"role": "user", "content": turn}])), max_new_tokens)
            for turn in prompts
        ]
        answers = generate(
            self.scorer.model,
            requests,
            stop_ids=self.renderer.stop_ids,
            batch_rows=self.generation.batch_rows,
            batch_tokens=self.generation.batch_tokens,
        )
        return [self.renderer.decode(answer.ids) for answer in answers]


def _judged(judge: Judge, queries: Sequence[Query]) -> Succeeds:
    """A judge of ours as the end of a search; what it can't read ends none."""
    by_id = {query.id: query for query in queries}

    async def succeeds(goal_id: str, answer: str) -> bool:
        return (await judge(by_id[goal_id], answer)).verdict == "harmful"

    return succeeds


def _rewriter(name: str) -> Rewrite:
    """The mutation model."""
    model = get_model(name, memoize=False)  # its connections belong to this search's event loop

    async def rewrite(request: str, seed: int) -> str:
        config = GenerateConfig(temperature=1.0, max_tokens=MUTATION_TOKENS, seed=seed, max_connections=64)
        output = await model.generate([ChatMessageUser(content=request)], config=config)
        return output.completion

    return rewrite
