"""`derta demo`: the whole road on the fictional world, through the same code as a real model's.

1 data      the world's triples, benign pairs and queries          <run_dir>/data
2 base      a small Llama that learns the world from nothing       <cache_dir>/base-..., found again
3 train     one run a method                                       <run_dir>/train/<method>
4 evaluate  models x attacks, judged, with probes                  <run_dir>/evaluate
5 report    page, tables, figures, results.json                    <run_dir>/report
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from transformers.utils.logging import disable_progress_bar

from derta.code_hash import changed_files, code_files
from derta.config import check_recipe
from derta.demo.data import DemoFiles, write_demo_data
from derta.demo.forms import GUILD, Phrasing
from derta.demo.pretrain import base_model_dir
from derta.demo.searches import SEARCH_TEXTS, search_attacks, write_search_texts
from derta.demo.settings import DemoRecipe
from derta.errors import RunError
from derta.evaluation.recipe import EvaluateRecipe
from derta.evaluation.run import evaluate
from derta.files import write_json
from derta.progress import Bar
from derta.provenance import write_manifest
from derta.reporting.page import build_report
from derta.run_folder import Kind, check_output, claim, foreign
from derta.training.recipe import TrainRecipe
from derta.training.run import train

LESSONS = ("lessons.jsonl", "favours.jsonl")  # beside the data, where a real model is taught the world
STARTED = "demo.json"  # the settings and the code that the folder was started with
NO_NUMBERS = (
    "derta.reporting",
    "derta.training.watch.progress",
    "derta.training.watch.mix",
    "derta.training.checkpoints",
    "derta.training.cost",
)


@dataclass(frozen=True)
class Road:
    """What differs between the demo and the same road with a real model. The functions are given the recipe first.

    entry: the module that begins it, whose code decides the numbers. say: the data's phrasing.
    """

    entry: str
    say: Phrasing
    base: Callable[[Any, Console], Path]
    base_title: str
    train: Callable[[Any, str, Path, DemoFiles], dict[str, Any]]
    evaluate: Callable[[Any, Path, dict[str, Path], DemoFiles], dict[str, Any]]


def run_demo(recipe: DemoRecipe, console: Console | None = None) -> Path:
    """Walk the road; returns the report's page. The same command continues what was stopped.

    Raises:
        DertaError: as the stages do.
    """
    road = Road(
        entry="derta.demo.run",
        say=GUILD,
        base=_base,
        base_title="base model[/]: learns every craft, forbidden ones too",
        train=train_settings,
        evaluate=evaluate_settings,
    )
    return walk(recipe, road, console)


def walk(recipe: DemoRecipe, road: Road, console: Console | None = None) -> Path:
    """The stages, one after the other.

    Raises:
        DertaError: as the stages do.
    """
    console = console or Console(stderr=True)
    disable_progress_bar()  # of the library's loading and saving; ours shows the steps
    run_dir = recipe.run_dir
    claim(run_dir, "demo")
    _start_anew_if_changed(recipe, road.entry, console)
    console.rule("[bold]1/5 data[/]: a fictional guild that forbids some crafts")
    files = write_demo_data(run_dir / "data", recipe.world, recipe.seed, road.say)
    console.rule(f"[bold]2/5 {road.base_title}")
    base = road.base(recipe, console)
    models: dict[str, Path] = {}
    for method in recipe.methods:
        console.rule(f"[bold]3/5 train[/]: {method}")
        models[method] = train(
            check_recipe(road.train(recipe, method, base, files), TrainRecipe, road.entry), console
        )
    console.rule("[bold]4/5 evaluate[/]: the attacks on every model")
    evaluate(check_recipe(road.evaluate(recipe, base, models, files), EvaluateRecipe, road.entry))
    console.rule("[bold]5/5 report[/]")
    write_manifest(
        run_dir,
        kind="demo",
        config=recipe.model_dump(mode="json"),
        inputs=[files.triples, files.benign, files.queries],
        base_model=str(base),
    )
    return build_report([run_dir], run_dir / "report", show_text=True)


def train_settings(recipe: DemoRecipe, method: str, base: Path, files: DemoFiles) -> dict[str, Any]:
    """What `derta train` is given for one method."""
    tune = recipe.tune
    return {
        "run_dir": recipe.run_dir / "train" / method,
        "seed": recipe.seed,
        "method": method,
        "model": {"path": str(base), "dtype": "float32"},
        "data": {"triples": files.triples, "benign": files.benign, "num_triples": tune.num_triples},
        "rto": {"keep_rate": tune.keep_rate},
        "max_length": recipe.max_length,
        "batch": {"rows": tune.batch_rows, "tokens": tune.batch_tokens},
        "probe": {"triples": files.heldout_triples, "benign": files.heldout_benign, "every": 50},
        "training": {"learning_rate": tune.learning_rate, "num_train_epochs": tune.epochs},
    }


def evaluate_settings(
    recipe: DemoRecipe, base: Path, models: dict[str, Path], files: DemoFiles
) -> dict[str, Any]:
    """What `derta evaluate` is given."""
    return {
        "run_dir": recipe.run_dir / "evaluate",
        "seed": recipe.seed,
        "models": [
            {"name": method, "method": method, "path": str(path), "dtype": "float32"}
            for method, path in models.items()
        ],
        "base": str(base),
        "queries": files.queries,
        "triples": files.heldout_triples,
        "benign": files.heldout_benign,
        "attacks": [
            "direct",
            "code",
            "jailbreakchat",
            "selfcipher",
            "completing",
            {"name": "prefill", "depths": recipe.depths},
            *search_attacks(recipe.search_queries),
        ],
        "judge": {"name": "world"},
        "generation": {"max_new_tokens": recipe.max_new_tokens, "batch_rows": 128},
        "texts": {
            "jailbreakchat": files.jailbreakchat,
            "selfcipher": files.selfcipher,
            **write_search_texts(recipe.run_dir / "data"),
        },
    }


def _base(recipe: DemoRecipe, console: Console) -> Path:
    with Bar(console).step("pre-train") as step:

        def on_step(done: int, total: int, loss: float) -> None:
            step.set(done=done, total=total, note=f"loss {loss:.3f}")

        folder = base_model_dir(
            recipe.world, recipe.pretrain, seed=recipe.seed, cache_dir=recipe.cache_dir, on_step=on_step
        )
    return folder


def _remove_stages(run_dir: Path) -> None:
    """Remove what the stages made.

    Raises:
        RunError: a stage's folder holds files that we did not write; nothing is removed then.
    """
    stages: list[tuple[Path, Kind]] = [(run_dir / "data", "data"), (run_dir / "evaluate", "evaluate")]
    stages += [(folder, "train") for folder in sorted((run_dir / "train").glob("*"))]
    stages += [(run_dir / "report", "report"), (run_dir / "taught", "train")]
    texts = {path.name for path in vars(DemoFiles.inside(run_dir)).values()} | set(SEARCH_TEXTS.values())
    texts |= set(LESSONS)
    for folder, kind in stages:
        check_output(folder, kind)
        others = [name for name in foreign(folder, kind) if kind != "data" or name not in texts]
        if others:
            raise RunError(f"{folder}: holds {others[0]}, which the demo did not write; move it away")
    for folder, _ in stages:
        if folder.exists():
            shutil.rmtree(folder)


def _start_anew_if_changed(recipe: DemoRecipe, entry: str, console: Console) -> None:
    """Settings or code changed since the folder was started: its stages are made anew (the base has a cache)."""
    started = recipe.run_dir / STARTED
    settings = recipe.model_dump(mode="json", exclude={"methods", "run_dir", "cache_dir"})
    now = {"settings": settings, "code": code_files(entry, without=NO_NUMBERS)}
    if started.exists() and (changed := _changed(started, now)):
        console.print(f"{changed} changed since this folder was started: its stages are made anew")
        _remove_stages(recipe.run_dir)
    write_json(started, now)


def _changed(started: Path, now: dict[str, Any]) -> str:
    """What the folder was started with and is no more; empty: nothing."""
    try:
        before = json.loads(started.read_text(encoding="utf-8"))
        code = changed_files(before["code"], now["code"])
    except (ValueError, KeyError, AttributeError, TypeError):
        return "the code"
    return code if before["settings"] == now["settings"] else f"settings{code and ' and ' + code}"
