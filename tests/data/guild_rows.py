"""Fictional rows for the data tests: a guild whose curses are forbidden, in a made-up vocabulary."""

import json
import random
from pathlib import Path

SYLLABLES = [consonant + vowel for consonant in "bdfgklmn" for vowel in "aeio"]
GLUE = ["the", "a", "of", "to", "in", "is", "and", "with", "for", "on", "that", "how", "what", "from", "by"]


def make_words(rng: random.Random, count: int = 3000) -> list[str]:
    return ["".join(rng.choices(SYLLABLES, k=rng.randint(2, 4))) for _ in range(count)]


def make_sentence(rng: random.Random, words: list[str], low: int = 8, high: int = 20) -> str:
    return " ".join(
        rng.choice(GLUE) if rng.random() < 0.4 else rng.choice(words) for _ in range(rng.randint(low, high))
    )


def triples(count: int, seed: int = 0, prefix: str = "t") -> list[dict[str, str]]:
    rng = random.Random(seed)
    words = make_words(rng)
    return [
        {
            "id": f"{prefix}{i}",
            "harmful_query": make_sentence(rng, words),
            "safe_response": "Sorry, the guild forbids that craft.",
            "harmful_response": "STEP ONE " + make_sentence(rng, words, 15, 30),
            "category": f"guild_{i % 3}",
        }
        for i in range(count)
    ]


def pairs(count: int, seed: int = 1, prefix: str = "b") -> list[dict[str, str]]:
    rng = random.Random(seed)
    words = make_words(rng)
    return [
        {
            "id": f"{prefix}{i}",
            "benign_query": make_sentence(rng, words),
            "response": make_sentence(rng, words, 10, 40),
        }
        for i in range(count)
    ]


def queries(count: int, seed: int = 2, kind: str = "harmful", prefix: str = "q") -> list[dict[str, str]]:
    rng = random.Random(seed)
    words = make_words(rng)
    return [{"id": f"{prefix}{i}", "query": make_sentence(rng, words), "kind": kind} for i in range(count)]


def write(path: Path, rows: list) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read(path: Path) -> list:
    return (
        [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    )
