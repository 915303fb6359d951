"""What derta knows about a training method: all of it in one object, made in the method's one file.

A method says which units are shuffled and what their rows are; everything else (packing, loss, checkpoints, resume,
evaluation, report) is the same for all. Today's methods are row patterns alone. What others need has its place:
further loss terms, hooks on the model, settings of generation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from derta.config import StrictModel
from derta.encode.units import UnitKind

if TYPE_CHECKING:
    import torch

Role = Literal["baseline", "proposed", "ablation", "comparison", "rival", "own"]


class Handle(Protocol):
    """What a hook returns, e.g. torch's RemovableHandle."""

    def remove(self) -> None:
        """Take the hook away."""


@dataclass(frozen=True)
class Term:
    """A further term of the loss, on micro-batches that are packed and proved already.

    loss(batch, hidden): a scalar with gradient, this micro-batch's share of the step's loss: sum over its entries and
    divide by `batch["denominator"]`, so that accumulation and data parallelism add up. batch: what
    `derta.training.collate.collate` returns; hidden: float[R, S, d], the last hidden states of R lines of S tokens.
    It stands in the log as `loss_<name>`.
    """

    name: str
    loss: Callable[[Mapping[str, torch.Tensor], torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class PairTraining:
    """Training on pairs instead of rows: TRL's DPO loss, the safe response preferred to the harmful one.

    start_from: folder of the model (or adapter) to start from, which is also the reference. beta: higher stays closer
    to it. benign: JSON lines {id, benign_query, chosen, rejected}, to keep helpfulness. learning_rate: where the
    recipe gives none.
    """

    start_from: str
    beta: float
    benign: Path | None = None
    learning_rate: float = 5e-7

    def files(self) -> dict[str, Path]:
        """Files whose content decides the numbers, by what a message calls them."""
        # of a finished run the hashes of all its files; of a hub id nothing but its name
        named = {"start_from": Path(self.start_from) / "SHA256.json", "preferences": self.benign}
        return {name: path for name, path in named.items() if path is not None and path.exists()}


@dataclass(frozen=True, kw_only=True)
class Method:
    """A training method. The first group says what it is, the second what it trains on, the third what else it needs.

    title: its name for a reader, in every table. what: one line for the model card. source: where it is described.
    role: its place in the paper's comparison. series: its colour and marker in figures (0 to 7).

    units: see `derta.encode.units`; none where it trains on pairs. triples_per_n: triples that n of the budget means
    (paper, Table 4). settings: those of a method that comes with derta; they stand in the recipe under its name.
    pairs: made from these settings, where it trains on pairs.

    terms: further terms of the loss. hooks: called with the loaded model before training; the hooks it sets are
    removed before the model is saved. decoding: keys of transformers' GenerationConfig that the trained model needs;
    saved with it and written into manifest and card.
    """

    name: str = ""
    title: str
    what: str
    source: str = ""
    role: Role = "own"
    series: int | None = None

    units: tuple[UnitKind, ...] = ()
    triples_per_n: int = 1
    settings: type[StrictModel] | None = None
    pairs: Callable[[Any], PairTraining] | None = None

    terms: tuple[Term, ...] = ()
    hooks: Callable[[torch.nn.Module], Sequence[Handle]] | None = None
    decoding: Mapping[str, Any] = field(default_factory=dict)

    def uses(self, part: Literal["prefix", "harmful"]) -> bool:
        """Whether its rows hold a harmful prefix (MLE with harmful response prefix), or a whole response (RTO)."""
        return any(kind.uses(part) for kind in self.units)


def describe(method: Method) -> dict[str, Any]:
    """What a manifest says of a method, as JSON values: enough for a model card, without running a file again."""
    return {
        "name": method.name,
        "title": method.title,
        "what": method.what,
        "source": method.source,
        "uses": [part for part in ("prefix", "harmful") if method.uses(part)],
        "decoding": dict(method.decoding),
    }
