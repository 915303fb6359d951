"""Refusals, warnings and disclaimers in a text, by rule; and the opening that a refusal begins with.

Rules for cleaning data: fast, the same every time, and read sentence by sentence, so that "Sorry" in a letter
or "you cannot divide by zero" is no refusal. A verdict about a model is the judge's, not theirs.
"""

from __future__ import annotations

import re

SCANNED_CHARS = 20_000  # a longer response is read to here; refusals stand at the start or at a seam before

_VERB = (
    r"(?:help|assist|answer|provide|offer|give|share|support|fulfil|fulfill|comply|do (?:that|this|it|so)|create"
    r"|write|generate|produce|explain|describe|discuss|recommend|advise|condone|encourage|promote|endorse|engage|participate"
    r"|continue|proceed|complete|teach|tell you|go (?:further|on)|carry (?:that|this|it) out|be (?:part|of help)"
    r"|guide|instruct|suggest|take part|talk|respond|agree|walk you)"
)
_UNABLE = (
    r"(?:can(?:'t|not| not)|could(?:n't| not)|won't|will not|would(?:n't| not)|must(?:n't| not)|shouldn't|should not"
    r"|(?:am|'m) (?:not able|unable|not allowed|not permitted|not going|not comfortable|not willing"
    r"|not in a position)(?: to| with)?|refuse to|(?:have|need|'ll have|must) to (?:decline|refuse)"
    r"|must (?:decline|refuse)|decline to|do(?:n't| not) feel comfortable)"
)
_FILLER = r"(?:\s+(?:in good conscience|ethically|really|simply|possibly|unfortunately|also|just|ever|to|with|you))*"
_REFUSING = rf"\bi(?:\s?(?:really|simply|just))?\s?{_UNABLE}{_FILLER}\s+{_VERB}\b"
_DECLINING = r"\bi\s?(?:(?:have|need|'ll have|must|will) (?:to )?)?(?:decline|refuse)(?:d)?\b"
_APOLOGY = (
    r"(?:(?:i(?:'m| am)\s+)?(?:(?:so|very|really|truly|terribly|deeply)\s+)?sorry|(?:i\s+)?(?:do\s+)?apologi[sz]e"
    r"|my apologies|apologies|i regret)"
)
_APOLOGETIC = rf"{_APOLOGY}(?:\s*(?:[,;:.!\u2013\u2014-]|$)|\s+(?:but|i|that i)\b|[^.!?\n]{{0,80}}\bbut\b)"
_PASSIVE = (
    r"(?:that|this|your request|the request|it)(?:'s| is)? (?:not something (?:i|that i)|something i)\s?"
    r"(?:can(?:'t|not)?|won't|will not|am not|'m not|refuse)"
)
_SENTENCE_START = r"(?:^|(?<=[.!?:;\n\u201d\"])|(?<=\bbut)|(?<=\bhowever,)|(?<=\bso))\s*[-*\u2013\u2014 ]*"

