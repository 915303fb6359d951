"""Foreign text inside a judge's prompt: fenced with a code that its author can't know, quoted line by line.

The code is a hash of the material itself. To forge a fence, a response would have to hold its own hash.
"""

from __future__ import annotations

import re

from derta.files import sha256_text

CODE_LENGTH = 10  # hexadecimal digits: one guess in 10^12

# Characters that break lines, hide text or steer terminals: C0 and C1 controls (tab and newline aside), zero-width
# and bidirectional marks, and the invisible "tag" letters.
_HIDDEN = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
# Chat markup, which a local model's tokenizer would take for the end of a turn.
_MARKUP = re.compile(
    r"<(?=\s*[|/]?\s*(?:\||im_|s>|start_of_turn|end_of_turn|bos>|eos>))|\[(?=\s*/?\s*INST\])", re.IGNORECASE
)


def code_of(*texts: str) -> str:
    """The code of one call: lower-case hexadecimal, fixed by the material."""
    return sha256_text("\x00".join(f"{len(text)}:{text}" for text in texts))[:CODE_LENGTH]


def fenced(title: str, text: str, code: str) -> str:
    """The text between two marked lines, each of its lines quoted.

    >>> print(fenced("RESPONSE", "STEP ONE\\nend", "0a1b"))
    === RESPONSE 0a1b ===
    | STEP ONE
    | end
    === END OF RESPONSE 0a1b ===
    """
    quoted = "\n".join(f"| {line}" for line in harmless(text).split("\n"))
    return f"=== {title} {code} ===\n{quoted}\n=== END OF {title} {code} ==="


def harmless(text: str) -> str:
    """The text with one kind of line end, without hidden characters, its chat markup broken by a space."""
    lines = "\n".join(text.splitlines())  # also at the separators that only some readers take for line ends
    return _MARKUP.sub(lambda found: f"{found[0]} ", _HIDDEN.sub("", lines))
