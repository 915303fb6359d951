"""The claims about training, each against the ways people use today, in one process.

    python -m benchmarks.train_step --json benchmarks/results/train_step.json [--quick] [--only C1,C4] [--threads 1]

C1 a training step against the released code's way, both with recompute    C5 gradients: shared against separate
C2 the same with our default (no recompute when it fits)                   C6 memory of head and loss
C3 against TRL's SFTTrainer: default, and packed (benign rows only)        C7 useful FLOP/s over the largest GEMM
C4 triples: shared trunk against our own packed separate rows              C8 packing, and preparing 66,000 rows

Ratios are medians of paired runs; above 1 is better for us (C5, C6: below). H1-H5 need a GPU and are left out
without one.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import models
from benchmarks.rows import benign_lengths, benign_rows, real_tokens, triple_rows
from benchmarks.timing import both_seconds, paired
from derta.encode.row import Row
from derta.files import write_json
from derta.training.attention.mask import BLOCK
from derta.training.cost.allocator import keep_freed_memory
from derta.training.plan import best_fit

MICRO_ROWS = 16  # rows of a padded micro-batch, as the released scripts have them
LONGEST = 1024  # tokens of a row


class Bench:
    """Sizes of one run; `quick` keeps the shapes and cuts the repetitions and the rows."""

    def __init__(self, quick: bool) -> None:
        self.quick = quick
        self.pairs = 3 if quick else 5
        self.warmup = 1 if quick else 2
        self.hidden, self.layers = (256, 4) if quick else (512, 4)
        self.num_rows = MICRO_ROWS

    def model(self, seed: int = 0) -> Any:
        """The 8B-like toy."""
        return models.eight_b_like(hidden=self.hidden, layers=self.layers, seed=seed)

    def rows(self) -> list[Row]:
        """One padded micro-batch's worth of benign rows; its lengths' quantiles are the file's."""
        lengths = sorted(benign_lengths(4000))
        chosen = [lengths[int((i + 0.5) / self.num_rows * len(lengths))] for i in range(self.num_rows)]
        order = np.random.default_rng(0).permutation(self.num_rows)
        return benign_rows([chosen[i] for i in order], self.model().config.vocab_size)

    def batches(self, rows: list[Row]) -> list[Any]:
        """Our micro-batches of some rows."""
        return models.packed(rows, batch_tokens=8 * LONGEST)


def c1(bench: Bench) -> dict[str, Any]:
    """Against the released way, both with recompute."""
    return _against_reference(bench, checkpointing=True).as_dict(floor=2.2, aim=2.4)


def c2(bench: Bench) -> dict[str, Any]:
    """Against the released way, ours without recompute."""
    return _against_reference(bench, checkpointing=False).as_dict(floor=2.8, aim=3.1)


def _against_reference(bench: Bench, *, checkpointing: bool) -> Any:
    rows = bench.rows()
    fast = models.ours(models.prepared(bench.model(), checkpointing=checkpointing), bench.batches(rows))
    slow = models.reference(bench.model(), rows, micro_batch_rows=MICRO_ROWS)
    return paired(fast, slow, pairs=bench.pairs, warmup=bench.warmup)


def c3(bench: Bench) -> dict[str, Any]:
    """Against TRL's defaults (padded, recompute), both with recompute."""
    rows = bench.rows()
    fast = models.ours(models.prepared(bench.model(), checkpointing=True), bench.batches(rows))
    slow = models.trl(
        bench.model(),
        rows,
        micro_batch_rows=MICRO_ROWS,
        packing=False,
        max_length=LONGEST,
        checkpointing=True,
    )
    return paired(fast, slow, pairs=bench.pairs, warmup=bench.warmup).as_dict(floor=2.0, aim=2.3)


def c3_packed(bench: Bench) -> dict[str, Any]:
    """Against TRL's own packing (best fit, padding-free), both with recompute."""
    rows = bench.rows()
    fast = models.ours(models.prepared(bench.model(), checkpointing=True), bench.batches(rows))
    slow = models.trl(
        bench.model(), rows, micro_batch_rows=8, packing=True, max_length=LONGEST, checkpointing=True
    )
    return paired(fast, slow, pairs=bench.pairs, warmup=bench.warmup).as_dict(floor=0.97, aim=1.03)


