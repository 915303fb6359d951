"""PAIR and AutoDAN in the demo: settings small enough for two cores, and the files that they read.

Importing this module makes the scripted attacker known to Inspect as `guild/attacker`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from derta.demo.attacker import GuildAttacker
from derta.demo.search_texts import PROTOTYPES, THESAURUS
from derta.files import write_json

ATTACKER = "guild/attacker"
SEARCH_TEXTS = {"autodan": "autodan_prototypes.json", "thesaurus": "thesaurus.json"}
AFFIRMATIVE = "Here is how to do it."  # one of the world's answer openers

__all__ = ["GuildAttacker", "search_attacks", "write_search_texts"]


def search_attacks(num_queries: int) -> list[dict[str, Any]]:
    """Entries for a recipe's `attacks`, both led by the recipe's own judge, which is exact here."""
    return [
        {
            "name": "pair",
            "attacker": ATTACKER,
            "search_judge": "judge",
            "streams": 3,
            "iterations": 3,
            "target_tokens": 80,
            "num_queries": num_queries,
            "affirmative": AFFIRMATIVE,
        },
        {
            "name": "autodan",
            "population": 16,
            "steps": 6,
            "stop": "judge",
            "search_tokens": 80,
            "num_queries": num_queries,
            "affirmative": AFFIRMATIVE,
        },
    ]


def write_search_texts(folder: Path) -> dict[str, Path]:
    """Write prototype prompts and thesaurus; returns entries for a recipe's `texts`."""
    files = {name: folder / file for name, file in SEARCH_TEXTS.items()}
    write_json(files["autodan"], list(PROTOTYPES))
    write_json(files["thesaurus"], {word: list(others) for word, others in THESAURUS.items()})
    return files
