"""The `derta` command: one verb a stage. Heavy libraries are imported inside the verbs."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from derta import __version__
from derta.bench.commands import app as bench_app
from derta.data.commands import app as data_app
from derta.errors import DertaError
from derta.guard.commands import app as guard_app
from derta.judging.commands import app as judge_app
from derta.secrecy import sayable
from derta.starting.commands import benign, new
from derta.visible import visible

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
data_app.command(epilog="Example: derta data benign questions.txt --model path/to/model")(benign)
app.command(
    epilog="Example: derta new my_model --model path/to/model --triples triples.jsonl --benign benign.jsonl"
)(new)
app.add_typer(judge_app, name="judge")
app.add_typer(bench_app, name="bench")
app.add_typer(guard_app, name="guard")

LOOPBACK = ("localhost", "127.0.0.1", "::1")

RecipePath = Annotated[Path, typer.Argument(help="Recipe file (YAML).", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="Replace a setting, e.g. --set training.learning_rate=1e-4 (repeatable)."),
]


def main() -> None:
    """Run the command line: exit code 0 done, 1 the user's error in one clear line, 2 usage, 130 Ctrl-C."""
    # Nothing here needs a model hub's advice or its telemetry.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    _ask_this_machine_directly()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(
                errors="backslashreplace"
            )  # a terminal that isn't UTF-8 shows \u2192 for an arrow
    try:
        app()
    except DertaError as error:
        print(f"error: {visible(sayable(str(error)))}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {visible(sayable(f'{where}{error.strerror or error}'))}", file=sys.stderr)
        sys.exit(1)
    except Exception as error:
        _show_crash(error)
        sys.exit(1)


def _show_crash(error: Exception) -> None:
    """The traceback of what only we can mend, without the environment's keys."""
    from traceback import format_exception

    print(sayable("".join(format_exception(error))), file=sys.stderr, end="")


def _ask_this_machine_directly() -> None:
    """A proxy set in the environment can't reach a server on this machine's loopback: it is left out for those."""
    # a lower-case name wins over an upper-case one, so both get both
    given = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    hosts = dict.fromkeys([*(given.split(",") if given else []), *LOOPBACK])
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(hosts)


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
def train(
    recipe: RecipePath,
    overrides: Overrides = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Rows, steps, memory and time; no weight is loaded.")
    ] = False,
    gpu: Annotated[str, typer.Option(help="GPU that --dry-run reckons with.")] = "H200",
    gpus: Annotated[int, typer.Option(help="How many of them.")] = 1,
) -> None:
    """Train one method; the same command continues an interrupted run.

    For many GPUs or nodes: accelerate launch -m derta train RECIPE (docs/scaling.md).
    """
    from derta.config import load_recipe, parse_overrides
    from derta.files import check_unlocked
    from derta.run_folder import check_output
    from derta.training.recipe import TrainRecipe

    checked = load_recipe(recipe, TrainRecipe, parse_overrides(overrides))
    if dry_run:
        from rich.console import Console

        from derta.training.cost.dry_run import dry_run as estimate

        estimate(checked, Console(), gpu=gpu, num_gpus=gpus)
        return
    is_first = os.environ.get("RANK", "0") == "0"  # of the processes of one launch
    if is_first:
        check_output(checked.run_dir, "train")
        check_unlocked(checked.run_dir)
    from derta.training.run import train as run

    result = run(checked)
    if is_first:
        print(result)


@app.command(epilog="Example: derta evaluate --model my_model --queries questions.csv")
def evaluate(
    recipe: Annotated[
        Path | None,
        typer.Argument(
            help="Recipe file (YAML); none: --model and --queries are enough.", show_default=False
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="Model folder, adapter folder or hub id, or name=PATH (repeatable)."),
    ] = None,
    queries: Annotated[
        Path | None, typer.Option(help="Questions: a CSV, JSON or JSONL file, or text, one a line.")
    ] = None,
    run_dir: Annotated[
        Path | None, typer.Option(help="Folder of the run; without a recipe: runs/redteam.")
    ] = None,
    overrides: Overrides = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Calls, tokens, money and time; nothing is asked.")
    ] = False,
) -> None:
    """Attack models and judge what they answer; the same command continues and repeats no finished sample.

    Without a recipe: the attacks direct and code, the judge span; --set changes that. With one, the options replace
    its models, queries and run_dir.
    """
    from derta.config import check_recipe, load_recipe, parse_overrides, with_overrides
    from derta.evaluation.recipe import EvaluateRecipe, settings_without_recipe

    given = parse_overrides(overrides, queries=queries and str(queries), run_dir=run_dir and str(run_dir))
    short = settings_without_recipe(model or [])
    if recipe is not None:
        given |= {"models": short["models"]} if model else {}
        checked = load_recipe(recipe, EvaluateRecipe, given)
    else:
        settings = with_overrides({"run_dir": "runs/redteam"} | short, given)
        checked = check_recipe(settings, EvaluateRecipe, "derta evaluate without a recipe")
    if dry_run:
        from rich.console import Console

        from derta.evaluation.estimate import estimate, print_estimate

        print_estimate(estimate(checked), checked, Console())
        return
    from derta.evaluation.run import evaluate as run

    print(run(checked))


