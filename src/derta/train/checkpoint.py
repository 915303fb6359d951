"""Checkpoints that are whole or absent: written aside, hashed, renamed; damaged ones are told and passed over.

    checkpoint-N/   model or adapter (safetensors), tokenizer-free
                    optimizer.safetensors + optimizer.json, scheduler.json, rng.safetensors + rng.json
                    trainer_state.json (step, log history)
                    SHA256.json, every other file's hash; written last

Nothing is pickled, so nothing that is loaded can run code.
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

from derta.errors import RunError
from derta.files import fsync_folder, sha256_file, write_json

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
        expected = json.loads((folder / HASHES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return f"{HASHES} is missing or unreadable"
    if not isinstance(expected, dict) or not expected:
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


def publish(temporary: Path, final: Path) -> None:
    """Seal a folder written under a temporary name and give it its name, in one rename."""
    seal(temporary)
    if final.exists():
        shutil.rmtree(final)
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
    """Remove all but the newest `keep` checkpoints."""
    for path in sorted(_checkpoints(checkpoints), key=_step)[:-keep]:
        shutil.rmtree(path)


def save_optimizer(folder: Path, optimizer: torch.optim.Optimizer) -> None:
    """Write an optimizer's state: tensors as safetensors, the rest as JSON."""
    state = optimizer.state_dict()
    tensors, values = {}, {}
    for index, entry in state["state"].items():
        for name, value in entry.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{index}.{name}"] = value.detach().cpu().contiguous()
            else:
                values[f"{index}.{name}"] = value
    save_file(tensors, folder / "optimizer.safetensors")
    write_json(folder / "optimizer.json", {"param_groups": state["param_groups"], "values": values})


def load_optimizer(folder: Path, optimizer: torch.optim.Optimizer) -> None:
    """Restore what `save_optimizer` wrote.

    Raises:
        RunError: the state is that of another set of parameters.
    """
    stored = json.loads((folder / "optimizer.json").read_text(encoding="utf-8"))
    state: dict[int, dict[str, Any]] = {}
    for key, value in [*load_file(folder / "optimizer.safetensors").items(), *stored["values"].items()]:
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    groups = [{**group, **_tuples(group)} for group in stored["param_groups"]]
    try:
        optimizer.load_state_dict({"state": state, "param_groups": groups})
    except ValueError as error:
        raise RunError(f"{folder}: optimizer state of another model: {error}") from None


def save_random_state(folder: Path) -> None:
    """Write the state of Python's, numpy's and torch's generators."""
    version, words, gauss = random.getstate()
    numpy_state = np.random.get_state(legacy=False)
    tensors = {
        "python": torch.tensor(words, dtype=torch.int64),
        "numpy": torch.from_numpy(numpy_state["state"]["key"].astype(np.int64)),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        for index, state in enumerate(torch.cuda.get_rng_state_all()):
            tensors[f"cuda.{index}"] = state
    save_file(tensors, folder / "rng.safetensors")
    numpy_rest = {
        "pos": int(numpy_state["state"]["pos"]),
        "has_gauss": int(numpy_state["has_gauss"]),
        "gauss": float(numpy_state["gauss"]),
    }
    write_json(folder / "rng.json", {"python": [version, gauss], "numpy": numpy_rest})


def load_random_state(folder: Path) -> None:
    """Restore what `save_random_state` wrote."""
    tensors = load_file(folder / "rng.safetensors")
    rest = json.loads((folder / "rng.json").read_text(encoding="utf-8"))
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
    if torch.cuda.is_available():
        states = [tensors[name] for name in sorted(tensors) if name.startswith("cuda.")]
        torch.cuda.set_rng_state_all(states)


def _checkpoints(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir() and _NAME.fullmatch(path.name)]


def _step(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    assert match
    return int(match[1])


def _tuples(group: dict[str, Any]) -> dict[str, Any]:
    """JSON turns AdamW's betas into a list."""
    return {"betas": tuple(group["betas"])} if "betas" in group else {}
