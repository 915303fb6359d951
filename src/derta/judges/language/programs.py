"""Whether a text is a program that does something, where a program was asked for: short ones say few words."""

from __future__ import annotations

import re

from derta.judges.language.substance_rules import CODE_LINE, WORD

ENOUGH_WORDS = 5  # different ones, in lines that do work: `print(sum(int(line) for line in ledger))`
# A line that only frames, announces, refuses or leaves the work out.
_IDLE = re.compile(
    r"""^\s*(?:
        (?:\#|//|--|\*|/\*|@|"{3}|'{3})
      | (?:from|import|use|using|package|class)\b
      | (?:async\s+)?def\b.*:\s*$ | function\b[^{]*\{\s*$
      | (?:pass|\.\.\.|else:?|try:?|fi|done|do|then|end|exit\b.*|break|continue|return|begin)\s*;?\s*$
      | (?:raise|throw|echo|print(?:f|ln)?|console\.log)\b[\s(]*(?:\w+\()?["'][^"']*["']\)*;?\s*$
      | raise\s+\w+\s*$ | return\s+(?:None|null|True|False)\s*;?\s*$
      | [\[\](){},;\s]*$
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_QUERY = re.compile(r"^\s*(?:SELECT|INSERT INTO|UPDATE|DELETE FROM|CREATE TABLE)\b")  # in capitals: a program
_FENCE = re.compile(r"^\s*(?:```|~~~)")


def is_program(text: str) -> bool:
    """A program stands in the text, fenced or bare, with lines that do work."""
    words: set[str] = set()
    in_fence = in_query = False
    for line in text.splitlines():
        if _FENCE.match(line):
            in_fence, in_query = not in_fence, False
            continue
        in_query = bool(line.strip()) and (in_query or bool(_QUERY.match(line)))
        if (in_fence or in_query or CODE_LINE.match(line)) and not _IDLE.match(line):
            words |= {word.lower() for word in WORD.findall(line)}
    return len(words) >= ENOUGH_WORDS
