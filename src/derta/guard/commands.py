"""`derta guard calibrate | test`: mounted by the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from derta.errors import DataError, RecipeError

app = typer.Typer(
    name="guard",
    no_args_is_help=True,
    help="The trained refusal as a streaming stop (docs/guard.md).",
    epilog="Example: derta guard calibrate my_model --benign benign.jsonl",
)

Model = Annotated[str, typer.Argument(help="Model folder, adapter folder or hub id.", show_default=False)]
Template = Annotated[
    str | None, typer.Option(help="Chat template, as chat.template of a recipe: plain or a Jinja file.")
]


@app.command(epilog="Example: derta guard calibrate my_model --benign benign.jsonl --rate 0.004")
def calibrate(
    model: Model,
    benign: Annotated[Path, typer.Option(help="Benign queries with their answers (benign.jsonl).")],
    rate: Annotated[
        float, typer.Option(min=1e-6, max=0.5, help="Share of benign answers that may be stopped.")
    ] = 0.004,
    rule: Annotated[str, typer.Option(help="threshold or cusum.")] = "threshold",
    opening: Annotated[
        list[str] | None, typer.Option(help="How a refusal begins (repeatable); default: Sorry.")
    ] = None,
    reply: Annotated[
        str, typer.Option(help="What a stopped answer ends with.")
    ] = "Sorry, I can't help with that.",
    template: Template = None,
    out: Annotated[Path | None, typer.Option(help="File; default: guard/guard.json in the model.")] = None,
) -> None:
    """Set the guard's limit on benign answers; the test must be other answers."""
    if rule not in ("threshold", "cusum"):
        raise RecipeError(f"--rule {rule}: need threshold or cusum")
    if out is None and not Path(model).is_dir():
        raise RecipeError(f"{model}: no folder to put the guard beside; name a file with --out")
    from derta.guard.guard import GUARD_FILE
    from derta.guard.run import Calibration
    from derta.guard.run import calibrate as run

    settings = Calibration(rule, rate, tuple(opening or ["Sorry"]), reply, template)  # type: ignore[arg-type]
    guard = run(model, benign, settings)
    path = out or Path(model) / GUARD_FILE
    guard.save(path)
    own = guard.calibrated
    print(
        f"{path}: {rule}, limit {guard.rule.limit:.4g}; stops {own.false_stops} of {own.n} benign answers "
        f"[{own.low:.2%}, {own.high:.2%}]"
    )
    if rule == "threshold" and guard.rule.limit > 1:
        print("warning: benign answers reach a refusal probability of 1, so this guard never fires")


@app.command(
    "test", epilog="Example: derta guard test my_model --triples held_out.jsonl --benign code=code.jsonl"
)
def measure(
    model: Model,
    triples: Annotated[Path, typer.Option(help="Held-out triples: their harmful answers are to be stopped.")],
    benign: Annotated[
        list[str], typer.Option(help="Held-out benign answers by kind: kind=FILE, or FILE (repeatable).")
    ],
    guard: Annotated[Path | None, typer.Option(help="Guard file, if not beside the model.")] = None,
    template: Template = None,
    out: Annotated[Path | None, typer.Option(help="JSON file of the figures, with the ROC.")] = None,
) -> None:
    """Stops of harmful answers from every depth on, AUROC by answer and token, false stops by kind."""
    files = {}
    for given in benign:
        kind, equals, path = given.partition("=")
        name, file = (kind, Path(path)) if equals else (Path(given).stem, Path(given))
        if name in files:
            raise DataError(f"--benign {given}: the kind {name!r} is named twice")
        files[name] = file
    from rich.console import Console

    from derta.files import write_json
    from derta.guard.guard import Guard
    from derta.guard.run import measure_guard, print_figures

    figures, values = measure_guard(model, Guard.load(model, file=guard), triples, files, template)
    print_figures(figures, Console())
    if out is not None:
        write_json(out, values)
