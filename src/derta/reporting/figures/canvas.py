"""What all figures share: size, fonts, colours, names, the way to SVG.

All are drawn narrow (420 units) so that a phone shows them at full size and a wide screen sets two side by side.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from derta.reporting.collect import Evidence
from derta.reporting.figures.palette import INK, MUTED, PAPER, RULE, Style, styles_of
from derta.reporting.figures.svg import clean_svg
from derta.reporting.labels import system_labels
from derta.reporting.text import slug
from derta.results.cell import Cell, System, systems_of

WIDTH = 420  # units of the viewBox, 1/72 inch for matplotlib
RC: Any = {
    "svg.fonttype": "none",  # text stays text: it can be read out, searched and selected
    "svg.hashsalt": "derta",
    "text.parse_math": False,  # a `$` in a model's name is a `$`
    "font.size": 12,
    "axes.titlesize": 12,
    "axes.labelsize": 12,
    "xtick.labelsize": 11.5,
    "ytick.labelsize": 11.5,
    "legend.fontsize": 12,
    "text.color": INK.light,
    "axes.labelcolor": INK.light,
    "axes.edgecolor": MUTED.light,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "xtick.color": MUTED.light,
    "ytick.color": MUTED.light,
    "xtick.labelcolor": INK.light,
    "ytick.labelcolor": INK.light,
    "grid.color": RULE.light,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "legend.columnspacing": 1.2,
    "figure.constrained_layout.h_pad": 0.06,
    "figure.constrained_layout.w_pad": 0.06,
}
Draw = Callable[[Figure], None]


@dataclass(frozen=True)
class Drawing:
    """A finished figure. `name`: file name without suffix; `svg`: standalone, light colours."""

    name: str
    title: str
    svg: str


@dataclass(frozen=True)
class Look:
    """How each system is named and drawn, the same in every figure."""

    labels: dict[System, str]
    styles: dict[System, Style]


def look_of(evidence: Evidence, cells: Sequence[Cell]) -> Look:
    """Names and styles of all systems that any file mentions."""
    found = systems_of(cells) + [System(curve.model, curve.method) for curve in evidence.hazards]
    systems = list(dict.fromkeys(found))
    return Look(system_labels(systems), styles_of(systems))


def new_figure(width: float, height: float) -> Figure:
    """An empty figure; width and height in units of the viewBox."""
    return Figure(figsize=(width / 72, height / 72), layout="constrained")


def render(name: str, title: str, description: str, height: float, draw: Draw) -> Drawing:
    """Draw and save one figure as a cleaned SVG; `name` becomes the file name and prefixes its ids."""
    with matplotlib.rc_context(RC), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the browser's fonts draw it, not matplotlib's
        figure = new_figure(WIDTH, height)
        draw(figure)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return Drawing(name, title, clean_svg(buffer.getvalue(), slug(name), title, description))


def add_legend(figure: Figure, axes: Axes, *, handle: float = 1.8) -> None:
    """One legend above the axes, in as many columns as its labels leave room for; `handle`: width in ems."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        widths = [7.5 * len(label) + 12 * handle + 25 for label in labels]  # of text, handle and gap, about
        columns = len(labels) if sum(widths) <= WIDTH else max(1, int(WIDTH / max(widths)))
        figure.legend(
            handles, labels, loc="outside upper left", ncols=columns, borderaxespad=0, handlelength=handle
        )


def percent_axis(axes: Axes, *, vertical: bool) -> None:
    """0 to 100 %, with room for a marker at each end."""
    set_limits, set_ticks = (axes.set_ylim, axes.set_yticks) if vertical else (axes.set_xlim, axes.set_xticks)
    set_limits(-2, 102)
    set_ticks([0, 25, 50, 75, 100])
    axes.grid(axis="y" if vertical else "x")


def draw_curve(
    axes: Axes, xs: Sequence[float], ys: Sequence[float], style: Style, label: str, *, every: int = 1
) -> None:
    """A line with the system's colour, dashes and marker; `every`: points per marker."""
    axes.plot(
        xs,
        ys,
        color=style.color,
        lw=1.7,
        dashes=style.dash or (None, None),
        marker=style.marker,
        ms=5,
        markevery=every,
        mec=PAPER.light,
        mew=0.5,
        label=label,
        clip_on=False,
    )
