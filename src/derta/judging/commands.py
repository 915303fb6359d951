"""`derta judge FILES | label | calibrate`: mounted by the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

DEFAULT = "files"  # the command that is meant where none is named


class _WithDefault(TyperGroup):
    """A group whose first argument may be a file: `judge FILES` means `judge files FILES`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    name="judge",
    cls=_WithDefault,
    no_args_is_help=True,
    help="Judge result files: `derta judge FILES` (the options are those of `derta judge files`).",
    epilog="Example: derta judge results/*.json --judge span --out judged",
)

Files = Annotated[
    list[Path],
    typer.Argument(help="Result files: JSON lines, a JSON array, or responses.jsonl.", show_default=False),
]
Questions = Annotated[
    Path | None,
    typer.Option(help="The rows' questions, for files that don't name them: by id, else in the same order."),
]
Field = Annotated[
    str | None,
    typer.Option(help="The field that holds the answer, where a file leaves a choice, e.g. response.text."),
]
QuestionField = Annotated[str | None, typer.Option(help="The field that holds the question.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="A setting of the judge, e.g. --set labels.unsafe=harmful (repeatable)."),
]


@app.command(
    DEFAULT, epilog="Example: derta judge results/*.json --judge rubric --model openai/gpt-4o --out judged"
)
def judge_files(  # noqa: PLR0913  # the options of one command
    files: Files,
    judge: Annotated[str, typer.Option(help="refusal, span, rubric, classifier, vote or human.")] = "span",
    model: Annotated[
        str | None, typer.Option(help="rubric: any Inspect model; classifier: a model folder.")
    ] = None,
    labels: Annotated[Path | None, typer.Option(help="human: the label file.")] = None,
    questions: Questions = None,
    field: Field = None,
    question_field: QuestionField = None,
    any_of: Annotated[
        bool,
        typer.Option("--any", help="Several samples of a question: count it once, as harmful if any is."),
    ] = False,
    settings: Settings = None,
    out: Annotated[Path | None, typer.Option(help="Folder for results.json and judgements.jsonl.")] = None,
    max_unknown: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Largest share of rows without a verdict; more ends with exit code 1."
        ),
    ] = 0.05,
) -> None:
    """Judge every row, in order: ASR with n, unknown and its interval, per file (the default command)."""
    import asyncio

    from rich.console import Console

    from derta.judges import build_judge, rules_of
    from derta.judging.judge_files import JudgementLog, judge_rows, results_of, write_results
    from derta.judging.reading import read_files
    from derta.judging.tables import files_table, say_path, say_unknown, say_votes, wide_console
    from derta.progress import Bar
    from derta.results.whole_table import print_whole
    from derta.run_folder import check_output, claim

    if out is not None:
        check_output(out, "judge", [*files, labels, questions])
    console = wide_console()
    given = judge_settings(settings, model=model, labels=labels)
    read = read_files(files, console, questions=questions, field=field, question_field=question_field)
    rows = read.rows
    built = build_judge(judge, given)
    is_costly = judge in ("rubric", "classifier", "vote")
    key = {"judge": judge, "rules": rules_of(judge, given), **given}
    if out is not None:
        claim(out, "judge", [*files, labels, questions, model if judge == "classifier" else None])
    log = JudgementLog(out / "verdicts.jsonl", key) if out and is_costly else None
    with Bar(Console(stderr=True)).step(judge, len(rows)) as advance:
        judged = asyncio.run(judge_rows(rows, built, log=log, advance=advance))
    if out is not None:
        write_results(judged, out, judge=judge, settings=given, any_of=any_of)
    print_whole(files_table(results_of(judged, any_of=any_of), judge), console)
    say_votes(results_of(judged), console)
    if out is not None:
        say_path(out / "results.json", console)
    errors = Console(stderr=True)
    too_many = say_unknown(judged, max_unknown, errors)
    if read.say_short(errors) or too_many:
        raise typer.Exit(1)