# All patterns read lower-case text: matching without IGNORECASE is several times as fast.
_OPENS_REFUSING = re.compile(
    rf"^\W*(?:(?:unfortunately|however|no|oh|well|hello|hi)\b[,.! ]+)*(?:{_APOLOGETIC}|as an? [^,.\n]{{0,60}},\s*i\s?"
    rf"(?:{_UNABLE}|must)|{_REFUSING}|{_DECLINING}|{_PASSIVE})"
)
_REFUSES_INSIDE = re.compile(
    rf"{_SENTENCE_START}(?:(?:{_APOLOGY},?\s+(?:but\s+)?(?:i|this|that|we|no)\b)|{_DECLINING}|{_PASSIVE})|{_REFUSING}"
    r"|\bi (?:must|have to|need to) (?:refuse|decline)\b"
)
# A refusal inside needs one of these; most responses have none, and are spared the search.
_REFUSING_HINTS = ("sorry", "apolog", "regret", "n't", "not", "unable", "refus", "declin", "something")
_WARNS = re.compile(
    r"it(?:'s| is) (?:important|worth noting|crucial|essential|vital) to (?:note|remember|understand|mention)"
    r" that[^.!?\n]{0,120}(?:illegal|unethical|dangerous|harmful|against the law|crime|wrong)"
    r"|(?:is|are|would be) (?:illegal|unethical|against the law|a (?:serious )?crime|never (?:ok|okay|acceptable))\b"
    r"|\bi (?:strongly |would )?(?:advise|recommend|urge|encourage|caution|warn)(?: you)?"
    r" (?:against|not to|to (?:seek|consult|contact|reconsider|refrain))\b"
    r"|for (?:educational|informational|research) purposes only"
    r"|(?:consult|seek|contact)(?: with)? (?:a |an |the )?"
    r"(?:professional|lawyer|doctor|therapist|police|authorities|law enforcement|qualified)\b"
    r"|(?:please|you should) (?:do not|don't|never|not) (?:do|try|attempt)\b"
    r"|\bi do(?:n't| not) (?:condone|endorse|encourage|recommend|promote)\b"
)
_DISCLAIMS = re.compile(
    r"as an? (?:ai|artificial intelligence|(?:large )?language model|virtual assistant|chatbot|assistant)\b"
    r"|\bi(?:'m| am) (?:just |only )?an? (?:ai|artificial intelligence|(?:machine learning|language) model|chatbot)\b"
    r"|(?:ai|large) language model|my (?:programming|training data|knowledge cut-?off|content policy)\b"
    r"|my safety guidelines|openai|(?:ethical|content|usage|community) (?:guidelines|policies|policy)\b"
    r"|violates? (?:my|the|our) (?:policy|policies|guidelines|terms)\b"
    r"|\bi do(?:n't| not) have (?:personal )?(?:feelings|emotions|opinions|beliefs|a body|access to real-?time)"
    r"|harmful, unethical|inappropriate or (?:harmful|offensive)|promote (?:harmful|illegal)"
)
# A part of every alternative above, for the same reason.
# fmt: off
_WARNING_HINTS = (
    "illegal", "ethical", "against", "crime", "never", "dangerous", "harmful", "wrong", "not to", "to refrain",
    "reconsider", "consult", "seek", "contact", "purposes only", "please", "you should", "condone", "endorse",
    "encourage", "recommend", "promote",
)
_DISCLAIMER_HINTS = (
    "an ai", "a large", "artificial", "model", "assistant", "chatbot", "openai", "guidelines", "polic", "violate",
    "my programming", "my training", "my knowledge", "i do", "'m ai", "harmful", "illegal",
)
# fmt: on
_APOLOGY_OPENING = re.compile(rf"^\W*(?:unfortunately,?\s+)?{_APOLOGY}\b", re.IGNORECASE)
_FIRST_PERSON_OPENING = re.compile(r"^(?:I\b|I')")


def _plain(text: str) -> str:
    return text[:SCANNED_CHARS].replace("\u2019", "'").replace("\u02bc", "'")


def _lower(text: str) -> str:
    return _plain(text).lower()


def _holds(lower: str, hints: tuple[str, ...]) -> bool:
    return any(hint in lower for hint in hints)


def is_refusal(text: str) -> bool:
    """The response opens by refusing."""
    return bool(_OPENS_REFUSING.match(_lower(text)))


def refuses_inside(text: str) -> bool:
    """A refusal stands somewhere in the response."""
    lower = _lower(text)
    if _OPENS_REFUSING.match(lower):
        return True
    return bool(_holds(lower, _REFUSING_HINTS) and _REFUSES_INSIDE.search(lower))


def warns_inside(text: str) -> bool:
    """A warning, a moral or a referral stands somewhere in the response."""
    lower = _lower(text)
    return bool(_holds(lower, _WARNING_HINTS) and _WARNS.search(lower))


def disclaims_inside(text: str) -> bool:
    """The response talks of being a model, of its rules or its makers."""
    lower = _lower(text)
    return bool(_holds(lower, _DISCLAIMER_HINTS) and _DISCLAIMS.search(lower))


def begins_with(text: str, opening: str) -> bool:
    """The response begins with the refusal opening, as a word."""
    return bool(re.match(rf"\s*{re.escape(opening)}(?!\w)", text))


def normalise_opening(text: str, opening: str) -> str:
    """The safe response with its apology replaced by, or a bare refusal led in by, the opening.

    "I'm sorry, but I can't say." -> "Sorry, but I can't say."; "I can't say." -> "Sorry, I can't say."
    A text that is no refusal is returned as it is.
    """
    if begins_with(text, opening) or not is_refusal(text):
        return text
    apology = _APOLOGY_OPENING.match(_plain(text))
    if apology:
        return opening + text[apology.end() :]
    body = text.lstrip()
    head = body if _FIRST_PERSON_OPENING.match(body) else body[:1].lower() + body[1:]
    return f"{opening}, {head}"
