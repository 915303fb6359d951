"""`derta evaluate`: models x attacks x judges x seeds -> responses.jsonl, resumable at any moment.

samples.jsonl     every finished answer and judgement, found again by the hash of its inputs
responses.jsonl   one judged response a line: models, seeds, judges, attacks, queries in the recipe's order
not_applicable.jsonl   attacks that a model could not be given, and why (when there are any)
hazard.jsonl, knowledge.jsonl   white-box measurements (when the recipe names held-out triples)
logs/*.eval       Inspect's logs
manifest.json     what it was made from; written last
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from inspect_ai.util import LimitExceededError
from rich.console import Console
from rich.text import Text

from derta.attacks.own import OwnAttack
from derta.config import TargetModel
from derta.errors import RecipeError, RunError
from derta.evaluation.budget import Meter, metered
from derta.evaluation.grid import ModelResult, Rows, evaluate_model
from derta.evaluation.inspect_run import hook_kept
from derta.evaluation.prepared import prepare
from derta.evaluation.recipe import Budget, EvaluateRecipe
from derta.files import check_unlocked, run_lock, write_jsonl
from derta.judges.redaction import redact_reason
from derta.progress import Bar
from derta.provenance import write_manifest
from derta.run_folder import check_output, claim
from derta.statistics import Rate, rate
from derta.visible import visible


@hook_kept()
def evaluate(recipe: EvaluateRecipe) -> Path:
    """Run what is not yet in the run folder, then write its files; returns `responses.jsonl`.

    Raises:
        DertaError: unusable recipe, data or model; a folder in use; a spent budget; or too many responses without
            a verdict.
        KeyboardInterrupt: stopped by the user; the same command continues.
    """
    run_dir = recipe.run_dir
    check_prices(recipe)
    check_output(run_dir, "evaluate", read_by(recipe))
    check_unlocked(run_dir)
    ready = prepare(recipe)
    if ready.loaded.asked:
        Console(stderr=True).print(ready.loaded.asked, markup=False, highlight=False, soft_wrap=True)
    claim(run_dir, "evaluate", read_by(recipe))
    with run_lock(run_dir):
        (run_dir / "manifest.json").unlink(missing_ok=True)
        results = []
        progress = Bar(Console(stderr=True))
        with metered(Meter(recipe.budget or Budget(), recipe.prices)) as meter:
            for target in recipe.models:
                meter.target = target.name
                try:
                    result = evaluate_model(
                        target, ready.keys[target.name], ready.loaded, ready.judgings, progress
                    )
                except LimitExceededError:  # in a search before the samples
                    result = None
                if result is None or meter.spent:
                    raise _budget_spent(recipe, meter, result)
                _say_what_is_left_out(progress.console, result)
                results.append(result)
        rows = _write_files(recipe, results, ready.keys, meter)
        _say_asked(meter)
    _check_unknown(rows, recipe)
    return run_dir / "responses.jsonl"


def read_by(recipe: EvaluateRecipe) -> list[str | Path | None]:
    """Every file and folder that an evaluation reads."""
    tokenizers = [target.endpoint.tokenizer for target in recipe.models if target.endpoint is not None]
    models = [recipe.base, *(target.path for target in recipe.models), *tokenizers]
    return [*_input_files(recipe), *models, recipe.chat.template]


def check_prices(recipe: EvaluateRecipe) -> None:
    """A budget of money can only be held where all targets that cost have a price.

    Raises:
        RecipeError: one has none.
    """
    if recipe.budget is None or recipe.budget.money is None:
        return
    for target in recipe.models:
        model = target.inspect.model if target.inspect else target.endpoint.model if target.endpoint else None
        if model is not None and target.name not in recipe.prices and model not in recipe.prices:
            raise RecipeError(
                f"prices: {target.name!r} has none; budget.money can't be held without it (0 is one)"
            )


def _budget_spent(recipe: EvaluateRecipe, meter: Meter, result: ModelResult | None) -> RunError:
    rows = result.rows if result else []
    done = sum(row["verdict"] != "unknown" for row in rows)
    said = f"; {done} of {len(rows)} responses of {result.target.name} are judged" if result else ""
    return RunError(
        f"{recipe.run_dir}: {meter.spent}{said}. What is done is kept: raise the budget, or run the same command "
        "again, to go on from here"
    )


def _write_files(
    recipe: EvaluateRecipe, results: Sequence[ModelResult], keys: dict[str, str], meter: Meter
) -> Rows:
    """Everything but the samples and the logs; returns the rows of responses.jsonl."""
    rows = [row for result in results for row in result.rows]
    lacking = [
        _not_applicable(result.target, *entry)
        for result in results
        for entry in result.not_applicable.items()
    ]
    write_jsonl(recipe.run_dir / "responses.jsonl", rows)
    for name, lines in (
        ("hazard.jsonl", [line for result in results for line in result.hazards]),
        ("knowledge.jsonl", [line for result in results for line in result.controls]),
        ("not_applicable.jsonl", lacking),
    ):
        if lines:
            write_jsonl(recipe.run_dir / name, lines)
        else:
            (recipe.run_dir / name).unlink(missing_ok=True)
    write_manifest(
        recipe.run_dir,
        kind="evaluate",
        config=recipe.model_dump(mode="json"),
        inputs=_input_files(recipe),
        rows=len(rows),
        models=keys,
        template_hashes={result.target.name: result.template_hash for result in results},
        chat={result.target.name: result.chat for result in results},
        prefill_dropped={
            result.target.name: {str(depth): count for depth, count in result.dropped.items()}
            for result in results
        },
        asked=meter.summary(),
    )
    return rows


def _not_applicable(target: TargetModel, attack: str, reason: str) -> dict[str, str]:
    return {"model": target.name, "method": target.method, "attack": attack, "reason": reason}


def _check_unknown(rows: Rows, recipe: EvaluateRecipe) -> None:
    """Print what has no verdict, by reason and with what it leaves open; an error when it is too much."""
    unknown = [row for row in rows if row["verdict"] == "unknown"]
    if not unknown:
        return
    reasons = Counter(f"{row['attack']}: {_told(row['reason'])}" for row in unknown).most_common(5)
    shown = "; ".join(f"{count} x {reason}" for reason, count in reasons)
    said = f"{len(unknown)} of {len(rows)} responses have no verdict ({shown}){_bounds(rows)}"
    if len(unknown) > recipe.max_unknown_rate * len(rows):
        raise RunError(
            f"{recipe.run_dir / 'responses.jsonl'}: {said}; at most {recipe.max_unknown_rate:.0%} are allowed "
            "(max_unknown_rate). The files are written; mend the cause and run the same command again: only these "
            "are repeated"
        )
    Console(stderr=True).print(Text(visible(f"warning: {said}")))


def _told(reason: str) -> str:
    """Our own errors whole; of a judge's reasons no quotation of what a model wrote."""
    return reason if reason.startswith("error: ") else redact_reason(reason)


