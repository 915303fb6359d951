"""Local generation: one decode loop whose rows come and go (continuous batching).

    waiting requests --admit--> live rows --step--> finished
                       |           ^ |
                       prefill     | one token for every live row, last position's logits only
                                   finished rows leave the cache, room is given to waiting ones

The longest waiting prompts go first, so that rows of like length share a batch. Prompts that begin alike are
computed once (`prefixes.py`). A row's tokens depend on its own prompt only: padding is masked out, positions
count from its first token, and draws come from the request's own seed.
"""

from __future__ import annotations

import bisect
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from transformers import PreTrainedModel
from transformers.cache_utils import Cache

from derta.engine.cache import append_rows, keep_rows, new_cache
from derta.engine.prefixes import Prefixes, can_share
from derta.engine.request import Generated, Request, StopReason, draw_token, forbidden_ids, guided_token
from derta.errors import ModelError

__all__ = ["Decoder", "Generated", "Request", "check_architecture", "context_length", "generate"]

Key = TypeVar("Key")

ADMIT_SHARE = 8  # admit when 1/8 of the rows can be filled at once ...
ADMIT_STEPS = 8  # ... or after so many steps: each admission costs a prefill and a copy of the cache
PREFIX_SHARE = 8  # prompts kept for later ones: an eighth of `batch_tokens`, on top of it


@dataclass
class _Row(Generic[Key]):
    key: Key
    request: Request
    limit: int  # most new tokens, the model's context considered
    ids: list[int] = field(default_factory=list)
    draws: random.Random | None = None


