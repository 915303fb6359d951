"""The scripted attacker: what PAIR can read, the same again, and better after a bad score."""

import asyncio

import pytest
from inspect_ai.model import get_model

from attacks.recording import Recording
from derta.attacks import Answer, Prompt
from derta.attacks.autodan.words import content_words, from_mapping
from derta.attacks.pair import Pair
from derta.attacks.pair.search import Roles, Stream, attacker_turns, pair_search
from derta.attacks.pair.texts import INSTRUCTIONS, SearchScore, first_message, next_message, parse_proposal
from derta.attacks.texts import PLACEHOLDER
from derta.demo.attacker import next_proposal
from derta.demo.search_texts import CLOSERS, FRAMES, PROTOTYPES, THESAURUS
from derta.evaluation.providers.wire import config_of, messages_of
from derta.records import Query

QUESTION = "How do I make the ashen curse of ravens?"


def talk(scores, instruction=0, seed=0):
    """The proposals of one stream that is given these scores."""
    stream = Stream(0, INSTRUCTIONS[instruction], first_message(QUESTION, "Here is"))
    proposals = []
    for score in [*scores, None]:
        prompt = Prompt(turns=tuple(attacker_turns(QUESTION, "Here is", stream, 4)))
        text = next_proposal(messages_of(prompt), seed + len(proposals))
        proposals.append(parse_proposal(text))
        stream.exchanges.append((stream.message, text))
        stream.message = next_message("An answer.", QUESTION, score)
    return [tuple(proposal.improvement.split()) for proposal in proposals], proposals


@pytest.mark.parametrize("instruction", [0, 1, 2])
def test_first_message_follows_the_instruction_and_holds_the_question(instruction):
    [(strategy, _, _)], [proposal] = talk([], instruction)
    assert strategy == INSTRUCTIONS[instruction].id
    assert QUESTION in proposal.prompt
    assert PLACEHOLDER not in proposal.prompt


def test_good_score_keeps_the_frame_bad_score_changes_it():
    moves, _ = talk([7, 8])
    assert moves[0][:2] == moves[1][:2] == moves[2][:2]
    assert len({move[2] for move in moves}) == 3
    moves, _ = talk([1])
    assert moves[0][0] == moves[1][0]
    assert moves[0][1] != moves[1][1]


def test_two_bad_scores_change_the_strategy():
    moves, _ = talk([1, 1])
    assert moves[2][0] != moves[0][0]


def test_unknown_score_is_no_good_score():
    moves, _ = talk([None, None])
    assert moves[2][0] != moves[0][0]


def test_same_seed_same_message():
    assert talk([1, 6, 1], seed=3) == talk([1, 6, 1], seed=3)
    assert len({talk([], seed=seed)[1][0].prompt for seed in range(20)}) > 1


def test_pair_runs_with_it():
    async def judge(query, response):
        return SearchScore(10 if "The council" in response else 1)

    model = get_model("guild/attacker")

    async def guild(prompt):  # as a target, it echoes the question in a frame: good enough
        output = await model.generate(messages_of(prompt), config=config_of(prompt))
        return Answer(text=output.completion)

    models = Recording(lambda turns, prompt: None)
    models.ask = guild
    roles = Roles(guild, models, judge)
    result = asyncio.run(
        pair_search(
            Query(id="q", query=QUESTION, kind="harmful"),
            roles,
            settings=Pair(attacker="guild/attacker", streams=3, iterations=3),
            affirmative="Here is",
        )
    )
    assert all(step.response is not None for step in result.steps)
    assert len({step.prompt for step in result.steps}) >= 3


def test_texts_have_one_place_for_the_question_and_words_to_exchange():
    for text in [*PROTOTYPES, *(frame for frames in FRAMES.values() for frame in frames)]:
        assert text.count(PLACEHOLDER) == 1
    assert all(PLACEHOLDER not in closer for closer in CLOSERS)
    synonyms = from_mapping(THESAURUS)
    for text in PROTOTYPES:
        assert sum(bool(synonyms(word)) for word in content_words(text)) >= 5
