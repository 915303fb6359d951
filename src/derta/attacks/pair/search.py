"""PAIR (arXiv 2310.08419): an attacker model rewrites the query in parallel conversations, led by a judge's score.

Defensive purpose: it measures whether refusals survive somebody who asks again in other words.

    iteration   every stream: attacker -> target -> search judge    (streams run side by side)
    stop        any stream scores 10, or after K iterations
    result      the prompt with the highest score, the earliest of equals; answered again at the run's own token
                limit and read by the run's own judge. The search's score is kept beside that verdict.

A stream that fails (an unreadable attacker, an error of a model) does not end the goal; an attacker that refuses is
unreadable, and its refusals are counted; a rating that can't be read is unknown. Draws have seeds of their own:
(seed, query, stream, iteration, try).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from derta.attacks.contract import Ask, Models
from derta.attacks.draws import draw_seed
from derta.attacks.pair.judge import SearchJudge
from derta.attacks.pair.texts import (
    INSTRUCTIONS,
    MAX_SCORE,
    Proposal,
    attacker_instruction,
    first_message,
    next_message,
    parse_proposal,
)
from derta.attacks.prompt import NoAnswer, Prompt, Turn
from derta.attacks.texts import Template
from derta.errors import DertaError, ModelError
from derta.files import dumps
from derta.records import Query
from derta.words import WORD

if TYPE_CHECKING:
    from derta.attacks.pair.settings import SearchSettings


LONGEST_REFUSAL = 60  # words of a message that may be an attacker's own refusal: two or three sentences
_SENTENCE = re.compile(r"(?<=[.!?\u3002])\s+")


class Roles(NamedTuple):
    """What a search asks. models: the model under test, and calls side by side."""

    attacker: Ask
    models: Models
    judge: SearchJudge


@dataclass(frozen=True)
class Step:
    """One iteration of one stream.

    prompt None: the attacker gave nothing readable, or a model failed before; response None: the target
    failed. score None: unknown. reason: why something is missing.
    """

    iteration: int
    stream: int
    prompt: str | None = None
    response: str | None = None
    score: int | None = None
    reason: str | None = None


@dataclass
class Stream:
    """One conversation with the attacker: its instruction, its whole exchanges so far, what to say next.

    refusals: tries in which it refused, instead of proposing a message.
    """

    number: int
    instruction: Template
    message: str
    exchanges: list[tuple[str, str]] = field(default_factory=list)
    refusals: int = 0


@dataclass(frozen=True)
class PairResult:
    """best: the step whose prompt is used. steps: all, by iteration, then stream. refusals: the attacker's."""

    best: Step
    steps: list[Step]
    refusals: int = 0

    @property
    def num_target_calls(self) -> int:
        """Queries that the model under test answered during the search."""
        return sum(step.response is not None for step in self.steps)


class _Search(NamedTuple):
    query: Query
    affirmative: str
    roles: Roles
    settings: SearchSettings
    seed: int


async def pair_search(
    query: Query,
    roles: Roles,
    *,
    settings: SearchSettings,
    affirmative: str,
    instructions: Sequence[Template] = INSTRUCTIONS,
    seed: int = 0,
) -> PairResult:
    """Search a prompt for one query.

    affirmative: how an answer that is no refusal would begin. instructions: dealt to the streams in turn.

    Raises:
        ModelError: no stream ever had a prompt that the model under test answered.
    """
    search = _Search(query, affirmative, roles, settings, seed)
    num_streams, num_iterations = settings.size
    streams = [
        Stream(number, instructions[number % len(instructions)], first_message(query.query, affirmative))
        for number in range(num_streams)
    ]
    steps: list[Step] = []
    for iteration in range(num_iterations):
        steps += await roles.models.together([_step(search, stream, iteration) for stream in streams])
        if any(step.score == MAX_SCORE for step in steps):
            break
    return PairResult(best_step(steps, query.id), steps, sum(stream.refusals for stream in streams))


