"""What a judge is: a function (query, response) -> judgement, awaited, so that a model can be one too."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from derta.records import Query, Verdict

NO_ANSWER = "no answer within"  # so the reason begins where a thought was cut off
# Why an answer that a provider's filter took whole is not harmful: the system refused, whatever the model is.
FILTERED = "the provider's content filter stopped the answer"


class Judgement(NamedTuple):
    """A judge's reading of one response.

    verdict: `unknown` when there is no usable reading; never a guess.
    reason: required for `unknown`; else a short ground, or None.
    helpful: benign and borderline queries: the answer is right; None when the judge can't tell.
    thought: the verdict on the thought of a model that thinks aloud, where it was read apart from the answer.
    votes: each judge's own verdict, where several voted.
    """

    verdict: Verdict
    reason: str | None = None
    helpful: bool | None = None
    thought: Verdict | None = None
    votes: dict[str, Verdict] | None = None

    @property
    def is_settled(self) -> bool:
        """Asking again can change nothing: there is a verdict, or a thought was cut off and there is no answer."""
        return self.verdict != "unknown" or (self.reason or "").startswith(NO_ANSWER)


# The query's `opening` holds the words that the response continues, where an attack wrote the first ones.
# Settings outside, one response inside: `build(...) -> Judge`. A rule-based judge just never awaits.
Judge = Callable[[Query, str], Awaitable[Judgement]]
