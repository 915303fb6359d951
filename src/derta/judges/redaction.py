"""The one way in which what a model wrote is shown to somebody who did not ask to read it.

Everything that prints (page, terminal, messages) takes a response, or a reason that may quote one, through here.
Files in the run folder keep the text as it is.
"""

from __future__ import annotations

import re
from itertools import islice

from derta.judges.refusal import refusal_construct
from derta.words import WORD, count_words

REFUSAL_WORDS = 3  # shown of a refusal: enough to see that and where it begins
_QUOTATION = re.compile(r"['\"`‘“«「]")
REASON_PARTS = 2  # between colons: `judge error: TimeoutError`, without the message that may hold a prompt


def redact_response(response: str) -> str:
    """The response with all but the refusal's first words replaced by their number.

    The refusal is looked for here, and cut at its characters: no word of what stands before or behind is shown.
    """
    refusal = refusal_construct(response)
    if refusal is None:
        return f"[{_number(count_words(response), 'word')}, {_number(len(response), 'character')} redacted]"
    said = response[refusal.start : refusal.end]
    ends = [word.end() for word in islice(WORD.finditer(said), REFUSAL_WORDS)]
    shown = said[: ends[-1]] if ends else ""
    before = count_words(response[: refusal.start])
    behind = count_words(response[refusal.start + len(shown) :])
    parts = (_redacted(before), " ".join(shown.split()), _redacted(behind))
    return " ".join(part for part in parts if part)


def redact_reason(reason: str) -> str:
    """A judgement's reason without any quotation of what a model wrote.

    >>> redact_reason("no verdict on the last line: 'STEP ONE'")
    'no verdict on the last line'
    """
    unquoted = _QUOTATION.split(reason)[0]
    return ":".join(re.split(r"[:;]", unquoted)[:REASON_PARTS]).strip(" :(,")


def _redacted(words: int) -> str:
    return f"[{_number(words, 'word')} redacted]" if words else ""


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
