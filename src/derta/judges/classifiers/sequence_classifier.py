"""A sequence classifier as a reader of (question, response): probabilities of the verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from derta.errors import RecipeError
from derta.judges.classifiers.loading import longest_input
from derta.judges.classifiers.prompt_parts import fill, without_special_tokens
from derta.records import Verdict

OVERLAP = 4  # windows share a quarter of their length, so that no sentence is only seen cut


@dataclass(frozen=True)
class SequenceModel:
    """verdicts: the verdict of each label id."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    verdicts: dict[int, Verdict]
    template: str | None

    @classmethod
    def of(
        cls,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        labels: Mapping[str, Verdict],
        template: str | None,
    ) -> SequenceModel:
        """Match the labels with the model's own.

        Raises:
            RecipeError: a label of the model has no verdict, or one is named that it doesn't have.
        """
        names = {int(index): str(name) for index, name in (model.config.id2label or {}).items()}
        if set(names.values()) != set(labels):
            raise RecipeError(f"judge.labels: found {sorted(labels)}, the model has {sorted(names.values())}")
        return cls(model, tokenizer, {index: labels[name] for index, name in names.items()}, template)

    def read(self, query: str, response: str) -> dict[Verdict, float] | str:
        """Probabilities of the verdicts in the most harmful window, or why it can't be read."""
        limit = longest_input(self.model, self.tokenizer)
        response_ids = self.tokenizer(
            without_special_tokens(self.tokenizer, response), add_special_tokens=False
        )["input_ids"]
        room = limit - len(self._encode(query, "")) - 2
        if room < 16:
            return f"the question alone fills the classifier's {limit} tokens"
        step = room - room // OVERLAP
        starts = range(0, max(len(response_ids) - room // OVERLAP, 1), step)
        windows = [
            str(self.tokenizer.decode(response_ids[start : start + room], clean_up_tokenization_spaces=False))
            for start in starts
        ]
        read = [self._probabilities(self._encode(query, window)[:limit]) for window in windows]
        return max(read, key=lambda probabilities: probabilities.get("harmful", 0.0))

    def _encode(self, query: str, response: str) -> list[int]:
        query, response = (without_special_tokens(self.tokenizer, text) for text in (query, response))
        if self.template is None:
            ids: list[int] = (
                self.tokenizer(query, response)["input_ids"]
                if query
                else self.tokenizer(response)["input_ids"]
            )
        else:
            ids = self.tokenizer(fill(self.template, query, response))["input_ids"]
        return ids

    def _probabilities(self, ids: list[int]) -> dict[Verdict, float]:
        with torch.inference_mode():
            logits = self.model(input_ids=torch.tensor([ids], device=self.model.device)).logits[0].float()
        found: dict[Verdict, float] = {}
        for index, probability in enumerate(logits.softmax(-1).tolist()):
            verdict = self.verdicts[index]
            found[verdict] = found.get(verdict, 0.0) + probability
        return found