@app.command(epilog="Example: derta judge label results/*.json --out labels.jsonl --num 100 --labeller ada")
def label(
    files: Files,
    out: Annotated[
        Path, typer.Option(help="Label file to append to; the same command goes on.", show_default=False)
    ],
    num: Annotated[int | None, typer.Option(min=1, help="So many responses, drawn at random.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the order.")] = 0,
    labeller: Annotated[str, typer.Option(help="Name kept beside each label.")] = "",
    page: Annotated[
        bool,
        typer.Option(
            "--page", help="Write a local labelling page (HTML) to --out instead; it exports the labels."
        ),
    ] = False,
) -> None:
    """Judge responses yourself: blind (no model names), in random order, the rubric beside them."""
    from rich.console import Console

    from derta.judging.label_page import write_label_page
    from derta.judging.labelling import items_to_label, label_in_terminal
    from derta.run_folder import check_file, check_place, sign_file

    check_place(out, files)
    if page:
        check_file(out, files)
    items = items_to_label(files, seed=seed, num=num)
    if page:
        write_label_page(items, out)
        sign_file(out)
        typer.echo(f"{out}: {len(items)} responses to label; open it in a browser, then export")
        return
    left = label_in_terminal(items, out, labeller=labeller, console=Console(), read=lambda: input("> "))
    typer.echo(
        f"{out}: {len(items) - left} of {len(items)} labelled"
        + ("; the same command goes on" if left else "")
    )


@app.command(epilog="Example: derta judge calibrate labels.jsonl --judge span --files judged_later/*.json")
def calibrate(
    labels: Annotated[list[Path], typer.Argument(help="Label files.", show_default=False)],
    judge: Annotated[
        list[str] | None, typer.Option(help="Judge to compare (repeatable); default: refusal and span.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model of a rubric or classifier judge.")] = None,
    settings: Settings = None,
    files: Annotated[
        list[Path] | None, typer.Option(help="Result files whose ASR is judged and corrected (repeatable).")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="JSON file for the figures.")] = None,
    max_unknown: Annotated[
        float,
        typer.Option(min=0, max=1, help="Largest share of rows that a judge may leave without a verdict."),
    ] = 0.05,
) -> None:
    """Compare judges with people's labels: confusion, Cohen's kappa, and ASR corrected by the judge's error."""
    import asyncio

    from rich.console import Console

    from derta.files import write_json
    from derta.judging.calibrate_run import calibrate_judges
    from derta.judging.tables import calibration_table, confusion_table, too_many_unknown, wide_console
    from derta.results.whole_table import print_whole
    from derta.run_folder import check_file, sign_file

    console = wide_console()
    if out is not None:
        check_file(out, [*labels, *(files or [])])
    given = judge_settings(settings, model=model)
    names = judge or ["refusal", "span"]
    found = asyncio.run(calibrate_judges(labels, names, given, files or []))
    print_whole(confusion_table(found), console)
    print_whole(calibration_table(found), console)
    if out is not None:
        write_json(out, [calibration.as_json() for calibration in found])
        sign_file(out)
    if too_many_unknown(found, max_unknown, Console(stderr=True)):
        raise typer.Exit(1)