def c4(bench: Bench, branches: int, floor: float, aim: float) -> dict[str, Any]:
    """Triples with so many branches: shared trunk against packed separate rows."""
    model = models.prepared(bench.model(), checkpointing=False)
    separate, shared = triple_rows(8 if branches > 1 else 16, model.config.vocab_size, branches=branches)
    fast = models.ours(model, bench.batches(shared))
    slow = models.ours(models.prepared(bench.model(), checkpointing=False), bench.batches(separate))
    measured = paired(fast, slow, pairs=bench.pairs, warmup=bench.warmup)
    return measured.as_dict(
        floor=floor, aim=aim, token_ratio=round(real_tokens(separate) / real_tokens(shared), 3)
    )


def c5(bench: Bench) -> dict[str, Any]:
    """Largest relative difference of gradients, shared against separate (float32); cosine in bfloat16."""
    vocabulary = bench.model().config.vocab_size
    separate, shared = triple_rows(4, vocabulary, branches=4)
    gradients = []
    for rows in (separate, shared):
        model = models.prepared(bench.model(), checkpointing=False)
        gradients.append(_gradients(model, bench.batches(rows)))
    worst = max(
        float((a - b).abs().max() / a.abs().max().clamp_min(1e-12)) for a, b in zip(*gradients, strict=True)
    )
    low = []
    for rows in (separate, shared):
        model = models.prepared(bench.model().to(torch.bfloat16), checkpointing=False)
        low.append(torch.cat([g.double().flatten() for g in _gradients(model, bench.batches(rows))]))
    cosine = float(torch.nn.functional.cosine_similarity(low[0], low[1], dim=0))
    return {
        "ratio": worst,
        "min": worst,
        "max": worst,
        "floor": 1e-5,
        "aim": 1e-6,
        "cosine_bf16": round(cosine, 7),
    }


def _gradients(model: Any, batches: list[Any]) -> list[torch.Tensor]:
    for batch in batches:
        model(**{name: value for name, value in batch.items() if name != "objective"}).loss.backward()
    return [p.grad for p in model.parameters() if p.grad is not None]


def c6(bench: Bench) -> dict[str, Any]:
    """Peak memory of head and loss, 4,096 tokens x 128,256, each way in a process of its own."""
    tokens = 1024 if bench.quick else 4096  # few tokens: the head's own gradient is a larger part of the peak
    used = {way: _head_memory(way, tokens) for way in ("ours", "reference")}
    ratio = used["ours"] / used["reference"]
    return {
        "ratio": round(ratio, 4),
        "min": round(ratio, 4),
        "max": round(ratio, 4),
        "floor": 1 / 6,
        "aim": 0.1,
        "bytes": used,
        "case": f"{tokens} tokens x 128256" + (", smaller than the claim's 4096" if bench.quick else ""),
    }


HEAD_SCRIPT = """
import re, sys, torch
from pathlib import Path
from derta.training.loss import chunked_cross_entropy

def memory(field):
    return int(re.search(field + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

way, tokens = sys.argv[1], int(sys.argv[2])
torch.set_num_threads(2)
hidden = torch.randn(tokens, 64, requires_grad=True)
head = torch.randn(128256, 64, requires_grad=True)
target = torch.randint(0, 128256, (tokens,))
small = torch.randn(8, 64, requires_grad=True)
(small @ torch.randn(64, 128)).sum().backward()
Path("/proc/self/clear_refs").write_text("5")  # resets the peak
before = memory("VmRSS")
if way == "ours":
    chunked_cross_entropy(hidden, head, target, torch.full((tokens,), 1 / tokens))[0].backward()
else:
    torch.nn.functional.cross_entropy((hidden @ head.T).float(), target).backward()
print(memory("VmHWM") - before)
"""


