"""What goes into a checkpoint, by the way the model is spread over processes.

replicated   one process, or DDP: the first process writes all                (save_pretrained, optimizer)
fsdp         each process writes its shards; resume with as many processes    (ours, safetensors)
deepspeed    the library's own sharded saving inside our sealed folder        (pickled: see docs/scaling.md)
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel, Trainer

from derta.errors import RunError
from derta.files import write_json
from derta.training.checkpoints.checkpoint import (
    load_optimizer,
    local_part,
    publish,
    rotate,
    save_optimizer,
    save_random_state,
)
from derta.training.processes import WRITE_ERRORS, on_every, on_first

Sharding = Literal["replicated", "fsdp", "deepspeed"]


def sharding(trainer: Any) -> Sharding:
    """How the model is spread over processes.

    Raises:
        RunError: a way that is not supported.
    """
    if trainer.is_deepspeed_enabled:
        return "deepspeed"
    if trainer.is_fsdp_enabled:
        if trainer.accelerator.state.fsdp_plugin.fsdp_version != 2:
            raise RunError("FSDP 1 is not supported; set fsdp_version: 2 in the accelerate configuration")
        return "fsdp"
    if os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true":
        raise RunError("FSDP is asked for, but accelerate shards on several GPUs only; launch without it")
    return "replicated"


def save_checkpoint(trainer: Trainer) -> None:
    """Write checkpoint-N under a temporary name, then publish it; on any trouble nothing is left of it.

    Raises:
        RunError: it could not be written; the one before is as it was.
    """
    assert trainer.args.output_dir is not None
    step = trainer.state.global_step
    folder = Path(trainer.args.output_dir)
    temporary = folder / f".checkpoint-{step}.tmp"
    try:
        on_first(lambda: _empty(temporary))
        on_every(lambda: _write_own_part(trainer, temporary))
        if sharding(trainer) == "deepspeed":
            trainer._save_optimizer_and_scheduler(str(temporary))
        on_first(lambda: publish(temporary, folder / f"checkpoint-{step}"))
        on_first(lambda: rotate(folder, trainer.args.save_total_limit or 2))
    except (RunError, *WRITE_ERRORS) as error:
        if trainer.args.should_save:
            shutil.rmtree(temporary, ignore_errors=True)
        raise RunError(
            f"step {step}: checkpoint can't be written: {error}; the ones before are untouched. Make room, then run "
            "the same command again"
        ) from None


def load_shard(checkpoint: Path, model: nn.Module, optimizer: torch.optim.Optimizer, rank: int) -> None:
    """Put this process's shards of weights and optimizer state back.

    Raises:
        RunError: the checkpoint holds shards of another model.
    """
    stored = load_file(checkpoint / f"shard-{rank}.safetensors")
    with torch.no_grad():
        for name, parameter in _trained(model):
            part = local_part(parameter)
            if name not in stored or stored[name].shape != part.shape:
                raise RunError(f"{checkpoint}: holds no shard of {name} for process {rank}")
            part.copy_(stored[name])
    load_optimizer(checkpoint, optimizer, f"-{rank}")


def check_processes(checkpoint: Path, trainer: Any) -> None:
    """Refuse a checkpoint whose shards don't fit this launch.

    Raises:
        RunError: names what it was written with.
    """
    path = checkpoint / "processes.json"
    before = json.loads(path.read_text(encoding="utf-8"))
    now = {"sharding": sharding(trainer), "processes": trainer.args.world_size}
    if before["sharding"] == now["sharding"] and (now["sharding"] == "replicated" or before == now):
        return
    raise RunError(
        f"{checkpoint}: written with {before['processes']} process(es), {before['sharding']}; this launch has "
        f"{now['processes']}, {now['sharding']}. Launch as before, or start anew in another run_dir"
    )


def save_model(trainer: Trainer, folder: Path) -> None:
    """The model (or adapter) whole and plain, as `from_pretrained` reads it; by the first process, all take part."""
    how = sharding(trainer)
    assert isinstance(trainer.model, nn.Module)
    if how == "replicated":
        on_first(lambda: trainer.model.save_pretrained(folder))  # type: ignore[union-attr,operator]
        return
    model = trainer.accelerator.unwrap_model(trainer.model, keep_torch_compile=False)
    if how == "fsdp":
        state = _gathered(model, keep=trainer.args.should_save)
    else:
        state = trainer.accelerator.get_state_dict(trainer.deepspeed)
    on_first(lambda: model.save_pretrained(folder, state_dict=state))


def _gathered(model: Any, *, keep: bool) -> dict[str, torch.Tensor]:
    """Whole tensors of a sharded model, one at a time, kept on the first process's host memory; of an adapter model
    only the adapter's.
    """
    state = model.state_dict()
    if isinstance(model, PreTrainedModel):
        for copy in model.all_tied_weights_keys:  # one tensor on one process, two names in shards
            state.pop(copy, None)
    else:
        state = {name: state[name] for name, _ in _trained(model)}
    whole = {}
    for name, tensor in state.items():
        full = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
        if keep:
            whole[name] = full.detach().cpu()
    return whole


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _write_own_part(trainer: Trainer, folder: Path) -> None:
    rank, how = trainer.args.process_index, sharding(trainer)
    assert trainer.optimizer is not None
    assert isinstance(trainer.model, nn.Module)
    if how == "fsdp":
        state = (
            trainer.model.state_dict()
        )  # puts weights that are whole after a forward pass back into shards
        shard = {
            name: local_part(state[name]).detach().cpu().contiguous() for name, _ in _trained(trainer.model)
        }
        save_file(shard, folder / f"shard-{rank}.safetensors")
        save_optimizer(folder, trainer.optimizer, f"-{rank}")
    save_random_state(folder, rank)
    if rank:
        return
    if how == "replicated":
        # of adapters the trained one: TRL keeps a frozen copy beside it, made anew at every start
        chosen = {"selected_adapters": ["default"]} if hasattr(trainer.model, "peft_config") else {}
        trainer.model.save_pretrained(folder, **chosen)  # type: ignore[operator]
        save_optimizer(folder, trainer.optimizer)
    if how != "deepspeed":
        assert trainer.lr_scheduler is not None
        write_json(folder / "scheduler.json", trainer.lr_scheduler.state_dict())
    write_json(folder / "processes.json", {"sharding": how, "processes": trainer.args.world_size})
    trainer.state.save_to_json(str(folder / "trainer_state.json"))


def _trained(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
