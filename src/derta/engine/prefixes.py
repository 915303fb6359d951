"""Prompts that begin alike are computed once: a tree of token runs over one long row of keys and values.

    prompts   role demos q1        columns   [role demos][q1][q2][template t][q3]
              role demos q2        runs       0           1   2   3           4
              template t q3        parent     -           0   0   -           3

New runs of all prompts are computed together in one packed line, without padding; every token attends along
its own path only. The runs stay for later prompts; when there are too many, the longest unused ones go.
Positions and attention are those of each prompt alone, so answers are the same up to rounding.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from transformers import PreTrainedModel
from transformers.cache_utils import Cache

from derta.engine.cache import keep_columns, new_cache, rows_along
from derta.engine.node_attention import attention_by_node, nodes_of_line
from derta.engine.scorer import TOLERANCE
from derta.engine.self_check import evaluating, some_ids
from derta.engine.token_tree import MIN_SHARED, Node, common_prefix

LINE_TOKENS = 8192  # of one packed forward pass: bounds its activations
KEPT_SHARE = 4  # when there are too many tokens, a quarter of the allowed ones goes too: copies are then rare
LENGTH_DEPENDENT = ("dynamic", "longrope")  # rotary embeddings that change with the longest row of a batch
CHECK_TOKENS = 48  # of each of the self-check's prompts; half of them shared
LOW_PRECISION_TOLERANCE = 0.1

Ids = Sequence[int]


@dataclass(eq=False)
class _Run:
    """Tokens that follow each other in all prompts that hold them. start: first column; depth: first position."""

    ids: list[int]
    start: int
    depth: int
    parent: _Run | None
    children: list[_Run] = field(default_factory=list)
    used: int = 0  # the latest prefill that needed it

    @property
    def path(self) -> list[tuple[int, int]]:
        """(first column, end) from the root to this run, neighbours joined."""
        runs: list[_Run] = []
        run: _Run | None = self
        while run is not None and run.ids:
            runs.append(run)
            run = run.parent
        ranges: list[tuple[int, int]] = []
        for entry in reversed(runs):
            end = entry.start + len(entry.ids)
            if ranges and ranges[-1][1] == entry.start:
                ranges[-1] = (ranges[-1][0], end)
            else:
                ranges.append((entry.start, end))
        return ranges


class Prefixes:
    """The keys and values of earlier prompts of one model.

    most_tokens: kept between two prefills. computed: tokens that went through the model so far.
    """

    def __init__(self, model: PreTrainedModel, most_tokens: int) -> None:
        self.model = model
        self.most_tokens = most_tokens
        self.computed = 0
        self._root = _Run([], 0, 0, None)
        self._cache = new_cache()
        self._columns = 0  # in the cache
        self._line: list[int] = []  # tokens of the columns that come next, not computed yet
        self._fresh: list[_Run] = []  # the runs of the line
        self._time = 0

    def prefill(self, prompts: Sequence[Ids]) -> tuple[Cache, torch.Tensor]:
        """(cache with a right-aligned row per prompt, logits (rows, vocabulary) after each prompt)."""
        self._time += 1
        ends: list[_Run] = []
        logits: list[torch.Tensor] = []
        with attention_by_node(self.model):
            for ids in prompts:
                ends.append(self._place(ids))
                if len(self._line) >= LINE_TOKENS:
                    logits.append(self._compute(ends[sum(map(len, logits)) :]))
            if self._line:
                logits.append(self._compute(ends[sum(map(len, logits)) :]))
        rows = rows_along(self._cache, self._places(ends, prompts))
        self._forget()
        return rows, torch.cat(logits)

    def _place(self, ids: Ids) -> _Run:
        """The run that ends with this prompt's last token, which is always new: its logits are asked for."""
        parent, depth = self._root, 0
        while True:
            parent.used = self._time
            rest = ids[depth:-1]
            shared, run = max(
                ((common_prefix(run.ids, rest), run) for run in parent.children),
                key=lambda found: found[0],
                default=(0, parent),
            )
            if shared == 0 or shared < min(MIN_SHARED, len(run.ids)):
                return self._add(ids[depth:], depth, parent)
            parent = run if shared == len(run.ids) else self._split(run, shared)
            depth += shared

    def _add(self, ids: Ids, depth: int, parent: _Run) -> _Run:
        run = _Run(list(ids), self._columns + len(self._line), depth, parent, used=self._time)
        parent.children.append(run)
        self._line += ids
        self._fresh.append(run)
        return run

    def _split(self, run: _Run, at: int) -> _Run:
        """A new run of the first `at` tokens, above the rest: `run` still ends where it ended."""
        assert run.parent is not None
        head = _Run(run.ids[:at], run.start, run.depth, run.parent, [run], self._time)
        run.parent.children[run.parent.children.index(run)] = head
        if run.start >= self._columns:
            self._fresh.append(head)
        run.ids, run.start, run.depth, run.parent = run.ids[at:], run.start + at, run.depth + at, head
        return head

    @torch.inference_mode()
    def _compute(self, ends: Sequence[_Run]) -> torch.Tensor:
        """Run the line through the model; the logits after the last tokens of `ends`."""
        fresh = sorted(self._fresh, key=lambda run: run.start)
        nodes = [_node(run) for run in fresh]
        positions = [run.depth + place for run in fresh for place in range(len(run.ids))]
        assert len(positions) == len(self._line), "every token of the line belongs to one run"
        device = self.model.device
        last = [run.start + len(run.ids) - 1 - self._columns for run in ends]
        with nodes_of_line(nodes):
            output = self.model(
                input_ids=torch.tensor([self._line], device=device),
                position_ids=torch.tensor([positions], device=device),
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=torch.tensor(last, device=device),
            )
        self.computed += len(self._line)
        self._columns += len(self._line)
        self._line, self._fresh = [], []
        logits: torch.Tensor = output.logits[0].float()
        return logits

    def _places(self, ends: Sequence[_Run], prompts: Sequence[Ids]) -> torch.Tensor:
        """(rows, longest prompt): the column of each row's tokens, right-aligned; any column where it has none."""
        width = max(map(len, prompts))
        places = torch.zeros(len(prompts), width, dtype=torch.long)
        for row, (run, ids) in enumerate(zip(ends, prompts, strict=True)):
            path = torch.cat([torch.arange(start, end) for start, end in run.path])
            assert len(path) == len(ids), "a path must hold its prompt"
            places[row, width - len(ids) :] = path
        return places.to(self.model.device)

    def _forget(self) -> None:
        """Drop the runs that were not used for longest, from the leaves, once there are too many tokens."""
        if self._columns <= self.most_tokens:
            return
        left, most = self._columns, self.most_tokens - self.most_tokens // KEPT_SHARE
        runs = self._runs()
        for run in sorted(runs, key=lambda run: (run.used, -run.depth)):  # below comes no later than above
            if left <= most:
                break
            assert run.parent is not None
            assert not run.children, "a run is at least as fresh as those below it"
            run.parent.children.remove(run)
            left -= len(run.ids)
        kept = sorted(self._runs(), key=lambda run: run.start)
        columns = [torch.arange(run.start, run.start + len(run.ids)) for run in kept]
        self._columns = 0
        for run in kept:
            run.start = self._columns
            self._columns += len(run.ids)
        if kept:
            keep_columns(self._cache, torch.cat(columns).to(self.model.device))
        else:
            self._cache = new_cache()

    def _runs(self) -> list[_Run]:
        found: list[_Run] = []
        waiting = list(self._root.children)
        while waiting:
            run = waiting.pop()
            found.append(run)
            waiting += run.children
        return found


