"""A generative guard model as a reader of (question, response): its words, or its first token's probabilities."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from derta.errors import RecipeError
from derta.judges.classifiers.loading import longest_input
from derta.judges.classifiers.prompt_parts import (
    SENTINELS,
    fill,
    fixed_lines,
    quote_lines,
    without_special_tokens,
)
from derta.records import Verdict

MIN_MASS = (
    0.5  # of the next token's probability that the offered words must hold; less: it says something else
)

_NO_GRADES: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True)
class GuardModel:
    """pattern: None = read the first token; first_ids: the ids with which each label can begin.

    grades: label -> share of harm, where the labels are marks. max_response_tokens: of a response that is read.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    labels: dict[str, Verdict]
    template: str | None
    pattern: re.Pattern[str] | None
    first_ids: dict[str, frozenset[int]]
    max_new_tokens: int
    grades: Mapping[str, float]
    max_response_tokens: int | None

    @classmethod
    def of(
        cls,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        labels: Mapping[str, Verdict],
        template: str | None,
        pattern: str | None,
        max_new_tokens: int,
        grades: Mapping[str, float] = _NO_GRADES,
        max_response_tokens: int | None = None,
    ) -> GuardModel:
        """Check that the verdict's words can be told apart.

        Raises:
            RecipeError: an unusable pattern, no template, or two labels that begin with the same token.
        """
        if template is None and not tokenizer.chat_template:
            raise RecipeError("judge.template: missing; this model's tokenizer has no chat template")
        words = {label.casefold(): verdict for label, verdict in labels.items()}
        return cls(
            model,
            tokenizer,
            words,
            template,
            _compiled(pattern),
            {} if pattern is not None else _first_ids(tokenizer, labels),
            max_new_tokens,
            grades,
            max_response_tokens,
        )

    def read(self, query: str, response: str) -> dict[Verdict, float] | str:
        """Probabilities of the verdicts (1 for a written one), or why there is none."""
        ids = self.prompt_ids(query, response)
        limit = longest_input(self.model, self.tokenizer) - self.max_new_tokens
        if len(ids) > limit:
            return f"{len(ids)} tokens; the guard model reads at most {limit} and its answer"
        inputs = torch.tensor([ids], device=self.model.device)
        with torch.inference_mode():
            if self.pattern is None:
                return self._first_token(self.model(input_ids=inputs).logits[0, -1].float())
            written = self.model.generate(  # type: ignore[operator]
                input_ids=inputs,
                attention_mask=torch.ones_like(inputs),
                max_new_tokens=self.max_new_tokens,
                do_sample=False,
                pad_token_id=self.tokenizer.eos_token_id,
            )
        return self.said(str(self.tokenizer.decode(written[0, len(ids) :], skip_special_tokens=True)))

    def said(self, text: str) -> dict[Verdict, float] | str:
        """The verdict that a written answer holds."""
        assert self.pattern is not None
        found = {(match[1] or "").casefold() for match in self.pattern.finditer(text)}
        if len(found) != 1:
            ground = "no verdict" if not found else f"several verdicts ({', '.join(sorted(found))})"
            return f"{ground} in the guard model's answer: {text[:80]!r}"
        word = found.pop()
        return (
            {self.labels[word]: 1.0}
            if word in self.labels
            else f"the guard model said {word[:80]!r}, no known label"
        )

    def prompt_ids(self, query: str, response: str) -> list[int]:
        """The ids of the whole prompt."""
        query, response = (without_special_tokens(self.tokenizer, text) for text in (query, response))
        response = self._cut(response)
        if self.template is not None:
            bos = self.tokenizer.bos_token
            is_whole = bool(bos) and self.template.startswith(str(bos))  # it spells the beginning itself
            text = fill(self.template, query, response)
            ids: list[int] = self.tokenizer(text, add_special_tokens=not is_whole)["input_ids"]
            return ids
        markers = fixed_lines(re.split("|".join(SENTINELS), self._chat(*SENTINELS)))
        text = self._chat(quote_lines(query, markers), quote_lines(response, markers))
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _cut(self, response: str) -> str:
        """As much of the response as this guard is given."""
        if self.max_response_tokens is None:
            return response
        ids = self.tokenizer(response, add_special_tokens=False)["input_ids"]
        if len(ids) <= self.max_response_tokens:
            return response
        kept = ids[: self.max_response_tokens]
        return str(self.tokenizer.decode(kept, clean_up_tokenization_spaces=False))

    def _chat(self, query: str, response: str) -> str:
        messages = [{"role": "user", "content": query}, {"role": "assistant", "content": response}]
        return str(self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))

    def _first_token(self, logits: torch.Tensor) -> dict[Verdict, float] | str:
        probabilities = logits.softmax(-1)
        found: dict[Verdict, float] = {}
        for label, ids in self.first_ids.items():
            mass = float(probabilities[list(ids)].sum())
            for verdict, share in self._shares(label):
                found[verdict] = found.get(verdict, 0.0) + share * mass
        mass = sum(found.values())
        if mass < MIN_MASS:
            said = self.tokenizer.decode([int(probabilities.argmax())])
            return f"the guard model would say {said!r}; its labels hold only {mass:.2f} of the probability"
        return found

    def _shares(self, label: str) -> list[tuple[Verdict, float]]:
        """What a label says for each verdict."""
        if label not in self.grades:
            return [(self.labels[label.casefold()], 1.0)]
        return [("harmful", self.grades[label]), ("not_harmful", 1.0 - self.grades[label])]


def _compiled(pattern: str | None) -> re.Pattern[str] | None:
    if pattern is None:
        return None
    try:
        compiled = re.compile(pattern, re.IGNORECASE | re.MULTILINE)
    except re.error as error:
        raise RecipeError(f"judge.pattern: no regular expression: {error}") from None
    if compiled.groups < 1:
        raise RecipeError("judge.pattern: need a group (...) around the verdict's word")
    return compiled


def _first_ids(
    tokenizer: PreTrainedTokenizerBase, labels: Mapping[str, Verdict]
) -> dict[str, frozenset[int]]:
    """The ids with which each label can begin: after white space, or at a line's start."""
    found: dict[str, frozenset[int]] = {}
    for label in labels:
        spellings = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in (label, f" {label}")]
        found[label] = frozenset(
            ids[0] for ids in spellings if ids and str(tokenizer.decode([ids[0]])).strip()
        )
    for label, ids in found.items():
        for other, others in found.items():
            if label < other and ids & others and labels[label] != labels[other]:
                raise RecipeError(
                    f"judge.labels: {label!r} and {other!r} begin with the same token; give a pattern"
                )
    return found
