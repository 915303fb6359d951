"""`derta train --dry-run`: rows, steps, memory and time before any weight is loaded.

    FLOP of a token     full 6N + attention; recompute + 2 N_layers; LoRA 4N + 6 adapter (recompute + 2 N_layers)
    attention           12 L q s / 2, rows of s tokens
    bytes of a weight   trained 16: weight, gradient and two moments in float32; frozen 2 (bfloat16) or 0.56 (4 bit)
                        trained in bfloat16 (model.dtype) 8
    activations         14 d + 6 kv + 8 ff bytes of a token and layer; recompute: 2 d, and one layer's at a time
    optimizer           moves 28 bytes of a weight each step

N: weights that a token is multiplied with (see shapes.py). Time is what the matrix products need at the given share
of the GPU's measured rate; reading, communication and compilation come on top.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from derta.encode.row import Objective
from derta.encode.units import BENIGN, Part
from derta.errors import RecipeError
from derta.methods import METHODS, PROPOSED
from derta.methods.contract import Method
from derta.training.cost.shapes import ModelShape, shape_of
from derta.training.recipe import TrainRecipe
from derta.training.watch.mix import Mix

GIB = 2**30
UTILISATION = 0.55  # share of the matmul rate that training reaches (llm-foundry, torchtitan: .42 to .58)


@dataclass(frozen=True)
class Gpu:
    """memory: GiB that a program can use. rate: bfloat16 matmul FLOP/s. bandwidth: bytes/s."""

    memory: float
    rate: float
    bandwidth: float


# H200: measured (790 of the 989 TFLOP/s on the data sheet, 4.3 of 4.8 TB/s). The others: 0.8 and 0.9 of their sheet.
GPUS = {
    "H200": Gpu(139, 790e12, 4.3e12),
    "H100": Gpu(78, 790e12, 3.0e12),
    "A100": Gpu(79, 250e12, 1.8e12),
    "A100-40GB": Gpu(39, 250e12, 1.4e12),
    "L40S": Gpu(44, 290e12, 0.78e12),
    "A6000": Gpu(47, 124e12, 0.69e12),
    "RTX4090": Gpu(23.5, 132e12, 0.9e12),
}


@dataclass(frozen=True)
class Workload:
    """What is trained on, all epochs together. by_objective: rows. tokens: real ones. slots: padding included.

    exact: counted from data and tokenizer, else assumed from the recipe.
    """

    by_objective: dict[str, int]
    tokens: int
    slots: int
    steps: int
    mean_length: float
    exact: bool


@dataclass(frozen=True)
class Estimate:
    """Costs of a run. memory: GiB of each part on one GPU. seconds: matrix products and optimizer."""

    rows: Workload
    flop: float
    memory: dict[str, float]
    seconds: float
    seconds_at_full_rate: float
    optimizer_seconds: float
    gpu: str
    num_gpus: int
    assumptions: list[str] = field(default_factory=list)

    @property
    def peak(self) -> float:
        """GiB on each GPU."""
        return sum(self.memory.values())

    @property
    def fits(self) -> bool:
        """Whether the peak fits the GPU."""
        return self.peak <= GPUS[self.gpu].memory


def estimate(recipe: TrainRecipe, rows: Workload, *, gpu: str = "H200", num_gpus: int = 1) -> Estimate:
    """Costs of a recipe with these rows; on several GPUs weights and their state are taken to be sharded.

    Raises:
        RecipeError: an unknown GPU. ModelError: the model's shape is not at hand.
    """
    if gpu not in GPUS or num_gpus < 1:
        raise RecipeError(f"GPU {gpu} x {num_gpus}: need a number from 1 and one of {', '.join(GPUS)}")
    card, shape = GPUS[gpu], shape_of(recipe.model.path)
    flop = flop_per_token(recipe, shape, rows.mean_length) * rows.slots
    trained = shape.parameters if recipe.lora is None else shape.lora_weights(recipe.lora.r)
    optimizer = rows.steps * 28 * trained / num_gpus / card.bandwidth
    at_full_rate = flop / num_gpus / card.rate
    memory = {name: size / GIB for name, size in memory_parts(recipe, shape, num_gpus).items()}
    return Estimate(
        rows=rows,
        flop=flop,
        memory=memory,
        seconds=at_full_rate / UTILISATION + optimizer,
        seconds_at_full_rate=at_full_rate,
        optimizer_seconds=optimizer,
        gpu=gpu,
        num_gpus=num_gpus,
    )


def flop_per_token(recipe: TrainRecipe, shape: ModelShape, mean_length: float) -> float:
    """Floating-point operations of forward, backward and (if asked for) recomputation, for one token."""
    attention = 12 * shape.layers * shape.q * mean_length / 2
    recompute = 2 * shape.layer_weights if recomputes(recipe) else 0
    if recipe.lora is None:
        return 6 * shape.matmul_weights + recompute + attention
    adapters = shape.active_lora_weights(recipe.lora.r)
    return (
        4 * shape.matmul_weights + 6 * adapters + recompute + (2 * adapters if recompute else 0) + attention
    )


def memory_parts(recipe: TrainRecipe, shape: ModelShape, num_gpus: int) -> dict[str, float]:
    """Bytes on one GPU at the peak, by what they hold."""
    parts: dict[str, float] = {}
    trained_in_bfloat16 = recipe.model.dtype == "bfloat16"
    if recipe.lora is None:
        parts["weights, gradients, optimizer"] = trained_bytes(recipe) * shape.parameters / num_gpus
        if not trained_in_bfloat16:
            share = 2 / shape.layers if recomputes(recipe) or num_gpus > 1 else 1.0
            parts["bfloat16 copies for computing"] = 2 * shape.parameters * share
        parts["gradient of the head"] = 4 * shape.head_weights
    else:
        frozen = 0.56 if recipe.model.load_in_4bit else 4 if recipe.model.dtype == "float32" else 2
        parts["frozen weights"] = frozen * shape.parameters / num_gpus
        adapters = shape.lora_weights(recipe.lora.r)
        parts["adapters, gradients, optimizer"] = 16 * adapters / num_gpus
        if num_gpus > 1:
            parts["gathered layers"] = 2 * 2 * shape.parameters / shape.layers
    parts["activations"] = activation_bytes(recipe, shape) * recipe.batch.tokens
    if recomputes(recipe):
        parts["one layer recomputed"] = layer_activation_bytes(shape) * recipe.batch.tokens
    parts["logits of a chunk"] = 2 * 512 * 2**20
    return parts


def trained_bytes(recipe: TrainRecipe) -> float:
    """Bytes of a trained weight: itself, its gradient, the optimizer's moments."""
    own = 2 if recipe.model.dtype == "bfloat16" else 4
    optimizer = str(recipe.training.get("optim", "adamw"))
    moments = (
        2
        if "8bit" in optimizer
        else 0
        if "adafactor" in optimizer
        else own
        if "sgd" in optimizer
        else 2 * own
    )
    return 2 * own + moments


