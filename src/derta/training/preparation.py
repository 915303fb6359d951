"""Before any weight is loaded: records are read, rows encoded, micro-batches planned, and all of it told."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from rich.console import Console

from derta.encode.chat import ChatRenderer
from derta.encode.fitting import RowReport
from derta.encode.prompt_report import prompt_report
from derta.encode.refusal_token import RefusalToken, describe
from derta.encode.row_set import RowSet, save_rows
from derta.encode.settings import RowSettings
from derta.files import write_json
from derta.methods.contract import Method
from derta.training.arguments import max_steps, num_epochs
from derta.training.attention.architecture import Architecture
from derta.training.cost.memory import fitting_tokens
from derta.training.encoding import Records, encode_recipe, records_and_method
from derta.training.model import architecture_of, line_tokens, shares_trunks
from derta.training.plan import Plan, plan_batches
from derta.training.preflight import check_positions, check_vocabulary
from derta.training.recipe import TrainRecipe
from derta.training.watch.mix import Mix
from derta.visible import visible


@dataclass(frozen=True)
class Prepared:
    """Everything that is known before weights are loaded."""

    method: Method
    renderer: ChatRenderer
    refusal: RefusalToken
    rows: RowSet
    report: RowReport
    plan: Plan
    architecture: Architecture


def told_method(recipe: TrainRecipe, console: Console) -> tuple[Records, Method]:
    """The records of the budget and the method; a file of the user's own is run, and that is said.

    Raises:
        DataError, RecipeError: as `records_and_method`.
    """
    records, method = records_and_method(recipe)
    if recipe.method.file is not None:
        console.print(f"method {method.name}: ran {recipe.method.file}", highlight=False)
    return records, method


def prepare(recipe: TrainRecipe, method: Method, records: Records, world_size: int = 1) -> Prepared:
    """Encode and plan; no weights.

    Raises:
        DataError, TokenizerError, ModelError, RunError: what is wrong, and where.
    """
    architecture = architecture_of(recipe, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    path, trusted = recipe.model.path, recipe.model.trust_remote_code
    check_positions(path, recipe.max_length, trust_code=trusted)
    made = encode_recipe(recipe, method, records, shared_trunk=shares_trunks(recipe, architecture))
    check_vocabulary(path, made.rows, trust_code=trusted)
    tokens = fitting_tokens(recipe.run_dir, recipe.batch.tokens)
    plan = _plan(recipe, made.rows, architecture, tokens, world_size)
    return Prepared(method, made.renderer, made.refusal, made.rows, made.report, plan, architecture)


def print_rows(prepared: Prepared, console: Console) -> None:
    """Say what will be trained on, and what not."""
    report, plan, architecture = prepared.report, prepared.plan, prepared.architecture
    if architecture.apart:
        console.print(f"[yellow]each row in a line of its own:[/] {architecture.apart}")
    print_chat(prepared.renderer, console)
    console.print(describe(prepared.refusal), highlight=False)
    for warning in prepared.refusal.warnings:
        console.print(f"[yellow]warning:[/] {warning}")
    if report.opening_share is not None:
        note = "" if report.opening_share else "; nothing then teaches what follows the refusal token"
        style = "" if report.opening_share else "[yellow]warning:[/] "
        console.print(f"{style}safe responses that begin with it: {report.opening_share:.1%}{note}")
    print_report(report, "rows", console)
    console.print(
        f"{plan.num_steps} steps, {plan.num_tokens:,} tokens, {plan.efficiency:.1%} of computed slots are real, "
        f"{plan.accumulation} micro-batch(es) a step"
    )
    print_mix(mix_of(prepared), prepared.rows.settings, console)


def print_chat(renderer: ChatRenderer, console: Console) -> None:
    """Say what stands around a question and before an answer."""
    for line in prompt_report(renderer):
        console.print(visible(line), highlight=False, markup=False, soft_wrap=True)


def mix_of(prepared: Prepared) -> Mix:
    """What each objective counts in the whole run."""
    units = prepared.rows.units
    planned = {(m.epoch, unit) for m in prepared.plan.micro_batches for line in m.lines for unit, _ in line}
    with_rto = sum(units[unit].kind.uses("harmful") for _, unit in planned)
    return Mix(prepared.plan.label_weight, with_rto)


def print_mix(mix: Mix, settings: RowSettings, console: Console) -> None:
    """Each objective's share of the labels, and a warning where the mix is not known to work."""
    console.print(str(mix), highlight=False)
    warning = mix.warning(settings)
    if warning:
        console.print(f"[yellow]warning:[/] {warning}", highlight=False, soft_wrap=True)


def print_watch(recipe: TrainRecipe, console: Console) -> None:
    """Say where nothing can stop a run that ruins the model."""
    if recipe.probe is None:
        console.print(
            "no `probe:` with held-out triples and benign pairs: nothing watches whether this run ruins the model "
            "(docs/method.md, The mix)",
            highlight=False,
            soft_wrap=True,
        )


def print_report(report: RowReport, what: str, console: Console) -> None:
    """What became of the records. what: rows or pairs."""
    for name in sorted(report.given):
        console.print(f"{what} {name}: {report.used[name]} used of {report.given[name]}")
    for title, counts in (("dropped", report.dropped), ("cut", report.cut)):
        for reason, count in sorted(counts.items()):
            console.print(f"[yellow]{title}:[/] {count} x {reason}")


def replan(recipe: TrainRecipe, prepared: Prepared, tokens: int) -> Prepared:
    """The same global batches in micro-batches of another size (one process)."""
    return replace(prepared, plan=_plan(recipe, prepared.rows, prepared.architecture, tokens, 1))


def save_first_epoch(folder: Path, prepared: Prepared) -> None:
    """Keep the rows of the first epoch, to look at (`rows/` of the run folder)."""
    folder.mkdir(parents=True, exist_ok=True)
    save_rows(folder / "epoch_0.safetensors", list(prepared.rows.all_rows(epoch=0)))
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
