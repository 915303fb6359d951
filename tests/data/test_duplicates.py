"""Hashes and near-duplicates, each against a slow definition."""

import itertools
import random

import numpy as np
import pytest

from derta.data.clean.duplicates import minhash, near_duplicates, take_tokens
from derta.data.clean.leakage import ngram_leaks
from derta.data.clean.text import seeded_rank, sequence_hash, token_hashes, tokens
from derta.data.recipe import NearDuplicateSettings

from .guild_rows import make_sentence, make_words


def packed(texts):
    hashes = [token_hashes(text) for text in texts]
    starts = np.concatenate([[0], np.cumsum([len(part) for part in hashes])]).astype(np.int64)
    return np.concatenate(hashes), starts


def twins(texts, folder, *, num_fixed=0, **settings):
    flat, starts = packed(texts)
    rows = np.arange(len(texts))
    chosen = NearDuplicateSettings(**settings)
    return near_duplicates(flat, starts, rows, settings=chosen, num_fixed=num_fixed, work=folder).tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("How do I  brew TEA?", ["how", "do", "i", "brew", "tea"]),
        ("3 + 5 = 8, not 3-5", ["3", "+", "5", "=", "8", "not", "3", "-", "5"]),
        ("well-known", ["well", "known"]),
        ("月光 moss", ["月", "光", "moss"]),
        ("ﬁne Ⅳ", ["fine", "iv"]),
        ("?!", []),
    ],
)
def test_tokens_are_words_signs_and_single_cjk_characters(text, expected):
    assert tokens(text) == expected


def test_texts_without_tokens_equal_only_themselves():
    assert sequence_hash(token_hashes("?!")) != sequence_hash(token_hashes("!?"))
    assert sequence_hash(token_hashes("?!")) == sequence_hash(token_hashes("?!"))


def test_the_sequence_hash_knows_the_order():
    assert sequence_hash(token_hashes("a b c")) != sequence_hash(token_hashes("c b a"))


@pytest.mark.parametrize(
    "changed",
    [
        "what does the old miller grind in fog",  # substituted
        "what does the old miller grind in",  # left out
        "what does the very old miller grind in frost",  # added
        "just what does the old miller grind in frost",  # at the start
    ],
)
def test_one_word_changed_is_always_found(tmp_path, changed):
    assert twins(["what does the old miller grind in frost", changed], tmp_path) == [-1, 0]


def test_two_words_changed_in_a_short_query_and_one_in_a_very_short_one_are_not(tmp_path):
    assert twins(
        ["what does the old miller grind in frost", "what does the young baker grind in frost"], tmp_path
    ) == [-1, -1]
    assert twins(["who grinds the rye", "who grinds the oats"], tmp_path) == [-1, -1]


def test_long_queries_with_some_words_changed_are_found_and_others_are_not(tmp_path):
    rng = random.Random(3)
    words = make_words(rng)
    originals = [make_sentence(rng, words, 80, 80) for _ in range(200)]
    edited = []
    for text in originals:
        parts = text.split()
        for at in rng.sample(range(80), 3):
            parts[at] = rng.choice(words)
        edited.append(" ".join(parts))
    found = twins([*originals, *edited], tmp_path)
    assert found[:200] == [-1] * 200
    assert sum(found[200 + i] == i for i in range(200)) >= 190


def test_the_first_stays_and_a_row_is_only_compared_with_rows_that_stay(tmp_path):
    chain = [
        "what does the old miller grind in frost",
        "what does the old miller grind in fog",
        "what does the old baker grind in fog",
    ]
    assert twins(chain, tmp_path) == [-1, 0, -1]  # the third repeats only the second, which is gone


def test_fixed_rows_stay_even_when_they_repeat_each_other(tmp_path):
    text = "what does the old miller grind in frost"
    assert twins([text, text, text], tmp_path, num_fixed=2)[:2] == [-1, -1]


def test_signatures_estimate_the_similarity_of_word_pairs():
    rng = random.Random(1)
    words = make_words(rng)
    base = make_sentence(rng, words, 200, 200).split()
    other = base[:150] + make_sentence(rng, words, 50, 50).split()
    flat, starts = packed([" ".join(base), " ".join(other)])
    pairs = [set(itertools.pairwise(text)) for text in (base, other)]
    true = len(pairs[0] & pairs[1]) / len(pairs[0] | pairs[1])
    signature = minhash(flat, starts)
    assert abs((signature[0] == signature[1]).mean() - true) < 0.12


def test_take_tokens_picks_rows_in_any_order():
    flat, starts = packed(["a b", "c", "d e f"])
    taken, ends = take_tokens(flat, starts, np.array([2, 0]))
    assert taken.tolist() == [*token_hashes("d e f").tolist(), *token_hashes("a b").tolist()]
    assert ends.tolist() == [0, 3, 5]


def test_runs_of_words_leak_wherever_they_stand_and_short_questions_too():
    questions = ["what does the old miller of the red valley grind in frost", "who grinds the rye", "moss"]
    training = [
        "please say what does the old miller of the red valley grind in frost and why",
        "tell me who grinds the rye today",
        "the old miller of the red valley grind sleeps",  # one of the question's runs: less than half
        "moss is green",
    ]
    flat, starts = packed([*questions, *training])
    found = ngram_leaks(flat, starts, questions=np.arange(3), training=np.arange(3, 7), ngram=8, coverage=0.5)
    assert found.tolist() == [0, 1, -1, -1]


def slow_leak(question, query, ngram, coverage):
    """The definition (module of `ngram_leaks`), word by word."""
    asked, said = question.split(), query.split()
    size = min(len(asked), ngram)
    if size < 4:
        return False
    runs = {tuple(asked[i : i + size]) for i in range(len(asked) - size + 1)}
    held = {tuple(said[i : i + size]) for i in range(len(said) - size + 1)}
    return 0 < len(runs & held) >= coverage * len(runs)


@pytest.mark.parametrize("coverage", [0.25, 0.5, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_leaks_are_those_of_the_slow_definition(seed, coverage):
    """Few words, so that runs are shared by chance, within a question too; several leaks in a block of rows."""
    rng = random.Random(seed)
    texts = [" ".join(rng.choices(["salt", "wax"], k=rng.randint(1, 12))) for _ in range(80)]
    flat, starts = packed(texts)
    questions, training = np.arange(30), np.arange(30, 80)
    found = ngram_leaks(flat, starts, questions=questions, training=training, ngram=5, coverage=coverage)
    held = [[slow_leak(texts[q], texts[t], 5, coverage) for q in questions] for t in training]
    assert [leak >= 0 for leak in found] == [any(row) for row in held]
    assert all(row[leak] for row, leak in zip(held, found, strict=True) if leak >= 0)
    assert 0 < sum(any(row) for row in held) < len(training)


def test_ranks_depend_on_seed_and_id_only():
    ids = token_hashes("a b c d")
    assert seeded_rank(ids, 0)[1:].tolist() == seeded_rank(ids[1:], 0).tolist()
    assert seeded_rank(ids, 0).tolist() != seeded_rank(ids, 1).tolist()