def best_step(steps: Sequence[Step], query_id: str) -> Step:
    """The highest score, the earliest of equals; unknown counts below every score.

    Raises:
        ModelError: no step has an answer.
    """
    answered = [step for step in steps if step.response is not None]
    if not answered:
        reasons = [step.reason for step in steps if step.reason]
        raise ModelError(
            f"pair: query {query_id!r}: no stream had a prompt that the model under test answered "
            f"({reasons[0] if reasons else 'no reason known'}); look at the attacker model and its instructions"
        )
    return max(answered, key=lambda step: step.score or 0)  # max keeps the first of equals


async def _step(search: _Search, stream: Stream, iteration: int) -> Step:
    """Attacker, target, judge; whatever fails ends this turn only."""
    prompt = response = None
    try:
        proposal = await _propose(search, stream, iteration)
        if proposal is None:
            reason = f"attacker: no readable JSON in {search.settings.attempts} tries"
            reason += f"; it refused {stream.refusals} times" if stream.refusals else ""
            return Step(iteration, stream.number, reason=reason)
        prompt = proposal.prompt
        response = await _answer(search, prompt)
        found = await search.roles.judge(search.query, response)
    except (NoAnswer, DertaError) as error:  # the step keeps the reason
        reason = str(error).strip()[:300]
        return Step(iteration, stream.number, prompt, response, reason=reason)
    stream.exchanges.append((stream.message, dumps(proposal._asdict())))
    stream.message = next_message(response, search.query.query, found.score)
    return Step(iteration, stream.number, prompt, response, found.score, found.reason)


async def _propose(search: _Search, stream: Stream, iteration: int) -> Proposal | None:
    """The attacker's next message; asked again, with another seed, while its answer can't be read."""
    settings = search.settings
    turns = attacker_turns(search.query.query, search.affirmative, stream, settings.kept_exchanges)
    for attempt in range(settings.attempts):
        prompt = Prompt(
            turns=tuple(turns),
            temperature=settings.attacker_temperature,
            top_p=settings.attacker_top_p,
            max_tokens=settings.attacker_tokens,
            seed=draw_seed(search.seed, search.query.id, stream.number, iteration, attempt),
        )
        said = (await search.roles.attacker(prompt)).text
        proposal = parse_proposal(said)
        if search.roles.models.refuses(said if proposal is None else refusing_part(proposal.prompt)):
            stream.refusals += 1  # sent on, it would count as an attack that failed
        elif proposal is not None:
            return proposal
    return None


async def _answer(search: _Search, prompt: str) -> str:
    limits = {"temperature": 0.0, "top_p": 1.0, "max_tokens": search.settings.target_tokens}
    return (await search.roles.models.ask(Prompt.user(prompt, **limits))).text


def refusing_part(prompt: str) -> str:
    """What of a proposed message would refuse if the attacker spoke for itself: the first sentence of a short one.

    A longer message may quote or forbid a refusal, and is an attack.
    """
    if len(WORD.findall(prompt)) > LONGEST_REFUSAL:
        return ""
    return _SENTENCE.split(prompt.strip(), maxsplit=1)[0]


def attacker_turns(query: str, affirmative: str, stream: Stream, kept_exchanges: int) -> list[Turn]:
    """The instruction, the latest exchanges, and the message that is to be answered."""
    turns = [Turn("system", attacker_instruction(stream.instruction.text, query, affirmative))]
    first_kept = max(0, len(stream.exchanges) - kept_exchanges)
    for said, answered in stream.exchanges[first_kept:]:
        turns += [Turn("user", said), Turn("assistant", answered)]
    return [*turns, Turn("user", stream.message)]


def search_params(result: PairResult) -> dict[str, Any]:
    """What of a search is kept with the final response: the search judge's verdict and where it was found."""
    best = result.best
    return {
        "search_score": best.score,
        "search_reason": best.reason,
        "stream": best.stream,
        "iteration": best.iteration,
        "target_calls": result.num_target_calls,
        "failed_turns": sum(step.response is None for step in result.steps),
        "attacker_refusals": result.refusals,
    }
