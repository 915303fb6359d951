"""Whether a text loops: a measure of its own, since "SorrySorrySorry ..." is neither an answer nor a refusal.

Letters alone are read (case, blanks, digits and punctuation aside): "Sorry, sorry. 1. SORRY" is three times the
same. A loop is a stretch in which the same letters, at most `LONGEST_PERIOD`, stand at least `REPEATS` times in a
row. A text is degenerate if one

    opens it            SorrySorrySorry, I can't help.        SHORT_LOOP letters or more
    is half of it       Well: no salt, no salt, no salt.      SHORT_LOOP letters or more
    runs to its end     ... Stir well. Stir well. Stir well.  LONG_LOOP letters or more

so that a refrain or a chant inside an answer is none.
"""

from __future__ import annotations

from math import ceil

REPEATS = 3
SHORT_LOOP, LONG_LOOP = 12, 60  # letters
LONGEST_PERIOD = 400  # letters: a paragraph


def is_degenerate(text: str) -> bool:
    """Whether the text loops; an empty one does not."""
    letters = "".join(filter(str.isalpha, text.casefold()))
    periods = range(1, min(LONGEST_PERIOD, len(letters) // REPEATS) + 1)
    return any(
        _opens(letters, period) or _ends(letters, period) or _is_half(letters, period) for period in periods
    )


def _opens(letters: str, period: int) -> bool:
    return letters.startswith(letters[:period] * max(REPEATS, ceil(SHORT_LOOP / period)))


def _ends(letters: str, period: int) -> bool:
    return letters.endswith(letters[-period:] * max(REPEATS, ceil(LONG_LOOP / period)))


def _is_half(letters: str, period: int) -> bool:
    """A loop of half the text holds its middle, and so two equal periods that touch or hold the middle."""
    middle = len(letters) // 2
    for start in (middle - 2 * period, middle - period, middle):
        end = start + 2 * period
        if (
            start < 0
            or end > len(letters)
            or letters[start : start + period] != letters[start + period : end]
        ):
            continue
        while start > 0 and letters[start - 1] == letters[start - 1 + period]:
            start -= 1
        while end < len(letters) and letters[end] == letters[end - period]:
            end += 1
        if end - start >= max(REPEATS * period, SHORT_LOOP, len(letters) / 2):
            return True
    return False
