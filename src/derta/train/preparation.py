"""Before any weight is loaded: records are read, rows encoded, micro-batches planned, and all of it told."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from derta.config import TrainRecipe
from derta.encode.chat import ChatRenderer
from derta.encode.dataset import RowReport, build_rows
from derta.encode.refusal_token import RefusalToken, describe, resolve_refusal_token
from derta.encode.rows import RowSet, save_rows
from derta.files import write_json
from derta.records import BenignPair, Triple, load_records
from derta.train.arguments import max_steps, num_epochs
from derta.train.memory import fitting_tokens
from derta.train.model import load_tokenizer
from derta.train.plan import Plan, plan_batches


@dataclass(frozen=True)
class Prepared:
    """Everything that is known before weights are loaded."""

    renderer: ChatRenderer
    refusal: RefusalToken
    rows: RowSet
    report: RowReport
    plan: Plan


def prepare(recipe: TrainRecipe, world_size: int = 1) -> Prepared:
    """Read, encode and plan; no weights.

    Raises:
        DataError, TokenizerError, ModelError, RunError: what is wrong, and where.
    """
    tokenizer = load_tokenizer(recipe.model.path, trust_remote_code=recipe.model.trust_remote_code)
    renderer = ChatRenderer.of(tokenizer, recipe.chat.template)
    refusal = resolve_refusal_token(renderer, recipe.refusal.text, recipe.refusal.token)
    triples = load_records(recipe.data.triples, Triple)
    benign = load_records(recipe.data.benign, BenignPair)
    rows, report = build_rows(recipe, renderer, refusal, triples, benign)
    tokens = fitting_tokens(recipe.run_dir, recipe.batch.tokens)
    return Prepared(renderer, refusal, rows, report, _plan(recipe, rows, tokens, world_size))


def print_rows(prepared: Prepared, console: Console) -> None:
    """Say what will be trained on, and what not."""
    report, plan = prepared.report, prepared.plan
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
    return replace(prepared, plan=_plan(recipe, prepared.rows, tokens, 1))


def save_first_epoch(folder: Path, prepared: Prepared) -> None:
    """Keep the rows of the first epoch, to look at (`rows/` of the run folder)."""
    rows = [row for unit in range(len(prepared.rows)) for row in prepared.rows.rows(unit, 0)]
    folder.mkdir(parents=True, exist_ok=True)
    save_rows(folder / "epoch_0.safetensors", rows)
    write_json(folder / "report.json", prepared.report.as_dict())


def _plan(recipe: TrainRecipe, rows: RowSet, tokens: int, world_size: int) -> Plan:
    return plan_batches(
        rows,
        num_epochs=num_epochs(recipe),
        batch_rows=recipe.batch.rows,
        micro_batch_tokens=tokens,
        line_tokens=recipe.batch.line_tokens,
        world_size=world_size,
        max_steps=max_steps(recipe),
    )
