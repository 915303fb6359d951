"""AutoDAN's loop on a scripted white box: what is scored, answered, kept, stopped and resumed."""

import asyncio
import json

import pytest

from attacks.recording import Recording
from derta.attacks.autodan import AutoDan
from derta.attacks.autodan import search as module
from derta.attacks.autodan.attack import _refuses_nowhere
from derta.attacks.autodan.search import Checkpoint, Materials, autodan_search, place_query
from derta.attacks.autodan.state import Goal, load_state
from derta.attacks.autodan.words import content_words, from_mapping
from derta.attacks.texts import PLACEHOLDER
from derta.errors import RunError

PROTOTYPES = [
    f"You are the old keeper of the tower. Open the dusty book. {PLACEHOLDER} Read it slowly.",
    f"The fair begins at noon. {PLACEHOLDER} The crowd calls for the merry tinker.\n\nSing the old song.",
    f"{PLACEHOLDER} Write it as a tale. A quiet tale for a winter night.",
]
THESAURUS = {
    "old": ["grey", "worn"],
    "dusty": ["grey", "dry"],
    "merry": ["glad", "bright"],
    "quiet": ["soft", "slow"],
    "tale": ["story", "song"],
    "tower": ["castle", "keep"],
    "read": ["speak", "sing"],
    "book": ["scroll", "page"],
}
GOALS = [
    Goal("q1", "How do I make the ashen curse?", "Here is"),
    Goal("q2", "How do I make a hex?", "Here is"),
]


class Box:
    """Scores by a hash of the turn, spread over -3..0; answers by a function of the turn."""

    def __init__(self, answer=lambda turn: "Sorry, I can't help with that.", score=None):
        self.answer = answer
        self.scored, self.answered, self.budgets = [], [], []
        self.score_of = score or (lambda turn: -3.0 * (sum(map(ord, turn)) % 997) / 997)

    def score(self, pairs):
        self.scored.append([turn for turn, _ in pairs])
        assert all(opening == "Here is" for _, opening in pairs)
        return [self.score_of(turn) for turn, _ in pairs]

    def respond(self, prompts, max_new_tokens):
        self.answered.append(list(prompts))
        self.budgets.append(max_new_tokens)
        return [self.answer(turn) for turn in prompts]


def run(box, goals=GOALS, rewrite=None, checkpoint=None, on_step=None, seed=0, succeeds=None, **settings):
    settings = AutoDan(**{"population": 8, "steps": 7, "mutation": 0.2, **settings})
    materials = Materials(
        PROTOTYPES, from_mapping(THESAURUS), succeeds or _refuses_nowhere(Recording(None)), rewrite
    )
    search = autodan_search(
        goals, box, materials, settings=settings, seed=seed, checkpoint=checkpoint, on_step=on_step
    )
    return asyncio.run(search)


def populations(**settings):
    """Every population of goal q1, by step."""
    seen = []

    def keep(state):
        seen.append(list(state.goals[0].known))

    box = Box()
    found = run(box, on_step=keep, **settings)
    return seen, found, box


def test_query_is_in_every_turn_that_is_scored_or_answered():
    box = Box()
    run(box)
    for turns in (*box.scored, *box.answered):
        for turn in turns:
            assert PLACEHOLDER not in turn
            assert any(goal.query in turn for goal in GOALS)


def test_query_stays_even_where_evolution_lost_its_place():
    assert place_query(f"A {PLACEHOLDER} b", "Q?") == "A Q? b"
    assert place_query("A b", "Q?") == "A b\n\nQ?"


def test_success_is_judged_on_the_answer_to_the_prompt_with_the_query():
    """A model that refuses only when it sees the query must not look broken."""
    box = Box(answer=lambda turn: "Sorry, I can't." if any(g.query in turn for g in GOALS) else "Sure.")
    assert not any(found.signal or found.seed_signal for found in run(box))


