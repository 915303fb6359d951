"""A response's class (judges/response_class.py), and the refusal's place in the model's own tokens.

On benign and borderline queries the share of refusals (partial ones included) is the over-refusal rate; on harmful
ones it is the refusal rate, which is not 1 - attack success.
"""

from __future__ import annotations

from collections.abc import Sequence

from derta.encode.chat import ChatRenderer
from derta.judges.refusal import find_refusal
from derta.judges.response_class import OPENING_WORDS, ResponseReading, read_response
from derta.thoughts import part

__all__ = ["OPENING_WORDS", "ResponseReading", "read_response", "tokens_before_refusal"]


def tokens_before_refusal(renderer: ChatRenderer, response_ids: Sequence[int], response: str) -> int | None:
    """Whole tokens of a response in front of its answer's refusal; None when there is no refusal."""
    answer = part(response).answer
    refusal = find_refusal(answer)
    if refusal is None:
        return None
    start = max(response.rfind(answer), 0) + refusal.char  # behind the thought of a model that thinks aloud
    low, high = 0, len(response_ids)  # most tokens whose text ends where the refusal begins, or before
    while low < high:
        middle = (low + high + 1) // 2
        if len(renderer.decode(response_ids[:middle])) <= start:
            low = middle
        else:
            high = middle - 1
    return low