_checked: weakref.WeakKeyDictionary[PreTrainedModel, bool] = weakref.WeakKeyDictionary()


def can_share(model: PreTrainedModel) -> bool:
    """Whether this model's prompts can be computed along a tree: by its name, then by a check of its numbers.

    Left out: attention other than plain SDPA (soft caps, sinks), rotary embeddings that depend on the longest
    row of a batch, architectures with an attention of their own.
    """
    if model not in _checked:
        with evaluating(model):
            _checked[model] = _is_plain(model) and _agrees(model)
    return _checked[model]


def _is_plain(model: PreTrainedModel) -> bool:
    config = model.config.get_text_config()
    rope = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    kinds = {entry.get("rope_type") for entry in (rope, *rope.values()) if isinstance(entry, dict)}
    return (
        model.config._attn_implementation == "sdpa"
        and not kinds & set(LENGTH_DEPENDENT)
        and "logits_to_keep" in inspect.signature(model.forward).parameters
    )


@torch.inference_mode()
def _agrees(model: PreTrainedModel) -> bool:
    """Compare with one plain forward pass per prompt, on prompts that part in the middle."""
    trunk, *tails = some_ids(model, 2 * CHECK_TOKENS).view(4, -1).tolist()
    prompts = [trunk + tail for tail in tails]
    tree = Prefixes(model, CHECK_TOKENS)
    try:
        found = torch.cat([tree.prefill(prompts[:1])[1], tree.prefill(prompts[1:])[1]])
    except ValueError:  # an architecture that takes no attention implementation but its own
        return False
    wanted = torch.cat(
        [model(input_ids=torch.tensor([ids], device=model.device)).logits[:, -1].float() for ids in prompts]
    )
    difference = (found.log_softmax(-1) - wanted.log_softmax(-1)).abs().mean()
    return float(difference) <= TOLERANCE.get(model.dtype, LOW_PRECISION_TOLERANCE)


def _node(run: _Run) -> Node:
    """A run as the attention sees it; its neighbours above may have been joined with it."""
    path = run.path
    start, end = path[-1]
    above = path[:-1] if start == run.start else [*path[:-1], (start, run.start)]
    return Node(run.start, end, tuple(above))
