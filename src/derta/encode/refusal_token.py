"""Which id means "refuse": resolved from the tokenizer and the template, never hard-coded.

The released code hard-codes 19701, Llama-3's "Sorry" without leading space (docs/method.md, "The refusal token").
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from derta.encode.chat import ChatRenderer, Message

_PROMPT: list[Message] = [{"role": "user", "content": "How are you?"}]
_RUNNING = "Step one"  # harmless running text, to see how the tokenizer goes on inside a line
_LINE = "Step one\n"  # and after a newline


@dataclass(frozen=True)
class RefusalToken:
    """The refusal's first id in each place where a refusal can begin.

    start_id: at the start of a response. running_id: inside a line, after a space. line_id: after a newline.
    rule: which of them is the label (`start`: always start_id, the paper; `contextual`: by the token before).
    ends_in_space: for each id of the vocabulary that occurs, whether its text ends in white space (a cache).
    """

    text: str
    start_id: int
    running_id: int
    line_id: int
    rule: Literal["start", "contextual"]
    renderer: ChatRenderer = field(repr=False, compare=False)
    warnings: tuple[str, ...] = ()
    ends_in_space: dict[int, bool] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def ids(self) -> frozenset[int]:
        """The ids that say "refuse": what labels may be, and what a probe adds up.

        A bare space that a tokenizer puts before the word says nothing, and counts only where it is a label.
        """
        labels = {self.start_id} if self.rule == "start" else {self.start_id, self.running_id, self.line_id}
        words = {i for i in (self.running_id, self.line_id) if self.renderer.piece(i).strip()}
        return frozenset(labels | words)

    def label_after(self, previous_id: int | None) -> int:
        """The label that follows `previous_id` (None: the start of the response)."""
        if self.rule == "start" or previous_id is None:
            return self.start_id
        return self.line_id if self._is_space(previous_id) else self.running_id

    def labels_along(self, response_ids: Sequence[int]) -> list[int]:
        """The label at each position of a response: position t follows response_ids[:t]."""
        return [self.label_after(None), *(self.label_after(token) for token in response_ids[:-1])][
            : len(response_ids)
        ]

    def _is_space(self, token: int) -> bool:
        if token not in self.ends_in_space:
            self.ends_in_space[token] = self.renderer.piece(token)[-1:].isspace()
        return self.ends_in_space[token]


def resolve_refusal_token(
    renderer: ChatRenderer, text: str = "Sorry", rule: Literal["start", "contextual"] = "start"
) -> RefusalToken:
    """Find the ids with which the refusal opening `text` begins.

    An opening of several tokens is represented by its first piece; a warning says so when that piece is white
    space or not the whole first word (then it also begins other words, and is a poor signal).

    Raises:
        TokenizerError: the opening merges with the text before it.
    """
    opening = renderer.response_ids(_PROMPT, text)
    [running] = renderer.running_ids([f" {text}"], after=_RUNNING)
    [line] = renderer.running_ids([text], after=_LINE)
    word = text.split()[0].rstrip(",.!")
    places = (("at the start", opening), ("inside a line", running), ("after a newline", line))
    warnings = [
        warning
        for where, ids in places
        if (warning := _unspecific(renderer, ids[0], word, where)) is not None
    ]
    other = unicodedata.normalize("NFD" if unicodedata.is_normalized("NFC", text) else "NFC", text)
    if renderer.response_ids(_PROMPT, other)[0] != opening[0]:
        warnings.append(
            f"refusal.text {text!r} has another first token in its other Unicode form (composed or decomposed); "
            "write it in the form that the safe responses have"
        )
    return RefusalToken(text, opening[0], running[0], line[0], rule, renderer, tuple(warnings))


def describe(token: RefusalToken) -> str:
    """One line for logs: the ids and their text, and which rule is in force."""
    shown = ", ".join(
        f"{where} {token_id} {token.renderer.piece(token_id)!r}"
        for where, token_id in (
            ("start", token.start_id),
            ("inside a line", token.running_id),
            ("after a newline", token.line_id),
        )
    )
    return f"refusal token ({token.rule}): {shown}"


def _unspecific(renderer: ChatRenderer, token_id: int, word: str, where: str) -> str | None:
    piece = renderer.piece(token_id)
    if piece.strip().startswith(word):
        return None
    fault = "is white space" if not piece.strip() else f"is not the whole word {word!r}"
    return (
        f"refusal token {where}: its first piece {piece!r} (id {token_id}) {fault}; other words begin with it too. "
        "Choose a refusal.text whose first word is one token"
    )
