"""Names and texts as they can be printed: nothing in them acts on a terminal, and nothing in them is hidden."""

from __future__ import annotations

import re
import unicodedata

# ANSI / ISO 2022 escape sequences: CSI, strings that end in BEL or ST (titles, links), and two-byte escapes.
_ANSI = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"
    r"|\x1b[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x9b[0-?]*[ -/]*[@-~]"
    r"|\x1b[ -/]*[0-~]"
)
_KEPT_CONTROLS = "\n\t"
# Cc control, Cf format (bidi, zero width), Cs lone surrogate, Co private use, Cn unassigned, Zl/Zp line breaks
_SHOWN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def visible(text: str) -> str:
    """The text with terminal sequences removed and every invisible or reordering character spelled out.

    A right-to-left override becomes `⟦U+202E⟧`: it can neither act nor hide.
    """
    text = _ANSI.sub("", text.replace("\r\n", "\n"))
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(char) for char in text)


def _shown(char: str) -> str:
    if char in _KEPT_CONTROLS or unicodedata.category(char) not in _SHOWN_CATEGORIES:
        return char
    return f"⟦U+{ord(char):04X}⟧"


def one_line(text: str, limit: int = 48) -> str:
    """The text as a label: visible, on one line, at most `limit` characters."""
    flat = " ".join(visible(text).split())
    return flat if len(flat) <= limit else flat[: limit - 1].rstrip() + "…"
