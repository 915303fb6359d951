"""How likely a model is to begin its answer with given words, for many prompts at once.

    score(prompt, target) = mean over the target's tokens of log P(token | prompt, target so far)

Scored on packed lines (`token_tree.py`): no padding, common prefixes computed once, logits at the target's
positions only. Equal to one full forward pass per prompt up to rounding.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from derta.engine.node_attention import attention_by_node, nodes_of_line
from derta.engine.self_check import evaluating, largest, some_ids
from derta.engine.token_tree import build_tree, common_prefix, split_by_tokens
from derta.errors import ModelError

Pair = tuple[Sequence[int], Sequence[int]]  # prompt ids, target ids

CHECK_LENGTH = 48  # tokens of the self-check's sequences; half of them shared
TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-6}  # of the self-check, in log-probability
LOW_PRECISION_TOLERANCE = 0.25


class TargetScorer:
    """Scores on one model. At its first use it is checked that the model really attends along the tree.

    batch_tokens: tokens of one packed line, a bound on memory. A model that can't be scored packed (an
    architecture with its own attention) is scored one prompt at a time: the same numbers, slower.
    """

    def __init__(self, model: PreTrainedModel, *, batch_tokens: int = 4096) -> None:
        self.model = model
        self.batch_tokens = batch_tokens
        self._packed: bool | None = None

    @property
    def is_packed(self) -> bool:
        """Whether packed lines give this model's own numbers."""
        if self._packed is None:
            with evaluating(self.model):
                self._packed = _attends_along_trees(self.model)
        return self._packed

    def score(self, pairs: Sequence[Pair]) -> list[float]:
        """The scores in the order of the pairs; the model's mode is restored.

        Raises:
            ModelError: an empty prompt or target, or a pair longer than the model's context.
        """
        _check(self.model, pairs)
        with evaluating(self.model):
            if self.is_packed:
                return packed_scores(self.model, pairs, batch_tokens=self.batch_tokens)
            return plain_scores(self.model, pairs)


@torch.inference_mode()
def packed_scores(model: PreTrainedModel, pairs: Sequence[Pair], *, batch_tokens: int) -> list[float]:
    """Scores on packed lines."""
    sequences = [_sequence(pair) for pair in pairs]
    scores = [0.0] * len(pairs)
    with attention_by_node(model):
        for group in split_by_tokens(sequences, batch_tokens):
            found = _score_line(model, [pairs[index] for index in group])
            for index, score in zip(group, found, strict=True):
                scores[index] = score
    return scores


@torch.inference_mode()
def plain_scores(model: PreTrainedModel, pairs: Sequence[Pair]) -> list[float]:
    """Scores from one full forward pass per pair: the definition, and the way for unusual architectures."""
    scores = []
    for pair in pairs:
        ids = torch.tensor([_sequence(pair)], device=model.device)
        logits = model(input_ids=ids, use_cache=False).logits[0, len(pair[0]) - 1 :]  # (|target|, V)
        scores.append(float(_log_p(logits, pair[1]).mean()))
    return scores


def _score_line(model: PreTrainedModel, pairs: Sequence[Pair]) -> list[float]:
    tree = build_tree([_sequence(pair) for pair in pairs])
    kept: dict[int, int] = {}  # place in the line -> row of the logits
    rows = [
        [kept.setdefault(place, len(kept)) for place in places[len(prompt) - 1 :]]
        for (prompt, _), places in zip(pairs, tree.places, strict=True)
    ]
    with nodes_of_line(tree.nodes):
        output = model(
            input_ids=torch.tensor([tree.ids], device=model.device),
            position_ids=torch.tensor([tree.position_ids], device=model.device),
            use_cache=False,
            logits_to_keep=torch.tensor(list(kept), device=model.device),
        )
    logits = output.logits[0]  # (kept, V)
    normaliser = torch.cat([part.float().logsumexp(-1) for part in logits.split(64)])  # (kept,)
    wanted = [(row, token) for found, (_, target) in zip(rows, pairs, strict=True)
              for row, token in zip(found, target, strict=True)]  # fmt: skip
    row_index, token_index = torch.tensor(wanted, device=logits.device).T
    log_p = logits[row_index, token_index].float() - normaliser[row_index]
    means = [part.mean() for part in log_p.split([len(target) for _, target in pairs])]
    scores: list[float] = torch.stack(means).tolist()
    return scores


def _log_p(logits: torch.Tensor, target: Sequence[int]) -> torch.Tensor:
    """log P of each target token; logits (|target|, V)."""
    chosen = torch.tensor(list(target), device=logits.device).unsqueeze(1)
    return logits.float().log_softmax(-1).gather(1, chosen)[:, 0]


def _sequence(pair: Pair) -> list[int]:
    """What the model reads: the prompt and the target without its last token, after which nothing is asked."""
    return [*pair[0], *pair[1][:-1]]


def _attends_along_trees(model: PreTrainedModel) -> bool:
    """Compare packed with plain scores on sequences that part in the middle."""
    if "logits_to_keep" not in inspect.signature(model.forward).parameters:
        return False
    trunk, *tails = some_ids(model, 2 * CHECK_LENGTH).view(4, -1).tolist()
    pairs: list[Pair] = [(trunk + tail[:-4], tail[-4:]) for tail in tails] + [(tails[0], trunk[:3])]
    assert common_prefix(_sequence(pairs[0]), _sequence(pairs[1])) >= len(trunk)
    packed = packed_scores(model, pairs, batch_tokens=8 * CHECK_LENGTH)
    tolerance = TOLERANCE.get(model.dtype, LOW_PRECISION_TOLERANCE)
    plain = plain_scores(model, pairs)
    return largest(abs(a - b) for a, b in zip(packed, plain, strict=True)) <= tolerance


def _check(model: PreTrainedModel, pairs: Sequence[Pair]) -> None:
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    for prompt, target in pairs:
        if not prompt or not target:
            raise ModelError(
                "target scoring: found an empty prompt or target, need at least one token of each"
            )
        if limit is not None and len(prompt) + len(target) > limit:
            raise ModelError(
                f"prompt and target of {len(prompt) + len(target)} tokens: the model's context holds {limit}; use "
                "shorter prototype prompts or another model"
            )
