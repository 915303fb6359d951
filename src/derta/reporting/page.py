"""Run folders -> report/{index.html, results.json, tables/*.csv, figures/*.svg}.

The page is one file: no script, no outside request, and a content security policy that allows neither.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from derta.files import write_json, write_text
from derta.reporting.card import card_view
from derta.reporting.categories import category_cells
from derta.reporting.collect import Evidence, collect
from derta.reporting.differences import Difference, differences
from derta.reporting.examples import pick_examples
from derta.reporting.figures.canvas import Drawing, look_of
from derta.reporting.figures.draw import draw_figures
from derta.reporting.figures.palette import MARKER_PATHS, css_variables
from derta.reporting.figures.svg import inline_svg
from derta.reporting.headline import caveats, headline
from derta.reporting.tables import book_of, csv_tables, judges_of, write_csv
from derta.reporting.text import breakable, listed, number
from derta.reporting.views import (
    asr_view,
    cost_view,
    difference_view,
    knowledge_view,
    late_view,
    overview,
    provenance_view,
    reasons_view,
    refused_kind,
    row_head,
    scope_view,
    unknown_view,
)
from derta.reporting.votes import vote_rows, votes_view
from derta.results.cell import Cell, System
from derta.results.cells import results
from derta.run_folder import check_output, claim, list_files, remove_listed
from derta.visible import one_line, visible


def build_report(run_dirs: Sequence[Path], out_dir: Path, show_text: bool = False) -> Path:
    """Write the report of one or more runs into `out_dir`; returns the page's path.

    show_text: show responses to harmful questions, which are redacted otherwise.

    Raises:
        RunError: `out_dir` is not ours, a run folder is missing or empty, or two runs answer the same question
            for the same model.
        DataError: a line of a run's file can't be read, as `file:line: reason`.
    """
    check_output(out_dir, "report")
    evidence = collect(run_dirs)
    cells = results(evidence.responses, evidence.knowledge, evidence.capability, evidence.not_applicable)
    by_category = category_cells(evidence.responses)
    compared = differences(evidence.responses)
    drawings = draw_figures(evidence, cells)
    tables = csv_tables(evidence, [*cells, *by_category], compared)
    if len(votes := vote_rows(evidence.responses)) > 1:
        tables["votes"] = votes
    made = [f"tables/{name}.csv" for name in tables] + [f"figures/{drawing.name}.svg" for drawing in drawings]
    claim(out_dir, "report")
    remove_listed(out_dir, keep=made)  # of an earlier report: they would describe other runs
    list_files(out_dir, "report", made)
    write_json(out_dir / "results.json", [asdict(cell) for cell in [*cells, *by_category]])
    write_csv(out_dir / "tables", tables)
    for drawing in drawings:
        write_text(out_dir / "figures" / f"{drawing.name}.svg", drawing.svg)
    page = out_dir / "index.html"
    write_text(page, render_page(evidence, cells, compared, drawings, show_text=show_text))
    return page


def render_page(
    evidence: Evidence,
    cells: Sequence[Cell],
    compared: Sequence[Difference],
    drawings: Sequence[Drawing],
    *,
    show_text: bool = False,
) -> str:
    """The page as HTML: the same text for the same evidence."""
    style = css_variables() + _packaged("page.css")
    digest = base64.b64encode(hashlib.sha256(style.encode("utf-8")).digest()).decode("ascii")
    view = _view(evidence, cells, compared, drawings)
    examples = pick_examples(evidence.responses, show_text=show_text)
    look = look_of(evidence, cells)
    page = _template().render(
        **view,
        style=Markup(style),
        policy=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
        show_text=show_text,
        examples=[(row_head(system, look), rows) for system, rows in examples.items()],
    )
    return page.strip() + "\n"


@cache
def _template() -> Template:
    """The page's template: escaping on for everything, invisible characters spelled out at every `{{ }}`."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, finalize=_finalize, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(one_line=one_line, listed=listed, breakable=breakable)
    environment.globals.update(number=number, markers=MARKER_PATHS)
    return environment.from_string(_packaged("page.html.jinja"))


def _packaged(name: str) -> str:
    return files("derta.reporting").joinpath(name).read_text(encoding="utf-8")


def _finalize(value: Any) -> Any:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _view(
    evidence: Evidence, cells: Sequence[Cell], compared: Sequence[Difference], drawings: Sequence[Drawing]
) -> dict[str, Any]:
    book, look = book_of(cells), look_of(evidence, cells)
    figures = {drawing.name: (drawing, Markup(inline_svg(drawing.svg))) for drawing in drawings}
    return {
        "runs": [name for name, _ in evidence.manifests if "/" not in name],
        "is_demo": evidence.is_demo,
        "scope": scope_view(evidence.responses, book),
        "headline": headline(book),
        "caveats": caveats(book, compared, evidence.knowledge),
        "overview": overview(book, look, evidence),
        "asr_tables": [(judge, asr_view(book_of(cells, judge), look)) for judge in judges_of(cells)],
        "differences": difference_view(compared, look),
        "unknowns": unknown_view(book, look),
        "reasons": reasons_view(evidence.responses),
        "votes": votes_view(evidence.responses, look),
        "late": late_view(book, look),
        "refused_kind": refused_kind(book),
        "knowledge": [
            (row_head(System(row.model, row.method), look), knowledge_view(row)) for row in evidence.knowledge
        ],
        "cost": cost_view(book, look),
        "figures": figures,
        "training": [entry for name, entry in figures.items() if name.startswith("training-")],
        "cards": [card_view(card) for card in evidence.cards],
        "provenance": provenance_view(evidence),
    }
