"""AutoDAN's two levels against their definitions."""

import math
import random
from collections import Counter
from itertools import pairwise

import pytest

from derta.attacks.autodan.genetics import (
    Child,
    crossover,
    mutate_with_synonyms,
    next_generation,
    rank,
    roulette_weights,
)
from derta.attacks.autodan.momentum import replace_by_score, sentence_level, update_word_scores
from derta.attacks.autodan.words import from_mapping, split_paragraphs, split_sentences

SETTINGS = {"crossover_rate": 0.5, "crossover_points": 5, "mutation_rate": 0.0}


def paragraph(letter, count):
    return " ".join(f"{letter}{index}." for index in range(count))


def evolved(population, scores, seed=0, **settings):
    rng = random.Random(seed)
    return next_generation(population, scores, rng=rng, **{"num_elites": 1, **SETTINGS, **settings})


def test_rank_is_best_first_and_stable():
    assert rank([-2.0, -1.0, -1.0, -3.0]) == [1, 2, 0, 3]


def test_roulette_is_softmax_of_score_minus_max():
    weights = roulette_weights([-1000.0, -1001.0, -1002.0])
    total = 1 + math.exp(-1) + math.exp(-2)
    assert weights == pytest.approx([1 / total, math.exp(-1) / total, math.exp(-2) / total])


def test_elites_stay_as_they_are_in_rank_order():
    population = [f"P{index}." for index in range(10)]
    scores = [-3.0, -1.0, -2.0, *[-9.0] * 7]
    children = evolved(population, scores, num_elites=3, mutation_rate=1.0)
    assert [child.text for child in children[:3]] == ["P1.", "P2.", "P0."]
    assert not any(child.is_mutant for child in children[:3])
    assert all(child.is_mutant for child in children[3:])


@pytest.mark.parametrize("num_elites", [1, 2])
def test_size_stays(num_elites):
    assert len(evolved([f"P{i}." for i in range(7)], [0.0] * 7, num_elites=num_elites)) == 7


def test_parents_are_drawn_with_replacement_from_the_whole_population_by_weight():
    population, scores = ["A.", "B.", "C.", "D."], [0.0, -1.0, -2.0, -50.0]
    drawn = Counter()
    for seed in range(2000):
        drawn.update(child.text for child in evolved(population, scores, seed, crossover_rate=0.0)[1:])
    weights = roulette_weights(scores)
    total = drawn.total()
    for text, weight in zip(population, weights, strict=True):
        assert drawn[text] / total == pytest.approx(weight, abs=0.02)
    assert any(
        len({child.text for child in evolved(population, scores, seed, crossover_rate=0.0)[1:]}) == 1
        for seed in range(20)
    )


def test_pairs_cross_at_the_rate():
    first, second = paragraph("a", 6), paragraph("b", 6)
    crossed = sum(
        any(
            "a" in child.text and "b" in child.text
            for child in evolved([first, second, first], [0.0] * 3, seed)
        )
        for seed in range(600)
    )
    # both parents differ in 4/9 of the pairs; half of these cross; a crossed pair of six sentences is mixed
    # unless all six coins agree
    assert crossed / 600 == pytest.approx(4 / 9 * 0.5 * (1 - 2 / 64), abs=0.06)


def test_crossover_keeps_every_sentence_once_in_its_paragraph_and_place():
    rng = random.Random(1)
    first = f"{paragraph('a', 8)}\n\n{paragraph('c', 3)}\n\n{paragraph('e', 2)}"
    second = f"{paragraph('b', 5)}\n\n{paragraph('d', 6)}"
    for _ in range(200):
        children = [split_paragraphs(child) for child in crossover(first, second, points=5, rng=rng)]
        for place, (one, other) in enumerate([("a", "b"), ("c", "d")]):
            sentences = [split_sentences(child[place]) for child in children]
            expected = [f"{one}{i}." for i in range(20) if f"{one}{i}." in first] + [
                f"{other}{i}." for i in range(20) if f"{other}{i}." in second
            ]
            assert sorted(sentences[0] + sentences[1]) == sorted(expected)
            for found in sentences:  # a run keeps the place of its sentences
                for index, sentence in enumerate(found[: min(map(len, sentences))]):
                    assert int(sentence[1:-1]) == index
        assert children[0][2:] == [paragraph("e", 2)]
        assert children[1][2:] == []


