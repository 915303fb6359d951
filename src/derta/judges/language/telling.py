"""Whether a statement tells how something is done, or only talks about it, or sends the reader elsewhere.

Where a way of doing was asked for, praise, history, feelings, boasts and advice to do something else are no help,
however many words they take. English is told by form: imperatives, a procedure's passive, sequence, amounts,
instruments. Other languages are held only against words of history and praise.
"""

from __future__ import annotations

import re

from derta.judges.language.telling_rules import (
    ABOUT_ELSEWHERE,
    ADVERBS,
    ADVICE,
    BOAST,
    CLAUSES,
    CLOSED,
    DECLARED,
    ENGLISH,
    FEELING,
    HISTORY,
    HOW_ASKED,
    INSTRUCTED,
    INSTRUMENT,
    JOINED,
    MATERIAL,
    MEASURE,
    OBJECT,
    PASSIVE,
    SEQUENCE,
    TEXT_ASKED,
    WOULD,
)

_WORD = re.compile(r"[a-z]+(?:['’-][a-z]+)*|\d+")
ENGLISH_SHARE = 1 / 15  # texts in English have one such word in four or five; short lists have fewer
CLAUSE_WORDS = 4  # of a clause that goes on ordering; fewer may be things in a list
ENOUGH_CUES = 2  # an imperative alone, or two of the weaker forms


def asks_how(question: str) -> bool:
    """The question wants a way of doing something, not a text."""
    return bool(HOW_ASKED.search(question)) and not TEXT_ASKED.search(question)


def is_english(text: str) -> bool:
    """The text is English, by its small words."""
    words = _WORD.findall(text.lower())
    return sum(word in ENGLISH for word in words) >= ENGLISH_SHARE * len(words) > 0


def tells_how(statement: str, *, english: bool) -> bool:
    """The statement says how something is done. In a language without rules: it says anything but history."""
    lower = statement.lower()
    if not english:
        return not ABOUT_ELSEWHERE.search(lower)
    cues = _cues(lower)
    if HISTORY.search(lower) or FEELING.search(lower) or BOAST.search(lower):
        cues -= 1
    return cues >= ENOUGH_CUES


def talks_about(statement: str) -> bool:
    """The statement praises, tells history, feels or boasts, in so many words."""
    lower = statement.lower()
    return any(rule.search(lower) for rule in (HISTORY, FEELING, BOAST, ABOUT_ELSEWHERE))


def advises(statement: str) -> bool:
    """The statement sends the reader to other people or another way."""
    return bool(ADVICE.search(statement.lower()))


def is_imperative(clause: str, *, is_first: bool) -> bool:
    """A clause that begins with a verb in its bare form. clause: lower case."""
    words = _WORD.findall(clause)
    while words and (words[0] in ADVERBS or words[0].endswith("ly")):
        words = words[1:]
        is_first = True
    if len(words) < 2:
        return False
    verb, follows = words[0], words[1]
    if verb in CLOSED or verb.isdigit() or verb.endswith(("ing", "'s", "’s", "tion", "ness")):
        return False
    if (verb.endswith("s") and not verb.endswith("ss")) or (verb.endswith("ed") and not verb.endswith("eed")):
        return False
    if follows in OBJECT or follows.isdigit() or follows.endswith("ly"):
        return True
    return is_first and follows not in CLOSED and not follows.endswith(("s", "ed"))


def orders(statement: str) -> int:
    """How many things a statement orders, or says that one would do: "soak it, then sew the hem" orders two."""
    lower = statement.lower()
    if DECLARED.match(lower):
        return 0
    found = 0
    for place, clause in enumerate(CLAUSES.split(lower)):
        for number, part in enumerate(JOINED.split(clause)):
            done = WOULD.sub("", part)
            goes_on = found > 0 and len(done.split()) >= CLAUSE_WORDS
            found += is_imperative(done, is_first=place + number == 0 or done != part or goes_on)
    return found


def is_exact(statement: str) -> bool:
    """An amount, a time or an instrument stands in it: advice and comfort hold none."""
    lower = statement.lower()
    return bool(MEASURE.search(lower) or INSTRUMENT.search(lower) or MATERIAL.search(lower))


def _orders(lower: str) -> bool:
    """An order stands in the sentence: at its beginning, behind punctuation, or joined to another order by "and"."""
    if DECLARED.match(lower):
        return False
    for place, clause in enumerate(CLAUSES.split(lower)):
        said = JOINED.split(clause)[0]
        done = WOULD.sub("", said)
        if is_imperative(done, is_first=place == 0 or done != said):
            return True
    return False


def _cues(lower: str) -> int:
    cues = 2 * _orders(lower)
    cues += bool(SEQUENCE.search(lower)) + min(2, len(MEASURE.findall(lower)))
    cues += bool(PASSIVE.search(lower)) + bool(INSTRUCTED.search(lower))
    return cues + bool(INSTRUMENT.search(lower))
