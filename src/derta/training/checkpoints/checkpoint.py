"""Checkpoints that are whole or absent: written aside, hashed, renamed; damaged ones are told and passed over.

    checkpoint-N/   model or adapter (safetensors), tokenizer-free
                    optimizer.safetensors + optimizer.json, scheduler.json
                    rng-R.safetensors + rng-R.json of each process R
                    trainer_state.json (step, log history), processes.json
                    SHA256.json, every other file's hash; written last

With FSDP each process writes its own shard instead (`shard-R.safetensors`, `optimizer-R.safetensors`). Nothing of
ours is pickled, so nothing that is loaded can run code.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch.distributed.tensor import DTensor

from derta.errors import RunError
from derta.files import as_json, fsync_folder, sha256_file, write_json

HASHES = "SHA256.json"
_NAME = re.compile(r"checkpoint-(\d+)")


def seal(folder: Path) -> None:
    """Hash every file of a folder into SHA256.json and make all of it durable."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != HASHES)
    for path in files:
        with path.open("rb+") as handle:
            os.fsync(handle.fileno())
    write_json(folder / HASHES, {str(path.relative_to(folder)): sha256_file(path) for path in files})
    fsync_folder(folder)


def damage(folder: Path) -> str | None:
    """Why a sealed folder can't be trusted, or None when every file is as it was sealed."""
    try:
        written = (folder / HASHES).read_text(encoding="utf-8")
        expected = json.loads(written)
    except (OSError, ValueError):
        return f"{HASHES} is missing or unreadable"
    if not isinstance(expected, dict) or not expected or written != as_json(expected):
        return f"{HASHES} is unreadable"
    found = {
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name != HASHES
    }
    if missing := sorted(set(expected) - found):
        return f"{missing[0]} is missing"
    if extra := sorted(found - set(expected)):
        return f"{extra[0]} was added"
    return next(
        (f"{name} has changed" for name, digest in expected.items() if sha256_file(folder / name) != digest),
        None,
    )


