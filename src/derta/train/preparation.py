"""Before any weight is loaded: records are read, rows encoded, micro-batches planned, and all of it told."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from rich.console import Console

from derta.config import TrainRecipe
from derta.encode.chat import ChatRenderer
from derta.encode.dataset import RowReport, build_rows
from derta.encode.refusal_token import RefusalToken, describe
from derta.encode.rows import RowSet, save_rows
from derta.encode.source import load_training_records, open_tokenizer
from derta.files import write_json
from derta.train.arguments import max_steps, num_epochs
from derta.train.attention.architecture import Architecture
from derta.train.cost.memory import fitting_tokens
from derta.train.model import architecture_of, line_tokens, shares_trunks
from derta.train.plan import Plan, plan_batches


@dataclass(frozen=True)
class Prepared:
    """Everything that is known before weights are loaded."""

    renderer: ChatRenderer
    refusal: RefusalToken
    rows: RowSet
    report: RowReport
    plan: Plan
    architecture: Architecture


def prepare(recipe: TrainRecipe, world_size: int = 1) -> Prepared:
    """Read, encode and plan; no weights.

    Raises:
        DataError, TokenizerError, ModelError, RunError: what is wrong, and where.
    """
    renderer, refusal = open_tokenizer(recipe)
    architecture = architecture_of(recipe, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    triples, benign = load_training_records(recipe)
    shared = shares_trunks(recipe, architecture)
    rows, report = build_rows(recipe, renderer, refusal, triples, benign, shared_trunk=shared)
    tokens = fitting_tokens(recipe.run_dir, recipe.batch.tokens)
    plan = _plan(recipe, rows, architecture, tokens, world_size)
    return Prepared(renderer, refusal, rows, report, plan, architecture)


def print_rows(prepared: Prepared, console: Console) -> None:
    """Say what will be trained on, and what not."""
    report, plan, architecture = prepared.report, prepared.plan, prepared.architecture
    if architecture.apart:
        console.print(f"[yellow]each row in a line of its own:[/] {architecture.apart}")
    console.print(describe(prepared.refusal), highlight=False)
    for warning in prepared.refusal.warnings:
        console.print(f"[yellow]warning:[/] {warning}")
    if report.opening_share is not None:
        note = "" if report.opening_share else "; nothing then teaches what follows the refusal token"
        style = "" if report.opening_share else "[yellow]warning:[/] "
        console.print(f"{style}safe responses that begin with it: {report.opening_share:.1%}{note}")
    for name in sorted(report.given):
        console.print(f"rows {name}: {report.used[name]} used of {report.given[name]}")
    for title, counts in (("dropped", report.dropped), ("cut", report.cut)):
        for reason, count in sorted(counts.items()):
            console.print(f"[yellow]{title}:[/] {count} x {reason}")
    console.print(
        f"{plan.num_steps} steps, {plan.num_tokens:,} tokens, {plan.efficiency:.1%} of computed slots are real, "
        f"{plan.accumulation} micro-batch(es) a step"
    )


def replan(recipe: TrainRecipe, prepared: Prepared, tokens: int) -> Prepared:
    """The same global batches in micro-batches of another size (one process)."""
    return replace(prepared, plan=_plan(recipe, prepared.rows, prepared.architecture, tokens, 1))


def save_first_epoch(folder: Path, prepared: Prepared) -> None:
    """Keep the rows of the first epoch, to look at (`rows/` of the run folder)."""
    rows = [row for unit in range(len(prepared.rows)) for row in prepared.rows.rows(unit, 0)]
    folder.mkdir(parents=True, exist_ok=True)
    save_rows(folder / "epoch_0.safetensors", rows)
    write_json(folder / "report.json", prepared.report.as_dict())


def _plan(
    recipe: TrainRecipe, rows: RowSet, architecture: Architecture, tokens: int, world_size: int
) -> Plan:
    return plan_batches(
        rows,
        num_epochs=num_epochs(recipe),
        batch_rows=recipe.batch.rows,
        micro_batch_tokens=tokens,
        line_tokens=line_tokens(recipe, architecture),
        world_size=world_size,
        max_steps=max_steps(recipe),
    )