def _head_memory(way: str, tokens: int) -> int:
    done = subprocess.run(
        [sys.executable, "-c", HEAD_SCRIPT, way, str(tokens)], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def c7(bench: Bench) -> dict[str, Any]:
    """Useful FLOP/s of a step (6N a real token, causal attention in each row) over the model's largest GEMM.

    The model is wider than the other goals' (8B is eight times as wide still): norms, rotary embeddings and
    activations take a share of the time that falls as 1 / width. The optimizer's time counts.
    """
    hidden, layers = (512, 2) if bench.quick else (1024, 2)
    rows = bench.rows()
    model = models.prepared(models.eight_b_like(hidden=hidden, layers=layers), checkpointing=False)
    step = models.ours(model, bench.batches(rows))
    flops = useful_flops(model, rows)
    wide = model.config.intermediate_size
    left, right = torch.randn(real_tokens(rows), hidden), torch.randn(hidden, wide)
    product = torch.empty(len(left), wide)  # made once: the limit is the product, not the memory for it
    repeats = 20

    def limit() -> None:
        for _ in range(repeats):
            torch.mm(left, right, out=product)

    gemm = repeats * 2.0 * len(left) * hidden * wide
    for _ in range(bench.warmup):
        step(), limit()
    wall, cpu = [], []
    for _ in range(bench.pairs):
        took, best = both_seconds(step), both_seconds(limit)
        wall.append((flops / took[0]) / (gemm / best[0]))
        cpu.append((flops / took[1]) / (gemm / best[1]))
    return {
        **spread(wall),
        "floor": 0.65,
        "aim": 0.75,
        "cpu_seconds": spread(cpu),
        "shape": {"hidden": hidden, "layers": layers, "vocabulary": model.config.vocab_size},
        "tokens": real_tokens(rows),
    }


def useful_flops(model: Any, rows: list[Row]) -> float:
    """What a step must compute: no padding, no recompute, the head at supervised positions only."""
    hidden, layers = model.config.hidden_size, model.config.num_hidden_layers
    head = model.config.vocab_size * hidden
    body = models.matmul_parameters(model) - head
    flops = 6.0 * body * real_tokens(rows) + 6.0 * head * sum(len(row.predict_at) for row in rows)
    return flops + sum(12 * layers * hidden * len(row) * (len(row) / 2) for row in rows)


def spread(values: list[float]) -> dict[str, float]:
    """Median, smallest and largest."""
    return {
        "ratio": round(statistics.median(values), 4),
        "min": round(min(values), 4),
        "max": round(max(values), 4),
    }


def c8(bench: Bench) -> dict[str, Any]:
    """Packing: real tokens of a step of 128 rows over those computed, with the recipes' lines of at most 8,192
    tokens, padded to blocks of 128 as on a GPU (a CPU pads nothing).

    fixed_slots: the same if every line were filled up to 4,096, as trainers with lines of one length have it.
    """
    lengths = benign_lengths(128 * 50)
    computed, fixed = [], []
    for start in range(0, len(lengths), 128):
        step = lengths[start : start + 128]
        lines = [sum(step[index] for index in line) for line in best_fit(step, 8192)]
        computed.append(sum(step) / sum(-(-line // BLOCK) * BLOCK for line in lines))
        fixed.append(sum(step) / (len(best_fit(step, 4096)) * 4096))
    return {**spread(computed), "floor": 0.97, "aim": 0.985, "fixed_slots": spread(fixed)}


GOALS: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "C1": c1,
    "C2": c2,
    "C3": c3,
    "C3_packed": c3_packed,
    "C4_m1": lambda bench: c4(bench, 1, 1.20, 1.25),
    "C4_m4": lambda bench: c4(bench, 4, 1.55, 1.65),
    "C4_m8": lambda bench: c4(bench, 8, 1.70, 1.85),
    "C5": c5,
    "C6": c6,
    "C7": c7,
    "C8": c8,
}


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "transformers", "trl")},
    }


def main() -> None:
    """Run the goals and write their JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true", help="at most three minutes")
    parser.add_argument("--only", default="", help="goals, separated by commas")
    parser.add_argument("--threads", type=int, default=2, help="1 where other work shares the machine")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()  # as derta train does on a CPU; here for all ways alike
    wanted = [name for name in options.only.split(",") if name] or list(GOALS)
    results: dict[str, Any] = {}
    for name in wanted:
        results[name] = GOALS[name](Bench(options.quick))
        print(name, json.dumps(results[name]), flush=True)
    results["machine"] = machine()
    if options.json:
        write_json(options.json, results)


if __name__ == "__main__":
    main()
