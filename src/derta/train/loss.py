"""Cross-entropy on supervised positions only, and the model forward that computes it.

    loss = sum_e weight_e * CE(hidden[predict_at_e] @ head.T, target_e) / denominator

Head and loss run inside the model's own forward: DDP and FSDP synchronise and gather there; computing the head
beside the model looks right on one process and is wrong on two.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.utils.generic import ModelOutput

from derta.errors import ModelError
from derta.train.attention import tree_mask

LOGIT_BYTES = 64 * 1024 * 1024  # most bytes of one chunk's logits


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Gradients are made with the loss, chunk by chunk, so that no chunk's logits outlive it.

    forward: hidden[E, d], head[V, d], target int64[E], scale float32[E] -> (sum_e scale_e * CE_e, CE float32[E]).
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        head: torch.Tensor,
        target: torch.Tensor,
        scale: torch.Tensor,
        softcap: float | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        chunk = max(1, LOGIT_BYTES // (4 * head.shape[0]))
        need_hidden, need_head = ctx.needs_input_grad[0], ctx.needs_input_grad[1]
        losses = torch.empty(len(hidden), dtype=torch.float32, device=hidden.device)
        grad_hidden = torch.empty_like(hidden) if need_hidden else None
        grad_head = torch.zeros_like(head, dtype=torch.float32) if need_head else None
        for start in range(0, len(hidden), chunk):
            part = slice(start, start + chunk)
            raw = (hidden[part] @ head.T).float()  # (chunk, V)
            logits = softcap * torch.tanh(raw / softcap) if softcap else raw
            log_z = torch.logsumexp(logits, dim=-1)
            losses[part] = log_z - logits.gather(1, target[part, None])[:, 0]
            if not (need_hidden or need_head):
                continue
            # d CE / d logits = softmax - one_hot, scaled; through the soft cap: times 1 - (logits / cap)^2
            gradient = torch.exp(logits - log_z[:, None])
            gradient.scatter_add_(1, target[part, None], torch.full_like(log_z, -1.0)[:, None])
            gradient *= scale[part, None]
            if softcap:
                gradient *= 1 - (logits / softcap) ** 2
            gradient = gradient.to(hidden.dtype)
            if grad_hidden is not None:
                grad_hidden[part] = gradient @ head
            if grad_head is not None:
                grad_head += gradient.T @ hidden[part]
        ctx.save_for_backward(grad_hidden, None if grad_head is None else grad_head.to(head.dtype))
        ctx.mark_non_differentiable(losses)
        return (losses * scale).sum(), losses

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        grad_hidden, grad_head = ctx.saved_tensors
        factor = grad_outputs[0]
        return (
            None if grad_hidden is None else grad_hidden * factor.to(grad_hidden.dtype),
            None if grad_head is None else grad_head * factor.to(grad_head.dtype),
            None,
            None,
            None,
        )


def chunked_cross_entropy(
    hidden: torch.Tensor,
    head: torch.Tensor,
    target: torch.Tensor,
    scale: torch.Tensor,
    softcap: float | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weighted sum of cross-entropies and each entry's own, without ever holding all logits.

    hidden: [E, d]; head: [V, d]; target: int64[E]; scale: float32[E]. Returns (scalar, float32[E] detached).
    """
    total, losses = _ChunkedCrossEntropy.apply(hidden, head, target, scale, softcap)
    return total, losses


def install_supervised_forward(model: PreTrainedModel) -> None:
    """Teach the model's forward the supervision list; calls without `predict_at` stay as they were.

    Raises:
        ModelError: the head does something to its logits that the loss would not do.
    """
    config = model.config.get_text_config()
    for name in ("logit_scale", "logits_scaling", "lm_head_multiplier"):
        if getattr(config, name, None) not in (None, 1, 1.0):
            raise ModelError(
                f"{type(model).__name__}: its head scales logits ({name}), which the supervised loss does not "
                "support; such a model can't be trained exactly"
            )
    head = model.get_output_embeddings()
    if head is None or getattr(head, "bias", None) is not None:
        raise ModelError(f"{type(model).__name__}: need an output head without bias, found {head}")
    softcap = getattr(config, "final_logit_softcapping", None)
    plain_forward = model.forward

    @functools.wraps(plain_forward)
    def forward(*args: Any, predict_at: torch.Tensor | None = None, **inputs: Any) -> Any:
        if predict_at is None:
            return plain_forward(*args, **inputs)
        return _supervised(model, head.weight, softcap, predict_at, inputs)

    model.forward = forward  # type: ignore[method-assign]


def _supervised(
    model: PreTrainedModel,
    head: torch.Tensor,
    softcap: float | None,
    predict_at: torch.Tensor,
    inputs: dict[str, Any],
) -> ModelOutput:
    hidden = model.get_decoder()(
        input_ids=inputs["input_ids"],
        position_ids=inputs["position_ids"],
        attention_mask=tree_mask(inputs["subtree_end"]),
        use_cache=False,
    ).last_hidden_state  # (R, S, d)
    chosen = hidden.flatten(0, 1)[predict_at]  # (E, d)
    if not len(predict_at):  # an empty micro-batch still takes part in every collective, with zero gradient
        return ModelOutput(loss=hidden.sum() * 0.0 + head.sum() * 0.0, entry_loss=hidden.new_zeros(0))
    scale = inputs["weight"] / inputs["denominator"]
    loss, entry_loss = chunked_cross_entropy(chosen, head, inputs["target_ids"], scale, softcap)
    return ModelOutput(loss=loss, entry_loss=entry_loss)


def naive_cross_entropy(
    hidden: torch.Tensor, head: torch.Tensor, target: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """The same loss in one line, for tests and for reading."""
    return (functional.cross_entropy((hidden @ head.T).float(), target, reduction="none") * scale).sum()
