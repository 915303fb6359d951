"""Low-rank adapters on every attention and MLP projection; the rest of the model stays as it was.

    nn.Linear in a decoder layer          q, k, v, o, gate, up, down, and fused forms (Phi-3)      by module name
    3-D weights shared by all experts     Mixtral, Qwen3-MoE: gate_up_proj, down_proj              by parameter name

The adapter is saved as peft saves it (safetensors) and loads with plain peft or transformers.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import torch
from torch import nn
from transformers import BitsAndBytesConfig, PreTrainedModel

from derta.errors import ModelError
from derta.training.recipe import LoraSettings

ROUTERS = ("gate", "router", "shared_expert_gate")  # they choose experts; they are no projections


def add_lora(model: PreTrainedModel, settings: LoraSettings) -> Any:
    """Freeze the model and put adapters in; returns peft's model around it.

    Install the supervised forward first: peft's forward calls the one inside.

    Raises:
        ModelError: peft can't adapt some projection of this architecture.
    """
    from peft import LoraConfig, get_peft_model  # takes seconds to import

    modules, parameters = projections(model)
    if parameters and settings.dropout:
        raise ModelError(
            f"{model.config.model_type}: its experts share weight tensors ({', '.join(_leaves(parameters))}), where "
            f"peft has no dropout; found lora.dropout = {settings.dropout}, set lora.dropout: 0"
        )
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=settings.r,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=_leaves(modules),
        target_parameters=[".".join(name.split(".")[-2:]) for name in parameters] or None,
        # a module may share its last name with a projection (a router called `gate_proj`); never the head
        exclude_modules=[name for name, _ in model.named_modules() if name.split(".")[-1] in ROUTERS] or None,
    )
    try:
        adapted = get_peft_model(model, config)
    except (ValueError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"{model.config.model_type}: adapters can't be put in: {reason}") from None
    _check_all_adapted(adapted, len(modules), len(parameters))
    return adapted


def projections(model: PreTrainedModel) -> tuple[list[str], list[str]]:
    """Names of all linear modules and of all expert weight tensors inside the decoder's layers.

    Raises:
        ModelError: the architecture has none.
    """
    layers = _layers(model)
    inside = {id(module) for module in layers.modules()}
    modules = [
        name
        for name, module in model.named_modules()
        if id(module) in inside and isinstance(module, nn.Linear) and name.split(".")[-1] not in ROUTERS
    ]
    weights = {id(parameter) for parameter in layers.parameters() if parameter.ndim == 3}
    parameters = [name for name, parameter in model.named_parameters() if id(parameter) in weights]
    if not modules:
        raise ModelError(f"{model.config.model_type}: no linear projection found to put adapters on")
    return modules, parameters


def _layers(model: PreTrainedModel) -> nn.Module:
    layers = getattr(model.get_decoder(), "layers", None)
    if not isinstance(layers, nn.ModuleList):
        raise ModelError(f"{model.config.model_type}: its decoder has no list of layers to put adapters in")
    return layers


def _leaves(names: list[str]) -> list[str]:
    return sorted({name.split(".")[-1] for name in names})


def _check_all_adapted(adapted: Any, num_modules: int, num_parameters: int) -> None:
    """peft adapts by name and says nothing about what its names missed."""
    from peft.tuners.lora import LoraLayer, ParamWrapper

    layers = [module for module in adapted.modules() if isinstance(module, LoraLayer)]
    wrapped = sum(isinstance(layer, ParamWrapper) for layer in layers)
    found = (len(layers) - wrapped, wrapped)
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
