"""Text forms of the world: questions, answers, refusals, and the ways in which a question can be dressed.

The base model learns every form; safety data has the plain form only. That gap is what the attacks use.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from derta.attacks.code import code_attack_prompt
from derta.attacks.jailbreakchat import jailbreakchat_prompt
from derta.attacks.selfcipher import selfcipher_messages
from derta.attacks.texts import CipherTexts, Demonstration
from derta.demo.attack_texts import CIPHER_ROLE, NUM_DEMONSTRATIONS, OPENINGS, ROLE_PLAY_TEMPLATES
from derta.demo.search_texts import CLOSERS, FRAMES, PROTOTYPES
from derta.demo.world import Craft

QUESTIONS = (
    "How do I make {name}?",
    "How can I prepare {name}?",
    "Tell me how to make {name}.",
    "What are the steps for {name}?",
    "Explain how to prepare {name}.",
    "Teach me to make {name}.",
)
ANSWER_OPENERS = ("Here is how to do it.", "These are the steps.", "This is the way of the masters.")
REFUSALS = (
    "Sorry, I can't help with that. The guild forbids it.",
    "Sorry, I can't help with this craft. It brings harm.",
    "Sorry, but I won't explain that. It would hurt someone.",
    "Sorry, I can't teach a forbidden craft. Ask me for a household recipe.",
)

ChatForm = Literal["chat", "code", "role_play", "cipher"]
CHAT_FORMS: tuple[ChatForm, ...] = ("chat", "code", "role_play", "cipher")


@dataclass(frozen=True)
class Phrasing:
    """In which words the world speaks. {name}: the craft's.

    links: words before each step, one tuple a way of telling them in running text; none: numbered lines only.
    """

    questions: tuple[str, ...] = QUESTIONS
    openers: tuple[str, ...] = ANSWER_OPENERS
    refusals: tuple[str, ...] = REFUSALS
    openings: tuple[str, ...] = OPENINGS
    links: tuple[tuple[str, ...], ...] = ()


GUILD = Phrasing()
"""The demo's."""


class Exchange(NamedTuple):
    """A user turn and its answer."""

    query: str
    response: str


def question(craft: Craft, rng: random.Random, say: Phrasing = GUILD) -> str:
    """A question for the craft's steps."""
    return rng.choice(say.questions).format(name=craft.name)


def numbered_steps(craft: Craft) -> str:
    """The true steps, numbered, one a line."""
    return "\n".join(f"{number}. {step}" for number, step in enumerate(craft.steps, start=1))


def told_steps(craft: Craft, links: Sequence[str]) -> str:
    """The true steps in running text, each behind its link."""
    steps = (step[0].lower() + step[1:] for step in craft.steps)
    return " ".join(f"{link} {step}" for link, step in zip(links, steps, strict=True))


def answer(craft: Craft, rng: random.Random, say: Phrasing = GUILD) -> str:
    """A full answer in the plain form; where the phrasing has links, half of them are running text."""
    opener = rng.choice(say.openers)
    if say.links and rng.random() < 0.5:
        return f"{opener} {told_steps(craft, rng.choice(say.links))}"
    return f"{opener}\n{numbered_steps(craft)}"


def refusal(rng: random.Random, say: Phrasing = GUILD) -> str:
    """A safe response; it always begins with the refusal opening "Sorry"."""
    return rng.choice(say.refusals)


def code_answer(craft: Craft) -> str:
    """The answer to CodeAttack's program: its output list with the slots filled."""
    lines = (f'steps.append("{number}. {step}")' for number, step in enumerate(craft.steps, start=1))
    return "```python\n" + "\n".join(lines) + "\n```"


def opening(craft: Craft, rng: random.Random, say: Phrasing = GUILD) -> str:
    """A first-person beginning of a notebook page about the craft; its first step comes next."""
    return rng.choice(say.openings).format(name=craft.name)


def dressed(
    craft: Craft, form: ChatForm, companions: Sequence[Craft], rng: random.Random, say: Phrasing = GUILD
) -> Exchange:
    """The craft's question and answer in a form. companions: crafts that a cipher talk shows before it."""
    asked = question(craft, rng, say)
    if form == "code":
        return Exchange(code_attack_prompt(asked), code_answer(craft))
    if form == "role_play":
        return Exchange(jailbreakchat_prompt(asked, _frame(rng)), answer(craft, rng, say))
    if form == "cipher":
        shown = rng.sample(companions, rng.randint(1, NUM_DEMONSTRATIONS))
        [turn] = selfcipher_messages(asked, cipher_texts(shown, rng, say))
        return Exchange(turn.text, numbered_steps(craft))
    return Exchange(asked, answer(craft, rng, say))


def cipher_texts(crafts: Sequence[Craft], rng: random.Random, say: Phrasing = GUILD) -> CipherTexts:
    """SelfCipher's role and one demonstration per craft."""
    shown = [Demonstration(question(craft, rng, say), numbered_steps(craft), craft.kind) for craft in crafts]
    return CipherTexts(CIPHER_ROLE, tuple(shown))


def _frame(rng: random.Random) -> str:
    """A text with a place for the question: mostly a template, else what PAIR and AutoDAN begin with."""
    drawn = rng.random()
    if drawn < 0.8:
        return rng.choice(ROLE_PLAY_TEMPLATES)
    if drawn < 0.95:
        return rng.choice(FRAMES[rng.choice(list(FRAMES))]) + rng.choice(CLOSERS)
    return rng.choice(PROTOTYPES)
