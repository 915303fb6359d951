"""A recipe's every fault is one line: file, field, found, needed."""

from pathlib import Path

import pytest

from derta.config import check_recipe, load_recipe, parse_overrides, parse_value, read_yaml, with_overrides
from derta.errors import RecipeError
from derta.training.recipe import TrainRecipe

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
        ("rto: {keep_rate: .nan}", "rto.keep_rate: found nan, need a finite number"),
        ("training: {learning_rate: .nan}", "training.learning_rate: found nan, need a finite number"),
        ("training: {learning_rate: .inf}", "training.learning_rate: found inf, need a finite number"),
        ("training: {fsdp_config: {a: [1, -.inf]}}", "training.fsdp_config.a.1: found -inf"),
        ("training: {learning_rate: -1e-4}", "training.learning_rate: found -0.0001, need 0 or more"),
        ("training: {learning_rate: fast}", "training.learning_rate: found 'fast', need a number"),
        ("training: {learning_rate: yes}", "training.learning_rate: found True, need a number"),
        ("training: {max_steps: [3]}", "training.max_steps: found [3], need a number"),
        ("seed: 1\nmax_length: 9\nseed: 2", ":8: not YAML: the key `seed` stands twice (first in line 6)"),
        ("batch: {rows: 4, rows: 5}", ":6: not YAML: the key `rows` stands twice"),
        ("seed: !!python/object:os.PathLike {}", "could not determine a constructor"),
        ("seed: " + "9" * 5000, "a number of 5,000 digits"),
        ("seed: 0x" + "f" * 5000, "a number of 5,002 digits"),
        ("seed: " + ":".join(["59"] * 5000), "a number of 14,999 digits"),
        ("seed: 2020-13-45", "not YAML: month must be in 1..12"),
        ("x: " + "[" * 200 + "]" * 200, "nested deeper than 50 levels"),
        ("x: &a [*a]", "a value that holds itself"),
        ("x: [" + "1, " * 30_000 + "]", "more than 20,000 values"),
        ("seed: \0", "not YAML: unacceptable character #x0000"),
        ("seed: x", "seed: found 'x', input should be a valid integer"),
        ("training: {seed: 3}", "training.seed: set by derta; use `seed`"),
        ("training: {bf16: true}", "training.bf16: set by derta; use `model.dtype`"),
    ],
)
def test_faults_are_named(tmp_path, addition, message):
    text = fault(tmp_path, BASE + addition)
    assert message in text
    assert text.startswith(f"{tmp_path}/recipe.yaml:")
    assert "\n" not in text


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_mapping_holds_no_more_than_a_file_may(number):
    """From Python no YAML reader stands before the checks."""
    recipe = {
        "run_dir": "r",
        "method": "derta",
        "model": {"path": "m"},
        "data": {"triples": "t", "benign": "b"},
    }
    with pytest.raises(RecipeError, match=r"weights\.rto: found (nan|inf), "):
        check_recipe(recipe | {"weights": {"rto": number}}, TrainRecipe, "a mapping")


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


def test_aliases_that_multiply_are_refused_before_they_do(tmp_path):
    """Ten levels of ten would be ten thousand million values."""
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    assert "recipe.yaml:5: not YAML: more than 20,000 values" in fault(tmp_path, "\n".join(levels))


def test_anchors_and_merges_still_serve(tmp_path):
    text = (
        BASE + "prefix: &p {k: uniform}\nbatch: &b {rows: 4}\nprobe:\n  {triples: a, benign: b, every: 3}\n"
    )
    assert load(tmp_path, text).batch.rows == 4
    merged = BASE + "rto: &r {keep_rate: 0.5}\ntraining: {<<: *r, seed_free: 1}\n"
    assert load(tmp_path, merged).training == {"keep_rate": 0.5, "seed_free": 1}


def test_a_file_without_an_end_is_not_read_to_its_end():
    with pytest.raises(RecipeError, match="/dev/zero: is a device"):
        read_yaml(Path("/dev/zero"))


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("seed", "--set seed: need key=value"),
        ("=1", "--set =1: need key=value"),
        ("a..b=1", "--set a..b=1: need key=value"),
        ("a=[1", "--set a: '[1': not a YAML value"),
        ("a={b: 1, b: 2}", "the key `b` stands twice"),
    ],
)
def test_a_wrong_set_is_named(pair, message):
    with pytest.raises(RecipeError) as error:
        parse_overrides([pair])
    assert message in str(error.value)


def test_set_reaches_into_mappings_and_leaves_the_settings_alone():
    settings = {"a": {"b": 1}, "c": None}
    changed = with_overrides(settings, parse_overrides(["a.d=1e-4", "c.x=[1, 2]"], seed=3, other=None))
    assert changed == {"a": {"b": 1, "d": 1e-4}, "c": {"x": [1, 2]}, "seed": 3}
    assert settings == {"a": {"b": 1}, "c": None}
