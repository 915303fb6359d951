"""`derta data benign` and `derta new`: mounted by the command line."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

LOCAL_TIMEOUT = (
    86_400.0  # seconds: a question waits for its place in a batch of a model that is computed here
)


def benign(
    questions: Annotated[
        Path, typer.Argument(help="Allowed questions: a CSV, JSON or JSONL file, or text, one a line.")
    ],
    model: Annotated[
        str,
        typer.Option(
            help="Folder of a model or an adapter, derta/HUB_ID, or any Inspect model (openai/...)."
        ),
    ],
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("data/benign.jsonl"),
    num: Annotated[int | None, typer.Option(help="Only the first so many questions.")] = None,
    max_tokens: Annotated[int, typer.Option(help="Of an answer; a longer one is left out.")] = 512,
    temperature: Annotated[float, typer.Option(help="0: greedy.")] = 0.7,
    base_url: Annotated[str | None, typer.Option(help="Endpoint, where the provider takes one.")] = None,
    budget: Annotated[int | None, typer.Option(help="Most calls; the same command goes on.")] = None,
) -> None:
    """Benign pairs from the model's own answers, without refusals, loops and cut ones; the same command continues."""
    from rich.console import Console

    from derta.config import check_recipe
    from derta.data.benign import write_benign
    from derta.data.recipe import ModelCalls
    from derta.models import fingerprint
    from derta.progress import Bar
    from derta.results.questions import load_queries
    from derta.run_folder import check_place

    check_place(out, [questions])
    settings: dict[str, Any] = {
        "model": model,
        "base_url": base_url,
        "budget": budget,
        "max_tokens": max_tokens,
    }
    settings |= {"temperature": temperature}
    path = model.removeprefix("derta/") if model.startswith("derta/") else model
    is_local = path != model or Path(path).exists()
    if is_local:
        settings |= {"model": f"derta/{path}", "timeout": LOCAL_TIMEOUT}
    checked = check_recipe(settings, ModelCalls, "data benign")
    queries, said = load_queries(questions, kind="benign", limit=num)
    if said:
        typer.echo(said, err=True)
    found = write_benign(
        queries,
        out,
        checked,
        source=f"answers of {Path(path).name}",
        model_hash=str(fingerprint(path)) if is_local else "",
        progress=Bar(Console(stderr=True)),
    )
    for reason, count in Counter(found.left_out.values()).most_common():
        typer.echo(f"left out: {count:,} x {reason}", err=True)
    typer.echo(
        f"{found.num_pairs:,} pairs of {len(queries):,} questions ({found.num_borderline:,} look-alikes)",
        err=True,
    )
    typer.echo(str(out))


def new(
    folder: Annotated[Path, typer.Argument(help="Folder to write to.", show_default=False)],
    model: Annotated[str, typer.Option(help="Model folder or hub id.")],
    triples: Annotated[Path, typer.Option(help="Triples (JSONL).")],
    benign: Annotated[Path, typer.Option(help="Benign pairs (JSONL); derta data benign writes them.")],
    gsm8k: Annotated[Path, typer.Option(help="For capability.yaml.")] = Path("data/gsm8k_test.jsonl"),
    mmlu: Annotated[Path, typer.Option(help="For capability.yaml.")] = Path("data/mmlu_test.jsonl"),
) -> None:
    """Recipes for your model and data, with settings that follow from its size, the mix and this machine.

    Some rows are held out for the probe and the evaluation. docs/your_model.md walks the whole road.
    """
    from derta.starting.project import new_project

    about, fit = new_project(folder, model, triples, benign, gsm8k=gsm8k, mmlu=mmlu)
    typer.echo(
        f"{about.parameters / 1e6:,.0f}M parameters, {about.counts.triples:,} triples, {about.counts.benign:,} "
        f"benign pairs, {about.machine}: LoRA, {fit.steps} steps of {fit.rows} rows, rto.keep_rate {fit.keep_rate:g}",
        err=True,
    )
    for name in ("train", "vanilla", "evaluate", "capability"):
        typer.echo(str(folder / f"{name}.yaml"))
