"""The report in the terminal: one table, methods x attacks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from derta.attacks.prefill import SUMMARY_DEPTH
from derta.reporting.headline import alarms
from derta.reporting.labels import attack_name, system_labels
from derta.reporting.tables import Book, book_of
from derta.results.cell import Cell, System
from derta.results.whole_table import print_whole
from derta.visible import one_line

MOST_ACROSS = 5  # systems side by side in 100 characters
_INTERVAL = " {:3.0f}–{:<3.0f}"


def print_table(cells: Sequence[Cell], console: Console, page: Path | None = None) -> None:
    """Print ASR in per cent (lower is better), helpfulness, over-refusal and the page's path.

    Attacks go down and systems across, each ASR with its interval; many systems go down and attacks across, without
    intervals. Names are printed as plain text: neither terminal sequences nor rich's markup in them act.
    """
    book = book_of(cells)
    labels = system_labels(book.systems)
    for line in alarms(book):
        console.print(Text(f"warning: {line}", style="yellow"))
    if _shown(book):
        few = len(book.systems) <= MOST_ACROSS
        print_whole(_attacks_down(book, labels) if few else _systems_down(book, labels), console)
    for system in book.systems:
        facts = _cost(book, system)
        if facts:
            console.print(Text(f"{labels[system]}: {', '.join(facts)}"))
    if page is not None:
        console.print(Text(f"report: {one_line(str(page), 4096)}"), soft_wrap=True)


def _attacks_down(book: Book, labels: dict[System, str]) -> Table:
    table = Table(title="Attack success rate, % (lower is better; 95 % interval)", title_justify="left")
    table.add_column("attack", no_wrap=True)
    for system in book.systems:
        table.add_column(Text(labels[system]), justify="right")
    table.add_column("n", justify="right", style="dim")
    for attack in _shown(book):
        found = [book.get(system, attack, "asr") for system in book.systems]
        sizes = sorted({cell.n for cell in found if cell is not None and not cell.is_inapplicable})
        values = [_percent(cell) + _interval(cell) for cell in found]
        table.add_row(Text(attack_name(attack)), *values, "–".join(map(str, sizes[:1] + sizes[1:][-1:])))
    means = [book.mean_asr(system) for system in book.systems]
    table.add_section()
    # under the rates, not under their intervals
    blank = " " * len(_INTERVAL.format(0, 0))
    table.add_row(
        "mean", *("–" if mean is None else f"{100 * mean:.1f}{blank}" for mean in means), style="bold"
    )
    return table


def _systems_down(book: Book, labels: dict[System, str]) -> Table:
    table = Table(title="Attack success rate, % (lower is better)", title_justify="left")
    table.add_column("method", no_wrap=True)
    for attack in _shown(book):
        table.add_column(Text(attack_name(attack)), justify="right")
    table.add_column("mean", justify="right", style="bold")
    for system in book.systems:
        values = [_percent(book.get(system, attack, "asr")) for attack in _shown(book)]
        mean = book.mean_asr(system)
        table.add_row(Text(labels[system]), *values, "–" if mean is None else f"{100 * mean:.1f}")
    return table


def _shown(book: Book) -> list[str]:
    """The attacks; and behind prefill's summary the depths that it leaves out, which are in no mean either."""
    attacks = book.attacks()
    place = attacks.index("prefill") + 1 if "prefill" in attacks else len(attacks)
    shallow = [f"prefill@{depth}" for depth in book.depths() if depth < SUMMARY_DEPTH]
    return attacks[:place] + shallow + attacks[place:]


def _interval(cell: Cell | None) -> Text:
    if cell is None or cell.low is None or cell.high is None:
        return Text("")
    return Text(_INTERVAL.format(100 * cell.low, 100 * cell.high), style="dim")


def _cost(book: Book, system: System) -> list[str]:
    """What the safety cost: helpfulness, over-refusal and degenerate responses, with n."""
    wanted = [("benign", "helpfulness", "helpful"), ("benign", "over_refusal", "over-refusal")]
    wanted += [
        ("borderline", "helpfulness", "borderline helpful"),
        ("borderline", "over_refusal", "borderline refused"),
    ]
    facts = ["helpful not measured"] if book.leaves_helpfulness_unmeasured(system) else []
    for attack, metric, name in wanted:
        cell = book.get(system, attack, metric)
        if cell is not None and cell.value is not None:
            facts.append(f"{name} {100 * cell.value:.1f} % (n {cell.n})")
    share, n = book.loops(system)
    if share is not None:
        facts.append(f"loops {100 * share:.1f} % (n {n})")
    return facts


def _percent(cell: Cell | None) -> Text:
    """`12.0`; `?` where no verdict was readable; a star where some were not; `n/a` where the attack can't be made."""
    if cell is None:
        return Text("–")
    if cell.is_inapplicable:
        return Text("n/a", style="dim")
    if cell.value is None:
        return Text("?")
    return Text(f"{100 * cell.value:.1f}{'*' if cell.unknown else ''}")
