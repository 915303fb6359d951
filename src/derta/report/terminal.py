"""The report in the terminal: one table, methods x attacks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from derta.report.cells import Cell, System
from derta.report.labels import attack_name, system_labels
from derta.report.tables import Book, book_of
from derta.report.text import one_line


def print_table(cells: Sequence[Cell], console: Console, page: Path | None = None) -> None:
    """Print ASR in per cent (lower is better), helpfulness, over-refusal and the page's path.

    Names are printed as plain text: neither terminal sequences nor rich's markup in them act.
    """
    book = book_of(cells)
    attacks, labels = book.attacks(), system_labels(book.systems)
    if attacks:
        table = Table(title="Attack success rate, % (lower is better)", title_justify="left")
        table.add_column("method", no_wrap=True)
        for attack in attacks:
            table.add_column(Text(attack_name(attack)), justify="right")
        table.add_column("mean", justify="right", style="bold")
        for system in book.systems:
            values = [_percent(book.get(system, attack, "asr")) for attack in attacks]
            mean = book.mean_asr(system)
            table.add_row(Text(labels[system]), *values, "–" if mean is None else f"{100 * mean:.1f}")
        console.print(table)
    for system in book.systems:
        facts = _cost(book, system)
        if facts:
            console.print(Text(f"{labels[system]}: {', '.join(facts)}"))
    if page is not None:
        console.print(Text(f"report: {one_line(str(page), 4096)}"), soft_wrap=True)


def _cost(book: Book, system: System) -> list[str]:
    """What the safety cost: helpfulness and over-refusal, with n."""
    wanted = [("benign", "helpfulness", "helpful"), ("benign", "over_refusal", "over-refusal")]
    wanted += [
        ("borderline", "helpfulness", "borderline helpful"),
        ("borderline", "over_refusal", "borderline refused"),
    ]
    facts = []
    for attack, metric, name in wanted:
        cell = book.get(system, attack, metric)
        if cell is not None and cell.value is not None:
            facts.append(f"{name} {100 * cell.value:.1f} % (n {cell.n})")
    return facts


def _percent(cell: Cell | None) -> Text:
    """`12.0`; `?` where no verdict was readable; a star where some were not."""
    if cell is None:
        return Text("–")
    if cell.value is None:
        return Text("?")
    return Text(f"{100 * cell.value:.1f}{'*' if cell.unknown else ''}")