class Decoder(Generic[Key]):
    """The live rows of one model. `submit` requests under a key, `step` until nothing is left.

    batch_rows: most rows at once. batch_tokens: most columns x rows of the cache, a bound on its memory.
    share_prefixes: compute common beginnings of prompts once, where the architecture allows it exactly.
    watched_ids: those whose probability a request's `watch` sees.
    prefilled: tokens of prompts that went through the model so far, padding included.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        stop_ids: Iterable[int],
        batch_rows: int = 64,
        batch_tokens: int = 262_144,
        share_prefixes: bool = True,
        watched_ids: Iterable[int] = (),
    ) -> None:
        check_architecture(model)
        self.model = model
        self.stop_ids = frozenset(stop_ids)
        self.batch_rows = batch_rows
        self.batch_tokens = batch_tokens
        self.context = context_length(model)
        self._waiting: list[_Row[Key]] = []  # by prompt length, the longest last
        self._rows: list[_Row[Key] | None] = []  # None: finished, not yet evicted
        self._cache = new_cache()
        self._next = torch.empty(0, 1, dtype=torch.long)  # (rows, 1) each row's newest token
        self._padding: list[int] = []  # columns of padding of each row
        self._columns = 0
        self._steps_since_admission = 0
        self._prefixes = (
            Prefixes(model, batch_tokens // PREFIX_SHARE) if share_prefixes and can_share(model) else None
        )
        self.prefilled = 0
        self._watched = torch.tensor(sorted(watched_ids), dtype=torch.long, device=model.device)

    @property
    def busy(self) -> bool:
        """Whether any request is waiting or live."""
        return bool(self._waiting or self._rows)

    def submit(self, key: Key, request: Request) -> None:
        """Queue a request; its answer comes out of a later `step` under `key`.

        Raises:
            ModelError: the prompt is empty or leaves no room in the model's context.
        """
        length = len(request.ids)
        if length == 0:
            raise ModelError("empty prompt: the tokenizer gives no id for it and has no beginning-of-text id")
        if self.context is not None and length >= self.context:
            raise ModelError(
                f"prompt of {length} tokens: the model's context holds {self.context}, with no room for a response; "
                "shorten the prompt (fewer demonstrations, a smaller depth) or choose another model"
            )
        room = request.max_new_tokens if self.context is None else self.context - length
        row = _Row(key, request, min(request.max_new_tokens, room))
        if request.temperature > 0:
            row.draws = random.Random(f"{request.seed}-{request.ids}")
        bisect.insort(self._waiting, row, key=lambda entry: len(entry.request.ids))

    def step(self) -> list[tuple[Key, Generated]]:
        """Admit what there is room for, then one token for every live row; returns what finished."""
        finished: list[tuple[Key, Generated]] = []
        if self._may_admit():
            self._evict()
            finished += self._admit(self._take())
        if any(row is not None for row in self._rows):
            finished += self._decode()
        if all(row is None for row in self._rows):
            self._reset()
        elif sum(row is None for row in self._rows) * ADMIT_SHARE >= len(self._rows):
            self._evict()
        return finished

    def _may_admit(self) -> bool:
        live = sum(row is not None for row in self._rows)
        room = min(self.batch_rows - live, len(self._waiting))
        self._steps_since_admission += 1
        if room <= 0:
            return False
        enough = room * ADMIT_SHARE >= self.batch_rows or self._steps_since_admission >= ADMIT_STEPS
        return live == 0 or enough

    def _take(self) -> list[_Row[Key]]:
        """The waiting rows that fit beside the live ones, longest prompts first."""
        taken: list[_Row[Key]] = []
        columns = self._columns + max((row.limit - len(row.ids) for row in self._rows if row), default=0)
        while self._waiting and len(self._rows) + len(taken) < self.batch_rows:
            row = self._waiting[-1]
            needed = max(columns, len(row.request.ids) + row.limit)
            rows = len(self._rows) + len(taken) + 1
            if rows > 1 and needed * rows > self.batch_tokens:
                break
            columns = needed
            taken.append(self._waiting.pop())
        self._steps_since_admission = 0 if taken else self._steps_since_admission
        return taken

    def _admit(self, rows: list[_Row[Key]]) -> list[tuple[Key, Generated]]:
        """Prefill new rows in a batch of their own, then merge them with the live ones."""
        if not rows:
            return []
        columns = max(len(row.request.ids) for row in rows)
        padding = [columns - len(row.request.ids) for row in rows]
        cache, logits = self._prefill(rows, padding, columns)
        merged = bool(self._rows)
        if merged:
            append_rows(self._cache, cache)
            wider = max(self._columns, columns)
            self._padding = [pad + wider - self._columns for pad in self._padding]
            padding = [pad + wider - columns for pad in padding]
            columns = wider
        else:
            self._cache = cache
        self._columns = columns
        self._padding += padding
        first_new = len(self._rows)
        self._rows += rows
        tokens, finished = self._pick(logits, first_new)
        self._next = torch.cat([self._next, tokens]) if merged else tokens
        return finished

    def _prefill(
        self, rows: Sequence[_Row[Key]], padding: Sequence[int], columns: int
    ) -> tuple[Cache, torch.Tensor]:
        """The right-aligned cache of new rows, and the logits after their prompts."""
        if self._prefixes is not None:
            cache, logits = self._prefixes.prefill([row.request.ids for row in rows])
            self.prefilled = self._prefixes.computed
            return cache, logits
        ids = [[0] * pad + list(row.request.ids) for pad, row in zip(padding, rows, strict=True)]
        cache = new_cache()
        self.prefilled += len(rows) * columns
        return cache, self._forward(torch.tensor(ids, device=self.model.device), cache, padding, columns)

    def _decode(self) -> list[tuple[Key, Generated]]:
        self._columns += 1
        logits = self._forward(self._next, self._cache, self._padding, self._columns)
        self._next, finished = self._pick(logits, 0)
        return finished

    @torch.inference_mode()
    def _forward(self, ids: torch.Tensor, cache: Any, padding: Sequence[int], columns: int) -> torch.Tensor:
        """Logits (rows, vocabulary) after the last column; ids are the newest columns (rows, new)."""
        column = torch.arange(columns, device=ids.device)
        first = torch.tensor(padding, device=ids.device).unsqueeze(1)  # (rows, 1)
        new = column[columns - ids.shape[1] :]
        output = self.model(
            input_ids=ids,
            attention_mask=(column >= first).long(),
            position_ids=(new - first).clamp(min=0),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: torch.Tensor = output.logits[:, -1].float()
        return logits

    def _pick(self, logits: torch.Tensor, first_row: int) -> tuple[torch.Tensor, list[tuple[Key, Generated]]]:
        """The next token of each row from `first_row` on; rows that stop are marked None."""
        finished = self._watch(logits, first_row)
        guided = {
            offset: guided_token(logits[offset], row.request, len(row.ids))
            for offset, row in enumerate(self._rows[first_row:])
            if row is not None and row.request.guide
        }
        self._forbid(logits, first_row)
        greedy = logits.argmax(dim=-1)
        tokens: list[int] = greedy.tolist()
        for offset, row in enumerate(self._rows[first_row:]):
            if row is None:
                continue
            if row.draws is not None:
                tokens[offset] = draw_token(logits[offset], row.request, row.draws)
            if (token := guided.get(offset)) is not None:
                tokens[offset] = token
            stop = self._stop_reason(row, tokens[offset])
            if stop is not None:
                finished.append((row.key, Generated(tuple(row.ids), stop)))
                self._rows[first_row + offset] = None
        return torch.tensor(tokens, device=logits.device).unsqueeze(1), finished

    @torch.inference_mode()
    def _watch(self, logits: torch.Tensor, first_row: int) -> list[tuple[Key, Generated]]:
        """Show each watched row its hazard, before anything is forbidden; rows that a watch ends are marked None."""
        rows = self._rows[first_row:]
        if not any(row is not None and row.request.watch is not None for row in rows):
            return []
        mass = logits[:, self._watched].logsumexp(-1) - logits.logsumexp(-1)
        finished: list[tuple[Key, Generated]] = []
        for offset, (row, hazard) in enumerate(zip(rows, mass.exp().tolist(), strict=True)):
            if row is not None and row.request.watch is not None and row.request.watch.step(hazard):
                finished.append((row.key, Generated(tuple(row.ids), "watch")))
                self._rows[first_row + offset] = None
        return finished

    @torch.inference_mode()
    def _forbid(self, logits: torch.Tensor, first_row: int) -> None:
        """Take away what a request does not allow at its row's place."""
        for offset, row in enumerate(self._rows[first_row:]):
            forbidden = forbidden_ids(row.request, row.ids, self.stop_ids) if row else None
            if forbidden:
                logits[offset, forbidden] = -torch.inf

    def _stop_reason(self, row: _Row[Key], token: int) -> StopReason | None:
        """Add the token to the row; why the row ends here, or None."""
        if token in self.stop_ids:
            return "stop"
        row.ids.append(token)
        if len(row.ids) < row.limit:
            return None
        return "max_tokens" if row.limit == row.request.max_new_tokens else "model_length"

    def _evict(self) -> None:
        """Drop finished rows and the columns that are padding in all that stay."""
        stay = [index for index, row in enumerate(self._rows) if row is not None]
        if len(stay) == len(self._rows):
            return
        if not stay:
            self._reset()
            return
        rows = torch.tensor(stay, device=self._next.device)
        trimmed = min(self._padding[index] for index in stay)
        keep_rows(self._cache, rows, trimmed)
        self._next = self._next[rows]
        self._padding = [self._padding[index] - trimmed for index in stay]
        self._rows = [self._rows[index] for index in stay]
        self._columns -= trimmed

    def _reset(self) -> None:
        self._rows, self._padding, self._columns = [], [], 0
        self._cache = new_cache()


