"""Whatever decides the numbers of a run is named when it changes; what only fits the machine is not."""

import json

import pytest

from derta.config import check_recipe
from derta.errors import RunError
from derta.files import write_json
from derta.training.checkpoints.fingerprint import check_same_run, fingerprint
from derta.training.recipe import TrainRecipe
from training_world import make_world, settings

CHANGES = {
    "seed": 5,
    "method": "rto",
    "model.dtype": "bfloat16",
    "chat.template": "plain",
    "data.num_triples": 3,
    "data.num_benign": 3,
    "refusal.text": "I can't",
    "refusal.token": "contextual",
    "prefix.k": "uniform",
    "prefix.branches": 2,
    "rto.keep_rate": 0.05,
    "rto.end_of_text": True,
    "weights.rto": 0.5,
    "shared_trunk": "off",
    "max_length": 100,
    "on_long": "cut",
    "lora.r": 4,
    "batch.rows": 4,
    "training.learning_rate": 1e-4,
    "training.num_train_epochs": 3,
    "training.optim": "sgd",
    "training.max_grad_norm": 0.1,
}
HARMLESS = {
    "batch.tokens": 64,
    "batch.line_tokens": 128,
    "training.save_steps": 1,
    "training.report_to": "none",
    "training.activation_checkpointing": True,
    "training.dataloader_num_workers": 1,
}
FILES = {
    "content of data.triples": "triples.jsonl",
    "content of data.benign": "benign.jsonl",
    "content of model.path/tokenizer.json": "base/tokenizer.json",
    "chat template": "base/chat_template.jinja",
    "content of model.path/config.json": "base/config.json",
}


@pytest.fixture
def world(tmp_path, tiny_tokenizer):
    made = make_world(tmp_path, tiny_tokenizer)
    write_json(made / "run/run.json", fingerprint(recipe_with(made, {})))
    return made


def recipe_with(world, changes):
    values = settings(world)
    for key, value in changes.items():
        part = values
        *above, last = key.split(".")
        for name in above:
            part = part.setdefault(name, {})
        part[last] = value
    return check_recipe(values, TrainRecipe, "test")


@pytest.mark.parametrize("key", CHANGES)
def test_every_change_is_named(world, key):
    with pytest.raises(RunError, match="started with other settings") as error:
        check_same_run(world / "run", fingerprint(recipe_with(world, {key: CHANGES[key]})))
    assert f"  {key}: was " in str(error.value)


def test_all_changes_are_named_at_once(world):
    changes = {key: value for key, value in CHANGES.items() if key not in ("method", "lora.r")}
    with pytest.raises(RunError) as error:
        check_same_run(world / "run", fingerprint(recipe_with(world, changes)))
    named = [line.strip().split(":")[0] for line in str(error.value).splitlines()[1:]]
    assert sorted([*changes, "chat template", "rendered conversation"]) == named


@pytest.mark.parametrize("name", FILES)
def test_every_changed_file_is_named(world, name):
    with (world / FILES[name]).open("a") as handle:
        handle.write("\n")
    with pytest.raises(RunError, match=f"{name}: was "):
        check_same_run(world / "run", fingerprint(recipe_with(world, {})))


@pytest.mark.parametrize("key", HARMLESS)
def test_what_fits_the_machine_may_change(world, key):
    check_same_run(world / "run", fingerprint(recipe_with(world, {key: HARMLESS[key]})))


def test_an_unreadable_fingerprint_is_an_error_not_a_guess(world):
    (world / "run/run.json").write_text("{")
    with pytest.raises(RunError, match="unreadable"):
        check_same_run(world / "run", fingerprint(recipe_with(world, {})))


def test_an_empty_setting_that_came_or_went_with_a_version_stops_no_resume(world):
    before = fingerprint(recipe_with(world, {})) | {"dpo": "null"}
    write_json(world / "run/run.json", before)
    check_same_run(world / "run", fingerprint(recipe_with(world, {})))


def change_settings(world, name, change):
    path = world / "base" / name
    found = json.loads(path.read_text())
    change(found)
    path.write_text(json.dumps(found))


def refused(world):
    with pytest.raises(RunError) as error:
        check_same_run(world / "run", fingerprint(recipe_with(world, {})))
    return str(error.value)


def test_a_template_that_lives_in_the_tokenizers_settings_is_named_when_it_changes(world):
    template = (world / "base/chat_template.jinja").read_text()
    (world / "base/chat_template.jinja").unlink()
    change_settings(world, "tokenizer_config.json", lambda found: found.update(chat_template=template))
    check_same_run(world / "run", fingerprint(recipe_with(world, {})))  # moved, not changed
    edited = template.replace("{{ bos_token }}", "{{ bos_token }}The guild. ")
    assert edited != template
    change_settings(world, "tokenizer_config.json", lambda found: found.update(chat_template=edited))
    assert "  chat template: was " in refused(world)
    assert "  rendered conversation: was " in refused(world)


def test_other_special_tokens_are_named(world):
    change_settings(world, "tokenizer_config.json", lambda found: found.update(pad_token="<|user|>"))
    assert "  special tokens: was " in refused(world)


def test_other_weights_are_named(world):
    path = world / "base/model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert "  weights of model.path: was " in refused(world)


def test_a_date_in_the_template_is_named_on_another_day_and_can_be_set_back(world, monkeypatch):
    template = (world / "base/chat_template.jinja").read_text()
    dated = template.replace("{{ bos_token }}", "{{ bos_token }}{{ strftime_now('%d %b %Y') }}")
    (world / "base/chat_template.jinja").write_text(dated)
    monday = {"chat.date": "2026-03-02"}
    write_json(world / "run/run.json", fingerprint(recipe_with(world, monday)))
    with pytest.raises(RunError, match=r"date that the template writes .*was 2026-03-02"):
        check_same_run(world / "run", fingerprint(recipe_with(world, {})))  # today
    check_same_run(world / "run", fingerprint(recipe_with(world, monday)))
