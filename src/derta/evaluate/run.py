"""`derta evaluate`: models x attacks -> responses.jsonl, resumable at any moment.

samples.jsonl     every finished answer and judgement, found again by the hash of its inputs
responses.jsonl   one judged response a line: models, attacks, queries in the recipe's order
hazard.jsonl, knowledge.jsonl   white-box measurements (when the recipe names held-out triples)
logs/*.eval       Inspect's logs
manifest.json     what it was made from; written last
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from inspect_ai.model import get_model
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import derta
from derta.config import AutoDanAttack, EvaluateRecipe, TargetModel
from derta.errors import RunError
from derta.evaluate.inspect_run import run_tasks
from derta.evaluate.loading import fingerprint
from derta.evaluate.local_model import LocalModel
from derta.evaluate.plan import Inputs, Plan, PlannedSample, load_inputs, plan_samples
from derta.evaluate.probes import probe_rows
from derta.evaluate.rows import judged_rows
from derta.evaluate.searches import find_prompts, searched_queries
from derta.evaluate.store import Kind, SampleStore, key_of
from derta.evaluate.tasks import Judging, attack_task
from derta.files import run_lock, sha256_file, write_jsonl
from derta.judge import build_judge
from derta.provenance import write_manifest

Rows = list[dict[str, Any]]


def evaluate(recipe: EvaluateRecipe) -> Path:
    """Run what is not yet in the run folder, then write its files; returns `responses.jsonl`.

    Raises:
        DertaError: unusable recipe, data or model; a folder in use; or too many responses without a verdict.
        KeyboardInterrupt: stopped by the user; the same command continues.
    """
    run_dir = recipe.run_dir
    with run_lock(run_dir):
        judging = build_judging(recipe.judge)
        inputs = load_inputs(recipe)
        fingerprints = {target.name: fingerprint(target.path) for target in recipe.models}
        if recipe.base is not None:
            fingerprint(recipe.base)  # a missing base is to be told now, not after an hour
        (run_dir / "manifest.json").unlink(missing_ok=True)
        with _progress() as progress:
            results = [
                _evaluate_model(target, fingerprints[target.name], inputs, judging, progress)
                for target in recipe.models
            ]
        rows = _write_files(recipe, results, fingerprints)
    _check_unknown(rows, recipe)
    return run_dir / "responses.jsonl"


def _write_files(
    recipe: EvaluateRecipe, results: Sequence[_ModelResult], fingerprints: dict[str, str]
) -> Rows:
    """Everything but the samples and the logs; returns the rows of responses.jsonl."""
    rows = [row for result in results for row in result.rows]
    write_jsonl(recipe.run_dir / "responses.jsonl", rows)
    for name, lines in (
        ("hazard.jsonl", [line for result in results for line in result.hazards]),
        ("knowledge.jsonl", [line for result in results for line in result.controls]),
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
        models=fingerprints,
        template_hashes={result.target.name: result.template_hash for result in results},
        prefill_dropped={
            result.target.name: {str(depth): count for depth, count in result.plan.dropped.items()}
            for result in results
        },
    )
    return rows


def build_judging(settings: dict[str, Any]) -> Judging:
    """The judge of a recipe, with the hash of its settings and of the files that they name.

    Raises:
        RecipeError: no such judge, or settings that it does not take.
    """
    name = str(settings.get("name"))
    rest = {key: value for key, value in settings.items() if key != "name"}
    judge = build_judge(name, rest)
    named = {key: Path(value) for key, value in rest.items() if isinstance(value, str)}
    files = {key: sha256_file(path) for key, path in named.items() if path.is_file()}
    return Judging(name, judge, key_of(derta=derta.__version__, judge=settings, files=files))


@dataclass(frozen=True)
class _ModelResult:
    """What one model gave."""

    target: TargetModel
    plan: Plan
    rows: Rows
    hazards: Rows
    controls: Rows
    template_hash: str


def _evaluate_model(
    target: TargetModel, model_key: str, inputs: Inputs, judging: Judging, progress: Progress
) -> _ModelResult:
    recipe = inputs.recipe
    model_key = key_of(files=model_key, dtype=target.dtype)
    model = get_model(
        f"derta/{target.path}",
        memoize=False,
        dtype=target.dtype,
        template=recipe.chat.template,
        batch_rows=recipe.generation.batch_rows,
        batch_tokens=recipe.generation.batch_tokens,
    )
    local = model.api
    assert isinstance(local, LocalModel)
    bar = progress.add_task(target.name, total=None)

    def advance(kind: Kind) -> None:
        if kind == "judged":
            progress.advance(bar)

    try:
        with SampleStore(recipe.run_dir / "samples.jsonl", advance) as store:
            inputs = _with_found_prompts(inputs, local, model_key, progress)
            plan = plan_samples(inputs, local.renderer, model_key)
            pending = [sample for sample in plan.samples if not _is_judged(sample, store, judging)]
            progress.update(bar, total=len(plan.samples), completed=len(plan.samples) - len(pending))
            tasks = [
                attack_task(attack, samples, inputs, store, judging)
                for attack in recipe.attacks
                if (samples := [sample for sample in pending if sample.attack == attack.name])
            ]
            logs = recipe.run_dir / "logs"
            errors = (
                run_tasks(tasks, model, logs, generation=recipe.generation, seed=recipe.seed) if tasks else {}
            )
            hazards, controls = probe_rows(
                recipe,
                target,
                renderer=local.renderer,
                model_key=model_key,
                weights=lambda: local.weights,
                store=store,
            )
    finally:
        local.close()
    rows = judged_rows(
        plan,
        recipe=recipe,
        target=target,
        renderer=local.renderer,
        store=store,
        judging=judging,
        errors=errors,
    )
    assert len(rows) == len(plan.samples), "rows in must be rows out"
    _say_dropped(progress.console, target, plan)
    return _ModelResult(target, plan, rows, hazards, controls, local.renderer.template_hash)


def _with_found_prompts(inputs: Inputs, local: LocalModel, model_key: str, progress: Progress) -> Inputs:
    """AutoDAN's prompts for this model: searched before its samples can be planned."""
    attack = next((attack for attack in inputs.recipe.attacks if isinstance(attack, AutoDanAttack)), None)
    if attack is None:
        return inputs
    bar = progress.add_task("AutoDAN steps", total=attack.steps)
    found = find_prompts(
        attack,
        searched_queries(attack, inputs.harmful),
        inputs.search,
        inputs.recipe,
        model=lambda: local.weights,
        renderer=local.renderer,
        model_key=model_key,
        on_step=lambda state: progress.update(bar, completed=state.step),
    )
    progress.remove_task(bar)
    return replace(inputs, found=found)


