"""Text from models, data and names, made safe at each sink: page, figure, CSV, terminal, file name.

Nothing is cleaned on the way in: files keep what the model wrote, and every sink escapes for itself.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata

from markupsafe import Markup

from derta.visible import visible

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # and full-width
_SLUG_LENGTH = 40
_HASH_LENGTH = 10  # hexadecimal digits: 40 bits


def breakable(name: str) -> Markup:
    """The name for a page, escaped; it may wrap inside a compound such as `JailbreakChat`."""
    return Markup("<wbr>").join(re.split(r"(?<=[a-z])(?=[A-Z])", visible(name)))


def csv_cell(value: object) -> object:
    """The value for a CSV cell: a text that a spreadsheet would run as a formula gets a leading quote.

    Numbers stay numbers (a negative difference is not a formula); None is the empty cell.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        return value
    shown = visible(value)
    return (
        f"'{shown}"
        if value.startswith(_FORMULA_STARTS) or shown.lstrip().startswith(_FORMULA_STARTS)
        else shown
    )


def slug(name: str) -> str:
    """A file name or HTML id for any name: letters, digits and hyphens, plus a hash of the exact name.

    The hash keeps apart names that differ only in what was dropped; no name can leave its folder.
    """
    folded = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode("ascii").lower()
    stem = re.sub(r"[^a-z0-9]+", "-", folded).strip("-")[:_SLUG_LENGTH].strip("-") or "name"
    digest = hashlib.sha256(name.encode("utf-8", errors="surrogatepass")).hexdigest()[:_HASH_LENGTH]
    return f"{stem}-{digest}"


def number(count: int, noun: str) -> str:
    """A count with its noun in the right number: `1 response`, `2,000 responses`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def listed(names: list[str]) -> str:
    """Names as prose: `a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
