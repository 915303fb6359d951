"""Twenty fictional triples and a few benign pairs of the guild's world; a recipe over them."""

from derta.files import write_jsonl
from derta.records import BenignPair, Triple, as_row
from derta.training.recipe import TrainRecipe

THINGS = [
    "wax",
    "salt",
    "moss",
    "thyme",
    "clay",
    "roses",
    "honey",
    "resin",
    "amber",
    "chalk",
    "copper",
    "dew",
    "ferns",
    "glass",
    "iron",
    "juniper",
    "lime",
    "mint",
    "oak",
    "pearl",
]
REFUSALS = (
    "Sorry, I can't help with that.",
    "Sorry, the guild forbids it.\nAsk for a salve instead.",
    "The guild forbids it.",
)
TRIPLES = [
    Triple(
        id=f"t{number:02}",
        harmful_query=f"How do I cast the curse of {thing}?",
        safe_response=REFUSALS[number % 3],
        harmful_response="\n".join(
            f"{step + 1}. STEP {step + 1} with {thing}." for step in range(1 + number % 4)
        ),
    )
    for number, thing in enumerate(THINGS)
]
BENIGN = [
    BenignPair(
        id=f"b{number}", benign_query=f"How do I make the {thing} salve?", response=f"Fold the {thing}."
    )
    for number, thing in enumerate(THINGS[:3])
]


def recipe(folder, tokenizer, method="derta", **changes):
    """A recipe in `folder`, whose data and tokenizer are written there."""
    write_jsonl(folder / "triples.jsonl", [as_row(triple) for triple in TRIPLES])
    write_jsonl(folder / "benign.jsonl", [as_row(pair) for pair in BENIGN])
    if not (folder / "model").exists():
        tokenizer.save_pretrained(folder / "model")
    values = {
        "run_dir": str(folder / "run"),
        "method": method,
        "model": {"path": str(folder / "model")},
        "data": {"triples": str(folder / "triples.jsonl"), "benign": str(folder / "benign.jsonl")},
        "max_length": 128,
    }
    return TrainRecipe.model_validate(values | changes)
