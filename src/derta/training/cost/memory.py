"""Out of memory: smaller micro-batches, the same global batches, on from the last finished step."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from derta.errors import RunError
from derta.files import write_json
from derta.training.plan import Plan

FILE = "micro_batch.json"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that host or accelerator memory ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    # the CPU allocator raises a bare RuntimeError
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def fitting_tokens(run_dir: Path, wanted: int) -> int:
    """`batch.tokens`, or less if this run has run out of memory with more."""
    path = run_dir / FILE
    if not path.exists():
        return wanted
    try:
        return min(wanted, int(json.loads(path.read_text(encoding="utf-8"))["tokens"]))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return wanted


def halve(run_dir: Path, tokens: int, plan: Plan) -> int:
    """Half of `tokens`, written down for the next start as well.

    Raises:
        RunError: a single row fills the micro-batch already.
    """
    smaller = max(tokens // 2, plan.longest_row)
    if smaller >= tokens:
        raise RunError(
            f"out of memory with the smallest micro-batch (the longest row has {plan.longest_row} tokens); set "
            "training.activation_checkpointing: true, lower max_length, tune with lora, or use more GPUs "
            "(docs/scaling.md)"
        )
    write_json(run_dir / FILE, {"tokens": smaller})
    return smaller
