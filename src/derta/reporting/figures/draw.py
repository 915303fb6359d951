"""The figures of a report: matplotlib without pyplot, the same bytes for the same numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from derta.attacks.catalogue import in_order
from derta.files import atomic_path
from derta.reporting.collect import Evidence
from derta.reporting.figures.canvas import (
    RC,
    WIDTH,
    Drawing,
    Look,
    add_legend,
    look_of,
    new_figure,
    percent_axis,
    render,
)
from derta.reporting.figures.curves import hazard, prefill, training
from derta.reporting.figures.palette import BAND, MUTED, PAPER, SLOT_FILLS, Style
from derta.reporting.labels import attack_name
from derta.reporting.positions import SLOTS, UNREAD, slot_counts
from derta.reporting.tables import Book, book_of
from derta.results.cell import Cell, System


def draw_figures(evidence: Evidence, cells: Sequence[Cell]) -> list[Drawing]:
    """Every figure that the evidence allows; a file that is absent just leaves its figure out."""
    book, look = book_of(cells), look_of(evidence, cells)
    counts = slot_counts(evidence.responses)
    found = []
    if book.attacks():
        found.append(_asr(book, look))
    if counts:
        found.append(_positions(counts, look))
    if book.depths():
        found.append(prefill(book, look))
    if evidence.hazards:
        found.append(hazard(evidence.hazards, look))
    return found + [training(log) for log in evidence.train_logs if log.rows]


def save_png(cells: Sequence[Cell], path: Path, *, dpi: int = 144) -> Path:
    """The main figure (ASR by attack and method, with intervals) as a PNG on white, e.g. for a README."""
    book = book_of(cells)
    look = look_of(Evidence(), cells)
    with matplotlib.rc_context(RC), atomic_path(path) as temporary:
        figure = new_figure(1.5 * WIDTH, _asr_height(book))
        _draw_asr(figure, book, look)
        figure.savefig(temporary, format="png", dpi=dpi, facecolor=PAPER.light, metadata={"Software": None})
    return path


def _asr_height(book: Book) -> float:
    return 88 + len(book.attacks()) * (14 + 13 * len(book.systems))


def _asr(book: Book, look: Look) -> Drawing:
    description = (
        "Dot and whisker per attack and method: attack success rate in per cent with its 95 % interval."
    )
    return render(
        "asr",
        "Attack success rate by attack and method",
        description,
        _asr_height(book),
        lambda figure: _draw_asr(figure, book, look),
    )


def _draw_asr(figure: Figure, book: Book, look: Look) -> None:
    axes = figure.subplots()
    attacks = book.attacks()
    step = 0.78 / max(1, len(book.systems))
    for row, attack in enumerate(attacks):
        if row % 2 == 0:
            axes.axhspan(row - 0.5, row + 0.5, color=BAND.light, lw=0, zorder=0)
        for index, system in enumerate(book.systems):
            y = row + (index - (len(book.systems) - 1) / 2) * step
            _whisker(axes, book.get(system, attack, "asr"), y, look.styles[system])
    for system in book.systems:
        style = look.styles[system]
        axes.plot([], [], style.marker, color=style.color, ms=6, label=look.labels[system])
    percent_axis(axes, vertical=False)
    axes.set_yticks(range(len(attacks)), [attack_name(attack) for attack in attacks])
    axes.set_ylim(len(attacks) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("attack success rate, % (lower is better)")
    add_legend(figure, axes)


def _whisker(axes: Axes, cell: Cell | None, y: float, style: Style) -> None:
    """Dot: rate; line: 95 % interval; pale line: what the unread verdicts could make of it."""
    if cell is None:
        return
    if cell.value is None or cell.low is None or cell.high is None:
        axes.text(1, y, "no verdict readable", color=MUTED.light, va="center", fontsize=10)
        return
    if cell.unknown:
        total, hits = cell.n + cell.unknown, cell.value * cell.n
        bounds = [100 * hits / total, 100 * (hits + cell.unknown) / total]
        axes.plot(bounds, [y, y], color=style.color, lw=6, alpha=0.25, solid_capstyle="butt")
    axes.plot([100 * cell.low, 100 * cell.high], [y, y], color=style.color, lw=1.6, solid_capstyle="butt")
    axes.plot(
        [100 * cell.value],
        [y],
        style.marker,
        color=style.color,
        ms=6,
        mec=PAPER.light,
        mew=0.6,
        clip_on=False,
    )


def _positions(counts: dict[System, dict[str, dict[str, int]]], look: Look) -> Drawing:
    attacks = in_order(attack for by_attack in counts.values() for attack in by_attack)
    bars = [(attack, system) for attack in attacks for system in counts if attack in counts[system]]
    description = (
        "Stacked bars per attack and method: share of responses whose refusal begins at word 0, after 1 to 5, "
        "6 to 30, or more than 30 words, or never."
    )
    height = 92 + 16 * len(bars) + 20 * len(attacks)
    return render(
        "refusal_position",
        "Where the refusal begins",
        description,
        height,
        lambda figure: _draw_positions(figure, counts, bars, look),
    )


def _draw_positions(
    figure: Figure,
    counts: dict[System, dict[str, dict[str, int]]],
    bars: list[tuple[str, System]],
    look: Look,
) -> None:
    axes = figure.subplots()
    y, ticks, previous = 0.0, [], None
    for attack, system in bars:
        if attack != previous:
            y += 1.25  # a line for the attack's name
            axes.text(0, y - 0.95, attack_name(attack), va="center", fontweight="bold", fontsize=11.5)
            previous = attack
        _stack(axes, y, counts[system][attack])
        ticks.append((y, look.labels[system]))
        y += 1
    for (fill, _), slot in zip(SLOT_FILLS, (*SLOTS, UNREAD), strict=True):
        if slot != UNREAD or any(counts[system][attack][UNREAD] for attack, system in bars):
            axes.barh([math.nan], [0], color=fill, label=slot)
    axes.set_yticks([tick for tick, _ in ticks], [label for _, label in ticks])
    axes.set_ylim(y - 0.3, -0.3)
    axes.set_xlim(0, 100)
    axes.set_xticks([0, 25, 50, 75, 100])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("% of responses, by words before the refusal")
    add_legend(figure, axes, handle=0.9)


def _stack(axes: Axes, y: float, slots: dict[str, int]) -> None:
    total, left = sum(slots.values()), 0.0
    for (fill, on_fill), count in zip(SLOT_FILLS, slots.values(), strict=True):
        share = 100 * count / total if total else 0.0
        if share:
            axes.barh([y], [share], left=left, height=0.8, color=fill, edgecolor=PAPER.light, lw=0.6)
        if share >= 9:  # narrower segments have no room for their number
            axes.text(
                left + share / 2,
                y,
                f"{share:.0f}",
                color=on_fill,
                ha="center",
                va="center_baseline",
                fontsize=10,
            )
        left += share
