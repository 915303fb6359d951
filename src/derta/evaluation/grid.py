"""One model of the grid: its attacks, seeds and judges, run as far as they are not yet in the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from rich.console import Console
from rich.text import Text

from derta.attacks.contract import LocalTarget
from derta.config import TargetModel
from derta.encode.prompt_report import prompt_facts, prompt_report
from derta.evaluation.asking import InspectModels
from derta.evaluation.inspect_run import run_tasks
from derta.evaluation.kept import asked_anew
from derta.evaluation.plan import Loaded, Plan, plan_samples
from derta.evaluation.probes import probe_rows
from derta.evaluation.providers.local import LocalModel
from derta.evaluation.recipe import EvaluateRecipe
from derta.evaluation.rows import judged_rows
from derta.evaluation.targets import OpenTarget, open_target, why_not
from derta.evaluation.tasks import Judging, attack_task
from derta.evaluation.white_box import LocalWhiteBox
from derta.keyed_log import Kind, SampleStore
from derta.progress import Progress, Step
from derta.visible import visible

Rows = list[dict[str, Any]]
Errors = Mapping[tuple[str, str], str]


@dataclass(frozen=True)
class ModelResult:
    """What one model gave. not_applicable: attack -> why it was not made."""

    target: TargetModel
    dropped: dict[int, int]
    rows: Rows
    hazards: Rows
    controls: Rows
    template_hash: str
    chat: dict[str, Any]
    not_applicable: dict[str, str]


def evaluate_model(
    target: TargetModel, key: str, loaded: Loaded, judgings: Sequence[Judging], progress: Progress
) -> ModelResult:
    """Ask what is missing; then the rows of everything, from the store.

    Raises:
        DertaError: the model or its data can't be used.
        KeyboardInterrupt: stopped by the user.
    """
    recipe = loaded.recipe
    opened = open_target(target, key, recipe)
    if opened.renderer is not None:
        for line in prompt_report(opened.renderer):
            Console(stderr=True).print(Text(visible(f"{target.name}: {line}")), soft_wrap=True)
    lacking = {attack.name: reason for attack in loaded.attacks if (reason := why_not(attack, target))}

    def advance(kind: Kind) -> None:
        if kind == "judged":
            bar()

    rows: Rows = []
    plans: list[Plan] = []
    try:
        with SampleStore(recipe.run_dir / "samples.jsonl", advance) as store:
            with progress.step(target.name) as bar:
                for seed in recipe.seeds:
                    run = _SeedRun(opened, loaded.at_seed(seed), judgings, store, lacking)
                    plan, errors = run.run(progress, bar)
                    plans.append(plan)
                    rows += run.rows(plan, errors)
            hazards, controls = _probes(opened, recipe, store, progress)
    finally:
        opened.close()
    return ModelResult(
        target,
        plans[0].dropped,
        rows,
        hazards,
        controls,
        opened.renderer.template_hash if opened.renderer else "",
        prompt_facts(opened.renderer) if opened.renderer else {},
        lacking,
    )


@dataclass(frozen=True)
class _SeedRun:
    """One model, one seed."""

    opened: OpenTarget
    loaded: Loaded
    judgings: Sequence[Judging]
    store: SampleStore
    lacking: Mapping[str, str]

    def run(self, progress: Progress, bar: Step) -> tuple[Plan, Errors]:
        """Answer and judge what is missing."""
        opened, recipe = self.opened, self.loaded.recipe
        loaded = self._prepared(progress)
        plan = plan_samples(
            loaded,
            opened.renderer,
            opened.key,
            skipped=self.lacking,
            is_exact=opened.local is not None and recipe.generation.temperature == 0,
        )
        note = asked_anew(plan.samples, self.store, opened.target.name, recipe.seed)
        if note:
            Console(stderr=True).print(Text(visible(note)), soft_wrap=True)
        wanted = [(judging, sample) for sample in plan.samples for judging in self.judgings]
        missing = {sample.key for judging, sample in wanted if not judging.is_done(sample.key, self.store)}
        done = sum(judging.is_done(sample.key, self.store) for judging, sample in wanted)
        bar.set(done=bar.done + done, total=(bar.total or 0) + len(wanted))
        tasks = [
            attack_task(attack, samples, opened.target.name, loaded, self.store, self.judgings)
            for attack in loaded.attacks
            if (samples := [s for s in plan.samples if s.attack == attack.name and s.key in missing])
        ]
        if not tasks:
            return plan, {}
        requests = None if opened.local is not None else opened.target.requests
        errors = run_tasks(
            tasks,
            opened.model,
            recipe.run_dir / "logs",
            generation=recipe.generation,
            seed=recipe.seed,
            requests=requests,
        )
        return plan, errors

    def _prepared(self, progress: Progress) -> Loaded:
        """With what the attacks' searches found for this model, before its samples are planned."""
        loaded, opened, judging = self.loaded, self.opened, self.judgings[0]
        if opened.local is None:
            return loaded
        # connections of other models belong to the event loop of their search
        target = LocalTarget(
            key=opened.key,
            template_hash=opened.local.renderer.template_hash,
            judge_key=judging.key,
            run_dir=loaded.recipe.run_dir,
            models=InspectModels(loaded.recipe.seed, judging.judge, memoize=False),
            white_box=partial(_white_box, opened.local, loaded.recipe),
            progress=progress,
        )
        for attack in loaded.attacks:
            loaded = replace(loaded, inputs=attack.prepare(loaded.inputs, target))
        return loaded

    def rows(self, plan: Plan, errors: Errors) -> Rows:
        """The rows of every judge."""
        rows = [
            row
            for judging in self.judgings
            for row in judged_rows(
                plan,
                loaded=self.loaded,
                target=self.opened.target,
                renderer=self.opened.renderer,
                store=self.store,
                judging=judging,
                errors=errors,
            )
        ]
        assert len(rows) == len(plan.samples) * len(self.judgings), "rows in must be rows out"
        return rows


def _probes(
    opened: OpenTarget, recipe: EvaluateRecipe, store: SampleStore, progress: Progress
) -> tuple[Rows, Rows]:
    """White-box measurements, where the weights are here."""
    local = opened.local
    if local is None:
        return [], []
    return probe_rows(
        recipe,
        opened.target,
        renderer=local.renderer,
        model_key=opened.key,
        weights=lambda: local.weights,
        store=store,
        progress=progress,
    )


def _white_box(local: LocalModel, recipe: EvaluateRecipe, batch_tokens: int) -> LocalWhiteBox:
    return LocalWhiteBox(lambda: local.weights, local.renderer, recipe.generation, batch_tokens=batch_tokens)
