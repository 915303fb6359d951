"""Cross-entropy on supervised positions only, and the model forward that computes it.

    loss = sum_e weight_e * CE(hidden[predict_at_e] @ head.T, target_e) / denominator

Head and loss run inside the model's own forward, and the loss inside the head's: DDP, FSDP and ZeRO-3 synchronise
and gather in the hooks around those calls; reading the head's weight beside them looks right on one process and is
wrong, or a shard, on two.
"""

from __future__ import annotations

import functools
import types
from typing import Any

import torch
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.utils.generic import ModelOutput

from derta.errors import ModelError
from derta.model_classes import decoder_of
from derta.training.attention.mask import TreeAttention, tree_attention

LOGIT_BYTES = 64 * 1024 * 1024  # most bytes of one chunk's float32 logits
GPU_LOGIT_BYTES = 512 * 1024 * 1024  # larger there: each chunk reads and writes the head's whole gradient


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
        need_hidden, need_head = ctx.needs_input_grad[0], ctx.needs_input_grad[1]
        losses = torch.empty(len(hidden), dtype=torch.float32, device=hidden.device)
        grad_hidden = torch.empty_like(hidden) if need_hidden else None
        grad_head = torch.zeros_like(head, dtype=torch.float32) if need_head else None
        chunk = max(1, (LOGIT_BYTES if head.device.type == "cpu" else GPU_LOGIT_BYTES) // (4 * head.shape[0]))
        with torch.autocast(head.device.type, enabled=False):  # types are chosen here, and cast once
            for part in (slice(start, start + chunk) for start in range(0, len(hidden), chunk)):
                taken = hidden[part].to(head.dtype)
                gradient = _chunk(taken @ head.T, target[part], scale[part], losses[part], softcap)
                gradient = gradient.to(head.dtype)
                if grad_hidden is not None:
                    grad_hidden[part] = gradient @ head
                if grad_head is None:
                    continue
                if head.dtype == torch.float32:
                    grad_head.addmm_(gradient.T, taken)  # no temporary of the head's size
                else:
                    grad_head += gradient.T @ taken
        ctx.save_for_backward(grad_hidden, None if grad_head is None else grad_head.to(head.dtype))
        ctx.mark_non_differentiable(losses)
        return (losses * scale).sum(), losses

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        # in place: a copy of the head's gradient costs gigabytes; a second backward is stopped by autograd
        gradients = [None if grad is None else grad.mul_(grad_outputs[0]) for grad in ctx.saved_tensors]
        return (*gradients, None, None, None)


def _chunk(
    product: torch.Tensor,
    target: torch.Tensor,
    scale: torch.Tensor,
    losses: torch.Tensor,
    softcap: float | None,
) -> torch.Tensor:
    """Write a chunk's cross-entropies into `losses`; return d sum(scale * CE) / d product, float32[chunk, V].

    product: hidden @ head.T, before any soft cap. All in place of one float32 copy of it.
    """
    logits = product.float()
    slope = None
    if softcap:
        logits.div_(softcap).tanh_()
        slope = 1 - logits**2  # of the soft cap
        logits.mul_(softcap)
    log_z = torch.logsumexp(logits, dim=-1)
    losses.copy_(log_z - logits.gather(1, target[:, None])[:, 0])
    # d CE / d logits = softmax - one_hot
    gradient = logits.sub_(log_z[:, None]).exp_()
    gradient.scatter_add_(1, target[:, None], torch.full_like(log_z, -1.0)[:, None])
    gradient *= scale[:, None]
    return gradient if slope is None else gradient.mul_(slope)


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


def install_supervised_forward(
    model: PreTrainedModel, *, packed: bool = True, keep_hidden: bool = False
) -> None:
    """Teach the model's forward the supervision list; calls without `predict_at` stay as they were.

    Install it before adapters and wrappers: they call the forward that is changed here. packed=False: every line
    holds one plain row, and the model's own causal attention is right. keep_hidden: the last hidden states are
    returned too, float[R, S, d], for a method's further terms of the loss.

    Raises:
        ModelError: the head does something to its logits that the loss would not do, or attention takes no mask.
    """
    config = model.config.get_text_config()
    head = model.get_output_embeddings()
    if head is None or getattr(head, "bias", None) is not None:
        raise ModelError(f"{type(model).__name__}: need an output head without bias, found {head}")
    softcap, factor = getattr(config, "final_logit_softcapping", None), head_factor(config)
    attention = tree_attention(config) if packed else None
    plain_forward, plain_head = model.forward, head.forward.__func__

    # a method, not a closure over the head: a copy of the head (peft's modules_to_save) computes with its own weight
    @functools.wraps(plain_head)
    def head_forward(
        self: Any,
        hidden: torch.Tensor,
        target_ids: torch.Tensor | None = None,
        scale: torch.Tensor | None = None,
        weight: torch.Tensor | None = None,
    ) -> Any:
        if target_ids is None or scale is None:
            return plain_head(self, hidden)
        weight = _at_compute_precision(self.weight if weight is None else weight)
        if not len(target_ids):  # still takes part in every collective, with zero gradient
            return hidden.sum() * 0.0 + weight.sum() * 0.0, hidden.new_zeros(0)
        scaled = hidden if factor == 1 else hidden * factor
        return chunked_cross_entropy(scaled, weight, target_ids, as_float(scale), softcap)

    @functools.wraps(plain_forward)
    def forward(*args: Any, predict_at: torch.Tensor | None = None, **inputs: Any) -> Any:
        if predict_at is None:
            return plain_forward(*args, **inputs)
        return _supervised(model, attention, predict_at, inputs, keep_hidden=keep_hidden)

    head.forward = types.MethodType(head_forward, head)  # type: ignore[method-assign]
    model.forward = forward  # type: ignore[method-assign]


def head_factor(config: Any) -> float:
    """What a model multiplies its logits with (Cohere, Granite, Falcon-H1); 1 for nearly all."""
    factor = getattr(config, "logit_scale", None) or getattr(config, "lm_head_multiplier", None) or 1.0
    return float(factor) / float(getattr(config, "logits_scaling", None) or 1.0)


def soft_capped(logits: torch.Tensor, config: Any) -> torch.Tensor:
    """Logits as the config bends them (Gemma-2)."""
    cap = getattr(config, "final_logit_softcapping", None)
    return cap * torch.tanh(logits / cap) if cap else logits


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
    model: PreTrainedModel,
    attention: TreeAttention | None,
    predict_at: torch.Tensor,
    inputs: dict[str, Any],
    *,
    keep_hidden: bool,
) -> ModelOutput:
    told: dict[str, Any] = {}
    if attention is not None:
        told["position_ids"] = inputs["position_ids"]
        told["attention_mask"] = attention.masks(inputs["subtree_end"], inputs["position_ids"], model.dtype)
    if getattr(model.config.get_text_config(), "output_router_logits", False):
        told["output_router_logits"] = False  # only a balancing loss would read them; ours has none
    decoder = decoder_of(model)
    hidden = decoder(input_ids=inputs["input_ids"], use_cache=False, **told).last_hidden_state  # (R, S, d)
    chosen = hidden.flatten(0, 1)[predict_at]  # (E, d)
    scale = as_float(inputs["weight"]) / as_float(inputs["denominator"])
    head, own = _head(model)
    loss, entry_loss = head(chosen, target_ids=inputs["target_ids"], scale=as_bits(scale), **own)
    if keep_hidden:
        return ModelOutput(loss=loss, entry_loss=entry_loss, hidden=hidden)
    return ModelOutput(loss=loss, entry_loss=entry_loss)


def _head(model: PreTrainedModel) -> tuple[Any, dict[str, torch.Tensor]]:
    """The head as it is now: adapters may have put a trained copy in its place, or a layer that trains the rows of a
    few tokens (where head and embedding are one tensor), whose weight is put together anew each time.
    """
    head: Any = model.get_output_embeddings()
    tokens = getattr(head, "token_adapter", None)
    if tokens is None:
        return head, {}
    return tokens.get_base_layer(), {"weight": tokens.get_merged_weights(tokens.active_adapters)}


def naive_cross_entropy(
    hidden: torch.Tensor, head: torch.Tensor, target: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """The same loss in one line, for tests and for reading."""
    return (functional.cross_entropy((hidden @ head.T).float(), target, reduction="none") * scale).sum()
