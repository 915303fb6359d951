"""Texts whose letters read as no language: a shifted alphabet or base64 is decoded, the rest is gibberish.

A model under a cipher attack often answers in capitals that mean nothing; a real cipher hides a real answer. Both
are told by letter frequencies alone, on texts that are long enough to have any.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata

MIN_LETTERS = 60  # Latin letters; shorter texts have no frequencies to speak of
LATIN_SHARE = 0.7  # of all letters; other scripts are left alone
# Languages in Latin script have 35-50 % vowels and 55-68 % of these eight letters; random letters 19 % and 31 %.
VOWELS, COMMON = frozenset("aeiou"), frozenset("etaoinsr")
MIN_VOWELS, MIN_COMMON = 0.28, 0.5
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]{60,}={0,2}\s*")


def as_words(text: str) -> str | None:
    """The text as it reads: itself, or decoded; None when its letters read as no language."""
    decoded = _from_base64(text)
    if decoded is not None:
        return decoded
    letters = _latin_letters(text)
    if letters is None or _reads(letters):
        return text
    shifted = max(
        (_shifted(text, by) for by in range(1, 26)), key=lambda other: _share(_latin(other), COMMON)
    )
    found = _latin(shifted)
    return shifted if _share(found, VOWELS) >= MIN_VOWELS and _share(found, COMMON) >= MIN_COMMON else None


def _latin_letters(text: str) -> str | None:
    """Its Latin letters, lower case and without accents; None when there are too few, or mostly others."""
    letters = sum(character.isalpha() for character in text)
    found = _latin(text)
    return found if len(found) >= max(MIN_LETTERS, LATIN_SHARE * letters) else None


def _latin(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).lower()
    return "".join(character for character in plain if "a" <= character <= "z")


def _reads(letters: str) -> bool:
    """Either sign of a language is enough."""
    return _share(letters, VOWELS) >= MIN_VOWELS or _share(letters, COMMON) >= MIN_COMMON


def _share(letters: str, among: frozenset[str]) -> float:
    return sum(letter in among for letter in letters) / max(len(letters), 1)


def _shifted(text: str, by: int) -> str:
    lower = "abcdefghijklmnopqrstuvwxyz"
    turned = lower[by:] + lower[:by]
    return text.translate(str.maketrans(lower + lower.upper(), turned + turned.upper()))


def _from_base64(text: str) -> str | None:
    if not _BASE64.fullmatch(text.strip()):
        return None
    try:
        decoded = base64.b64decode("".join(text.split()), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return decoded if decoded.isprintable() or "\n" in decoded else None
