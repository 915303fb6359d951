"""A recipe's every fault is one line: file, field, found, needed."""

import pytest

from derta.config import TrainRecipe, load_recipe, parse_value
from derta.errors import RecipeError

BASE = """
run_dir: runs/x
method: derta
model: {path: some/model}
data: {triples: t.jsonl, benign: b.jsonl}
"""


def load(tmp_path, text, overrides=None):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    return load_recipe(path, TrainRecipe, overrides)


def fault(tmp_path, text):
    with pytest.raises(RecipeError) as error:
        load(tmp_path, text)
    return str(error.value)


def test_a_small_recipe_is_enough(tmp_path):
    recipe = load(tmp_path, BASE)
    assert (recipe.batch.rows, recipe.max_length, recipe.prefix.k) == (128, 1024, "thirds")


def test_numbers_without_a_dot_are_numbers(tmp_path):
    recipe = load(tmp_path, BASE + "training: {learning_rate: 1e-4}\nrto: {keep_rate: 5e-2}")
    assert recipe.training["learning_rate"] == 1e-4
    assert recipe.rto.keep_rate == 0.05


@pytest.mark.parametrize(
    ("addition", "message"),
    [
        ("prefx: {}", "prefx: unknown key; did you mean `prefix`?"),
        ("prefix: {K: uniform}", "prefix.K: unknown key; valid keys: branches, k"),
        ("batch: {row: 3}", "batch.row: unknown key; did you mean `rows`?"),
        ("rto: {keep_rate: 0}", "rto.keep_rate: found 0, input should be greater than 0"),
        ("rto: {keep_rate: .nan}", "rto.keep_rate: found nan"),
        ("seed: x", "seed: found 'x', input should be a valid integer"),
        ("training: {seed: 3}", "training.seed: set by derta; use `seed`"),
        ("training: {bf16: true}", "training.bf16: set by derta; use `model.dtype`"),
    ],
)
def test_faults_are_named(tmp_path, addition, message):
    text = fault(tmp_path, BASE + addition)
    assert message in text
    assert text.startswith(f"{tmp_path}/recipe.yaml: ")
    assert "\n" not in text


def test_missing_and_unknown_are_told_together(tmp_path):
    lines = fault(tmp_path, "method: derta\nmodell: {path: x}\nrun_dir: x\ndata: {triples: a}").splitlines()
    assert [part.split(": ", 1)[1] for part in lines] == [
        "model: missing; it must be set",
        "data.benign: missing; it must be set",
        "modell: unknown key; did you mean `model`?",
    ]


def test_broken_yaml_names_the_line(tmp_path):
    assert "recipe.yaml:3: not YAML" in fault(tmp_path, "a: 1\nb: [1,\nc: }")
    assert "need a mapping of settings, found list" in fault(tmp_path, "- a")


def test_the_command_line_overrides(tmp_path):
    recipe = load(tmp_path, BASE, {"training.learning_rate": parse_value("2e-5"), "rto.keep_rate": 0.05})
    assert (recipe.training["learning_rate"], recipe.rto.keep_rate) == (2e-5, 0.05)
    with pytest.raises(RecipeError, match="`method` is not a mapping"):
        load(tmp_path, BASE, {"method.x.y": 1})
