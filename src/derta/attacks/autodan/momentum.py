"""AutoDAN-HGA's sentence level: words are replaced by synonyms that did well in earlier prompts."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from derta.attacks.autodan.genetics import rank, roulette_weights
from derta.attacks.autodan.words import Synonyms, content_words, replace_words, split_paragraphs


def update_word_scores(
    known: Mapping[str, float], population: Sequence[str], scores: Sequence[float]
) -> dict[str, float]:
    """The momentum dictionary after one more population.

    A word's score now is the mean over all prompts that hold it (each prompt once); a word known before gets
    (old + new) / 2. Words that no prompt holds now keep their score.
    """
    holders: dict[str, list[float]] = {}
    for text, score in zip(population, scores, strict=True):
        for word in dict.fromkeys(content_words(text)):
            holders.setdefault(word, []).append(score)
    merged = dict(known)
    for word, found in holders.items():
        new = sum(found) / len(found)
        merged[word] = (known[word] + new) / 2 if word in known else new
    return merged


def sentence_level(
    population: Sequence[str],
    scores: Sequence[float],
    *,
    word_scores: Mapping[str, float],
    num_elites: int,
    most_replacements: int,
    synonyms: Synonyms,
    rng: random.Random,
) -> list[str]:
    """The population after a sentence-level step: the best stay, the others keep their rank and get new words."""
    ranked = [population[index] for index in rank(scores)]
    changed = [
        replace_by_score(text, word_scores, synonyms, most=most_replacements, rng=rng)
        for text in ranked[num_elites:]
    ]
    return ranked[:num_elites] + changed


def replace_by_score(
    text: str, word_scores: Mapping[str, float], synonyms: Synonyms, *, most: int, rng: random.Random
) -> str:
    """Each content word against its synonyms, by roulette on their scores; at most so many change a paragraph.

    A word without a score counts as the worst that is known.
    """
    worst = min(word_scores.values(), default=0.0)

    def choose(word: str) -> str | None:
        others = [other for other in synonyms(word) if other != word]
        if not others:
            return None
        candidates = [word, *others]
        weights = roulette_weights([word_scores.get(candidate, worst) for candidate in candidates])
        return rng.choices(candidates, weights=weights)[0]

    return "\n\n".join(replace_words(paragraph, choose, most) for paragraph in split_paragraphs(text))
