"""One contract for every method: what it trains on, its budget, and the places that today's methods don't need."""

import doctest
import json
import subprocess
import sys

import pytest
from transformers import AutoModelForCausalLM

import derta.encode.row_set
import derta.methods
from derta.encode.units import PREFIX, UnitKind
from derta.errors import RunError
from derta.methods import BASELINE, METHODS, PROPOSED, Method
from derta.methods.contract import Term
from derta.reporting.figures.palette import SERIES, styles_of
from derta.reporting.labels import method_name
from derta.results.cell import System
from training_world import assert_equal_weights, log_of, make_world, run, settings

TRAINING = {"learning_rate": 1e-3, "max_steps": 2, "logging_steps": 1, "save_steps": 1}


@pytest.fixture
def world(tmp_path, tiny_tokenizer):
    return make_world(tmp_path, tiny_tokenizer)


@pytest.fixture
def mine(monkeypatch):
    """A function that puts a method among those that come with derta, as a file and a line in the list would."""

    def add(**fields):
        method = Method(
            name="mine",
            title="my prefix",
            what="MLE with harmful response prefix, twice",
            series=7,
            **{"units": (UnitKind("twice", PREFIX.rows, lambda triple: triple.prefix_rows() * 2),)} | fields,
        )
        monkeypatch.setitem(METHODS, "mine", method)

    return add


def trained(world, name="run", **changes):
    run_dir = world / name
    folder = run(settings(world, name, method="mine", training=TRAINING, **changes))
    return folder, json.loads((run_dir / "manifest.json").read_text()), log_of(run_dir)


def test_each_method_stands_in_the_file_of_its_name():
    for name, method in METHODS.items():
        assert getattr(derta.methods, name).METHOD is method
        assert method.title
        assert bool(method.units) != bool(method.pairs)
    assert (BASELINE, PROPOSED) == ("vanilla", "derta")
    assert [METHODS[name].triples_per_n for name in METHODS] == [2] + [1] * (len(METHODS) - 1)


def test_a_method_of_one_object_goes_from_recipe_to_report(world, mine):
    mine()
    _, manifest, log = trained(world)
    assert manifest["rows"]["used"] == {"benign": 8, "twice": 4}
    assert manifest["method"]["what"] == "MLE with harmful response prefix, twice"
    assert all("loss_prefix" in entry for entry in log)
    assert method_name("mine") == "my prefix"
    assert styles_of([System("m", "mine")])[System("m", "mine")] == SERIES[7]


def calm(batch, hidden):
    assert hidden.shape[:2] == batch["is_harmful"].shape
    return hidden[batch["is_harmful"]].pow(2).mean(-1).sum() / batch["denominator"]


def test_a_further_term_moves_weights_stands_in_the_log_and_does_not_depend_on_the_cut(world, mine):
    mine()
    without, _, _ = trained(world, "without")
    mine(terms=(Term("calm", calm),))
    folder, _, log = trained(world)
    assert log[0]["loss_calm"] > 0
    parts = ("benign", "prefix")
    assert log[0]["loss"] > log[0]["loss_calm"]
    assert all(f"loss_{part}" in log[0] for part in parts)
    with pytest.raises(AssertionError):
        assert_equal_weights(folder, without)
    small, _, small_log = trained(world, "small", batch={"rows": 8, "tokens": 96})
    assert small_log[0]["loss_calm"] == pytest.approx(log[0]["loss_calm"], rel=1e-4)
    assert_equal_weights(folder, small, tolerance=1e-4)


@pytest.mark.parametrize(
    ("loss", "said"), [(lambda b, h: h[99], "IndexError"), (lambda b, h: h.sum(-1), "need a scalar tensor")]
)
def test_a_term_that_is_wrong_is_told_in_one_line(world, mine, loss, said):
    mine(terms=(Term("calm", loss),))
    with pytest.raises(RunError, match=f"term calm of the method: {said}") as error:
        trained(world)
    assert "\n" not in str(error.value)


def test_hooks_see_training_and_are_removed(world, mine):
    seen, models = [], []

    def hooks(model):
        models.append(model)
        return [model.get_input_embeddings().register_forward_hook(lambda *_: seen.append(1))]

    mine(hooks=hooks)
    trained(world)
    assert len(seen) >= 2
    assert not models[0].get_input_embeddings()._forward_hooks


def test_decoding_that_a_method_needs_is_saved_with_the_model(world, mine):
    mine(decoding={"suppress_tokens": [7]})
    folder, manifest, _ = trained(world)
    assert manifest["method"]["decoding"] == {"suppress_tokens": [7]}
    assert AutoModelForCausalLM.from_pretrained(folder).generation_config.suppress_tokens == [7]


def test_rows_in_a_notebook(tmp_path, tiny_tokenizer, monkeypatch):
    """The example in the docstring of row_set."""
    monkeypatch.chdir(tmp_path)
    tiny_tokenizer.save_pretrained("my_model")
    assert doctest.testmod(derta.encode.row_set).failed == 0
    assert doctest.testmod(derta.encode.row_set).attempted >= 8


def test_methods_and_recipes_load_nothing_heavy():
    code = "import sys, derta.methods.own, derta.training.recipe; print({'torch', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