def unlisted(folder: Path) -> list[str] | None:
    """Files of a folder that its seal does not name, or None: it has no readable seal."""
    try:
        sealed = json.loads((folder / HASHES).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(sealed, dict):
        return None
    found = (str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())
    return sorted(set(found) - set(sealed) - {HASHES})


def publish(temporary: Path, final: Path) -> None:
    """Seal a folder written under a temporary name and give it its name, in one rename."""
    seal(temporary)
    if final.exists() or final.is_symlink():
        _make_way(final)
    temporary.rename(final)
    fsync_folder(final.parent)


def latest_whole(checkpoints: Path) -> tuple[Path | None, list[str]]:
    """The newest checkpoint that is whole, and a line about each newer one that is not.

    Leftovers of an interrupted save (temporary names) are removed.
    """
    told: list[str] = []
    if not checkpoints.exists():
        return None, told
    for leftover in checkpoints.glob(".*.tmp"):
        shutil.rmtree(leftover, ignore_errors=True)
    for path in sorted(_checkpoints(checkpoints), key=_step, reverse=True):
        reason = damage(path)
        if reason is None:
            return path, told
        told.append(f"{path}: damaged ({reason}); falling back to the one before")
    return None, told


def rotate(checkpoints: Path, keep: int) -> None:
    """Remove all but the newest `keep` checkpoints, and of those only what their seals list."""
    for path in sorted(_checkpoints(checkpoints), key=_step)[:-keep]:
        if unlisted(path) == []:
            shutil.rmtree(path)


def _make_way(folder: Path) -> None:
    """Remove a folder in which everything is listed by its seal; keep any other under a name of its own."""
    if unlisted(folder) == []:
        shutil.rmtree(folder)
        return
    number = 1
    while (aside := folder.with_name(f"{folder.name}.aside-{number}")).exists():
        number += 1
    folder.rename(aside)


def save_optimizer(folder: Path, optimizer: torch.optim.Optimizer, suffix: str = "") -> None:
    """Write an optimizer's state (of a sharded parameter: this process's part): tensors as safetensors, the rest as
    JSON.
    """
    state = optimizer.state_dict()
    tensors, values = {}, {}
    for index, entry in state["state"].items():
        for name, value in entry.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{index}.{name}"] = local_part(value).detach().cpu().contiguous()
            else:
                values[f"{index}.{name}"] = value
    save_file(tensors, folder / f"optimizer{suffix}.safetensors")
    write_json(folder / f"optimizer{suffix}.json", {"param_groups": state["param_groups"], "values": values})


def load_optimizer(folder: Path, optimizer: torch.optim.Optimizer, suffix: str = "") -> None:
    """Restore what `save_optimizer` wrote.

    Raises:
        RunError: the state is that of another set of parameters.
    """
    stored = json.loads((folder / f"optimizer{suffix}.json").read_text(encoding="utf-8"))
    tensors = load_file(folder / f"optimizer{suffix}.safetensors")
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    try:
        for key, value in [*tensors.items(), *stored["values"].items()]:
            index, name = key.split(".", 1)
            if isinstance(value, torch.Tensor):
                value = as_part_of(parameters[int(index)], value)
            state.setdefault(int(index), {})[name] = value
        groups = [{**group, **_tuples(group)} for group in stored["param_groups"]]
        optimizer.load_state_dict({"state": state, "param_groups": groups})
    except (ValueError, IndexError) as error:
        raise RunError(f"{folder}: optimizer state of another model: {error}") from None


def local_part(tensor: torch.Tensor) -> torch.Tensor:
    """What this process holds of a tensor that FSDP may have sharded."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def as_part_of(parameter: torch.Tensor, part: torch.Tensor) -> torch.Tensor:
    """A loaded local part as a shard like `parameter`'s (scalars, such as Adam's step, stay as they are)."""
    if not isinstance(parameter, DTensor) or part.dim() == 0:
        return part
    return DTensor.from_local(
        part.to(parameter.to_local().device),
        parameter.device_mesh,
        parameter.placements,
        shape=parameter.shape,
        stride=parameter.stride(),
        run_check=False,
    )


def save_random_state(folder: Path, rank: int = 0) -> None:
    """Write the state of one process's Python, numpy and torch generators."""
    version, words, gauss = random.getstate()
    numpy_state = np.random.get_state(legacy=False)
    tensors = {
        "python": torch.tensor(words, dtype=torch.int64),
        "numpy": torch.from_numpy(numpy_state["state"]["key"].astype(np.int64)),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        tensors["cuda"] = torch.cuda.get_rng_state()
    save_file(tensors, folder / f"rng-{rank}.safetensors")
    numpy_rest = {
        "pos": int(numpy_state["state"]["pos"]),
        "has_gauss": int(numpy_state["has_gauss"]),
        "gauss": float(numpy_state["gauss"]),
    }
    write_json(folder / f"rng-{rank}.json", {"python": [version, gauss], "numpy": numpy_rest})


def load_random_state(folder: Path, rank: int = 0) -> None:
    """Restore what `save_random_state` wrote; a process that did not exist then keeps its own."""
    if not (folder / f"rng-{rank}.json").exists():
        return
    tensors = load_file(folder / f"rng-{rank}.safetensors")
    rest = json.loads((folder / f"rng-{rank}.json").read_text(encoding="utf-8"))
    version, gauss = rest["python"]
    random.setstate((version, tuple(tensors["python"].tolist()), gauss))
    np.random.set_state(
        {
            "bit_generator": "MT19937",
            "state": {"key": tensors["numpy"].numpy().astype(np.uint32), "pos": rest["numpy"]["pos"]},
            "has_gauss": rest["numpy"]["has_gauss"],
            "gauss": rest["numpy"]["gauss"],
        }
    )
    torch.set_rng_state(tensors["torch"])
    if "cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["cuda"])


def _checkpoints(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir() and _NAME.fullmatch(path.name)]


def _step(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    assert match
    return int(match[1])


def _tuples(group: dict[str, Any]) -> dict[str, Any]:
    """JSON turns AdamW's betas into a list."""
    return {"betas": tuple(group["betas"])} if "betas" in group else {}
