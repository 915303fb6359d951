"""What one call sends to a model, whole, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

Role = Literal["system", "user", "assistant"]


class Turn(NamedTuple):
    """One turn of a conversation."""

    role: Role
    text: str


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """All that one call sends. What is not here is not sent, and a sample's key holds all that is here.

    turns: the conversation, up to where the model answers. raw: the only turn's text, without any chat template.
    bos: begin with the tokenizer's beginning-of-text token (if it has one).
    opening: the answer's first words, in an assistant turn that is left open. opening_ids: their token ids, where
    they must be exactly these; None: the tokenizer's own.
    min_tokens: the answer does not end before. banned: runs of ids that must not come within the first
    `banned_tokens` tokens of the answer. guide: token ids that the answer follows, one a step, wherever the model has
    that step's among its `guide_rank` likeliest tokens; elsewhere it answers as always.
    max_tokens, temperature, top_p, seed: instead of the recipe's.
    """

    turns: tuple[Turn, ...]
    raw: bool = False
    bos: bool = True
    opening: str = ""
    opening_ids: tuple[int, ...] | None = None
    min_tokens: int = 0
    banned: tuple[tuple[int, ...], ...] = ()
    banned_tokens: int = 0
    guide: tuple[int, ...] = ()
    guide_rank: int = 0
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None

    @classmethod
    def user(cls, text: str, **settings: Any) -> Prompt:
        """One user turn. settings: the other fields."""
        return cls(turns=(Turn("user", text),), **settings)

    @property
    def is_open(self) -> bool:
        """Whether the answer's first words are given."""
        return bool(self.opening or self.opening_ids)

    @property
    def texts(self) -> list[str]:
        """Every text that is sent, in order."""
        return [*(turn.text for turn in self.turns), *([self.opening] if self.opening else [])]

    def then(self, answer: str, following: Prompt) -> Prompt:
        """`following` as the conversation goes on behind this prompt and its answer."""
        return replace(following, turns=(*self.turns, Turn("assistant", answer), *following.turns))


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a model answered.

    ids: its token ids, as far as they are known. num_tokens: new tokens of the call. prompt, prompt_sha256,
    template_hash: of what the model read (empty where that can't be known).
    params: what the attack adds to the row's parameters (a score, the number of tries).
    """

    text: str
    stop_reason: str = "stop"
    ids: tuple[int, ...] = ()
    num_tokens: int = 0
    prompt: str = ""
    prompt_sha256: str = ""
    template_hash: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)


class NoAnswer(Exception):
    """A model gave no answer; the message says why. The sample is unknown, never a refusal."""
