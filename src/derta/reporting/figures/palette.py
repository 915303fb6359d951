"""Colours and markers of page and figures: one source for both, light and dark.

Series colours follow Okabe and Ito (2008), darkened or lightened until each stands out from its background at
3:1 (WCAG 1.4.11). Every series also has a marker, so nothing rests on colour alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from derta.methods import METHODS
from derta.results.cell import System


class Tone(NamedTuple):
    """One colour in its light and its dark form; figures are drawn in the light one."""

    name: str
    light: str
    dark: str


class Style(NamedTuple):
    """How one series is drawn. `dash`: on and off lengths in units of the line width."""

    tone: Tone
    marker: str
    dash: tuple[float, ...]

    @property
    def color(self) -> str:
        """The colour that figures are drawn in."""
        return self.tone.light


PAPER = Tone("paper", "#ffffff", "#14171c")
BAND = Tone("band", "#f3f5f7", "#1d2128")
RULE = Tone("rule", "#d5dae0", "#39414b")
MUTED = Tone("muted", "#57606a", "#a4adb8")
INK = Tone("ink", "#1a1d21", "#e7eaee")
ACCENT = Tone("accent", "#0b5394", "#8cc2f2")
WARNING = Tone("warning", "#8a4b00", "#f0b45c")
FURNITURE = (PAPER, BAND, RULE, MUTED, INK, ACCENT, WARNING)

SERIES = (
    Style(Tone("s1", "#c84e00", "#ff8d4d"), "o", ()),
    Style(Tone("s2", "#006fb0", "#58b1ec"), "D", ()),
    Style(Tone("s3", "#00805c", "#2fc79a"), "s", (5, 1.5)),
    Style(Tone("s4", "#a8487f", "#e695c3"), "^", (2, 1.2)),
    Style(Tone("s5", "#8f6a00", "#e8b83a"), "v", (6, 1.5, 1.5, 1.5)),
    Style(Tone("s6", "#5e6670", "#aab3be"), "X", (1, 1)),
    Style(Tone("s7", "#6a4fb3", "#b7a1f0"), "P", (4, 1, 1, 1, 1, 1)),
    Style(Tone("s8", "#1f6f78", "#6cc5cf"), "p", (8, 2)),
)
TINTS = range(11)  # steps of the ASR table's shading, from 0 to 100 %

# The markers as paths in a 12 x 12 box, for the tables.
MARKER_PATHS = {
    "o": "M6 2a4 4 0 1 0 0 8a4 4 0 1 0 0-8z",
    "D": "M6 1l5 5l-5 5l-5-5z",
    "s": "M2 2h8v8h-8z",
    "^": "M6 1.5l5 9h-10z",
    "v": "M6 10.5l5-9h-10z",
    "X": "M3.5 1l2.5 2.5l2.5-2.5l2.5 2.5l-2.5 2.5l2.5 2.5l-2.5 2.5l-2.5-2.5l-2.5 2.5l-2.5-2.5l2.5-2.5l-2.5-2.5z",
    "P": "M4.2 1h3.6v3.2h3.2v3.6h-3.2v3.2h-3.6v-3.2h-3.2v-3.6h3.2z",
    "p": "M6 1l5 3.7l-1.9 6h-6.2l-1.9-6z",
}

# Slots of the refusal's position, early to late, then never: the same in light and dark, text drawn on them.
# `#fefefe`, not the paper's white, which turns dark.
SLOT_FILLS = (
    ("#1c5a96", "#fefefe"),
    ("#5b9bd0", "#0d1116"),
    ("#9cc5e6", "#0d1116"),
    ("#d3e4f3", "#0d1116"),
    ("#e9a45c", "#0d1116"),
    ("#9aa1a9", "#0d1116"),
)


def styles_of(systems: Sequence[System]) -> dict[System, Style]:
    """A style for every system: a known method keeps its own where free, the others take the next free one."""
    taken: dict[System, int] = {}
    for system in systems:
        wanted = METHODS[system.method].series if system.method in METHODS else None
        if wanted is not None and wanted not in taken.values():
            taken[system] = wanted
    for system in systems:
        free = [index for index in range(len(SERIES)) if index not in taken.values()]
        taken.setdefault(system, free[-1] if free else len(taken) % len(SERIES))
    return {system: SERIES[taken[system]] for system in systems}


def css_variables() -> str:
    """The colours as CSS custom properties; dark on screens that ask for it, light in print."""
    tones = (*FURNITURE, *(style.tone for style in SERIES))
    light = " ".join(f"--{tone.name}: {tone.light};" for tone in tones)
    dark = " ".join(f"--{tone.name}: {tone.dark};" for tone in tones)
    return (
        f":root {{ color-scheme: light dark; {light} }}\n"
        f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"
        + "".join(
            f".t{step} {{ background: color-mix(in srgb, var(--s1) {3 * step}%, transparent); }}\n"
            for step in TINTS
        )
    )


def themed(color: str) -> str | None:
    """The CSS variable that stands for a light colour in a figure; None for a colour without one."""
    tones = (*FURNITURE, *(style.tone for style in SERIES))
    return next((f"var(--{tone.name})" for tone in tones if tone.light == color.lower()), None)
