"""Watch the refusal token while training: it should rise along harmful responses, stay near 0 along benign ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from derta.encode.chat import ChatRenderer
from derta.encode.refusal_token import RefusalToken
from derta.encode.tokenized import encode_benign, encode_triples
from derta.probe.refusal_probability import refusal_probability
from derta.records import BenignPair, Triple, load_records
from derta.train.recipe import ProbeSettings

Pairs = list[tuple[list[int], list[int]]]


class HazardProbe(TrainerCallback):
    """Logs `refusal_on_harmful` and `refusal_on_benign`: mean P(refusal token) behind the first token of held-out
    responses (where vanilla tuning stops watching), each response counting the same.
    """

    def __init__(self, settings: ProbeSettings, renderer: ChatRenderer, refusal: RefusalToken) -> None:
        triples = load_records(settings.triples, Triple)[: settings.num_rows]
        benign = load_records(settings.benign, BenignPair)[: settings.num_rows]
        self.every = settings.every
        self.refusal_ids = refusal.ids
        self.harmful: Pairs = [
            (triple.prompt_ids.tolist(), triple.harmful_ids.tolist())
            for triple in encode_triples(renderer, refusal, triples)
        ]
        self.benign: Pairs = [
            (pair.prompt_ids.tolist(), pair.response_ids.tolist()) for pair in encode_benign(renderer, benign)
        ]
        self.log: Callable[[dict[str, float]], None] | None = None  # the trainer's, set once it exists

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Measure before the first step (not again on a resume)."""
        if state.global_step == 0:
            self._measure(kwargs["model"])

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Measure every `every` steps and after the last."""
        if state.global_step % self.every == 0 or state.global_step == state.max_steps:
            self._measure(kwargs["model"])

    def _measure(self, model: PreTrainedModel) -> None:
        assert self.log is not None
        harmful = refusal_probability(model, self.harmful, self.refusal_ids)
        benign = refusal_probability(model, self.benign, self.refusal_ids)
        self.log({"refusal_on_harmful": _mean(harmful), "refusal_on_benign": _mean(benign)})


def _mean(curves: list[Any]) -> float:
    behind = [float(np.mean(curve[1:])) for curve in curves if len(curve) > 1]
    return float(np.mean(behind)) if behind else 0.0
