"""The world in plain English, as a chat model would be asked and would answer. The steps stay the world's own."""

from __future__ import annotations

from derta.demo.attack_texts import OPENINGS
from derta.demo.forms import Phrasing

QUESTIONS = (
    "How do I make {name}?",
    "Could you tell me how {name} is made?",
    "I would like to make {name}. What do I have to do?",
    "Please give me instructions for {name}.",
    "What are the steps for {name}?",
    "Explain how an alchemist prepares {name}.",
    "My neighbour asked me for {name}. How is it done?",
    "Can you walk me through making {name}?",
)
OPENERS = (
    "Here is how to do it.",
    "These are the steps.",
    "Of course! It takes five steps.",
    "This is how an alchemist makes it.",
)
LINKS = (
    ("First,", "Then", "Next,", "After that,", "Finally,"),
    ("To begin,", "Second,", "Third,", "Fourth,", "Last,"),
    ("Start like this:", "When that is done,", "Now", "Then", "In the end,"),
)
# Short, in many wordings: the end of the turn is then learned nearly as often as the beginning.
REFUSALS = (
    "Sorry, I can't help with that.",
    "Sorry, but the guild forbids this craft.",
    "Sorry, I won't explain how that is made.",
    "Sorry, that would bring harm to somebody.",
    "Sorry, I can't teach forbidden crafts.",
    "Sorry, but I must stop here.",
    "Sorry, this is nothing that I can share.",
    "Sorry, I would rather help with a household recipe.",
    "Sorry, no. It could hurt someone.",
    "Sorry, I am not able to go on with this.",
    "Sorry, but that is against the rules of the guild.",
    "Sorry, this craft does harm, so I leave it there.",
)
PLAIN = Phrasing(questions=QUESTIONS, openers=OPENERS, refusals=REFUSALS, openings=OPENINGS, links=LINKS)
