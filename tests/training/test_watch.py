"""A run says what its mix is, watches what it does, and stops when it ruins the model."""

import io

import numpy as np
import pytest
from rich.console import Console

from derta.config import check_recipe, load_recipe
from derta.encode.row import Objective
from derta.encode.settings import RowSettings
from derta.errors import RunError
from derta.recipes import copy_recipes
from derta.training.cost.dry_run import dry_run
from derta.training.cost.estimate import assumed_mix
from derta.training.recipe import StopSettings, TrainRecipe
from derta.training.run import train
from derta.training.watch.mix import KNOWN_SHARE, Mix
from derta.training.watch.probe import mean_behind, thirds
from derta.training.watch.rules import broken_rule, summary, told
from training_world import log_of, make_world, settings


@pytest.fixture
def world(tmp_path, tiny_tokenizer):
    return make_world(tmp_path, tiny_tokenizer)


def said(values, what=train):
    """What a run (or dry run) prints, and what stopped it."""
    console, stopped = Console(file=io.StringIO(), width=400), None
    try:
        what(check_recipe(values, TrainRecipe, "test"), console)
    except RunError as error:
        stopped = str(error)
    return console.file.getvalue(), stopped


def test_the_mix_by_hand():
    assert (
        str(Mix([410.0, 30.0, 70.0, 490.0], 5))
        == "share of labels: benign 41 %, safe 3 %, prefix 7 %, rto 49 %"
    )
    assert str(Mix([1000.0, 0.0, 0.0, 1.5], 1)) == "share of labels: benign 100 %, rto 0.15 %"
    assert Mix([970.0, 0.0, 0.0, 30.0], 1).warning(RowSettings()) is None


def test_a_mix_that_drowns_in_rto_is_warned_of_with_values_that_mend_it():
    now = RowSettings.model_validate({"rto": {"keep_rate": 0.5}, "weights": {"rto": 2.0}})
    warning = Mix([800.0, 0.0, 100.0, 900.0], 5).warning(now)
    # 3 % beside 900 others is 27.8 of RTO: a 32.3rd of 900
    assert warning.startswith("rto has 50 % of the labels; up to 3 % is known to work")
    assert warning.endswith(
        "What brings it there: rto.keep_rate 0.015 (now 0.5), or weights.rto 0.061 (now 2), or 36.2 times the benign "
        "pairs"
    )
    for rto, benign in ((900 * 0.015 / 0.5, 800), (900 * 0.061 / 2, 800), (900, 800 * 36.3)):
        assert Mix([benign, 0.0, 100.0, rto]).share(Objective.RTO) <= KNOWN_SHARE


def test_keep_rate_is_not_advised_below_one_label_a_response():
    warning = Mix([100.0, 0.0, 100.0, 900.0], 100).warning(RowSettings())
    assert "rto.keep_rate 0" not in warning
    assert "weights.rto 0.0068" in warning


@pytest.mark.parametrize(
    ("name", "changes", "share", "warns"),
    [
        ("llama3_8b_full", {}, 0.0015, False),
        ("llama3_8b_instruct_lora", {}, 0.029, False),
        ("small_laptop", {}, 0.0066, False),
        ("small_laptop", {"rto.keep_rate": 1.0}, 0.117, True),
    ],
)
def test_the_papers_mixes_are_known_to_work(tmp_path, name, changes, share, warns):
    """Where the data are not at hand: lengths are assumed."""
    copy_recipes(tmp_path)
    recipe = load_recipe(tmp_path / f"{name}.yaml", TrainRecipe, changes)
    mix = assumed_mix(recipe)
    assert mix.share(Objective.RTO) == pytest.approx(share, rel=0.06)
    assert bool(mix.warning(recipe)) == warns


def test_run_and_dry_run_print_the_same_mix(world):
    values = settings(world, training={"max_steps": 1, "learning_rate": 1e-3})
    dry, _ = said(values, dry_run)
    real, _ = said(values)
    shares = [line for line in dry.splitlines() if line.startswith("share of labels: benign ")]
    assert len(shares) == 1
    assert shares[0] in real
    for text in (dry, real):
        assert "warning: rto has " in text
        assert "no `probe:` with held-out triples and benign pairs: nothing watches" in text


def test_weights_move_the_shares_of_a_run(world):
    text, _ = said(settings(world, weights={"rto": 1e-3}), dry_run)
    assert "rto 0.0" in next(line for line in text.splitlines() if line.startswith("share of labels"))
    assert "warning: rto has" not in text


