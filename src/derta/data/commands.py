"""`derta data build | check | card`: mounted by the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(name="data", help="Build, check and describe the data files.", no_args_is_help=True)


@app.command(epilog="Example: derta data build recipes/data_paper.yaml")
def build(
    recipe: Annotated[Path, typer.Argument(help="YAML file, e.g. recipes/data_paper.yaml.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to, instead of the recipe's `out`.")
    ] = None,
    processes: Annotated[int | None, typer.Option(help="Worker processes; the bytes stay the same.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace a finished build in the folder.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell files and first rows of each source; write nothing.")
    ] = False,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Replace a setting, e.g. --set safe_responses.budget=500 (repeatable)."),
    ] = None,
) -> None:
    """Sources to clean triples, benign pairs and evaluation queries, with their data card."""
    from rich.console import Console

    from derta.config import load_recipe, parse_overrides
    from derta.data.build import build as build_data
    from derta.data.recipe import DataRecipe
    from derta.progress import Bar

    given = parse_overrides(overrides, out=out and str(out), num_processes=processes)
    settings = load_recipe(recipe, DataRecipe, given)
    if dry_run:
        from derta.data.preview import preview

        for line in preview(settings):
            typer.echo(line)
        return
    folder = build_data(settings, overwrite=overwrite, say=typer.echo, progress=Bar(Console(stderr=True)))
    typer.echo(f"{folder}/data_card.md")


@app.command(epilog="Example: derta data check data/triples.jsonl data/benign.jsonl")
def check(
    files: Annotated[
        list[Path], typer.Argument(help="triples, benign and query files (JSONL), or a built folder.")
    ],
    opening: Annotated[str, typer.Option(help="What a refusal is to begin with.")] = "Sorry",
) -> None:
    """Name every problem as file:line: reason; exit code 1 if there is one."""
    from derta.data.check import check_files

    found = check_files(files, opening=opening)
    for problem in found.problems:
        typer.echo(str(problem))
    for warning in found.warnings:
        typer.echo(f"warning: {warning}", err=True)
    good = sum(found.counts.values())
    typer.echo(
        f"{good:,} records good, {len(found.problems):,} problems, {len(found.warnings):,} warnings", err=True
    )
    if found.problems:
        raise typer.Exit(1)


@app.command(epilog="Example: derta data card data")
def card(
    folder: Annotated[Path, typer.Argument(help="Folder that `derta data build` wrote.")],
    tokenizer: Annotated[str | None, typer.Option(help="Count lengths with this tokenizer instead.")] = None,
) -> None:
    """Print the data card of a built folder."""
    from derta.data.card import describe_files, read_card, render

    shown = read_card(folder)
    if tokenizer is not None:
        shown["files"] = describe_files(
            folder, tokenizer, opening=shown["recipe"]["safe_responses"]["opening"]
        )
    typer.echo(render(shown))


@app.command(epilog="Example: derta data openings data/queries.jsonl --model openai/gpt-4o-mini")
def openings(
    queries: Annotated[Path, typer.Argument(help="Queries (JSONL).")],
    model: Annotated[str, typer.Option(help="Any Inspect model; keys come from the environment.")],
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("texts/openings.jsonl"),
    base_url: Annotated[str | None, typer.Option(help="Endpoint, where the provider takes one.")] = None,
    budget: Annotated[int | None, typer.Option(help="Most calls; the same command goes on.")] = None,
) -> None:
    """Openings for CompletingAttack from a rewriter model, for harmful queries that have none."""
    from rich.console import Console

    from derta.config import check_recipe
    from derta.data.openings import write_openings
    from derta.data.recipe import ModelCalls
    from derta.progress import Bar
    from derta.records import Query, load_records
    from derta.run_folder import check_place

    check_place(out, [queries])
    asked = check_recipe(
        {"model": model, "base_url": base_url, "budget": budget}, ModelCalls, "data openings"
    )
    unusable = write_openings(load_records(queries, Query), out, asked, Bar(Console(stderr=True)))
    for query, reason in unusable.items():
        typer.echo(f"{query}: {reason}", err=True)
    typer.echo(str(out))
    if unusable:
        typer.echo(f"{len(unusable)} without an opening: add them to {out}, or name another model", err=True)
        raise typer.Exit(1)
