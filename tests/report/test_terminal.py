import io
from pathlib import Path

from rich.console import Console

from derta.report.cells import results
from derta.report.terminal import print_table

from .synthetic import response, rows_of


def printed(rows, page=None):
    console = Console(file=io.StringIO(), width=140)
    print_table(results(rows), console, page)
    return console.file.getvalue()


def test_shows_methods_by_attacks_cost_and_path():
    text = printed(rows_of("vanilla", "m") + rows_of("derta", "m"), Path("runs/demo/report/index.html"))
    lines = text.splitlines()
    assert "lower is better" in lines[0]
    assert all(name in text for name in ("Direct", "Code", "PAIR", "Prefill", "mean", "vanilla", "DeRTa"))
    assert any(line.startswith("DeRTa: helpful ") and "over-refusal" in line for line in lines)
    assert lines[-1] == "report: runs/demo/report/index.html"


def test_unread_and_missing_cells_are_told_apart():
    unread = {"verdict": "unknown", "response_class": "unknown", "words_before_refusal": None}
    text = printed(
        [
            response(attack="code", **unread),
            response(attack="code", method="derta"),
            response(attack="code", method="derta", query_id="b", **unread),
            response(attack="pair", method="derta"),
        ]
    )
    vanilla = next(line for line in text.splitlines() if "vanilla" in line)
    derta = next(line for line in text.splitlines() if "DeRTa" in line)
    assert "?" in vanilla
    assert "–" in vanilla
    assert "0.0*" in derta


def test_nothing_to_show_prints_nothing():
    assert printed([]) == ""


def test_markup_in_a_name_is_printed_as_it_is():
    rows = [response(method="[red]m[/red]", attack="[bold]a[/bold]")]
    text = printed([*rows, response(kind="benign", method="[red]m[/red]", helpful=True)])
    assert "[red]m[/red]: helpful" in text
    assert "[bold]a[/bold]" in text
    assert sum("[red]m[/red]" in line for line in text.splitlines()) == 2
