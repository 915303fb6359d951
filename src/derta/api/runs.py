"""The stages from Python: a recipe in, a run out; a recipe is a file, a mapping or the checked object."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from derta.config import StrictModel, check_recipe, load_recipe
from derta.records import JudgedResponse
from derta.results.cell import Cell

if TYPE_CHECKING:
    from pandas import DataFrame

    from derta.evaluation.recipe import EvaluateRecipe
    from derta.training.recipe import TrainRecipe

Recipe = TypeVar("Recipe", bound=StrictModel)
MOST_ROWS = 30  # of a table shown in a notebook


@dataclass(frozen=True)
class Run:
    """What `evaluate` made, or `report` read: judged responses, and the cells made of them.

    responses: one a line of responses.jsonl. cells: one a (model, method, attack, judge, metric), each with n,
    unknown and a 95 % interval. page: of a report.
    """

    folder: Path
    responses: tuple[JudgedResponse, ...]
    cells: tuple[Cell, ...]
    page: Path | None = None

    def to_frame(self) -> DataFrame:
        """The cells as a table, a row each."""
        from pandas import DataFrame

        return DataFrame([asdict(cell) for cell in self.cells])

    def _repr_html_(self) -> str:
        """The attack success rates as a table."""
        rates = [cell for cell in self.cells if cell.metric == "asr"][:MOST_ROWS]
        rows = "".join(
            f"<tr><td>{html.escape(cell.model)}</td><td>{html.escape(cell.method)}</td>"
            f"<td>{html.escape(cell.attack)}</td><td>{_percent(cell)}</td><td>{cell.n}</td></tr>"
            for cell in rates
        )
        head = "<tr><th>model</th><th>method</th><th>attack</th><th>ASR, % (95 %)</th><th>n</th></tr>"
        return f"<table>{head}{rows}</table><p>{html.escape(str(self.page or self.folder))}</p>"


def train(recipe: TrainRecipe | Mapping[str, Any] | str | Path) -> Path:
    """Train one method; returns the model's or the adapter's folder. The same call continues an interrupted run.

    Raises:
        RecipeError: unknown keys, wrong types, contradictions.
        DertaError: data, tokenizer or model can't be used.
    """
    from derta.training.recipe import TrainRecipe
    from derta.training.run import train as run

    return run(checked_recipe(recipe, TrainRecipe))


def evaluate(recipe: EvaluateRecipe | Mapping[str, Any] | str | Path) -> Run:
    """Attack and judge; the same call continues and repeats no finished sample.

    Raises:
        RecipeError: unknown keys, wrong types, contradictions.
        DertaError: data or models can't be used, or too many responses have no verdict.
    """
    from derta.evaluation.recipe import EvaluateRecipe
    from derta.evaluation.run import evaluate as run

    return _run_of([run(checked_recipe(recipe, EvaluateRecipe)).parent])


def report(
    runs: str | Path | Sequence[str | Path], out: str | Path | None = None, *, show_text: bool = False
) -> Run:
    """One page, results.json, CSV tables and figures from finished runs; default folder: report/ in the first.

    Raises:
        RunError: a folder is missing, or holds nothing to report.
    """
    from derta.reporting.page import build_report

    folders = [Path(runs)] if isinstance(runs, str | Path) else [Path(run) for run in runs]
    page = build_report(folders, Path(out) if out else folders[0] / "report", show_text=show_text)
    return _run_of(folders, page)


def checked_recipe(recipe: Recipe | Mapping[str, Any] | str | Path, model: type[Recipe]) -> Recipe:
    """The recipe in a file, a mapping, or as it is.

    Raises:
        RecipeError: as `derta.config.load_recipe`.
    """
    if isinstance(recipe, model):
        return recipe
    if isinstance(recipe, str | Path):
        return load_recipe(Path(recipe), model)
    assert isinstance(recipe, Mapping)
    return check_recipe(dict(recipe), model, "recipe")


def _run_of(folders: Sequence[Path], page: Path | None = None) -> Run:
    from derta.reporting.collect import collect
    from derta.results.cells import results

    found = collect(folders)
    cells = results(found.responses, found.knowledge, found.capability, found.not_applicable)
    return Run(folders[0], tuple(found.responses), tuple(cells), page)


def _percent(cell: Cell) -> str:
    if cell.value is None:
        return "not measured"
    low, high = cell.low, cell.high
    interval = "" if low is None or high is None else f" ({100 * low:.0f} to {100 * high:.0f})"
    return f"{100 * cell.value:.1f}{interval}"