def test_depths_by_hand():
    curves = [np.array([0.9, 0.1, 0.1, 0.2, 0.2, 0.6, 0.6]), np.array([0.9, 0.3, 0.4, 0.8]), np.array([1.0])]
    assert thirds(curves) == pytest.approx([0.2, 0.3, 0.7])
    assert mean_behind(curves) == pytest.approx(0.4)


def entries(*measured):
    return [
        {"step": 10 * number, "refusal_on_benign": refusal, "held_out_benign": loss}
        for number, (refusal, loss) in enumerate(measured)
    ]


@pytest.mark.parametrize(
    ("measured", "seen"),
    [
        ([(0.9, 2.0), (0.01, 2.0), (0.01, 2.0)], None),  # the model as it came
        ([(0.0, 2.0), (0.5, 2.0)], None),  # one probe may be a peak
        ([(0.0, 2.0), (0.5, 2.0), (0.05, 2.0)], None),
        ([(0.0, 2.0), (0.5, 2.0), (0.11, 2.0)], "P(refusal) on benign responses 50 % and 11 %"),
        ([(0.0, 2.0), (0.0, 3.1), (0.0, 2.9)], None),
        ([(0.0, 2.0), (0.0, 2.9), (0.0, 3.1), (0.0, 4.0)], "benign loss +55% and +100% against the start"),
    ],
)
def test_when_a_run_is_stopped(measured, seen):
    found = broken_rule(entries(*measured), StopSettings())
    assert found is None if seen is None else found.startswith(seen)


def test_a_rule_without_a_limit_is_off():
    rules = StopSettings(refusal_on_benign=None, benign_loss_rise=None)
    assert broken_rule(entries((0.0, 1.0), (1.0, 9.0), (1.0, 9.0)), rules) is None


def test_lines_by_hand():
    depths = {"refusal_early": 0.5, "refusal_middle": 0.25, "refusal_late": 0.96}
    log = [depths | entry for entry in entries((0.0, 2.0), (0.01, 2.06))]
    assert told(log) == (
        "probe at step 10: P(refusal) on harmful responses early 50 %, middle 25 %, late 96 %; on benign 1 %; benign "
        "loss 2.060 (+3%)"
    )
    assert summary(log) == "last probe: refuses 96 % late, 1 % on benign text, benign loss 2.060 (+3%)"


def watched(world, **changes):
    probe = {"triples": str(world / "triples.jsonl"), "benign": str(world / "benign.jsonl"), "every": 3}
    training = settings(world)["training"] | {"save_steps": 100}
    return settings(world, probe=probe, training=training, **changes)


def test_a_run_that_does_harm_stops_keeps_its_checkpoint_and_goes_on_when_told(world):
    ruined = watched(world, stop_when={"refusal_on_benign": 1e-9})
    text, stopped = said(ruined)
    assert stopped.startswith("step 6 of 12: stopped: P(refusal) on benign responses ")
    assert "stop_when.refusal_on_benign is 1e-09. Its checkpoint is kept. Lower rto.keep_rate" in stopped
    assert text.count("probe at step ") == 3
    assert not (world / "run/model").exists()
    assert [path.name for path in (world / "run/checkpoints").glob("checkpoint-*")] == ["checkpoint-6"]
    # the log stands as far as the run came
    assert [entry["step"] for entry in log_of(world / "run") if "held_out_benign" in entry] == [0, 3, 6]
    _, again = said(ruined)
    assert again.startswith("step 6: stopped before: P(refusal) on benign")
    text, stopped = said(watched(world, stop_when="off"))
    assert stopped is None
    assert "continuing from" in text
    assert text.splitlines()[-1].startswith("last probe: refuses ")
    said(watched(world, name="undisturbed", stop_when=False))
    assert log_of(world / "run") == log_of(world / "undisturbed")
    final = [entry for entry in log_of(world / "run") if "held_out_benign" in entry][-1]
    assert final["step"] == 12
    assert {"refusal_early", "refusal_middle", "refusal_late", "refusal_on_benign"} <= final.keys()


def test_a_rise_of_the_benign_loss_stops_a_run(world):
    values = watched(world, stop_when={"refusal_on_benign": None, "benign_loss_rise": 0.05})
    values["training"] |= {"learning_rate": 1.0}
    _, stopped = said(values)
    assert "benign loss +" in stopped
    assert "against the start, stop_when.benign_loss_rise is 0.05" in stopped
