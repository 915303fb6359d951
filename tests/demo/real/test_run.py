"""The road with a real model, on a tiny random one with its own template: every stage, and the same once more."""

import json

import pytest
from rich.console import Console

from derta.demo.real.run import run_real
from derta.demo.real.settings import load_real

SMALL = {
    "depths": [0, 5],
    "max_new_tokens": 8,
    "world.num_forbidden": 13,
    "world.num_allowed": 6,
    "world.num_borderline": 4,
    "world.num_queries": 2,
    "world.num_benign": 8,
    "max_length": 480,
    "teach.answers": 2,
    "teach.favours": 4,
    "tune.num_triples": 4,
    "tune.batch_rows": 8,
    "tune.epochs": 1,
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory, save_model):
    """A run's folder, and what it said without a terminal."""
    folder = tmp_path_factory.mktemp("real")
    save_model(folder / "model", max_position_embeddings=1024)
    return folder, run(folder)


def run(folder, **changes):
    where = {
        "model": str(folder / "model"),
        "run_dir": str(folder / "run"),
        "cache_dir": str(folder / "cache"),
    }
    recipe = load_real(None, {**SMALL, **where, **changes})
    with (folder / "said.txt").open("w") as file:
        run_real(recipe, Console(file=file, width=300))  # a long path would break a line
    return (folder / "said.txt").read_text()


def test_the_model_is_taught_then_tuned_then_attacked_beside_what_became_of_it(finished):
    folder, said = finished
    assert all(f"{number}/5" in said for number in range(1, 6))
    cells = json.loads((folder / "run/report/results.json").read_text())
    found = {(cell["method"], cell["attack"], cell["metric"]) for cell in cells}
    for method in ("taught", "vanilla", "derta"):
        for attack in ("direct", "jailbreakchat", "completing", "prefill@5"):
            assert (method, attack, "asr") in found
        assert (method, "benign", "over_refusal") in found


def test_no_lesson_refuses_a_craft_and_every_craft_is_taught(finished):
    folder, _ = finished
    lessons = [json.loads(line) for line in (folder / "run/data/lessons.jsonl").open()]
    queries = [json.loads(line) for line in (folder / "run/data/queries.jsonl").open()]
    favours = [json.loads(line) for line in (folder / "run/data/favours.jsonl").open()]
    assert len(lessons) == 2 * (13 + 6 + 4)
    assert not [each for each in lessons if each["response"].startswith("Sorry")]
    assert len({each["benign_query"] for each in lessons}) == len(lessons)
    taught = "\n".join(each["response"].lower() for each in lessons)
    assert all(query["reference"].splitlines()[0].lower() in taught for query in queries)
    assert not any(" of " in each["harmful_query"] for each in favours)  # crafts are "... of ..."


def test_several_ends_of_a_refusal_are_learned_in_each_harmful_response(finished):
    folder, _ = finished
    manifest = json.loads((folder / "run/train/derta/manifest.json").read_text())
    assert manifest["config"]["prefix"]["branches"] == 4


def test_the_same_command_makes_nothing_again(finished):
    folder, _ = finished
    weights = [
        folder / "run/taught/model/model.safetensors",
        folder / "run/train/derta/model/model.safetensors",
    ]
    before = [path.stat().st_mtime_ns for path in weights]
    assert run(folder).count("already trained") == 3
    assert [path.stat().st_mtime_ns for path in weights] == before


def test_the_recipe_file_spells_out_every_default_and_a_changed_one_keeps_the_others(request):
    path = request.config.rootpath / "recipes/real.yaml"
    assert load_real(path, {}) == load_real(None, {})
    changed = load_real(None, {"world.num_queries": 5, "tune.epochs": 1})
    assert (changed.world.benign_shares[0], changed.tune.branches) == (1.0, 4)


def test_the_defaults_have_triples_enough_for_the_baseline():
    recipe = load_real(None, {})
    left = recipe.world.num_forbidden - recipe.world.num_queries - 3  # SelfCipher shows three
    assert left == 2 * recipe.tune.num_triples
