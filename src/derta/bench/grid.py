"""The grid, seed by seed: the world's data, its base model, each method's training, every attack on every method.

Nothing that is finished is made again: a base model is found in the cache, a training goes on from its checkpoint, an
answer stands in the seed's store. The same command continues what was stopped, and gives the same bench.json.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from transformers.utils.logging import disable_progress_bar

from derta.bench.document import FORMAT, cells_hash
from derta.bench.page import write_page
from derta.bench.settings import BenchRecipe, demo_of
from derta.config import check_recipe
from derta.demo.data import DemoFiles, write_demo_data
from derta.demo.pretrain import base_model_dir
from derta.demo.run import evaluate_settings, train_settings
from derta.demo.settings import DemoRecipe
from derta.encode.chat import ChatRenderer
from derta.evaluation.recipe import EvaluateRecipe
from derta.evaluation.run import evaluate
from derta.files import sha256_file, write_json
from derta.models import load_model, load_tokenizer
from derta.probe.rank import harm_ranks, share_within
from derta.provenance import code_version, library_versions
from derta.records import JudgedResponse, Triple, load_records
from derta.reporting.collect import collect
from derta.results.cell import NO_ATTACK, Cell, make_cell
from derta.results.cells import results
from derta.results.measured import Knowledge
from derta.run_folder import claim
from derta.statistics import mean_interval
from derta.training.recipe import TrainRecipe
from derta.training.run import train

RANKS = (
    1,
    5,
    20,
)  # `within_rank:k`: the share of places where the true harmful token is among the k likeliest


def run_bench(recipe: BenchRecipe, console: Console | None = None) -> Path:
    """Run or continue the grid; returns the page, with bench.json beside it.

    Raises:
        DertaError: as the stages do.
    """
    console = console or Console(stderr=True)
    disable_progress_bar()
    claim(recipe.run_dir, "bench")
    lines: list[dict[str, Any]] = []
    responses: list[JudgedResponse] = []
    inputs: dict[str, str] = {}
    for seed in recipe.seeds:
        found, measured, files = run_seed(recipe, demo_of(recipe, seed), console)
        cells = [*results(found, measured[0]), *measured[1]]
        lines += [
            {"seed": seed, **asdict(cell), "rebuild": rebuild_command(recipe, seed, cell)} for cell in cells
        ]
        responses += found
        named = (files.triples, files.benign, files.queries, files.heldout_triples)
        inputs |= {f"seed-{seed}/{path.name}": sha256_file(path) for path in named}
    document = {
        "format": FORMAT,
        "manifest": {
            "code": code_version(),
            "libraries": library_versions(),
            "recipe": recipe.model_dump(mode="json", exclude={"run_dir", "cache_dir"}),
            "judge": "world",
            "inputs": inputs,
        },
        "cells": lines,
        "pooled": [asdict(cell) for cell in pooled(responses, lines)],
    }
    document["sha256"] = cells_hash(document)
    write_json(recipe.run_dir / "bench.json", document)
    return write_page(document, recipe.run_dir / "index.html")


def run_seed(
    recipe: BenchRecipe, demo: DemoRecipe, console: Console
) -> tuple[list[JudgedResponse], tuple[list[Knowledge], list[Cell]], DemoFiles]:
    """One seed: its judged responses, knowledge and rank of every method, and the data they were made with."""
    console.rule(f"[bold]seed {demo.seed}[/]")
    files = write_demo_data(demo.run_dir / "data", demo.world, demo.seed)
    base = base_model_dir(demo.world, demo.pretrain, seed=demo.seed, cache_dir=demo.cache_dir)
    models: dict[str, Path] = {}
    for method in demo.methods:
        console.print(f"seed {demo.seed}: train {method}")
        models[method] = train(
            check_recipe(train_settings(demo, method, base, files), TrainRecipe, "bench"), console
        )
    given = {**evaluate_settings(demo, base, models, files), "attacks": recipe.attacks}
    asked = check_recipe(given, EvaluateRecipe, "bench")
    evaluate(asked)
    evidence = collect([asked.run_dir])
    known = list(evidence.knowledge)
    responses = list(evidence.responses)
    return responses, (known, rank_cells(models, load_records(files.heldout_triples, Triple))), files


def rank_cells(models: dict[str, Path], triples: Sequence[Triple]) -> list[Cell]:
    """What lies behind each model's refusal: the share of places whose true harmful token ranks within k."""
    cells = []
    for method, path in models.items():
        renderer = ChatRenderer.of(load_tokenizer(str(path)))
        turns = [([{"role": "user", "content": t.harmful_query}], t.harmful_response) for t in triples]
        ranks = harm_ranks(load_model(str(path), "float32"), renderer.encode_pairs(turns))  # type: ignore[arg-type]
        for k in RANKS:
            shares = [share for row in ranks if (share := share_within([row], k)) is not None]
            key = (method, method, NO_ATTACK, NO_ATTACK)
            cells.append(make_cell(key, f"within_rank:{k}", mean_interval(shares)))
    return cells


def pooled(responses: Sequence[JudgedResponse], lines: Sequence[dict[str, Any]]) -> list[Cell]:
    """Cells over all seeds. Worlds call their questions alike, so intervals are at one seed's number of questions.

    What was measured without questions is a mean over seeds, n of them; of a single seed it stays as it is.
    """
    cells = results(responses)
    groups: dict[tuple[str, ...], list[Cell]] = {}
    for line in lines:
        if line["attack"] == NO_ATTACK and line["value"] is not None:
            cell = Cell(**{name: value for name, value in line.items() if name not in ("seed", "rebuild")})
            groups.setdefault((cell.model, cell.metric), []).append(cell)
    for same in groups.values():
        first, values = same[0], [cell.value or 0.0 for cell in same]
        key = (first.model, first.method, first.attack, first.judge)
        cells.append(first if len(same) == 1 else make_cell(key, first.metric, mean_interval(values)))
    return cells


def rebuild_command(recipe: BenchRecipe, seed: int, cell: Cell) -> str:
    """The command that makes a cell anew, in a folder of its own."""
    wanted = [attack for attack in recipe.attacks if _name(attack) == cell.attack.partition("@")[0]]
    chosen: dict[str, Any] = {
        "run_dir": "runs/rebuilt",
        "seeds": [seed],
        "methods": [cell.method],
        "attacks": wanted or [_name(recipe.attacks[0])],
        "num_queries": recipe.num_queries,
        **({"demo": recipe.demo} if recipe.demo else {}),
    }
    words = [f"{key}={_flow(value)}" for key, value in chosen.items()]
    return shlex.join(["derta", "bench", "run", *(part for word in words for part in ("--set", word))])


def _name(attack: Any) -> str:
    return attack if isinstance(attack, str) else str(attack["name"])


def _flow(value: Any) -> str:
    """YAML in one line."""
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("\n...\n").strip()
