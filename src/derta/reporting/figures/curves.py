"""Curves: after a prefill, along a response, over training."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from derta.reporting.collect import TrainLog
from derta.reporting.figures.canvas import Drawing, Look, add_legend, draw_curve, percent_axis, render
from derta.reporting.figures.palette import SERIES, Style
from derta.reporting.tables import Book
from derta.reporting.text import slug
from derta.results.cell import System
from derta.results.measured import Hazard
from derta.visible import one_line


def _pair(figure: Figure, titles: tuple[str, str]) -> tuple[Axes, Axes]:
    """Two axes side by side on one 0..100 % scale."""
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, title in ((left, titles[0]), (right, titles[1])):
        axes.set_title(title, loc="left")
        percent_axis(axes, vertical=True)
    left.set_ylabel("%")
    return left, right


def prefill(book: Book, look: Look) -> Drawing:
    """ASR and refusal rate after d prefilled tokens."""
    description = (
        "Attack success rate and refusal rate, in per cent, against the number of harmful tokens prefilled."
    )
    return render(
        "prefill",
        "Prefilling: what happens after d harmful tokens",
        description,
        270,
        lambda figure: _draw_prefill(figure, book, look),
    )


def _draw_prefill(figure: Figure, book: Book, look: Look) -> None:
    depths = book.depths()
    pair = _pair(figure, ("attack success rate", "refusal rate"))
    for axes, metric in zip(pair, ("asr", "refusal_rate"), strict=True):
        for system in book.systems:
            cells = [(x, book.get(system, f"prefill@{depth}", metric)) for x, depth in enumerate(depths)]
            points = [(x, c) for x, c in cells if c and c.value is not None]
            if not points:  # the attack was not made on this model
                continue
            xs = [x for x, _ in points]
            lows = [100 * (c.low or 0.0) for _, c in points]
            highs = [100 * (c.high or 0.0) for _, c in points]
            draw_curve(
                axes,
                xs,
                [100 * (c.value or 0.0) for _, c in points],
                look.styles[system],
                look.labels[system],
            )
            axes.fill_between(xs, lows, highs, color=look.styles[system].color, alpha=0.14, lw=0)
        stride = math.ceil(len(depths) / 6)
        axes.set_xticks(range(len(depths)), [str(d) if i % stride == 0 else "" for i, d in enumerate(depths)])
        axes.set_xlim(-0.3, len(depths) - 0.7)
    figure.supxlabel("prefilled tokens", fontsize=12)
    add_legend(figure, pair[0])


def hazard(curves: Sequence[Hazard], look: Look) -> Drawing:
    """P(refusal token) along held-out responses: high on harmful ones, low on benign ones, is what is wanted."""
    description = (
        "Probability, in per cent, that the next token is the refusal token, against the number of response tokens "
        "already given, for harmful and for benign responses."
    )
    return render(
        "hazard",
        "Refusal hazard: P(refusal token | q, h[:t])",
        description,
        270,
        lambda figure: _draw_hazard(figure, curves, look),
    )


def _draw_hazard(figure: Figure, curves: Sequence[Hazard], look: Look) -> None:
    pair = _pair(figure, ("harmful response", "benign response"))
    for curve in curves:
        axes = pair[0] if curve.kind == "harmful" else pair[1]
        system = System(curve.model, curve.method)
        style = look.styles[system]
        every = max(1, len(curve.position) // 6)
        draw_curve(
            axes, curve.position, [100 * v for v in curve.mean], style, look.labels[system], every=every
        )
        lows, highs = [100 * v for v in curve.low], [100 * v for v in curve.high]
        axes.fill_between(curve.position, lows, highs, color=style.color, alpha=0.14, lw=0)
    for axes in pair:
        axes.locator_params(axis="x", integer=True, nbins=5)
    figure.supxlabel("response tokens already given (t)", fontsize=12)
    add_legend(figure, max(pair, key=lambda axes: len(axes.get_lines())))


_LOSSES = {
    "loss": "all",
    "loss_benign": "benign",
    "loss_safe": "safe",
    "loss_prefix": "prefix",
    "loss_rto": "RTO",
}
_PROBES = {"refusal_on_harmful": "harmful", "refusal_on_benign": "benign"}


def training(log: TrainLog) -> Drawing:
    """Losses and probe of one training run."""
    name = one_line(log.name)
    description = (
        "Left: loss per objective. Right: mean probability of the refusal token on held-out responses."
    )
    return render(
        f"training-{slug(log.name)}",
        f"Training of {name}",
        description,
        250,
        lambda figure: _draw_training(figure, log),
    )


def _draw_training(figure: Figure, log: TrainLog) -> None:
    losses, probe = figure.subplots(1, 2)
    order = [5, 4, 0, 3, 1]  # of SERIES: the total is grey, the objectives are coloured
    for (key, label), index in zip(_LOSSES.items(), order, strict=True):
        _log_line(losses, log, key, SERIES[index], label)
    for (key, label), index in zip(_PROBES.items(), (1, 4), strict=True):
        _log_line(probe, log, key, SERIES[index], label, scale=100)
    losses.set_title("loss, nats per token", loc="left")
    losses.set_ylim(bottom=0)
    losses.grid(axis="y")
    probe.set_title("P(refusal token), %", loc="left")
    percent_axis(probe, vertical=True)
    for axes in (losses, probe):
        axes.locator_params(axis="x", integer=True, nbins=4)
        if axes.get_lines():
            axes.legend(loc="best", fontsize=11)
    figure.supxlabel("optimizer step", fontsize=12)


def _log_line(axes: Axes, log: TrainLog, key: str, style: Style, label: str, *, scale: float = 1) -> None:
    points = [(row["step"], scale * row[key]) for row in log.rows if key in row]
    if points:
        xs, ys = zip(*points, strict=True)
        draw_curve(axes, xs, ys, style, label, every=max(1, len(xs) // 5))
