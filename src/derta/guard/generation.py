"""The guard inside transformers' `generate`.

The library applies its own bans (`suppress_tokens`, `bad_words_ids`, `sequence_bias`) before any processor that a
caller gives, so a processor alone would see a banned refusal as impossible. The hazard is therefore read from the
model's own output by a forward hook; the processor only puts the reply's ids in the stopped row's mouth, after all
bans, and the stopping criterion ends the row behind them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from transformers import LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

from derta.errors import ModelError
from derta.guard.hazard import step_hazard
from derta.guard.rule import Watch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from derta.guard.guard import Guard

MOVED = (
    "guard: rows changed places or another answer began; need one `generate` without beam search or assistant for "
    "each `watching`"
)


class GuardProcessor(LogitsProcessor):
    """One `generate` call. watches: one a row, in their order."""

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self.watches: list[Watch] = []
        self.script = (*guard.reply_ids, guard.end_ids[0])
        self.said: list[int] = []  # of the script, by row
        self.ended: list[bool] = []
        self._ids: torch.Tensor | None = None
        self._seen: torch.Tensor | None = None  # (rows, columns) at the step before
        self._hazard: torch.Tensor | None = None  # (rows,) from the newest forward pass

    def measure(self, logits: torch.Tensor) -> None:
        """Read a forward pass's raw logits (rows, columns, vocabulary)."""
        if self._ids is None:
            self._ids = torch.tensor(self.guard.ids, device=logits.device)
        self._hazard = step_hazard(logits[:, -1], self._ids)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores of the next token; a stopped row's leave only the reply's next id."""
        self._check_order(input_ids)
        assert self._hazard is not None, "the hook measures before the processor is called"
        newest = input_ids[:, -1].tolist()
        for row, hazard in enumerate(self._hazard.tolist()):
            watch = self.watches[row]
            if watch.hazards and newest[row] in self.guard.end_ids:
                self.ended[row] = True
            if watch.stop is None and not self.ended[row]:
                watch.step(hazard)
            if watch.stop is not None and self.said[row] < len(self.script):
                scores[row] = -torch.inf
                scores[row, self.script[self.said[row]]] = 0.0
                self.said[row] += 1
        return scores

    def _check_order(self, input_ids: torch.Tensor) -> None:
        if self._seen is None:
            rows = len(input_ids)
            self.watches = [self.guard.watch() for _ in range(rows)]
            self.said, self.ended = [0] * rows, [False] * rows
        elif not torch.equal(input_ids[:, :-1], self._seen):
            raise ModelError(MOVED)
        self._seen = input_ids


class _ReplySaid(StoppingCriteria):
    """A row whose reply is said to its end is done, whatever ids the model's settings end at."""

    def __init__(self, processor: GuardProcessor) -> None:
        self._processor = processor

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        if len(input_ids) != len(self._processor.said):
            raise ModelError(MOVED)
        done = [said == len(self._processor.script) for said in self._processor.said]
        return torch.tensor(done, device=input_ids.device)


@contextmanager
def watching(guard: Guard, model: PreTrainedModel) -> Iterator[dict[str, Any]]:
    """See `Guard.watching`."""
    processor = GuardProcessor(guard)

    def hook(_: Any, __: Any, output: Any) -> None:
        processor.measure(output.logits)

    handle = model.register_forward_hook(hook)
    try:
        yield {
            "logits_processor": LogitsProcessorList([processor]),
            "stopping_criteria": StoppingCriteriaList([_ReplySaid(processor)]),
        }
    finally:
        handle.remove()
