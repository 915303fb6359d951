"""`derta bench run | check`: mounted by the command line. Heavy libraries are imported inside the verbs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="bench",
    no_args_is_help=True,
    help="Methods x attacks x seeds on the fictional world: a leaderboard page and bench.json.",
    epilog="Example: derta bench run",
)


@app.command(epilog="Example: derta bench run --full --set run_dir=runs/full")
def run(
    recipe: Annotated[Path | None, typer.Argument(help="Recipe file (YAML).", show_default=False)] = None,
    full: Annotated[bool, typer.Option("--full", help="All methods, seeds 0 to 2; hours.")] = False,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="Replace a setting, e.g. --set seeds=[7] (repeatable).")
    ] = None,
) -> None:
    """Run the grid (default: three methods, one seed); the same command continues an interrupted one."""
    from derta.bench.settings import ALL_METHODS, load_bench
    from derta.config import parse_overrides

    given = {"methods": list(ALL_METHODS), "seeds": [0, 1, 2]} if full else {}
    checked = load_bench(recipe, {**given, **parse_overrides(overrides)})
    from derta.bench.grid import run_bench

    print(run_bench(checked))


@app.command(epilog="Example: derta bench check bench.json")
def check(
    file: Annotated[Path, typer.Argument(help="bench.json of anybody.", show_default=False)],
) -> None:
    """Whether a bench.json is whole: manifest, hashes, every cell of its grid. Not whether it was measured."""
    from derta.bench.document import check_bench

    document = check_bench(file)
    recipe = document["manifest"]["recipe"]
    print(
        f"{file}: whole: {len(recipe['methods'])} methods, {len(recipe['attacks'])} attacks, "
        f"{len(recipe['seeds'])} seeds, {len(document['cells'])} cells"
    )
