"""Models that answer from functions, as an attack asks them: no Inspect, no network, every prompt kept."""

import asyncio

from derta.attacks import Answer, NoAnswer
from derta.judges.judgement import Judgement
from derta.judges.refusal import find_refusal


def asked(reply):
    """A model and its calls. reply: (turns, prompt) -> text or answer, or raises."""
    calls = []

    async def ask(prompt):
        calls.append((prompt.turns, prompt))
        try:
            found = reply(prompt.turns, prompt)
        except RuntimeError as error:
            raise NoAnswer(f"RuntimeError: {error}") from None
        return found if isinstance(found, Answer) else Answer(text=found)

    return ask, calls


class Recording:
    """`derta.attacks.Models`. reply: of the model under test; other: of every other model."""

    def __init__(self, reply, other=lambda turns, prompt: "", seed=0, verdict="not_harmful"):
        self.ask, self.calls = asked(reply)
        self.other, self.other_calls = asked(other)
        self.seed = seed
        self.verdict = verdict

    def model(self, name, *, max_connections=64):
        return self.other

    async def judge(self, query, response):
        return Judgement(self.verdict)

    def refuses(self, response):
        return find_refusal(response) is not None

    async def together(self, calls):
        return list(await asyncio.gather(*calls))
