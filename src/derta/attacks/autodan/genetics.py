"""AutoDAN's paragraph level: selection by roulette, crossover at sentence boundaries, mutation.

Scores are mean log-probabilities: higher is better. All randomness comes from the generator given.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import NamedTuple

from derta.attacks.autodan.words import (
    Synonyms,
    content_words,
    replace_words,
    split_paragraphs,
    split_sentences,
)

MUTATED_WORDS = 10  # at most, in a paragraph that is mutated by synonyms


class Child(NamedTuple):
    """A prompt of the next population; is_mutant: it is still to be mutated."""

    text: str
    is_mutant: bool = False


def rank(scores: Sequence[float]) -> list[int]:
    """Indices from the best score to the worst; equal ones keep their order."""
    return sorted(range(len(scores)), key=lambda index: -scores[index])


def roulette_weights(scores: Sequence[float]) -> list[float]:
    """softmax(score - max): the largest has weight 1 before normalisation, so nothing overflows."""
    highest = max(scores)
    weights = [math.exp(score - highest) for score in scores]
    total = sum(weights)
    return [weight / total for weight in weights]


def next_generation(
    population: Sequence[str],
    scores: Sequence[float],
    *,
    num_elites: int,
    crossover_rate: float,
    crossover_points: int,
    mutation_rate: float,
    rng: random.Random,
) -> list[Child]:
    """The population after a paragraph-level step, of the same size.

    The best stay as they are. The others descend from parents drawn with replacement by roulette over the
    whole population as it stands (not the initial one); pairs of parents cross with `crossover_rate`.
    """
    order = rank(scores)
    elites = [Child(population[index]) for index in order[:num_elites]]
    needed = len(population) - len(elites)
    parents = rng.choices(population, weights=roulette_weights(scores), k=needed + needed % 2)
    children: list[str] = []
    for first, second in zip(parents[::2], parents[1::2], strict=True):
        if rng.random() < crossover_rate:
            children += crossover(first, second, points=crossover_points, rng=rng)
        else:
            children += [first, second]
    return elites + [Child(text, rng.random() < mutation_rate) for text in children[:needed]]


def crossover(first: str, second: str, *, points: int, rng: random.Random) -> tuple[str, str]:
    """Exchange runs of sentences between the paragraphs of two prompts that stand at the same place.

    Cuts fall between sentences, at up to `points` places of each pair of paragraphs; each run goes to one
    child or the other by a coin. Paragraphs without a partner stay with their own prompt.
    """
    pair = split_paragraphs(first), split_paragraphs(second)
    shared = min(len(pair[0]), len(pair[1]))
    crossed: tuple[list[str], list[str]] = ([], [])
    for one, other in zip(pair[0], pair[1], strict=False):
        for child, paragraph in zip(crossed, _cross_paragraphs(one, other, points, rng), strict=True):
            child.append(paragraph)
    for child, own in zip(crossed, pair, strict=True):
        child += own[shared:]
    return "\n\n".join(crossed[0]), "\n\n".join(crossed[1])


def _cross_paragraphs(one: str, other: str, points: int, rng: random.Random) -> tuple[str, str]:
    sentences = split_sentences(one), split_sentences(other)
    boundaries = range(1, min(len(sentences[0]), len(sentences[1])))
    cuts = sorted(rng.sample(boundaries, min(points, len(boundaries))))
    children: tuple[list[str], list[str]] = ([], [])
    for start, end in zip([0, *cuts], [*cuts, None], strict=True):
        swap = rng.random() < 0.5
        children[swap].extend(sentences[0][start:end])
        children[not swap].extend(sentences[1][start:end])
    return " ".join(children[0]), " ".join(children[1])


def mutate_with_synonyms(text: str, synonyms: Synonyms, rng: random.Random) -> str:
    """Replace up to MUTATED_WORDS random content words of each paragraph by random synonyms."""
    return "\n\n".join(_mutate_paragraph(paragraph, synonyms, rng) for paragraph in split_paragraphs(text))


def _mutate_paragraph(paragraph: str, synonyms: Synonyms, rng: random.Random) -> str:
    known = [index for index, word in enumerate(content_words(paragraph)) if synonyms(word)]
    chosen = set(rng.sample(known, min(MUTATED_WORDS, len(known))))
    index = -1

    def choose(word: str) -> str | None:
        nonlocal index
        index += 1
        return rng.choice(synonyms(word)) if index in chosen else None

    return replace_words(paragraph, choose, most=MUTATED_WORDS)
