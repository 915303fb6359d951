"""Cross-entropy on supervised positions only, and the model forward that computes it.

    loss = sum_e weight_e * CE(hidden[predict_at_e] @ head.T, target_e) / denominator

Head and loss run inside the model's own forward, and the loss inside the head's: DDP, FSDP and ZeRO-3 synchronise
and gather in the hooks around those calls; reading the head's weight beside them looks right on one process and is
wrong, or a shard, on two.
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
    plain_forward, plain_head = model.forward, head.forward

    @functools.wraps(plain_head)
    def head_forward(
        hidden: torch.Tensor, target_ids: torch.Tensor | None = None, scale: torch.Tensor | None = None
    ) -> Any:
        if target_ids is None or scale is None:
            return plain_head(hidden)
        weight = _at_compute_precision(head.weight)
        if not len(
            target_ids
        ):  # an empty micro-batch still takes part in every collective, with zero gradient
            return hidden.sum() * 0.0 + weight.sum() * 0.0, hidden.new_zeros(0)
        return chunked_cross_entropy(hidden, weight, target_ids, as_float(scale), softcap)

    @functools.wraps(plain_forward)
    def forward(*args: Any, predict_at: torch.Tensor | None = None, **inputs: Any) -> Any:
        if predict_at is None:
            return plain_forward(*args, **inputs)
        return _supervised(model, head, predict_at, inputs)

    head.forward = head_forward  # type: ignore[method-assign]
    model.forward = forward  # type: ignore[method-assign]


def as_bits(tensor: torch.Tensor) -> torch.Tensor:
    """A float32 tensor as int32 of the same bits.

    FSDP2 and DeepSpeed cast floating inputs to their compute type; a denominator of 21,037 would arrive as 20,992.
    """
    return tensor.view(torch.int32)


def as_float(tensor: torch.Tensor) -> torch.Tensor:
    """What `as_bits` hid; a float tensor is returned as it is."""
    return tensor.view(torch.float32) if tensor.dtype == torch.int32 else tensor


def _at_compute_precision(weight: torch.Tensor) -> torch.Tensor:
    """Cast once where autocast would cast again for every chunk."""
    kind = weight.device.type
    return weight.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else weight


def _supervised(
    model: PreTrainedModel, head: torch.nn.Module, predict_at: torch.Tensor, inputs: dict[str, Any]
) -> ModelOutput:
    hidden = model.get_decoder()(
        input_ids=inputs["input_ids"],
        position_ids=inputs["position_ids"],
        attention_mask=tree_mask(inputs["subtree_end"]),
        use_cache=False,
    ).last_hidden_state  # (R, S, d)
    chosen = hidden.flatten(0, 1)[predict_at]  # (E, d)
    scale = as_float(inputs["weight"]) / as_float(inputs["denominator"])
    loss, entry_loss = head(chosen, target_ids=inputs["target_ids"], scale=as_bits(scale))
    return ModelOutput(loss=loss, entry_loss=entry_loss)


def naive_cross_entropy(
    hidden: torch.Tensor, head: torch.Tensor, target: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """The same loss in one line, for tests and for reading."""
    return (functional.cross_entropy((hidden @ head.T).float(), target, reduction="none") * scale).sum()
