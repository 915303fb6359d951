"""A local model as a search on its weights needs it: scores on packed lines, greedy answers from the decode loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

from transformers import PreTrainedModel

from derta.encode.chat import ChatRenderer, Message
from derta.engine.decoder import Request, context_length, generate
from derta.engine.scorer import TargetScorer
from derta.errors import DataError
from derta.evaluation.recipe import GenerationSettings

TOO_LONG = -1000.0  # score of a prompt that evolution made longer than the context: it has no descendants


class LocalWhiteBox:
    """The model, its weights loaded when they are first needed.

    load: gives the weights. batch_tokens: of one packed line to score.
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
                f"the search's shortest prompt has {min(lengths)} tokens, the model's context holds {context}; name "
                "shorter prototype prompts"
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