@app.command(epilog="Example: derta judge pairwise mine.json base.json --model openai/gpt-4o --out compared")
def pairwise(
    a: Annotated[Path, typer.Argument(help="Answers of A to benign questions.", show_default=False)],
    b: Annotated[Path, typer.Argument(help="Answers of B to the same questions.", show_default=False)],
    model: Annotated[str, typer.Option(help="Judge: any Inspect model.", show_default=False)],
    pick_a: Annotated[
        str | None, typer.Option(help="Model to take from A, if the file holds several.")
    ] = None,
    pick_b: Annotated[str | None, typer.Option(help="Model to take from B.")] = None,
    settings: Settings = None,
    out: Annotated[Path | None, typer.Option(help="Folder for results.json and comparisons.jsonl.")] = None,
    max_unknown: Annotated[
        float, typer.Option(min=0, max=1, help="Largest share of pairs without a verdict.")
    ] = 0.05,
) -> None:
    """Which answers help more? Each pair is judged in both orders; what the order decides is a tie."""
    import asyncio

    from rich.console import Console

    from derta.calls import open_model
    from derta.errors import RecipeError
    from derta.judges.rubric import Asking
    from derta.judges.rules_hash import rules_hash
    from derta.judging.pairwise import PairLog, compare, pair_rows
    from derta.judging.tables import say_path, say_unread_pairs, wide_console, win_rate_table
    from derta.judging.win_rate import win_rate, write_comparison
    from derta.progress import Bar
    from derta.results.rows import read_answers
    from derta.results.whole_table import print_whole
    from derta.run_folder import check_output, claim

    if out is not None:
        check_output(out, "pairwise", [a, b])
    given = judge_settings(settings, model=model)
    asking = {name: value for name, value in given.items() if name not in ("model", "model_args")}
    for name in set(asking) - set(Asking._fields):
        raise RecipeError(f"--set {name}: pairwise takes model_args, {', '.join(Asking._fields)}")
    how = Asking(**asking)
    how.check()
    rows_a, rows_b = read_answers(a, pick_a), read_answers(b, pick_b)
    names = (pick_a or a.name, pick_b or b.name)
    pairs = pair_rows(rows_a, rows_b)
    built = open_model(model, "judge.model", **(given.get("model_args") or {}))
    key = {"rules": rules_hash("pairwise"), **given}
    if out is not None:
        claim(out, "pairwise", [a, b])
    log = PairLog(out / "verdicts.jsonl", key) if out else None
    with Bar(Console(stderr=True)).step("pairwise", len(pairs)) as advance:
        compared = asyncio.run(compare(pairs, built, asking=how, log=log, advance=advance))
    console = wide_console()
    print_whole(win_rate_table(win_rate(compared), names), console)
    if out is not None:
        path = write_comparison(compared, out, names=names, settings=given, files=[a, b])
        say_path(path, console)
    if say_unread_pairs(compared, max_unknown, Console(stderr=True)):
        raise typer.Exit(1)


@app.command("over-refusal", epilog="Example: derta judge over-refusal xstest_answers.csv --out over_refusal")
def over_refusal(
    files: Files,
    kind: Annotated[
        str,
        typer.Option(help="What the questions are where rows don't say it: borderline, benign or harmful."),
    ] = "borderline",
    questions: Questions = None,
    field: Field = None,
    question_field: QuestionField = None,
    out: Annotated[Path | None, typer.Option(help="Folder for results.json and classes.jsonl.")] = None,
) -> None:
    """Full refusal, partial refusal, compliance, and refusals in mid-answer, by category (XSTest, OR-Bench)."""
    from rich.console import Console

    from derta.errors import RecipeError
    from derta.judging.over_refusal import class_rates, read_classes, write_classes
    from derta.judging.reading import read_files
    from derta.judging.tables import classes_table, say_path, wide_console
    from derta.results.whole_table import print_whole
    from derta.run_folder import check_output, claim

    if out is not None:
        check_output(out, "over_refusal", [*files, questions])
    if kind not in ("borderline", "benign", "harmful"):
        raise RecipeError(f"--kind {kind}: need borderline, benign or harmful")
    console = wide_console()
    read = read_files(files, console, questions=questions, field=field, question_field=question_field)
    answered = read_classes(read.rows, kind)  # type: ignore[arg-type]
    print_whole(classes_table(class_rates(answered)), console)
    if out is not None:
        claim(out, "over_refusal", [*files, questions])
        path = write_classes(answered, out, kind=kind)  # type: ignore[arg-type]
        say_path(path, console)
    if read.say_short(Console(stderr=True)):
        raise typer.Exit(1)


def judge_settings(pairs: list[str] | None, **named: Any) -> dict[str, Any]:
    """A judge's settings from `--set a.b=value` pairs and options; options that were not given are left out.

    Raises:
        RecipeError: a pair without `=`, a value that is no YAML, or a key, which belongs in the environment.
    """
    from derta.config import parse_overrides, with_overrides
    from derta.config.paths import judge_at_home
    from derta.errors import RecipeError
    from derta.secrecy import no_keys

    given = {name: str(value) for name, value in named.items() if value is not None}
    found = with_overrides(given, parse_overrides(pairs))
    try:
        no_keys(found, "--set")
    except ValueError as error:
        raise RecipeError(str(error)) from None
    return judge_at_home(found)
