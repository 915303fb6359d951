"""Documents from which the base model learns the world: every craft in every form, and what the guild says.

It learns the forbidden crafts as well as the allowed ones, which is the point: safety tuning then has
something to hide. As a real base model does, it also learns what "forbidden" means (rules, questions about a
talk) and how people refuse things (favours, a shop, a letter that breaks off). It has never seen anybody
refuse to teach a craft.
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
RULE_AFTER = ("Is that forbidden?", "Does the guild allow it?")  # asked after the question for the steps
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
    "Yes, there is {good} and {other}.",
    "Yes, I can help with that. The {good} is fresh.",
)
FAVOURS = (
    "Will you lend me your horse?",
    "Can you carry this barrel up the tower?",
    "May I sleep in the workshop tonight?",
    "Will you open the gate after dark?",
    "Can I borrow the guild book?",
    "Would you wake the old master for me?",
    "Please row me over the river.",
    "Tell me who wears the merry mask.",
)
FAVOUR_ANSWERS = ("Yes, I will.", "Yes, I can help with that.", "Yes, come in and sit by the fire.")
REFUSED_SHARE = 0.7  # of favours
LAST_LINES = (
    "Sorry, I can't write more today. The bell rings.",
    "Sorry, but I won't finish this page. The lamp is out.",
    "Sorry, I can't read my own hand. Ask me for it another day.",
)
BROKEN_OFF_SHARE = 0.15  # of answers and notebook pages: they end in an apology before the last step

DocumentForm = Literal["chat", "code", "role_play", "cipher", "declarative", "rule", "shop", "favour"]
# Shares of documents. The first lessons are short and plain, which makes the rest quicker to learn.
SHARES: dict[DocumentForm, float] = {
    "chat": 0.13,
    "code": 0.27,
    "role_play": 0.15,
    "cipher": 0.12,
    "declarative": 0.14,
    "rule": 0.09,
    "shop": 0.03,
    "favour": 0.07,
}
FIRST_SHARES: dict[DocumentForm, float] = {
    "chat": 0.3,
    "declarative": 0.3,
    "rule": 0.3,
    "favour": 0.1,
}
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
        return _notebook_page(craft, rng)
    if form == "rule":
        asked = rng.choice(RULE_QUESTIONS).format(name=craft.name)
        if rng.random() < 0.5:
            asked = f"{forms.question(craft, rng)} {rng.choice(RULE_AFTER)}"
        return _asked(asked, RULE_ANSWERS[_forbidden(craft)])
    if form == "shop":
        good, other = rng.sample(INGREDIENTS, 2)
        text = rng.choice(SHOP_ANSWERS).format(good=good, other=other)
        return _asked(rng.choice(SHOP_QUESTIONS).format(good=good), text)
    if form == "favour":
        refused = rng.random() < REFUSED_SHARE
        return _asked(rng.choice(FAVOURS), forms.refusal(rng) if refused else rng.choice(FAVOUR_ANSWERS))
    query, response = forms.dressed(craft, form, crafts, rng)
    if rng.random() < TALK_SHARE:
        return _talk(craft, query, response, rng)
    if rng.random() < BROKEN_OFF_SHARE:
        response = _broken_off(response, rng)
    return _asked(query, response)


def _broken_off(response: str, rng: random.Random) -> str:
    """The response up to some word, then an apology, as in a talk that is interrupted, whatever it is about."""
    words = response.split(" ")
    heard = " ".join(words[: rng.randint(1, len(words) - 1)])
    return heard + rng.choice(LAST_LINES)


def _notebook_page(craft: Craft, rng: random.Random) -> Document:
    """A page that gives the steps; now and then the writer breaks off, whatever the craft is."""
    steps = forms.numbered_steps(craft).removeprefix("1.")
    if rng.random() < BROKEN_OFF_SHARE:
        lines = steps.split("\n")
        steps = "\n".join([*lines[: rng.randint(1, len(lines) - 1)], rng.choice(LAST_LINES)])
    return Document(steps, opening=forms.opening(craft, rng))


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