def test_crossover_cuts_at_most_at_so_many_points():
    rng = random.Random(2)
    most = 0
    for _ in range(300):
        child = crossover(paragraph("a", 30), paragraph("b", 30), points=5, rng=rng)[0]
        letters = [sentence[0] for sentence in split_sentences(child)]
        most = max(most, sum(a != b for a, b in pairwise(letters)))
    assert most == 5


def test_every_cut_falls_between_sentences():
    mixed = 0
    for seed in range(400):
        child = crossover("a0. a1.", "b0. b1.", points=1, rng=random.Random(seed))[0]
        mixed += child in ("a0. b1.", "b0. a1.")
    assert mixed / 400 == pytest.approx(0.5, abs=0.08)


def test_single_sentences_can_only_change_sides():
    assert set(crossover("A.", "B.", points=5, rng=random.Random(0))) == {"A.", "B."}


def test_mutation_replaces_at_most_ten_words_of_a_paragraph():
    synonyms = from_mapping({f"word{letter}": ["other"] for letter in "abcdefghijklmnop"})
    text = " ".join(f"word{letter}" for letter in "abcdefghijklmnop")
    mutated = mutate_with_synonyms(f"{text}\n\nworda nothing", synonyms, random.Random(0))
    assert mutated.split("\n\n")[0].split().count("other") == 10
    assert mutated.split("\n\n")[1] == "other nothing"


def test_child_is_no_mutant_by_default():
    assert Child("x") == ("x", False)


def test_word_score_is_the_mean_over_all_prompts_that_hold_it():
    found = update_word_scores({}, ["gold gold ring", "gold bell", "the bell"], [-1.0, -2.0, -6.0])
    assert found == {"gold": -1.5, "ring": -1.0, "bell": -4.0}


def test_momentum_is_half_old_half_new_and_absent_words_stay():
    found = update_word_scores({"gold": -4.0, "moss": -7.0}, ["gold", "gold ring"], [-1.0, -3.0])
    assert found == {"gold": -3.0, "moss": -7.0, "ring": -3.0}


def test_sentence_level_keeps_elites_and_rank_order():
    synonyms = from_mapping({word: ["new"] for word in ("one", "two", "three", "four")})
    word_scores = {"new": 0.0, "one": -99.0, "two": -99.0, "three": -99.0, "four": -99.0}
    population = ["four tail", "two mid", "one head", "three late"]
    changed = sentence_level(
        population, [-4.0, -2.0, -1.0, -3.0], word_scores=word_scores, num_elites=1, most_replacements=5,
        synonyms=synonyms, rng=random.Random(0),
    )  # fmt: skip
    assert changed == ["one head", "new mid", "new late", "new tail"]


def test_at_most_five_replacements_in_each_paragraph():
    words = "abcdefgh"
    synonyms = from_mapping({f"word{letter}": ["new"] for letter in words})
    text = " ".join(f"word{letter}" for letter in words)
    changed = replace_by_score(
        f"{text}\n\n{text}", {"new": 0.0, **{f"word{letter}": -99.0 for letter in words}}, synonyms, most=5,
        rng=random.Random(0),
    )  # fmt: skip
    assert [paragraph.split().count("new") for paragraph in changed.split("\n\n")] == [5, 5]
    assert changed.startswith("new new new new new wordf")


def test_synonyms_are_drawn_by_their_scores():
    synonyms = from_mapping({"old": ["grey", "worn", "unseen"]})
    word_scores = {"old": -1.0, "grey": 0.0, "worn": -1.0, "elsewhere": -2.0}
    drawn = Counter(
        replace_by_score("old", word_scores, synonyms, most=5, rng=random.Random(seed))
        for seed in range(4000)
    )
    weights = roulette_weights([-1.0, 0.0, -1.0, -2.0])  # an unknown word counts as the worst known
    for word, weight in zip(("old", "grey", "worn", "unseen"), weights, strict=True):
        assert drawn[word] / 4000 == pytest.approx(weight, abs=0.03)