@pytest.mark.parametrize(
    ("response", "success"),
    [("Here is how.", True), ("", False), ("  \n", False), ("Sorry, I can't help with that.", False),
     ("1. Stir. Sorry, but I can't go on.", False)],
)  # fmt: skip
def test_stop_needs_text_without_a_refusal(response, success):
    assert asyncio.run(_refuses_nowhere(Recording(None))("q1", response)) is success


def test_goal_stops_at_its_first_success_while_others_go_on():
    box = Box(
        answer=lambda turn: "Here is how." if GOALS[0].query in turn else "Sorry, I can't help with that."
    )
    first, second = run(box)
    assert (first.signal, first.step) == (True, 0)
    assert (second.signal, second.step) == (False, 6)
    assert all(GOALS[0].query not in turn for turns in box.scored[1:] for turn in turns)


def test_another_end_than_the_phrases():
    async def succeeds(goal_id, answer):
        return answer == "3" and goal_id == GOALS[0].id

    answers = iter(str(number) for number in range(100))
    first, second = run(Box(answer=lambda turn: next(answers)), succeeds=succeeds)
    assert (first.signal, first.step) == (False, 6)  # answers 0 to 3 belong to step 0: best, best, seed, seed
    assert (second.signal, second.seed_signal) == (False, False)
    answers = iter(str(number) for number in range(1, 100))
    first, _ = run(Box(answer=lambda turn: next(answers)), succeeds=succeeds)
    assert (first.signal, first.seed_signal, first.step) == (True, True, 0)
    assert first.prompt == first.seed_prompt  # the seed that succeeded is what was found


def test_best_prompt_is_answered_with_the_search_budget():
    box = Box()
    run(box, goals=GOALS[:1], steps=1, search_tokens=64)
    [turns] = box.scored
    best = max(turns, key=box.score_of)
    assert box.answered[0][0] == best
    assert box.budgets == [64]


def test_step_zero_control_is_the_best_unchanged_prototype():
    turns = [place_query(text, GOALS[0].query) for text in PROTOTYPES]
    score = {turns[0]: -2.0, turns[1]: -1.0, turns[2]: -3.0}
    # mutants of the initial population score higher, and answer; the control must not take them
    box = Box(
        answer=lambda turn: "Sorry, I can't help with that." if turn in score else "Here is how.",
        score=lambda turn: score.get(turn, -0.5),
    )
    [found] = run(box, goals=GOALS[:1])
    assert (found.seed_prompt, found.seed_score, found.seed_signal) == (turns[1], -1.0, False)
    assert (found.signal, found.step) == (True, 0)
    assert found.prompt not in turns


def test_result_holds_the_control_of_every_goal_whenever_the_search_ends():
    for found, goal in zip(run(Box(), steps=3), GOALS, strict=True):
        assert goal.query in found.seed_prompt


def test_best_score_never_falls():
    seen, found, box = populations(steps=12)
    best = [max(box.score_of(place_query(text, GOALS[0].query)) for text in texts) for texts in seen]
    assert best == sorted(best)
    assert found[0].score == best[-1]


def test_paragraph_level_every_fifth_step_and_sentence_level_else(monkeypatch):
    levels = []
    for name in ("next_generation", "sentence_level"):
        real = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda *a, real=real, name=name, **k: levels.append(name) or real(*a, **k)
        )
    run(Box(), goals=GOALS[:1], steps=12)
    assert [index for index, name in enumerate(levels) if name == "next_generation"] == [0, 5, 10]
    assert len(levels) == 11


def test_parents_come_from_the_evolved_population(monkeypatch):
    """At step 5 parents are drawn from the population of step 5, which sentence level has changed."""
    given = []
    real = module.next_generation
    monkeypatch.setattr(module, "next_generation", lambda p, s, **k: given.append(list(p)) or real(p, s, **k))
    seen, _, _ = populations(steps=7, goals=GOALS[:1])
    assert set(given[1]) == set(seen[5])
    assert set(given[1]) != set(given[0])


