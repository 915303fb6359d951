"""Low-rank adapters on every attention and MLP projection, or on the recipe's own choice; the rest stays as it was.

    linear modules in a decoder layer     q, k, v, o, gate, up, down, fused forms (Phi-3, GPT-2)   by module name
    3-D weights shared by all experts     Mixtral, Qwen3-MoE: gate_up_proj, down_proj              by parameter name
    linear modules beside such experts    DeepSeek, GLM-4.5: dense layers, shared experts          by parameter name

The adapter is saved as peft saves it (safetensors) and loads with plain peft or transformers.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import torch
from transformers import BitsAndBytesConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from derta.errors import ModelError
from derta.training.lora_targets import Targets, chosen_targets, short_names
from derta.training.recipe import LoraSettings


def add_lora(model: PreTrainedModel, settings: LoraSettings) -> Any:
    """Freeze the model and put adapters in; returns peft's model around it.

    Install the supervised forward first: peft's forward calls the one inside.

    Raises:
        ModelError: a target that is not there, or that peft can't adapt.
    """
    from peft import LoraConfig, get_peft_model  # takes seconds to import

    targets = chosen_targets(model, settings)
    if targets.parameters and settings.dropout:
        raise ModelError(
            f"{model.config.model_type}: its experts share weight tensors ({', '.join(targets.leaves)}), where "
            f"peft has no dropout; found lora.dropout = {settings.dropout}, set lora.dropout: 0"
        )
    _check_trained_whole(model, settings)
    modules = dict(model.named_modules())
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=settings.r,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=short_names(targets.modules, list(modules)) or None,
        target_parameters=targets.parameter_names(model) or None,
        # peft reads the ends of names: what is no target though it ends like one; never the head
        exclude_modules=targets.excluded or None,
        fan_in_fan_out=any(isinstance(modules[name], Conv1D) for name in targets.modules),
        modules_to_save=settings.modules_to_save,
        trainable_token_indices=settings.trainable_token_indices,
        use_dora=settings.use_dora,
        use_rslora=settings.use_rslora,
    )
    try:
        adapted = get_peft_model(model, config)
    except (ValueError, NotImplementedError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"{model.config.model_type}: adapters can't be put in: {reason}") from None
    _check_all_adapted(adapted, targets)
    return adapted


def _check_trained_whole(model: PreTrainedModel, settings: LoraSettings) -> None:
    """Modules and tokens trained beside the adapter must be there; a tied embedding can't be trained apart."""
    names = [name for name, _ in model.named_modules()]
    for wanted in settings.modules_to_save or ():
        if not any(name == wanted or name.endswith(f".{wanted}") for name in names):
            raise ModelError(f"lora.modules_to_save: {wanted!r} is no module of {model.config.model_type}")
    embedding: Any = model.get_input_embeddings()
    head: Any = model.get_output_embeddings()
    tied = head is not None and getattr(head, "weight", None) is embedding.weight
    if tied and settings.modules_to_save:
        ends = [name.split(".")[-1] for name, module in model.named_modules() if module in (embedding, head)]
        if set(ends) & {wanted.split(".")[-1] for wanted in settings.modules_to_save}:
            raise ModelError(
                f"lora.modules_to_save: {model.config.model_type}'s embedding and head are one tensor, which peft "
                "would train as two; name tokens in lora.trainable_token_indices, or tune the whole model"
            )
    highest = max(settings.trainable_token_indices or [0])
    if not 0 <= highest < embedding.weight.shape[0] or min(settings.trainable_token_indices or [0]) < 0:
        raise ModelError(
            f"lora.trainable_token_indices: found {highest}, need ids from 0 to {embedding.weight.shape[0] - 1}"
        )


def _check_all_adapted(adapted: Any, targets: Targets) -> None:
    """peft adapts by name and says nothing about what its names missed."""
    from peft.tuners.lora import LoraLayer, ParamWrapper

    layers = [module for module in adapted.modules() if isinstance(module, LoraLayer)]
    wrapped = sum(isinstance(layer, ParamWrapper) for layer in layers)
    found = (len(layers) - wrapped, wrapped)
    num_modules, num_parameters = len(targets.modules), len(targets.parameters)
    if found != (num_modules, num_parameters):
        raise ModelError(
            f"{adapted.config.model_type}: {num_modules} projections and {num_parameters} expert tensors to adapt, "
            f"peft adapted {found[0]} and {found[1]}; this architecture can't be tuned with LoRA, drop `lora:`"
        )


def four_bit(device: torch.device) -> BitsAndBytesConfig:
    """QLoRA's storage of frozen weights: NF4 with doubly quantised scales, computed in bfloat16.

    Raises:
        ModelError: no GPU, or no bitsandbytes.
    """
    if device.type != "cuda":
        raise ModelError(
            f"model.load_in_4bit: needs an NVIDIA GPU, found device {device.type}; set load_in_4bit: false"
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ModelError(
            "model.load_in_4bit: bitsandbytes is not installed; pip install 'derta[qlora]', or set it to false"
        )
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
