"""Several processes, one run: what only the first does, what all do, and one error message for all.

Files and the terminal belong to the first process; weights, rows and plan are made by each on its own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object
from safetensors import SafetensorError

from derta.errors import DertaError, RunError

T = TypeVar("T")

WRITE_ERRORS = (OSError, SafetensorError)  # safetensors has its own error for a full disk


def join() -> PartialState:
    """This process's rank and the number of processes, as `accelerate launch` or `torchrun` set them.

    Raises:
        RunError: the launcher's settings don't fit this machine.
    """
    try:
        return PartialState(cpu=not torch.accelerator.is_available())
    except (ValueError, ImportError) as error:
        raise RunError(f"processes can't be joined: {error}") from None


def on_first(work: Callable[[], T]) -> T:
    """What `work` returns on the first process, on every process.

    Raises:
        RunError: it failed; told by the first process, the others exit without a word.
    """
    state = PartialState()
    if state.num_processes == 1:
        return _told(work)
    outcome: list[T | str | bool | None] = [None, None]
    if state.is_main_process:
        try:
            outcome = [_told(work), None]
        except DertaError as error:
            outcome = [None, str(error)]
    broadcast_object_list(outcome)
    _raise_together(outcome[1])
    return outcome[0]  # type: ignore[return-value]


def on_every(work: Callable[[], None]) -> None:
    """Do something on every process; if it fails on one, all stop.

    Raises:
        RunError: as `on_first`.
    """
    state = PartialState()
    if state.num_processes == 1:
        return _told(work)
    fault = ""
    try:
        _told(work)
    except DertaError as error:
        fault = str(error)
    faults = [told for told in gather_object([fault]) if told]
    return _raise_together(faults[0] if faults else None)


def same_on_every(value: str) -> bool:
    """Whether every process holds the same text."""
    return PartialState().num_processes == 1 or len(set(gather_object([value]))) == 1


def _told(work: Callable[[], T]) -> T:
    """Disk trouble as one line."""
    try:
        return work()
    except WRITE_ERRORS as error:
        where = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise RunError(f"{where}{reason}") from None


def _raise_together(fault: object) -> None:
    if fault is None:
        return
    if PartialState().is_main_process:
        raise RunError(str(fault))
    sys.exit(1)
