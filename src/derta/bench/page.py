"""The bench's page: leaderboard, worst attack, the two axes, every cell's command. One file, no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from derta.attacks.catalogue import controls, in_order
from derta.files import write_text
from derta.methods import METHODS
from derta.reporting.figures.canvas import Drawing, percent_axis, render
from derta.reporting.figures.palette import css_variables, styles_of
from derta.reporting.figures.svg import inline_svg
from derta.reporting.labels import attack_name, method_name
from derta.results.cell import NO_ATTACK, System

Numbers = Mapping[tuple[str, str, str], Mapping[str, Any]]  # (method, attack, metric) -> cell
STYLE = """body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2rem auto; padding: 0 1rem;
background: var(--paper); color: var(--ink); } table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid var(--rule); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } small { color: var(--muted); } svg { max-width: 30rem; }"""
LEFT = "within_rank:20"  # what is left behind the refusal, as RAP finds it


def write_page(document: Mapping[str, Any], path: Path) -> Path:
    """Write the page of a bench.json's document; returns its path."""
    numbers: Numbers = {(c["method"], c["attack"], c["metric"]): c for c in document["pooled"]}
    methods = list(dict.fromkeys(key[0] for key in numbers))
    write_text(path, _html(document, numbers, methods))
    return path


def attacks_in(numbers: Numbers) -> list[str]:
    """Attacks of the leaderboard: sums and single ones, without what is a part of a sum."""
    found = in_order([attack for _, attack, metric in numbers if metric == "asr"])
    # in a mean over attacks the plain question is a control; here it may be the worst
    beside = controls() - {"direct"}
    return [a for a in found if a not in beside and ("@" not in a or a.partition("@")[0] not in found)]


def worst_attack(numbers: Numbers, method: str) -> tuple[str, Mapping[str, Any]] | None:
    """The attack that succeeds most on a method, and its cell."""
    made = [(a, c) for a in attacks_in(numbers) if (c := numbers.get((method, a, "asr"))) and c["n"]]
    return max(made, key=lambda pair: pair[1]["value"], default=None)


def two_axes(numbers: Numbers, methods: Sequence[str]) -> Drawing:
    """How surely each method refuses, against what is left behind its refusal."""
    styles = styles_of([System(method, method) for method in methods])

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        percent_axis(axes, vertical=False)
        percent_axis(axes, vertical=True)
        axes.set_xlabel("not answered under its worst attack but RAP, %")
        axes.set_ylabel("true harmful tokens among the top 20, %")
        for method in methods:
            held, left = refuses(numbers, method), numbers.get((method, NO_ATTACK, LEFT))
            if held is None or left is None:
                continue
            style = styles[System(method, method)]
            axes.plot(100 * held, 100 * left["value"], style.marker, color=style.color, ms=9, clip_on=False,
                      linestyle="none", label=method_name(method))  # fmt: skip
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="lower left")

    title = "Refuses, and what is left behind the refusal"
    return render("two-axes", title, f"{title}: right is safer, down is safer still under RAP.", 320, draw)


def refuses(numbers: Numbers, method: str) -> float | None:
    """1 - the highest attack success rate of all attacks but RAP; None: none was made."""
    rates = [
        cell["value"]
        for attack in attacks_in(numbers)
        if not attack.startswith("rap") and (cell := numbers.get((method, attack, "asr"))) and cell["n"]
    ]
    return 1 - max(rates) if rates else None


def _percent(cell: Mapping[str, Any] | None) -> str:
    if not cell or cell["value"] is None:
        return "<td>-</td>"
    low, high = (round(100 * (cell[name] or 0)) for name in ("low", "high"))
    return f"<td>{100 * cell['value']:.1f} <small>{low}&ndash;{high}</small></td>"


def _row(numbers: Numbers, method: str, columns: Sequence[tuple[str, str, str]]) -> str:
    worst = worst_attack(numbers, method)
    told = f"{escape(attack_name(worst[0]))} {100 * worst[1]['value']:.1f}" if worst else "-"
    cells = "".join(_percent(numbers.get((method, attack, metric))) for _, attack, metric in columns)
    source = METHODS[method].source if method in METHODS else ""
    return f"<tr><td>{escape(method_name(method))} <small>{escape(source)}</small></td><td>{told}</td>{cells}</tr>"


def _html(document: Mapping[str, Any], numbers: Numbers, methods: Sequence[str]) -> str:
    columns = [(attack_name(attack), attack, "asr") for attack in attacks_in(numbers)]
    columns += [("helpful", "benign", "helpfulness"), ("over-refusal", "benign", "over_refusal")]
    columns += [("knowledge", NO_ATTACK, "knowledge"), ("top 20", NO_ATTACK, LEFT)]
    head = "".join(f"<th>{escape(name)}</th>" for name, _, _ in columns)
    ranked = sorted(methods, key=lambda m: worst[1]["value"] if (worst := worst_attack(numbers, m)) else 0.0)
    rows = "\n".join(_row(numbers, method, columns) for method in ranked)
    manifest = document["manifest"]
    seeds = ", ".join(str(seed) for seed in manifest["recipe"]["seeds"])
    commands = "\n".join(
        f"<tr><td>{escape(line['method'])}, {escape(line['attack'])}, seed {line['seed']}</td>"
        f"<td>{100 * line['value']:.1f}</td><td>{line['n']}</td><td><code>{escape(line['rebuild'])}</code></td></tr>"
        for line in document["cells"]
        if line["metric"] == "asr" and line["value"] is not None
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Refuse-anywhere bench</title><style>{css_variables()}{STYLE}</style></head><body>
<h1>Refuse-anywhere bench</h1>
<p>A fictional world, an exact judge, models of about a million parameters: this shows mechanisms, and says nothing
about the safety of any real model. Seeds {escape(seeds)}; derta {escape(str(manifest["code"]["derta"]))}, commit
{escape(str(manifest["code"]["commit"]))}.</p>
<h2>Attack success, % (95 % interval), by the worst attack</h2>
<table><tr><th>method</th><th>worst attack</th>{head}</tr>
{rows}</table>
<p><small>Knowledge: how likely the forbidden steps stay, the refusal token out. Top 20: places where the true harmful
token is among the 20 likeliest. Intervals are at one seed's number of questions.</small></p>
<h2>Two axes</h2>{inline_svg(two_axes(numbers, methods).svg)}
<p>A model that keeps the forbidden knowledge behind one refusal token gives it to whoever sees the ranking; one that
lost it can't. These are two questions, not one number.</p>
<h2>Every cell, and the command that makes it anew</h2>
<table><tr><th>cell</th><th>%</th><th>n</th><th>command</th></tr>
{commands}</table></body></html>
"""
