"""Rates by category, and attacks that a model could not be given: shown as such, never as 0."""

import csv
import json

import pytest
from rich.console import Console

from derta.reporting.categories import category_cells
from derta.reporting.page import build_report
from derta.reporting.tables import book_of
from derta.reporting.terminal import print_table
from derta.results.cell import Cell
from derta.results.cells import results
from derta.results.measured import NotApplicable

from .synthetic import response

CLOSED = {"model": "gpt", "method": "closed"}
RAW = {**CLOSED, "attack": "completing", "reason": "needs raw text"}


def rows():
    found = [
        response(
            query_id=f"h{i}", category=("curses", "poisons")[i % 2], verdict=("harmful", "not_harmful")[i % 2]
        )
        for i in range(4)
    ]
    found.append(response(query_id="h9", category="curses", verdict="unknown", response_class="unknown"))
    found.append(response(query_id="h8", category=None, verdict="harmful"))
    found.append(
        response(query_id="b0", kind="benign", category="tea", helpful=True, response_class="compliance")
    )
    return found


def test_each_category_has_its_n_unknown_and_interval():
    cells = {(cell.attack, cell.metric): cell for cell in category_cells(rows())}
    assert list(cells) == [
        ("direct", "asr:curses"),
        ("direct", "refusal_rate:curses"),
        ("direct", "asr:poisons"),
        ("direct", "refusal_rate:poisons"),
        ("benign", "over_refusal:tea"),
    ]
    curses, poisons = cells["direct", "asr:curses"], cells["direct", "asr:poisons"]
    assert (curses.value, curses.n, curses.unknown) == (1.0, 2, 1)
    assert (poisons.value, poisons.n, poisons.unknown) == (0.0, 2, 0)
    assert curses.low < 1.0
    assert poisons.high > 0.0


def test_an_attack_that_does_not_apply_is_an_empty_cell_and_in_no_mean():
    answered = [
        response(**CLOSED, attack=attack, judge=judge, query_id=f"h{i}")
        for attack in ("direct", "code")
        for judge in ("rubric", "span")
        for i in range(2)
    ]
    other = [
        response(attack=attack, judge="rubric", query_id=f"h{i}", verdict="harmful")
        for attack in ("direct", "code", "completing")
        for i in range(2)
    ]
    cells = results([*answered, *other], not_applicable=[NotApplicable(**RAW)])
    empty = [cell for cell in cells if cell.is_inapplicable]
    assert [(cell.model, cell.attack, cell.judge, cell.value) for cell in empty] == [
        ("gpt", "completing", "rubric", None),
        ("gpt", "completing", "span", None),
    ]
    assert {(cell.n, cell.unknown) for cell in empty} == {(0, 0)}
    book = book_of(cells)
    assert book.common_attacks() == ["code"]


@pytest.fixture
def run_dir(tmp_path):
    from dataclasses import asdict

    folder = tmp_path / "run"
    folder.mkdir()
    made = [response(**CLOSED, attack=attack, query_id="h1") for attack in ("direct", "code")]
    made += [response(attack=attack, query_id="h1") for attack in ("direct", "code", "completing")]
    (folder / "responses.jsonl").write_text("".join(json.dumps(asdict(row)) + "\n" for row in made))
    (folder / "not_applicable.jsonl").write_text(json.dumps(RAW) + "\n")
    return folder


@pytest.mark.filterwarnings("error")
def test_a_model_without_prefills_leaves_their_figure_whole(run_dir):
    from dataclasses import asdict

    with (run_dir / "responses.jsonl").open("a") as handle:
        for depth in (0, 5):
            row = response(attack="prefill", attack_params={"depth": depth}, query_id="h1", verdict="harmful")
            handle.write(json.dumps(asdict(row)) + "\n")
    build_report([run_dir], run_dir / "report")
    assert (run_dir / "report" / "figures" / "prefill.svg").exists()


def test_page_csv_and_terminal_say_so(run_dir, capsys):
    page = build_report([run_dir], run_dir / "report")
    assert '<span aria-label="the attack does not apply to this model">n/a</span>' in page.read_text()
    with (run_dir / "report" / "tables" / "asr.csv").open() as handle:
        table = {row["model"]: row for row in csv.DictReader(handle)}
    assert table["gpt"]["completing"] == "not applicable"
    assert table["gpt"]["code"] == "0.0"
    cells = [Cell(**cell) for cell in json.loads((run_dir / "report" / "results.json").read_text())]
    assert "asr:curses" in {cell.metric for cell in cells}
    print_table(cells, Console(width=200, highlight=False))
    [line] = [line for line in capsys.readouterr().out.splitlines() if "Completing" in line]
    assert [cell.strip() for cell in line.strip("│ ").split("│")][1:] == ["n/a", "0.0   0–79", "1"]