@app.command(epilog="Example: derta capability recipes/capability.yaml --set run_dir=runs/redteam/capability")
def capability(recipe: RecipePath, overrides: Overrides = None) -> None:
    """GSM8K and MMLU from your own files, through lm-eval; the same command continues (docs/capability.md)."""
    from derta.capability.recipe import CapabilityRecipe
    from derta.config import load_recipe, parse_overrides

    checked = load_recipe(recipe, CapabilityRecipe, parse_overrides(overrides))
    from derta.capability.run import capability as run

    print(run(checked))


@app.command(epilog="Example: derta report runs/redteam --out runs/redteam/report")
def report(
    runs: Annotated[
        list[Path], typer.Argument(help="Run folders of `evaluate` and `train`.", show_default=False)
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to; default: report/ in the first run.")
    ] = None,
    show_text: Annotated[
        bool, typer.Option(help="Show harmful questions' responses, redacted otherwise.")
    ] = False,
) -> None:
    """One self-contained page, results.json, CSV tables and SVG figures from finished runs."""
    from derta.reporting.page import build_report

    page = build_report(runs, out or runs[0] / "report", show_text=show_text)
    print_results(page)


@app.command("show-labels", epilog="Example: derta show-labels recipes/small_laptop.yaml --num 3")
def show_labels(
    recipe: RecipePath,
    num: Annotated[int, typer.Option(help="Rows to show, of each objective.")] = 1,
    row: Annotated[str | None, typer.Option(help="Only the row with this id, e.g. rto:t17.")] = None,
    overrides: Overrides = None,
) -> None:
    """Each token of some training rows, its label, and the rule that gave it (colour in a terminal)."""
    from derta.config import load_recipe, parse_overrides
    from derta.training.recipe import TrainRecipe

    checked = load_recipe(recipe, TrainRecipe, parse_overrides(overrides))
    from rich.console import Console

    from derta.training.labels import show_labels as show

    show(checked, Console(), num=num, row_id=row)


@app.command(epilog="Example: derta encode recipes/small_laptop.yaml --out data/labels")
def encode(
    recipe: RecipePath,
    out: Annotated[Path, typer.Option(help="New folder for the dataset.", show_default=False)],
    format: Annotated[str, typer.Option(help="labels: input_ids and labels, for any trainer.")] = "labels",
    storage: Annotated[str, typer.Option(help="arrow, jsonl or parquet.")] = "arrow",
    overrides: Overrides = None,
) -> None:
    """Rows as a dataset that other trainers train to the same loss (docs/method.md)."""
    from derta.config import load_recipe, parse_overrides
    from derta.errors import RecipeError
    from derta.training.recipe import TrainRecipe

    if format != "labels":
        raise RecipeError(f"--format {format}: need labels")
    if storage not in ("arrow", "jsonl", "parquet"):
        raise RecipeError(f"--storage {storage}: need arrow, jsonl or parquet")
    checked = load_recipe(recipe, TrainRecipe, parse_overrides(overrides))
    from derta.training.labels import write_labels

    print(write_labels(checked, out, storage=storage))  # type: ignore[arg-type]


@app.command(epilog="Example: derta export runs/my_model --out my_model --merge")
def export(
    run: Annotated[Path, typer.Argument(help="Finished run folder of `train`.", show_default=False)],
    out: Annotated[Path, typer.Option(help="New folder.", show_default=False)],
    merge: Annotated[bool, typer.Option("--merge", help="Fold the adapter into the weights.")] = False,
    results: Annotated[
        Path | None, typer.Option(help="results.json of a report, for the model card.")
    ] = None,
    push: Annotated[str | None, typer.Option(help="Hub repository to push to, e.g. me/my_model.")] = None,
) -> None:
    """A finished run as a folder to give away, with its model card."""
    from derta.training.checkpoints.export import export as run_export

    print(run_export(run, out, merge=merge, results=results, push=push))


