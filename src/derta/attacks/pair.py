"""PAIR (arXiv 2310.08419): an attacker model rewrites the query in parallel conversations, led by a judge's score.

Defensive purpose: it measures whether refusals survive somebody who asks again in other words.

    iteration   every stream: attacker -> target -> search judge    (streams run side by side)
    stop        any stream scores 10, or after K iterations
    result      the prompt with the highest score, the earliest of equals; answered again at the run's own token
                limit and read by the run's own judge. The search's score is kept beside that verdict.

A stream that fails (an unreadable attacker, an error of a model) does not end the goal; a rating that can't be
read is unknown. Draws have seeds of their own: (seed, query, stream, iteration, try).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageUser,
    GenerateConfig,
    Model,
    get_model,
)
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.util import LimitExceededError, collect

from derta.attacks.pair_judge import SearchJudge
from derta.attacks.pair_texts import (
    INSTRUCTIONS,
    MAX_SCORE,
    Proposal,
    attacker_instruction,
    first_message,
    next_message,
    parse_proposal,
)
from derta.attacks.texts import Template
from derta.config import PairAttack
from derta.errors import ModelError
from derta.files import dumps, sha256_text
from derta.records import Query


class Roles(NamedTuple):
    """The models of a search: attacker and model under test are Inspect models, the judge a function."""

    attacker: Model
    target: Model
    judge: SearchJudge


@dataclass(frozen=True)
class Turn:
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
    """One conversation with the attacker: its instruction, its whole exchanges so far, what to say next."""

    number: int
    instruction: Template
    message: str
    exchanges: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class PairResult:
    """best: the turn whose prompt is used. turns: all, by iteration, then stream."""

    best: Turn
    turns: list[Turn]

    @property
    def num_target_calls(self) -> int:
        """Queries that the model under test answered during the search."""
        return sum(turn.response is not None for turn in self.turns)


class _Search(NamedTuple):
    query: Query
    affirmative: str
    roles: Roles
    settings: PairAttack
    seed: int


async def pair_search(
    query: Query,
    roles: Roles,
    *,
    settings: PairAttack,
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
    turns: list[Turn] = []
    for iteration in range(num_iterations):
        turns += await collect(*(_turn(search, stream, iteration) for stream in streams))
        if any(turn.score == MAX_SCORE for turn in turns):
            break
    return PairResult(best_turn(turns, query.id), turns)


def best_turn(turns: Sequence[Turn], query_id: str) -> Turn:
    """The highest score, the earliest of equals; unknown counts below every score.

    Raises:
        ModelError: no turn has an answer.
    """
    answered = [turn for turn in turns if turn.response is not None]
    if not answered:
        reasons = [turn.reason for turn in turns if turn.reason]
        raise ModelError(
            f"pair: query {query_id!r}: no stream had a prompt that the model under test answered "
            f"({reasons[0] if reasons else 'no reason known'}); look at the attacker model and its instructions"
        )
    return max(answered, key=lambda turn: turn.score or 0)  # max keeps the first of equals


async def _turn(search: _Search, stream: Stream, iteration: int) -> Turn:
    """Attacker, target, judge; whatever fails ends this turn only."""
    prompt = response = None
    try:
        proposal = await _propose(search, stream, iteration)
        if proposal is None:
            reason = f"attacker: no readable JSON in {search.settings.attempts} tries"
            return Turn(iteration, stream.number, reason=reason)
        prompt = proposal.prompt
        response = await _answer(search, prompt)
        found = await search.roles.judge(search.query, response)
    except (LimitExceededError, AssertionError):  # the sample's own limits, and our own faults
        raise
    except Exception as error:  # providers raise kinds of their own; the turn keeps the reason
        reason = f"{type(error).__name__}: {str(error).strip()[:300]}"
        return Turn(iteration, stream.number, prompt, response, reason=reason)
    stream.exchanges.append((stream.message, dumps(proposal._asdict())))
    stream.message = next_message(response, search.query.query, found.score)
    return Turn(iteration, stream.number, prompt, response, found.score, found.reason)


async def _propose(search: _Search, stream: Stream, iteration: int) -> Proposal | None:
    """The attacker's next message; asked again, with another seed, while its answer can't be read."""
    settings = search.settings
    messages = attacker_messages(search.query.query, search.affirmative, stream, settings.kept_exchanges)
    for attempt in range(settings.attempts):
        config = GenerateConfig(
            temperature=settings.attacker_temperature,
            top_p=settings.attacker_top_p,
            max_tokens=settings.attacker_tokens,
            max_connections=settings.max_connections,
            seed=draw_seed(search.seed, search.query.id, stream.number, iteration, attempt),
        )
        output = await search.roles.attacker.generate(messages, config=config)
        proposal = parse_proposal(output.completion)
        if proposal is not None:
            return proposal
    return None


async def _answer(search: _Search, prompt: str) -> str:
    config = GenerateConfig(temperature=0.0, top_p=1.0, max_tokens=search.settings.target_tokens)
    output = await search.roles.target.generate([ChatMessageUser(content=prompt)], config=config)
    return output.completion


def attacker_messages(query: str, affirmative: str, stream: Stream, kept_exchanges: int) -> list[ChatMessage]:
    """The instruction, the latest exchanges, and the message that is to be answered."""
    messages: list[ChatMessage] = [
        ChatMessageSystem(content=attacker_instruction(stream.instruction.text, query, affirmative))
    ]
    first_kept = max(0, len(stream.exchanges) - kept_exchanges)
    for said, answered in stream.exchanges[first_kept:]:
        messages += [ChatMessageUser(content=said), ChatMessageAssistant(content=answered)]
    return [*messages, ChatMessageUser(content=stream.message)]


def draw_seed(*place: int | str) -> int:
    """31 bits that depend on the place only (providers take small integers)."""
    return int(sha256_text(dumps(place))[:8], 16) >> 1


@solver
def pair(
    settings: PairAttack,
    judge: SearchJudge,
    *,
    affirmatives: dict[str, str] | None = None,
    instructions: Sequence[Template] = INSTRUCTIONS,
    attacker: Model | None = None,
    seed: int = 0,
) -> Solver:
    """Search against the model being evaluated, then send the best prompt.

    affirmatives: by query id, instead of the settings' text. attacker: instead of the settings' model.
    The output's metadata gets `attack_params`: what the search found.
    """
    texts = affirmatives or {}

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        query = Query(**state.metadata["query"])
        result = await pair_search(
            query,
            Roles(attacker or get_model(settings.attacker), get_model(), judge),
            settings=settings,
            affirmative=texts.get(query.id, settings.affirmative),
            instructions=instructions,
            seed=seed,
        )
        state.user_prompt.text = result.best.prompt or ""
        state = await generate(state)
        state.output.metadata = {**(state.output.metadata or {}), "attack_params": search_params(result)}
        return state

    return solve


def search_params(result: PairResult) -> dict[str, Any]:
    """What of a search is kept with the final response: the search judge's verdict and where it was found."""
    best = result.best
    return {
        "search_score": best.score,
        "search_reason": best.reason,
        "stream": best.stream,
        "iteration": best.iteration,
        "target_calls": result.num_target_calls,
        "failed_turns": sum(turn.response is None for turn in result.turns),
    }
