"""Settings of a first run that follow from the model's size, the mix of the data and the machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import floor

from derta.training.cost.shapes import ModelShape
from derta.training.watch.mix import KNOWN_SHARE

GB = 1e9
LARGE = 3e9  # parameters: from here on the paper's LoRA settings (for 8B and 70B), below those of small_laptop.yaml
STEPS = 100  # of an instruct model (paper); small_laptop.yaml has as many
EPOCHS = 2  # paper
MOST_ROWS, LEAST_ROWS = 128, 8  # of a step; 128: paper
FITS_4BIT = 0.6  # of a card's memory that frozen 16-bit weights may take before they are kept in 4 bits
MOST_LENGTH = 1024  # tokens of a row, as `max_length` has it by default


@dataclass(frozen=True)
class Machine:
    """What trains here. memory: bytes of the card, or of the computer where there is none; cores: of the computer."""

    gpu: str | None
    memory: float
    cores: int

    def __str__(self) -> str:
        kind = f"one {self.gpu}" if self.gpu else f"{self.cores} CPU cores, no GPU"
        return f"{kind}, {self.memory / GB:.0f} GB"


@dataclass(frozen=True)
class Counts:
    """The training data: rows, mean tokens of a response, and the length that 99 % of all rows keep to."""

    triples: int
    benign: int
    safe_tokens: float
    harmful_tokens: float
    benign_tokens: float
    row_tokens: int


@dataclass(frozen=True)
class Fit:
    """What the recipes say."""

    keep_rate: float
    rto_weight: float
    lora_r: int
    dropout: float
    learning_rate: str
    rows: int
    tokens: int
    max_length: int
    steps: int
    probe_every: int
    load_in_4bit: bool
    gradient_checkpointing: bool
    max_new_tokens: int


def this_machine() -> Machine:
    """The first card, or this computer."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        return Machine(card.name, card.total_memory, cores)
    return Machine(None, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), cores)


def fit(shape: ModelShape, context: int | None, counts: Counts, machine: Machine) -> Fit:
    """Settings for LoRA on this model. context: most tokens of the model, if it says so."""
    is_large = shape.parameters >= LARGE
    rows, steps = _batches(2 * counts.triples + counts.benign)
    keep_rate, rto_weight = rto_settings(counts)
    longest = min(MOST_LENGTH, context or MOST_LENGTH)
    length = min(longest, max(64, -(-counts.row_tokens // 64) * 64))
    tokens = 8192 if machine.gpu else 2048
    new_tokens = 1024 if machine.gpu else 256
    return Fit(
        keep_rate=keep_rate,
        rto_weight=rto_weight,
        lora_r=96 if is_large else 16,
        dropout=0.05 if is_large and shape.experts == 1 else 0.0,
        learning_rate="1e-4" if is_large else "2e-4",
        rows=rows,
        tokens=max(tokens, length),
        max_length=length,
        steps=steps,
        probe_every=max(1, steps // 10),
        load_in_4bit=machine.gpu is not None and 2 * shape.parameters > FITS_4BIT * machine.memory,
        gradient_checkpointing=is_large,
        max_new_tokens=min(new_tokens, context // 2) if context else new_tokens,
    )


def rto_settings(counts: Counts) -> tuple[float, float]:
    """(rto.keep_rate, weights.rto) that give RTO the largest share of the labels that is known to work.

    Every harmful response keeps at least one label; what is still too much is taken off its weight.
    """
    others = counts.triples * counts.safe_tokens + counts.benign * counts.benign_tokens
    labels = counts.triples * counts.harmful_tokens
    wanted = KNOWN_SHARE / (1 - KNOWN_SHARE) * others  # labels of RTO, one counted for each kept position
    least = 1 / max(1.0, counts.harmful_tokens)
    rate = min(1.0, wanted / labels)
    if rate >= least:
        return _rounded_down(rate), 1.0
    return _rounded_up(least), _rounded_down(wanted / counts.triples)


def _rounded_down(value: float) -> float:
    """Three decimals, not 0: what is written must not be above the limit."""
    return max(0.001, floor(1000 * value) / 1000)


def _rounded_up(value: float) -> float:
    return min(1.0, (floor(1000 * value) + 1) / 1000)


def _batches(num_rows: int) -> tuple[int, int]:
    """(rows a step, steps): as large as `EPOCHS` passes in about `STEPS` steps allow; a power of two."""
    seen = EPOCHS * num_rows
    rows = LEAST_ROWS
    while rows < MOST_ROWS and seen // (2 * rows) >= STEPS:
        rows *= 2
    return rows, max(1, min(STEPS, seen // rows))