def _is_judged(sample: PlannedSample, store: SampleStore, judging: Judging) -> bool:
    """Whether a verdict is saved; a judge that could not tell is asked again."""
    found = store.get("judged", judging.key_for(sample.key))
    return found is not None and found["verdict"] != "unknown"


def _check_unknown(rows: Rows, recipe: EvaluateRecipe) -> None:
    """Print what has no verdict, by reason; an error when it is too much."""
    unknown = [row for row in rows if row["verdict"] == "unknown"]
    if not unknown:
        return
    reasons = Counter(f"{row['attack']}: {row['reason']}" for row in unknown).most_common(5)
    shown = "; ".join(f"{count} x {reason}" for reason, count in reasons)
    said = f"{len(unknown)} of {len(rows)} responses have no verdict ({shown})"
    if len(unknown) > recipe.max_unknown_rate * len(rows):
        raise RunError(
            f"{recipe.run_dir / 'responses.jsonl'}: {said}; at most {recipe.max_unknown_rate:.0%} are allowed "
            "(max_unknown_rate). The files are written; mend the cause and run the same command again: only these "
            "are repeated"
        )
    Console(stderr=True).print(f"warning: {said}", markup=False, highlight=False)


def _say_dropped(console: Console, target: TargetModel, plan: Plan) -> None:
    for depth, count in sorted(plan.dropped.items()):
        console.print(
            f"{target.name}: prefill depth {depth}: {count} harmful responses are shorter and left out",
            markup=False,
            highlight=False,
        )


def _input_files(recipe: EvaluateRecipe) -> list[Path]:
    files = [recipe.queries, recipe.triples, recipe.benign, *(path for _, path in recipe.texts)]
    return [path for path in files if path is not None]


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