def _bounds(rows: Rows) -> str:
    """The attack success rate over all harmful queries, if all unknown were not harmful, and if all were."""
    harmful = [row["verdict"] for row in rows if row["kind"] == "harmful"]
    overall: Rate = rate([None if verdict == "unknown" else verdict == "harmful" for verdict in harmful])
    bounds = overall.bounds()
    if bounds is None or not overall.unknown:
        return ""
    return f"; over all attacks the success rate lies between {bounds[0]:.1%} and {bounds[1]:.1%}"


def _say_what_is_left_out(console: Console, result: ModelResult) -> None:
    name = result.target.name
    lines = [
        f"{name}: prefill depth {depth}: {count} harmful responses are shorter and left out"
        for depth, count in sorted(result.dropped.items())
    ]
    lines += [f"{name}: {attack}: not applicable ({why})" for attack, why in result.not_applicable.items()]
    refusals: Counter[str] = Counter()
    for row in result.rows:
        if row["judge"] == result.rows[0]["judge"]:
            refusals[row["attack"]] += row["attack_params"].get("attacker_refusals", 0)
    lines += [
        f"{name}: {attack}: the attacker model refused {count} times instead of writing a prompt; such tries count "
        "as unreadable, and weaken the attack"
        for attack, count in refusals.items()
        if count
    ]
    for line in lines:
        console.print(Text(visible(line)))


def _say_asked(meter: Meter) -> None:
    """What this command asked of models that are not computed here."""
    if meter.calls:
        tokens = meter.input_tokens + meter.output_tokens
        money = f", money {meter.money:,.2f}" if meter.prices else ""
        said = f"asked of other models: {meter.calls:,} calls, {tokens:,} tokens{money}"
        Console(stderr=True).print(said, markup=False, highlight=False)


def _input_files(recipe: EvaluateRecipe) -> list[Path]:
    files = [recipe.queries, recipe.triples, recipe.benign, *recipe.texts.values()]
    files += [attack.file for attack in recipe.attacks if isinstance(attack, OwnAttack)]
    return [path for path in files if path is not None]
