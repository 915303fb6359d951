"""Best of n: the question is disturbed and asked again, at a temperature, until one try is answered.

Words are scrambled inside, letters change their case, characters move to their neighbours. Defensive purpose:
somebody who may try n times needs one success, and a refusal that hangs on how a question is spelled gives one. After
Hughes et al., *Best-of-N Jailbreaking*, arXiv 2412.03556; the paper's text was not at hand, the strengths are ours.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from derta.attacks.contract import Attack, Inputs, Row
from derta.attacks.draws import draw_seed
from derta.attacks.prompt import Prompt

if TYPE_CHECKING:
    from derta.encode.chat import ChatRenderer

PRINTABLE = range(32, 127)  # ASCII


def disturbed(text: str, draws: random.Random, *, scramble: float, case: float, noise: float) -> str:
    """The text with each word scrambled (first and last letter stay), each letter's case turned, and each printable
    ASCII character moved to a neighbouring one, with these probabilities."""
    words = [_scrambled(word, draws) if draws.random() < scramble else word for word in text.split(" ")]
    letters = [letter.swapcase() if draws.random() < case else letter for letter in " ".join(words)]
    return "".join(_moved(letter, draws) if draws.random() < noise else letter for letter in letters)


def _scrambled(word: str, draws: random.Random) -> str:
    inside = list(word[1:-1])
    draws.shuffle(inside)
    return word if len(word) < 4 else word[0] + "".join(inside) + word[-1]


def _moved(letter: str, draws: random.Random) -> str:
    moved = ord(letter) + draws.choice((-1, 1))
    return chr(moved) if ord(letter) in PRINTABLE and moved in PRINTABLE else letter


class BestOfN(Attack):
    """The disturbed query several times at a temperature; a success in any try counts."""

    TITLES: ClassVar = {"best_of_n": "Best of n, any try", "best_of_n@mean": "Best of n, a try"}
    SOURCE: ClassVar = "arXiv 2412.03556"
    CONTROLS: ClassVar = frozenset({"best_of_n@mean"})
    ANY_OF: ClassVar = {"best_of_n": "best_of_n@mean"}
    DRAWS: ClassVar = True

    name: Literal["best_of_n"] = "best_of_n"
    tries: int = Field(default=20, ge=1)
    temperature: float = Field(default=1.0, gt=0)
    scramble: float = Field(default=0.6, ge=0, le=1)
    """Probability of a word to be scrambled."""
    case: float = Field(default=0.6, ge=0, le=1)
    """Of a letter to change its case."""
    noise: float = Field(default=0.06, ge=0, le=1)
    """Of a character to move to its neighbour."""

    def rows(self, inputs: Inputs, renderer: ChatRenderer | None) -> list[Row]:
        """One a try and harmful query; what is sent depends on the seed, the query's id and the try."""
        settings = self.model_dump(exclude={"name", "tries"})
        strengths = {name: settings[name] for name in ("scramble", "case", "noise")}
        rows = []
        for number in range(self.tries):
            for query in inputs.harmful:
                seed = draw_seed("best_of_n", inputs.seed, query.id, number)
                text = disturbed(query.query, random.Random(seed), **strengths)
                prompt = Prompt.user(text, temperature=self.temperature, seed=seed)
                rows.append(Row(query=query, prompts=(prompt,), params={"try": number, **settings}))
        return rows

    @classmethod
    def labels(cls, attack: str, params: Mapping[str, Any]) -> tuple[str, ...]:
        """The mean over tries; `best_of_n` itself is its sum."""
        return ("best_of_n@mean",)