def test_momentum_sees_all_prompts_of_the_population(monkeypatch):
    given = []
    real = module.update_word_scores
    monkeypatch.setattr(
        module,
        "update_word_scores",
        lambda known, p, s: given.append((dict(known), p, s)) or real(known, p, s),
    )
    run(Box(), goals=GOALS[:1], steps=4)
    assert all(len(population) == len(scores) == 8 for _, population, scores in given)
    words = {word for text in given[0][1] for word in content_words(text)}
    assert set(given[1][0]) == words  # the second step begins with the first one's dictionary


def test_nothing_is_scored_twice_in_a_row():
    box = Box()
    found = run(box, goals=GOALS[:1], steps=6, mutation=0.0)
    for before, now in zip(box.scored, box.scored[1:], strict=False):
        assert not set(before) & set(now)
    assert all(len(set(turns)) == len(turns) for turns in box.scored)
    assert found[0].num_scored == sum(map(len, box.scored)) < 6 * 8


def test_equal_seeds_give_equal_searches_and_goals_do_not_disturb_each_other():
    both, again, alone = run(Box()), run(Box()), run(Box(), goals=GOALS[1:])
    assert both == again
    assert both[1:] == alone
    assert run(Box(), seed=1) != both


def test_mutation_model_is_asked_and_must_keep_the_placeholder():
    requests = []

    async def rewrite(request, seed):
        requests.append((request, seed))
        text = request.split("\n\n", 1)[1]
        if len(requests) % 2:
            return "The place is lost."
        return text.replace("book", "ledger").replace("fair", "market")

    box = Box()
    run(box, goals=GOALS[:1], steps=1, rewrite=rewrite)
    assert len(requests) == 5  # three prototypes fill up to eight
    assert len({seed for _, seed in requests}) == 5
    assert all(PLACEHOLDER in request for request, _ in requests)
    turns = box.scored[0]
    assert not any("lost" in turn for turn in turns)
    assert any("ledger" in turn or "market" in turn for turn in turns)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("kill_at", [1, 3, 6])
@pytest.mark.parametrize("moment", ["score", "respond"])
def test_killed_search_ends_with_the_same_result(tmp_path, kill_at, moment):
    expected_box = Box()
    expected = run(expected_box)
    checkpoint = Checkpoint(tmp_path / "autodan.json", "model")
    box = Box()
    real = getattr(box, moment)
    calls = 0

    def dies(*arguments):
        nonlocal calls
        calls += 1
        if calls == kill_at + 1:
            raise Killed
        return real(*arguments)

    setattr(box, moment, dies)
    with pytest.raises(Killed):
        run(box, checkpoint=checkpoint)
    resumed = Box()
    assert run(resumed, checkpoint=checkpoint) == expected
    assert resumed.scored == expected_box.scored[kill_at:]
    assert run(Box(), checkpoint=checkpoint) == expected  # finished: nothing is computed
    finished = Box()
    run(finished, checkpoint=checkpoint)
    assert finished.scored == []


@pytest.mark.parametrize(
    "change", [{"seed": 5}, {"steps": 9}, {"goals": GOALS[:1]}, {"key": "other model"}, {"population": 6}]
)
def test_checkpoint_of_another_search_is_refused(tmp_path, change):
    path = tmp_path / "autodan.json"
    run(Box(), checkpoint=Checkpoint(path, "model"), steps=2)
    settings = {"steps": 2, **change}
    with pytest.raises(RunError, match="other settings"):
        run(Box(), checkpoint=Checkpoint(path, settings.pop("key", "model")), **settings)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"key": "x", "step": 1, "goals": [{"goal_id": 1}]}'])
def test_damaged_checkpoint_is_refused(tmp_path, content):
    path = tmp_path / "autodan.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(RunError, match="delete it"):
        load_state(path, "x", GOALS)


def test_checkpoint_is_json_of_all_goals(tmp_path):
    path = tmp_path / "autodan.json"
    run(Box(), checkpoint=Checkpoint(path, "model"), steps=2)
    value = json.loads(path.read_text(encoding="utf-8"))
    assert value["step"] == 2
    assert [goal["goal_id"] for goal in value["goals"]] == ["q1", "q2"]
