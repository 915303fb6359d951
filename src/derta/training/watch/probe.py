"""Watch the refusal token while training: it should rise along harmful responses, stay near 0 along benign ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console
from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from derta.encode.chat import ChatRenderer
from derta.encode.refusal_token import RefusalToken
from derta.encode.tokenized import encode_benign, encode_triples
from derta.errors import RunError
from derta.probe.knowledge import log_likelihoods
from derta.probe.refusal_probability import refusal_probability
from derta.records import BenignPair, Triple, load_records
from derta.training.processes import on_first
from derta.training.recipe import ProbeSettings, StopSettings
from derta.training.watch.rules import DEPTHS, broken_rule, probes, summary, told

Pairs = list[tuple[list[int], list[int]]]


class HazardProbe(TrainerCallback):
    """Measures held-out responses before, during and after training, logs and says what it finds, and stops the run
    where a rule is broken.

    Mean P(refusal token) behind the first token (where vanilla tuning stops watching), each response counting the
    same: `refusal_on_harmful`, and in its thirds `refusal_early`, `refusal_middle`, `refusal_late`;
    `refusal_on_benign`. `held_out_benign`: loss per token of benign responses, nats.

    broken: the rule that stopped the run.
    """

    def __init__(
        self,
        settings: ProbeSettings,
        rules: StopSettings | None,
        renderer: ChatRenderer,
        refusal: RefusalToken,
        console: Console,
    ) -> None:
        triples = load_records(settings.triples, Triple)[: settings.num_rows]
        benign = load_records(settings.benign, BenignPair)[: settings.num_rows]
        self.every = settings.every
        self.rules = rules
        self.console = console
        self.refusal_ids = refusal.ids
        self.harmful: Pairs = [
            (triple.prompt_ids.tolist(), triple.harmful_ids.tolist())
            for triple in encode_triples(renderer, refusal, triples)
        ]
        self.benign: Pairs = [
            (pair.prompt_ids.tolist(), pair.response_ids.tolist()) for pair in encode_benign(renderer, benign)
        ]
        self.log: Callable[[dict[str, float]], None] | None = None  # the trainer's, set once it exists
        self.broken: str | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Measure before the first step; of a run that goes on, look at what stopped it.

        Raises:
            RunError: a rule is broken at the checkpoint already.
        """
        if state.global_step == 0:
            self._measure(kwargs["model"], state)
            return
        self._judge(state)
        if self.broken:
            raise RunError(f"step {state.global_step}: stopped before: {self.broken}{GO_ON}")

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Measure every `every` steps and after the last."""
        if state.global_step % self.every and state.global_step != state.max_steps:
            return
        self._measure(kwargs["model"], state)
        self._judge(state)
        if self.broken:  # the trainer logs and keeps this step, then ends
            control.should_log = control.should_save = control.should_training_stop = True

    def end(self, state: TrainerState) -> None:
        """Say in one line what came of it.

        Raises:
            RunError: a rule stopped the run.
        """
        if self.broken:
            raise RunError(
                f"step {state.global_step} of {state.max_steps}: stopped: {self.broken}. Its checkpoint is "
                f"kept{GO_ON}"
            )
        if probes(state.log_history):
            self.console.print(summary(probes(state.log_history)), markup=False, highlight=False)

    def _measure(self, model: PreTrainedModel, state: TrainerState) -> None:
        assert self.log is not None
        harmful = refusal_probability(model, self.harmful, self.refusal_ids)
        benign = refusal_probability(model, self.benign, self.refusal_ids)
        values = {"refusal_on_harmful": mean_behind(harmful), "refusal_on_benign": mean_behind(benign)}
        values |= {f"refusal_{depth}": mean for depth, mean in zip(DEPTHS, thirds(harmful), strict=True)}
        rows = log_likelihoods(model, self.benign, frozenset(), batch_tokens=2048)
        losses = [-value for row in rows for value in row]
        self.log(values | {"held_out_benign": float(np.mean(losses)) if losses else 0.0})
        self.console.print(told(probes(state.log_history)), markup=False, highlight=False, soft_wrap=True)

    def _judge(self, state: TrainerState) -> None:
        """One answer for all processes."""
        if self.rules is not None:
            rules = self.rules
            self.broken = on_first(lambda: broken_rule(state.log_history, rules))


GO_ON = (
    ". Lower rto.keep_rate, weights.rto or training.learning_rate, or bring more benign pairs, in another run_dir; "
    "to go on all the same: --set stop_when=off"
)


def mean_behind(curves: list[Any]) -> float:
    """Mean behind the first token; each response that has more counts the same."""
    behind = [float(np.mean(curve[1:])) for curve in curves if len(curve) > 1]
    return float(np.mean(behind)) if behind else 0.0


def thirds(curves: list[Any]) -> list[float]:
    """Means of the first, second and last third behind the first token; responses of 4 tokens and more."""
    parts = [np.array_split(curve[1:], 3) for curve in curves if len(curve) > 3]
    if not parts:
        return [0.0, 0.0, 0.0]
    return [float(np.mean([part[number].mean() for part in parts])) for number in range(3)]
