"""Which option a response chooses. Nothing is guessed: a response that names none, or several, is unread."""

from __future__ import annotations

import re
from collections.abc import Sequence

from derta.capability.questions import LETTERS

_MARKED = r"[\s*_\"'`$\\{(\[:]*(?:boxed\{|text\{)*\(?([A-J])\)?(?![\w'’])"
# "the answer is (C)", "Answer: C", "\boxed{C}", "option C is correct"
_STATED = (
    re.compile(
        rf"\b(?:answers?|choice|option|response)\b(?: (?:here|to this question))?\s*(?:is|would be|should be|[:=])"
        rf"(?: (?:the )?(?:option|choice|letter))?{_MARKED}",
        re.IGNORECASE,
    ),
    re.compile(r"\\boxed\{\s*(?:\\text\{)?\(?([A-J])\)?", re.IGNORECASE),
    re.compile(r"\b(?:option|choice) \(?([A-J])\)?(?!\w) is (?:the )?(?:correct|right|best)", re.IGNORECASE),
    re.compile(r"\(?\b([A-J])\)? is (?:the )?(?:correct|right|best) (?:answer|option|choice)"),
)
# "C", "(C) pro wrestling", "C. pro wrestling"; a bare "A monopoly ..." is an article.
_OPENS = re.compile(r"^[\s*_\"'`\-]*(?:\(([A-J])\)|([A-J])(?:[.):,\]]|[*_\"'`]*\s*(?:\n|\Z)))")
_BRACKETED = re.compile(r"\(([A-J])\)")
MIN_CHOICE_LENGTH = 4  # characters: shorter options ("1", "all") stand in many a sentence by chance


def read_letter(response: str, choices: Sequence[str]) -> str | None:
    """The letter that the response chooses, or None.

    In this order: what is stated as the answer (the last statement counts), the response's opening, the only letter
    in brackets, the only option whose text comes up.
    """
    offered = LETTERS[: len(choices)]
    stated = [
        (match.start(), match[1].upper())
        for form in _STATED
        for match in form.finditer(response)
        if match[1].upper() in offered and not (match[1] in "ai" and "(" not in match[0])
    ]
    if stated:
        return max(stated)[1]
    opening = _OPENS.match(response)
    if opening and (opening[1] or opening[2]) in offered:
        return str(opening[1] or opening[2])
    bracketed = {letter for letter in _BRACKETED.findall(response) if letter in offered}
    if len(bracketed) == 1:
        return str(bracketed.pop())
    return None if bracketed else _by_text(response, choices)


def _by_text(response: str, choices: Sequence[str]) -> str | None:
    said = _plain(response)
    same = [index for index, choice in enumerate(choices) if _plain(choice) == said]
    if len(same) == 1:
        return LETTERS[same[0]]
    texts = [_plain(choice) for choice in choices]
    found = [
        index
        for index, text in enumerate(texts)
        if len(text) >= MIN_CHOICE_LENGTH and re.search(rf"(?<!\w){re.escape(text)}(?!\w)", said)
    ]
    # "sales tax" inside "no sales tax": the longer option is meant
    longest = [
        index for index in found if not any(texts[index] in texts[other] for other in found if other != index)
    ]
    return LETTERS[longest[0]] if len(longest) == 1 else None


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[^\w\s%$.+-]", " ", text.casefold()).split()).rstrip(" .")
