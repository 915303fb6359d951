"""`derta evaluate`: models x attacks -> responses.jsonl, resumable at any moment.

samples.jsonl     every finished answer and judgement, found again by the hash of its inputs
responses.jsonl   one judged response a line: models, attacks, queries in the recipe's order
hazard.jsonl, knowledge.jsonl   white-box measurements (when the recipe names held-out triples)
logs/*.eval       Inspect's logs
manifest.json     what it was made from; written last
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from inspect_ai.model import get_model
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from derta.config import AutoDanAttack, EvaluateRecipe, TargetModel
from derta.errors import RecipeError, RunError
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
from derta.judge import JUDGES
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
        (run_dir / "manifest.json").unlink(missing_ok=True)
        rows: Rows = []
        hazards: Rows = []
        controls: Rows = []
        facts: dict[str, Any] = {"models": fingerprints, "template_hashes": {}, "prefill_dropped": {}}
        with _progress() as progress:
            for target in recipe.models:
                found = _evaluate_model(target, fingerprints[target.name], inputs, judging, progress)
                rows += found.rows
                hazards += found.hazards
                controls += found.controls
                facts["template_hashes"][target.name] = found.template_hash
                facts["prefill_dropped"][target.name] = {
                    str(depth): count for depth, count in found.plan.dropped.items()
                }
                _say_dropped(progress.console, target, found.plan)
        path = run_dir / "responses.jsonl"
        write_jsonl(path, rows)
        for name, lines in (("hazard.jsonl", hazards), ("knowledge.jsonl", controls)):
            if lines:
                write_jsonl(run_dir / name, lines)
        write_manifest(
            run_dir,
            kind="evaluate",
            config=recipe.model_dump(mode="json"),
            inputs=_input_files(recipe),
            rows=len(rows),
            **facts,
        )
        _check_unknown(rows, recipe, path)
        return path


def build_judging(settings: dict[str, Any]) -> Judging:
    """The judge of a recipe.

    Raises:
        RecipeError: no such judge, or settings that it does not take.
    """
    name = settings.get("name")
    if name not in JUDGES:
        raise RecipeError(f"judge.name: found {name!r}, need one of {', '.join(JUDGES)}")
    rest = {key: value for key, value in settings.items() if key != "name"}
    try:
        judge = JUDGES[name](**rest)
    except TypeError as error:
        raise RecipeError(f"judge: {name} does not take these settings: {error}") from None
    files = {
        key: sha256_file(Path(value))
        for key, value in rest.items()
        if isinstance(value, str) and Path(value).is_file()
    }
    return Judging(name, judge, key_of(judge=settings, files=files))


class _ModelResult:
    """What one model gave."""

    def __init__(self, plan: Plan, rows: Rows, hazards: Rows, controls: Rows, template_hash: str) -> None:
        self.plan = plan
        self.rows = rows
        self.hazards = hazards
        self.controls = controls
        self.template_hash = template_hash


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
    return _ModelResult(plan, rows, hazards, controls, local.renderer.template_hash)


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


def _check_unknown(rows: Rows, recipe: EvaluateRecipe, path: Path) -> None:
    """Print what has no verdict, by reason; an error when it is too much."""
    unknown = [row for row in rows if row["verdict"] == "unknown"]
    if not unknown:
        return
    reasons = Counter(f"{row['attack']}: {row['reason']}" for row in unknown).most_common(5)
    shown = "; ".join(f"{count} x {reason}" for reason, count in reasons)
    said = f"{len(unknown)} of {len(rows)} responses have no verdict ({shown})"
    if len(unknown) > recipe.max_unknown_rate * len(rows):
        raise RunError(
            f"{path}: {said}; at most {recipe.max_unknown_rate:.0%} are allowed (max_unknown_rate). The files are "
            "written; mend the cause and run the same command again: only these are repeated"
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
