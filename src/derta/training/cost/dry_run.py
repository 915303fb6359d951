"""What `derta train --dry-run` shows: rows counted where data and tokenizer are at hand, and what they will cost."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from derta.errors import ModelError
from derta.methods.own import pairs_of
from derta.run_folder import check_output
from derta.training.arguments import check_arguments
from derta.training.cost.estimate import (
    GPUS,
    UTILISATION,
    Estimate,
    Workload,
    assumed_mix,
    assumed_rows,
    estimate,
)
from derta.training.encoding import inputs_of
from derta.training.preparation import Prepared, prepare, print_mix, print_rows, print_watch, told_method
from derta.training.recipe import TrainRecipe


def dry_run(recipe: TrainRecipe, console: Console, *, gpu: str = "H200", num_gpus: int = 1) -> Estimate:
    """Count or assume the rows, estimate their costs, print both; no weight is loaded.

    Raises:
        DertaError: as `estimate`; and what would stop the training itself, where that can be seen already.
    """
    check_arguments(recipe)
    check_output(recipe.run_dir, "train", inputs_of(recipe))
    prepared = _prepared(recipe, console, num_gpus)
    if prepared is None:
        made = estimate(recipe, assumed_rows(recipe), gpu=gpu, num_gpus=num_gpus)
        if pairs_of(recipe.method) is None:
            print_mix(assumed_mix(recipe), recipe, console)
        made = replace(made, assumptions=[f"row counts and lengths are assumed ({_why_assumed(recipe)})"])
    else:
        print_rows(prepared, console)
        made = estimate(recipe, counted_rows(prepared), gpu=gpu, num_gpus=num_gpus)
    if pairs_of(recipe.method) is None:
        print_watch(recipe, console)
    print_estimate(made, console)
    return made


def counted_rows(prepared: Prepared) -> Workload:
    """The rows of a prepared run, as its plan holds them."""
    plan, rows = prepared.plan, prepared.rows
    kinds: Counter[str] = Counter()
    for micro in plan.micro_batches:
        kinds.update(rows.units[unit].kind.name for line in micro.lines for unit, _ in line)
    return Workload(
        by_objective=dict(sorted(kinds.items())),
        tokens=plan.num_tokens,
        slots=plan.num_slots,
        steps=plan.num_steps,
        mean_length=plan.num_tokens / max(1, sum(kinds.values())),
        exact=True,
    )


def print_estimate(made: Estimate, console: Console) -> None:
    """Rows, memory and time as tables, and the verdict."""
    rows, card = made.rows, GPUS[made.gpu]
    table = Table(title="rows (all epochs)", show_header=False)
    for kind, count in rows.by_objective.items():
        table.add_row(kind, f"{count:,}")
    table.add_row("tokens", f"{rows.tokens:,}")
    table.add_row("padding", f"{1 - rows.tokens / max(1, rows.slots):.1%}")
    table.add_row("steps", f"{rows.steps:,}")
    console.print(table)
    where = f"{made.num_gpus} x {made.gpu}"
    table = Table(title=f"peak memory on each of {where} (GiB)", show_header=False)
    for part, size in made.memory.items():
        table.add_row(part, f"{size:.1f}")
    table.add_row("[bold]sum[/]", f"[bold]{made.peak:.1f}[/] of {card.memory:g}")
    console.print(table)
    console.print(
        f"work: {made.flop / 1e18:.3g} EFLOP; {where}: {_time(made.seconds)} at {UTILISATION:.0%} of the matmul rate "
        f"({_time(made.seconds_at_full_rate)} at 100 %), of it {_time(made.optimizer_seconds)} optimizer; "
        "communication between GPUs comes on top",
        highlight=False,
    )
    for assumption in made.assumptions:
        console.print(f"[yellow]assumed:[/] {assumption}", highlight=False)
    if made.fits:
        console.print("[green]fits[/]")
    else:
        console.print(
            f"[red]does not fit[/] ({made.peak:.0f} of {card.memory:g} GiB): more GPUs, training."
            "activation_checkpointing: true, smaller batch.tokens, lora, or model.dtype: bfloat16 (docs/scaling.md)"
        )


def _prepared(recipe: TrainRecipe, console: Console, num_gpus: int) -> Prepared | None:
    """Everything but weights; None where data or tokenizer are not at hand, and for pairs, which are not counted."""
    if _missing(recipe) or pairs_of(recipe.method) is not None:
        return None
    records, method = told_method(recipe, console)
    try:
        return prepare(recipe, method, records, num_gpus)
    except ModelError:
        if Path(recipe.model.path).exists():
            raise
        return None  # a hub id that was not downloaded


def _missing(recipe: TrainRecipe) -> list[str]:
    return [str(path) for path in (recipe.data.triples, recipe.data.benign) if not path.exists()]


def _why_assumed(recipe: TrainRecipe) -> str:
    missing = _missing(recipe)
    if not missing:
        pairs = pairs_of(recipe.method) is not None
        return "pairs are not counted" if pairs else f"no tokenizer at hand: {recipe.model.path}"
    not_run = "" if recipe.method.file is None else f"; {recipe.method.file} is run once they are"
    return f"not there yet: {', '.join(missing)}{not_run}"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
