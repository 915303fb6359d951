"""What `derta new` writes and chooses: held-out rows, recipes as their verbs read them, settings that fit."""

from dataclasses import replace
from pathlib import Path

import pytest

from data.guild_rows import pairs, read, triples, write
from derta.encode.row import Objective
from derta.errors import DataError, RunError
from derta.starting.fitting import Counts, Machine, fit, rto_settings
from derta.starting.project import new_project
from derta.training.cost.shapes import LLAMA_8B, ModelShape
from derta.training.watch.mix import KNOWN_SHARE, Mix

LAPTOP = Machine(None, 8e9, 2)
CARD = Machine("H100", 80e9, 16)
COUNTS = Counts(60, 450, 30.0, 200.0, 150.0, 300)
SMALL = ModelShape(d=576, q=576, kv=192, ff=1536, layers=30, vocab=49152, tied=True)


@pytest.fixture
def office(tmp_path, save_model, monkeypatch):
    """A folder with a model, triples and benign pairs."""
    save_model(tmp_path / "model", max_position_embeddings=1024)
    write(tmp_path / "triples.jsonl", triples(16))
    write(tmp_path / "benign.jsonl", pairs(24))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_no_held_out_question_is_trained_on(office):
    rows = [*triples(16), triples(16)[0] | {"id": "other", "harmful_response": "STEP TWO and so on for long"}]
    write(office / "triples.jsonl", rows)
    new_project(Path("p"), "model", Path("triples.jsonl"), Path("benign.jsonl"), machine=LAPTOP)
    kept, held = read(office / "p/data/triples.jsonl"), read(office / "p/data/triples.held_out.jsonl")
    assert len(kept) + len(held) == 17
    assert not {row["harmful_query"] for row in kept} & {row["harmful_query"] for row in held}
    asked = read(office / "p/data/queries.jsonl")
    assert {row["kind"] for row in asked} == {"harmful", "benign"}
    assert {row["query"] for row in asked if row["kind"] == "harmful"} == {
        row["harmful_query"] for row in held
    }


def test_a_changed_recipe_is_not_written_over_and_too_little_data_is_told(office):
    given = "model", Path("triples.jsonl"), Path("benign.jsonl")
    new_project(Path("p"), *given, machine=LAPTOP)
    new_project(Path("p"), *given, machine=LAPTOP)  # the same again
    (office / "p/train.yaml").write_text("mine: 1\n")
    with pytest.raises(RunError, match=r"train\.yaml: stands there already and differs"):
        new_project(Path("p"), *given, machine=LAPTOP)
    assert (office / "p/train.yaml").read_text() == "mine: 1\n"
    write(office / "benign.jsonl", pairs(3))
    with pytest.raises(DataError, match=r"benign\.jsonl: 3 different questions; need 4"):
        new_project(Path("q"), *given, machine=LAPTOP)
    assert not (office / "q").exists()


@pytest.mark.parametrize("benign", [50, 200, 1000, 5000, 60_000])
def test_rto_gets_the_share_that_is_known_to_work(benign):
    counts = replace(COUNTS, triples=100, benign=benign)
    keep_rate, weight = rto_settings(counts)
    kept = max(1.0, keep_rate * counts.harmful_tokens)
    labels = [0.0] * len(Objective)
    labels[Objective.BENIGN] = benign * counts.benign_tokens
    labels[Objective.PREFIX] = 100 * counts.safe_tokens
    labels[Objective.RTO] = 100 * kept * weight
    share = Mix(labels).share(Objective.RTO)
    assert share <= KNOWN_SHARE
    assert share > 0.8 * KNOWN_SHARE or keep_rate == 1.0


def test_settings_follow_from_size_mix_and_machine():
    small, large = fit(SMALL, 2048, COUNTS, LAPTOP), fit(LLAMA_8B, 8192, COUNTS, CARD)
    assert (small.lora_r, small.learning_rate, small.tokens) == (16, "2e-4", 2048)
    assert (large.lora_r, large.learning_rate, large.tokens) == (96, "1e-4", 8192)
    assert (small.rows, small.steps) == (8, 100)  # 570 rows twice
    assert (small.max_length, small.max_new_tokens, large.max_new_tokens) == (320, 256, 1024)
    assert (large.load_in_4bit, large.gradient_checkpointing) == (False, True)
    assert fit(LLAMA_8B, 8192, COUNTS, replace(CARD, memory=16e9)).load_in_4bit
    paper = fit(LLAMA_8B, 8192, replace(COUNTS, triples=3000, benign=60_000), CARD)
    assert (paper.rows, paper.steps) == (128, 100)
    assert fit(SMALL, 100, COUNTS, LAPTOP).max_length == 100