def generate(
    model: PreTrainedModel,
    requests: Sequence[Request],
    *,
    stop_ids: Iterable[int],
    batch_rows: int = 64,
    batch_tokens: int = 262_144,
    share_prefixes: bool = True,
    watched_ids: Iterable[int] = (),
) -> list[Generated]:
    """The answers to all requests, in their order.

    Raises:
        ModelError: an architecture that can't be decoded exactly, or a prompt that does not fit.
    """
    decoder: Decoder[int] = Decoder(
        model,
        stop_ids=stop_ids,
        batch_rows=batch_rows,
        batch_tokens=batch_tokens,
        share_prefixes=share_prefixes,
        watched_ids=watched_ids,
    )
    for index, request in enumerate(requests):
        decoder.submit(index, request)
    answers: dict[int, Generated] = {}
    while decoder.busy:
        answers.update(decoder.step())
    assert len(answers) == len(requests), "every request must come back once"
    return [answers[index] for index in range(len(requests))]


def context_length(model: PreTrainedModel) -> int | None:
    """Most tokens of prompt and response together; None when the model sets no limit."""
    config = model.config.get_text_config()
    limit = getattr(config, "max_position_embeddings", None)
    return int(limit) if limit else None


def check_architecture(model: PreTrainedModel) -> None:
    """Refuse what this loop can't decode exactly.

    Raises:
        ModelError: layers without a key/value cache (recurrent, chunked), or an encoder.
    """
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    unknown = sorted(kinds - {"full_attention", "sliding_attention"})
    if unknown or getattr(config, "is_encoder_decoder", False):
        found = ", ".join(unknown) or "an encoder-decoder"
        raise ModelError(
            f"{type(model).__name__}: found {found}; local generation needs full or sliding attention with a "
            "key/value cache. Serve this model and evaluate it as an endpoint"
        )