@app.command(epilog="Example: derta demo --seed 1 --all-methods")
def demo(
    seed: Annotated[int | None, typer.Option(help="Seed of the world, the models and the attacks.")] = None,
    all_methods: Annotated[
        bool, typer.Option("--all-methods", help="All five methods of the ablation.")
    ] = False,
    difficulty: Annotated[
        str | None,
        typer.Option(help="easy or hard: how alike forbidden and allowed are, and how few triples."),
    ] = None,
    recipe: Annotated[Path | None, typer.Option(help="Settings, instead of recipes/demo.yaml.")] = None,
    run_dir: Annotated[Path | None, typer.Option(help="Folder of the run, instead of the recipe's.")] = None,
    overrides: Overrides = None,
) -> None:
    """The whole road in minutes on a CPU: a fictional world, a small model, two methods, the attacks, a report."""
    from derta.config import parse_overrides
    from derta.demo.settings import DemoRecipe, load_demo

    given = parse_overrides(
        overrides,
        seed=seed,
        difficulty=difficulty,
        run_dir=run_dir and str(run_dir),
        methods=list(DemoRecipe.ALL_METHODS) if all_methods else None,
    )
    checked = load_demo(recipe, given)
    from derta.demo.run import run_demo

    print_results(run_demo(checked))


@app.command(epilog="Example: derta real --model Qwen/Qwen3-0.6B --run-dir runs/real_qwen")
def real(
    model: Annotated[
        str | None,
        typer.Option(
            help="Chat model: folder, GGUF file or hub id; default: SmolLM2-135M-Instruct, fetched."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the world, the training and the attacks.")] = None,
    recipe: Annotated[Path | None, typer.Option(help="Settings, instead of recipes/real.yaml.")] = None,
    run_dir: Annotated[Path | None, typer.Option(help="Folder of the run, instead of the recipe's.")] = None,
    overrides: Overrides = None,
) -> None:
    """The demo's road with a real chat model, which first learns the fictional crafts; the same command continues."""
    from derta.config import parse_overrides
    from derta.demo.real.settings import load_real

    given = parse_overrides(overrides, model=model, seed=seed, run_dir=run_dir and str(run_dir))
    checked = load_real(recipe, given)
    from derta.demo.real.run import run_real

    print_results(run_real(checked))


@app.command(epilog="Example: derta recipes --to recipes")
def recipes(
    to: Annotated[Path | None, typer.Option(help="Folder to copy them into.", show_default=False)] = None,
) -> None:
    """The recipes that come with derta: listed, or copied into a folder of yours."""
    from derta.recipes import copy_recipes, shipped_recipes

    if to is not None:
        print(f"{len(copy_recipes(to))} recipes in {to}")
        return
    for name, purpose in shipped_recipes().items():
        print(f"{name:32} {purpose}")


@app.command(epilog="Example: derta version --json")
def version(
    as_json: Annotated[
        bool, typer.Option("--json", help="With platform, processors, cards and libraries.")
    ] = False,
) -> None:
    """The version; with --json all that a report of a fault should name."""
    import json

    from derta.provenance import environment

    print(json.dumps(environment(), indent=2) if as_json else f"derta {__version__}")


def print_results(page: Path) -> None:
    """The table of a report, and where its page is."""
    import json

    from rich.console import Console

    from derta.reporting.terminal import print_table
    from derta.results.cell import Cell

    cells = [Cell(**cell) for cell in json.loads((page.parent / "results.json").read_text(encoding="utf-8"))]
    print_table(cells, Console(), page)


class _AtHome(TyperCommand):
    """A verb that expands `~` in every path it is given (a shell does so only where the path begins a word)."""

    def invoke(self, ctx: Any) -> Any:
        """Run the verb."""
        from derta.config.paths import at_home
        from derta.errors import RecipeError

        try:
            for name, value in ctx.params.items():
                if isinstance(value, list | tuple):
                    ctx.params[name] = [
                        at_home(entry) if isinstance(entry, Path) else entry for entry in value
                    ]
                elif isinstance(value, Path):
                    ctx.params[name] = at_home(value)
        except ValueError as error:
            raise RecipeError(str(error)) from None
        return super().invoke(ctx)


for _verbs in (app, data_app, judge_app, bench_app, guard_app):
    for _verb in _verbs.registered_commands:
        _verb.cls = _AtHome