def activation_bytes(recipe: TrainRecipe, shape: ModelShape) -> int:
    """Bytes kept of one token until the backward pass."""
    return shape.layers * (2 * shape.d if recomputes(recipe) else layer_activation_bytes(shape))


def layer_activation_bytes(shape: ModelShape) -> int:
    """Bytes of one token in one layer, in bfloat16."""
    return 8 * shape.d + 6 * shape.q + 6 * shape.kv + 8 * shape.ff * shape.active_experts


def recomputes(recipe: TrainRecipe) -> bool:
    """Whether activations are recomputed in the backward pass."""
    names = ("activation_checkpointing", "gradient_checkpointing")
    return any(bool(recipe.training.get(name)) for name in names)


# Tokens, where the data are not at hand. benign: as in the paper's run; prefix: E[k] of a harmful response.
ASSUMED_LENGTHS: dict[Part, int] = {"query": 15, "safe": 60, "harmful": 200, "prefix": 200 // 3}
ASSUMED_BENIGN_ROW = 350
PAIR_ROWS: dict[str, tuple[Part, ...]] = {"chosen": ("query", "safe"), "rejected": ("query", "harmful")}


def assumed_rows(recipe: TrainRecipe) -> Workload:
    """Rows as the paper's run has them, where the data are not at hand; no longer than max_length. A method of the
    user's own, whose file is not run then, is taken to have DeRTa's.
    """
    method, num_triples, num_benign = _assumed_budget(recipe)
    made_of = {name: parts for kind in method.units for name, parts in kind.rows.items()} or PAIR_ROWS
    kinds = {BENIGN.name: (num_benign, min(ASSUMED_BENIGN_ROW, recipe.max_length))} | {
        name: (num_triples, sum(ASSUMED_LENGTHS[part] for part in parts)) for name, parts in made_of.items()
    }
    epochs = float(recipe.training.get("num_train_epochs", 2))
    rows = sum(count for count, _ in kinds.values())
    tokens = sum(count * length for count, length in kinds.values())
    steps = math.ceil(rows * epochs / recipe.batch.rows)
    limit = recipe.training.get("max_steps") or -1
    share = limit / steps if limit > 0 else 1.0
    return Workload(
        by_objective={kind: round(count * epochs * share) for kind, (count, _) in kinds.items()},
        tokens=round(tokens * epochs * share),
        slots=round(tokens * epochs * share / 0.985),  # packing efficiency
        steps=round(steps * share),
        mean_length=tokens / max(1, rows),
        exact=False,
    )


def assumed_mix(recipe: TrainRecipe) -> Mix:
    """What each objective counts in one epoch of `assumed_rows`."""
    method, num_triples, num_benign = _assumed_budget(recipe)
    safe, each = ASSUMED_LENGTHS["safe"] + 1, recipe.weights
    weight = [0.0] * len(Objective)
    benign = min(ASSUMED_BENIGN_ROW, recipe.max_length) - ASSUMED_LENGTHS["query"]
    weight[Objective.BENIGN] = num_benign * benign * each.benign
    for parts in (parts for kind in method.units for parts in kind.rows.values()):
        if "harmful" in parts:
            labels = max(1.0, ASSUMED_LENGTHS["harmful"] * recipe.rto.keep_rate)
            weight[Objective.RTO] += num_triples * labels * each.rto
        elif "prefix" in parts:
            weight[Objective.PREFIX] += num_triples * safe * each.prefix
        else:
            weight[Objective.SAFE] += num_triples * safe * each.safe
    return Mix(weight, num_triples)


def _assumed_budget(recipe: TrainRecipe) -> tuple[Method, int, int]:
    """(method, triples, benign pairs); a method of the user's own, whose file is not run, has DeRTa's rows."""
    method = METHODS.get(recipe.method.name, METHODS[PROPOSED])
    num_triples = (recipe.data.num_triples or 3000) * method.triples_per_n
    return method, num_triples, 60_000 if recipe.data.num_benign is None else recipe.data.num_benign
