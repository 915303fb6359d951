"""What a word is, wherever words are counted: refusal positions, lengths, `n words redacted`.

A word is a run without white space that holds a letter or a digit: "can't", "step-by-step" and "1." are one word
each, bare punctuation is none. Scripts that put no blanks between words (Han, kana, Thai, Lao, Burmese, Khmer) have
no such runs: each of their letters, with the marks on it, is a word. Korean, Hindi and Arabic have blanks.

    "1. 取盐 and honey -- *"   1. | 取 | 盐 | and | honey
"""

from __future__ import annotations

import re

# For character classes: letters of the scripts without blanks, and the marks that stand on them.
UNSPACED_LETTERS = (
    "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # kana, Han
    "\u0e01-\u0e30\u0e32\u0e33\u0e40-\u0e46"  # Thai
    "\u0e81-\u0eb0\u0eb2\u0eb3\u0ebd-\u0ec6\u0edc-\u0edf"  # Lao
    "\u1000-\u102a\u103f\u1050-\u1055"  # Burmese
    "\u1780-\u17b3\u17d7\u17dc"  # Khmer
)
UNSPACED_MARKS = "\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ece\u102b-\u103e\u17b4-\u17d3"
# from a run's first letter or digit to its end: what stands before it takes no second look
WORD = re.compile(
    rf"[{UNSPACED_LETTERS}][{UNSPACED_MARKS}]*|[^\W_{UNSPACED_LETTERS}][^\s{UNSPACED_LETTERS}]*"
)
_ASCII_WORD = re.compile(r"[A-Za-z0-9]\S*")  # the same on ASCII texts, three times as fast


def count_words(text: str) -> int:
    """The number of words in a text."""
    return len((_ASCII_WORD if text.isascii() else WORD).findall(text))
