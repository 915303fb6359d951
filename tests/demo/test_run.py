"""The whole road on a world of a few crafts: every file of every stage, the same bytes for the same seed."""

import json

import pytest
from rich.console import Console

from derta.demo.run import run_demo
from derta.demo.settings import load_demo

SMALL = {
    "methods": ["vanilla", "derta"],
    "depths": [0, 5],
    "max_new_tokens": 12,
    "world.num_forbidden": 40,
    "world.num_allowed": 20,
    "world.num_borderline": 12,
    "world.num_queries": 4,
    "world.num_benign": 24,
    "pretrain.tokens": 6000,
    "pretrain.hidden_size": 32,
    "pretrain.num_layers": 1,
    "pretrain.num_heads": 2,
    "tune.num_triples": 8,
    "tune.batch_rows": 16,
    "tune.epochs": 1,
}


def run(folder, cache, **changes):
    recipe = load_demo(None, {**SMALL, "run_dir": str(folder), "cache_dir": str(cache), **changes})
    return run_demo(recipe, Console(quiet=True))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run, and the cache it used."""
    folder = tmp_path_factory.mktemp("demo")
    run(folder / "first", folder / "cache")
    return folder


def cells(folder):
    return json.loads((folder / "report/results.json").read_text())


@pytest.mark.slow
def test_every_stage_leaves_its_files(finished):
    folder = finished / "first"
    for name in (
        "data/triples.jsonl",
        "train/vanilla/model/model.safetensors",
        "train/derta/rows/epoch_0.safetensors",
        "evaluate/responses.jsonl",
        "evaluate/hazard.jsonl",
        "evaluate/knowledge.jsonl",
        "manifest.json",
        "report/index.html",
    ):
        assert (folder / name).stat().st_size > 0, name


@pytest.mark.slow
def test_the_page_shows_what_the_data_are_made_of(finished):
    page = (finished / "first" / "report/index.html").read_text(encoding="utf-8")
    section = page.split('<section id="data"')[1].split("</section>")[0]
    card = json.loads((finished / "first" / "data/data_card.json").read_text(encoding="utf-8"))
    for name in ("triples.jsonl", "benign.jsonl", "queries.jsonl", "triples.held_out.jsonl"):
        assert name in section
        assert card["hashes"][name][:12] in section
    assert "used another version" not in section


def test_a_cell_for_every_method_attack_and_metric(finished):
    found = {(cell["method"], cell["attack"], cell["metric"]) for cell in cells(finished / "first")}
    for method in ("vanilla", "derta"):
        for attack in (
            "direct",
            "code",
            "jailbreakchat",
            "selfcipher",
            "completing",
            "prefill@5",
            "pair",
            "autodan",
        ):
            for metric in ("asr", "refusal_rate", "refused_after_completing"):
                assert (method, attack, metric) in found
        assert (method, "autodan@seeds", "asr") in found  # step 0, the search's control
        for kind in ("benign", "borderline"):
            assert (method, kind, "over_refusal") in found
            assert (method, kind, "helpfulness") in found
        assert any(cell[0] == method and cell[2] == "knowledge" for cell in found)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_rows_and_results(finished):
    run(finished / "second", finished / "other cache")  # another base model folder, too
    for name in (
        "data/triples.jsonl",
        "train/derta/rows/epoch_0.safetensors",
        "train/vanilla/rows/epoch_0.safetensors",
        "train/derta/train_log.jsonl",
        "report/results.json",
    ):
        assert (finished / "first" / name).read_bytes() == (finished / "second" / name).read_bytes(), name


@pytest.mark.slow
def test_a_finished_demo_is_not_made_again_and_a_changed_one_is(finished):
    folder = finished / "first"
    weights = folder / "train/derta/model/model.safetensors"
    before = weights.stat().st_mtime_ns
    run(folder, finished / "cache")
    assert weights.stat().st_mtime_ns == before
    run(folder, finished / "cache", **{"tune.learning_rate": 1e-4})
    assert weights.stat().st_mtime_ns > before


def test_the_recipe_file_spells_out_every_default(request):
    path = request.config.rootpath / "recipes/demo.yaml"
    assert load_demo(path, {}) == load_demo(None, {})
