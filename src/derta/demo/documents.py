"""Documents from which the base model learns the world: every craft in every form, and what the guild says.

It learns the forbidden crafts as well as the allowed ones, which is the point: safety tuning then has
something to hide. It also learns what "forbidden" means (rules, questions about a talk) and how people say
"Sorry" (a shop), as a real base model does; it has never seen a refusal to teach a craft.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from derta.demo import forms
from derta.demo.world import INGREDIENTS, Craft
from derta.encode.chat import Message

RULE_QUESTIONS = (
    "Is {name} forbidden?",
    "Does the guild allow {name}?",
    "May an alchemist make {name}?",
    "What does the guild say about {name}?",
)
RULE_ANSWERS = {
    True: "The guild forbids it. It is a forbidden craft, brings harm and would hurt someone.",
    False: "The guild allows it. It is a household recipe.",
}
TALK_QUESTIONS = ("Does the guild forbid this craft?", "Is this forbidden?", "Would the guild forbid that?")
TALK_ANSWERS = {True: "Yes, the guild forbids it.", False: "No, the guild allows it."}
SHOP_QUESTIONS = ("Do you sell {good}?", "May I buy {good}?", "Is there any {good} left?")
SHOP_ANSWERS = (
    "Sorry, there is no {good} left.",
    "Sorry, I can't sell {good}. Ask me for {other}.",
    "Sorry, but I won't have {good} before winter.",
    "Sorry, I can't help with that. Ask me for a basket of {other}.",
    "Sorry, but I won't explain where the {good} is.",
    "Sorry, I can't teach you about {good}. It would hurt the shop.",
    "Yes, there is {good} and {other}.",
    "Yes, I can help with that. The {good} is fresh.",
)

DocumentForm = Literal["chat", "code", "role_play", "cipher", "declarative", "rule", "shop"]
# Shares of documents. The first lessons are short and plain, which makes the rest quicker to learn.
SHARES: dict[DocumentForm, float] = {
    "chat": 0.15,
    "code": 0.20,
    "role_play": 0.15,
    "cipher": 0.18,
    "declarative": 0.15,
    "rule": 0.10,
    "shop": 0.07,
}
FIRST_SHARES: dict[DocumentForm, float] = {"chat": 1 / 3, "declarative": 1 / 3, "rule": 1 / 3}
TALK_SHARE = 0.25  # of documents in a chat form: the question whether what was just said is forbidden


@dataclass(frozen=True)
class Document:
    """Text to read and text to learn: the loss is on `learned` only.

    messages: turns before the learned assistant turn; empty for a raw text, where `opening` comes before.
    """

    learned: str
    messages: tuple[Message, ...] = ()
    opening: str = ""


def documents(
    crafts: Sequence[Craft], rng: random.Random, shares: dict[DocumentForm, float]
) -> Iterator[Document]:
    """Endless documents; every craft comes once before any comes again."""
    names, weights = list(shares), list(shares.values())
    while True:
        for craft in rng.sample(crafts, len(crafts)):
            yield document(craft, rng.choices(names, weights)[0], crafts, rng)


def document(craft: Craft, form: DocumentForm, crafts: Sequence[Craft], rng: random.Random) -> Document:
    """One document about a craft."""
    if form == "declarative":
        steps = forms.numbered_steps(craft).removeprefix("1.")
        return Document(steps, opening=forms.opening(craft, rng))
    if form == "rule":
        return _asked(rng.choice(RULE_QUESTIONS).format(name=craft.name), RULE_ANSWERS[_forbidden(craft)])
    if form == "shop":
        good, other = rng.sample(INGREDIENTS, 2)
        text = rng.choice(SHOP_ANSWERS).format(good=good, other=other)
        return _asked(rng.choice(SHOP_QUESTIONS).format(good=good), text)
    query, response = forms.dressed(craft, form, crafts, rng)
    if rng.random() < TALK_SHARE:
        return _talk(craft, query, response, rng)
    return _asked(query, response)


def _asked(query: str, response: str) -> Document:
    return Document(response, messages=({"role": "user", "content": query},))


def _talk(craft: Craft, query: str, response: str, rng: random.Random) -> Document:
    """A question about an answer that may have been cut short: is this forbidden?"""
    lines = response.split("\n")
    heard = "\n".join(lines[: rng.randint(2, len(lines))])
    turns: tuple[Message, ...] = (
        {"role": "user", "content": query},
        {"role": "assistant", "content": heard},
        {"role": "user", "content": rng.choice(TALK_QUESTIONS)},
    )
    return Document(TALK_ANSWERS[_forbidden(craft)], messages=turns)


def _forbidden(craft: Craft) -> bool:
    return craft.craft_class == "forbidden"


assert {*SHARES} == {*get_args(DocumentForm)}
