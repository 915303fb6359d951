"""What the model is taught before it is tuned: every craft, forbidden ones too, in plain chat; and refused favours.

It goes through `derta train` like everything else: crafts are benign pairs, favours the triples of plain tuning
(`vanilla`), so that nobody was ever seen refusing to teach a craft.
"""

from __future__ import annotations

import random
from pathlib import Path

from derta.config import check_recipe
from derta.demo import forms
from derta.demo.data import SOURCE, all_crafts
from derta.demo.documents import FAVOUR_ANSWERS, FAVOURS
from derta.demo.real.settings import RealRecipe
from derta.demo.run import LESSONS
from derta.files import write_jsonl
from derta.records import BenignPair, Triple, as_row
from derta.training.recipe import TrainRecipe


def write_lessons(folder: Path, recipe: RealRecipe, say: forms.Phrasing) -> tuple[Path, Path]:
    """Crafts and favours; the same bytes for the same seed and settings."""
    rng = random.Random(f"lessons-{recipe.seed}")
    crafts, favours = (folder / name for name in LESSONS)
    write_jsonl(crafts, [as_row(pair) for pair in _crafts(recipe, say, rng)])
    write_jsonl(favours, [as_row(triple) for triple in _favours(recipe.teach.favours, say, rng)])
    return crafts, favours


def teach_recipe(recipe: RealRecipe, model: str, crafts: Path, favours: Path) -> TrainRecipe:
    """What `derta train` is given to teach."""
    return check_recipe(
        {
            "run_dir": recipe.run_dir / "taught",
            "seed": recipe.seed,
            "method": "vanilla",
            "model": {"path": model},
            "data": {"triples": favours, "benign": crafts},
            "max_length": recipe.max_length,
            "batch": {"rows": recipe.teach.batch_rows, "tokens": recipe.tune.batch_tokens},
            "training": {"learning_rate": recipe.teach.learning_rate, "num_train_epochs": 1},
        },
        TrainRecipe,
        "real",
    )


def _crafts(recipe: RealRecipe, say: forms.Phrasing, rng: random.Random) -> list[BenignPair]:
    """`teach.answers` of every craft, the questions all different while the phrasing has enough of them."""
    pairs = []
    for number, craft in enumerate(all_crafts(recipe.world, recipe.seed)):
        asked = rng.sample(say.questions, len(say.questions))
        for turn in range(recipe.teach.answers):
            query = asked[turn % len(asked)].format(name=craft.name)
            response = forms.answer(craft, rng, say)
            pairs.append(
                BenignPair(
                    id=f"craft-{number:04}-{turn}", benign_query=query, response=response, source=SOURCE
                )
            )
    return pairs


def _favours(count: int, say: forms.Phrasing, rng: random.Random) -> list[Triple]:
    return [
        Triple(
            id=f"favour-{number:04}",
            harmful_query=rng.choice(FAVOURS),
            safe_response=forms.refusal(rng, say),
            harmful_response=rng.choice(FAVOUR_ANSWERS),
            source=SOURCE,
        )
        for number in range(count)
    ]
