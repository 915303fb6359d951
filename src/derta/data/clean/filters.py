"""What an item must be to stay: lengths, language, no refusal inside a harmful answer, a refusal as safe one.

Each check answers with the reason of the rejection, or None.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from derta.data.clean.refusals import disclaims_inside, is_refusal, refuses_inside, warns_inside
from derta.data.formats.items import Item
from derta.data.recipe import BenignSettings, DataRecipe, LengthSettings, TripleSettings
from derta.words import count_words

IsRefusal = Callable[[str], bool]

NO_REFUSAL = (
    "safe response is no refusal by the rules, which are English (`safe_responses.check: false` skips them)"
)
ENGLISH_LETTERS = 0.9  # least share of ASCII among the letters of an English text
_FUNCTION_WORDS = re.compile(
    r"\b(?:the|a|an|of|to|in|is|are|was|be|i|you|it|that|this|what|how|for|on|with|and|or|do|does|can|as|by|from|my"
    r"|your|if|not|when|who|why|which|at|me)\b",
    re.IGNORECASE,
)
_JUDGED_WORDS = 8  # an English text of so many words holds a function word


@dataclass(frozen=True)
class Filters:
    """The recipe's filters, in a form that travels to worker processes.

    is_refusal: judges safe responses; a function of a module, so that it can be pickled.
    """

    triples: TripleSettings
    benign: BenignSettings
    language: str
    check_refusals: bool
    is_refusal: IsRefusal = is_refusal

    @classmethod
    def of(cls, recipe: DataRecipe, is_refusal: IsRefusal) -> Filters:
        """The filters of a recipe."""
        return cls(
            triples=recipe.triples,
            benign=recipe.benign,
            language=recipe.clean.language,
            check_refusals=recipe.safe_responses.check,
            is_refusal=is_refusal,
        )

    def reason(self, item: Item) -> str | None:
        """Why the item is rejected, or None."""
        if item.role == "harmful":
            return self._harmful(item)
        if item.role == "safe":
            return self.safe_reason(item.response or "")
        if item.role == "benign":
            return self._benign(item)
        return self._language("query", item.query)

    def safe_reason(self, response: str) -> str | None:
        """Why a text can't be a safe response."""
        if self.check_refusals and not self.is_refusal(response):
            return NO_REFUSAL
        return None

    def benign_response_reason(self, response: str) -> str | None:
        """Why a text can't be a benign response."""
        problem = _length("response", response, self.benign.response) or self._language("response", response)
        if problem or not self.benign.uncensored:
            return problem
        if self.is_refusal(response) or refuses_inside(response):
            return "response holds a refusal"
        return "response holds a disclaimer" if disclaims_inside(response) else None

    def _harmful(self, item: Item) -> str | None:
        response = item.response or ""
        problem = (
            _length("query", item.asked, self.triples.query)
            or _length("harmful response", response, self.triples.harmful_response)
            or self._language("query", item.query)
            or self._language("harmful response", response)
        )
        if problem:
            return problem
        if self.triples.reject_refusals:
            if self.is_refusal(response) or refuses_inside(response):
                return "harmful response holds a refusal"
            if warns_inside(response) or disclaims_inside(response):
                return "harmful response holds a warning"
        return None if item.safe_response is None else self.safe_reason(item.safe_response)

    def _benign(self, item: Item) -> str | None:
        return (
            _length("query", item.asked, self.benign.query)
            or self._language("query", item.query)
            or self.benign_response_reason(item.response or "")
        )

    def _language(self, name: str, text: str) -> str | None:
        if self.language == "any" or is_english(text):
            return None
        return f"{name} is not in the language {self.language!r}"


def is_english(text: str) -> bool:
    """By letters and function words: no model, and short texts get the benefit of the doubt."""
    letters = sum(map(str.isalpha, text))
    if not letters:
        return True
    ascii_letters = sum(map(str.isalpha, text.encode("ascii", "ignore").decode()))
    if ascii_letters < ENGLISH_LETTERS * letters:
        return False
    return count_words(text) < _JUDGED_WORDS or bool(_FUNCTION_WORDS.search(text))


def _length(name: str, text: str, limits: LengthSettings) -> str | None:
    words = count_words(text)
    if words < limits.min_words:
        return f"{name} shorter than {limits.min_words} words"
    return f"{name} longer than {limits.max_words} words" if words > limits.max_words else None
