"""`derta data benign`: mounted by the command line."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

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
    settings = {"model": model, "base_url": base_url, "budget": budget, "max_tokens": max_tokens}
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
