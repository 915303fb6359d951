"""The `derta` command: one verb a stage. Heavy libraries are imported inside the verbs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from derta import __version__
from derta.data.commands import app as data_app
from derta.errors import DertaError

app = typer.Typer(
    name="derta",
    help="Make an open-weight language model refuse anywhere in its response, and show that it does.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="rich",
)

app.add_typer(data_app, name="data")

RecipePath = Annotated[Path, typer.Argument(help="Recipe file (YAML).", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="Replace a setting, e.g. --set training.learning_rate=1e-4 (repeatable)."),
]


def main() -> None:
    """Run the command line: exit code 0 done, 1 the user's error in one clear line, 2 usage."""
    # Nothing here needs a model hub's advice or its telemetry.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    try:
        app()
    except DertaError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("\nstopped; the same command continues", file=sys.stderr)
        sys.exit(130)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{error.strerror or error}", file=sys.stderr)
        sys.exit(1)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"derta {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command(epilog="Example: derta train recipes/llama3_8b_full.yaml --set run_dir=runs/first")
def train(recipe: RecipePath, overrides: Overrides = None) -> None:
    """Train one method; the same command continues an interrupted run.

    For many GPUs or nodes: accelerate launch -m derta train RECIPE (docs/scaling.md).
    """
    from derta.config import TrainRecipe, load_recipe

    checked = load_recipe(recipe, TrainRecipe, parse_overrides(overrides))
    from derta.train.run import train as run

    print(run(checked))


def parse_overrides(pairs: list[str] | None) -> dict[str, Any]:
    """`key=value` pairs as dotted keys with YAML values.

    Raises:
        RecipeError: a pair without `=`.
    """
    from derta.config import parse_value
    from derta.errors import RecipeError

    overrides = {}
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise RecipeError(f"--set {pair}: need key=value, e.g. --set seed=1")
        overrides[key.strip()] = parse_value(value)
    return overrides
