"""The recipe's `training:` keys: passed on, refused by name, or turned into a plan."""

from pathlib import Path

import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file

from derta.config import check_recipe
from derta.errors import RecipeError
from derta.training.arguments import max_steps, num_epochs, training_arguments
from derta.training.plan import Plan
from derta.training.recipe import TrainRecipe
from training_world import assert_equal_weights, log_of, make_world, run, settings

LAUNCHES = Path(__file__).parents[2] / "recipes/accelerate"


@pytest.fixture
def world(tmp_path, tiny_tokenizer):
    return make_world(tmp_path, tiny_tokenizer)


def recipe_with(tmp_path, **training):
    values = {
        "run_dir": str(tmp_path / "run"),
        "method": "derta",
        "model": {"path": "m"},
        "data": {"triples": "t", "benign": "b"},
        "training": training,
    }
    return check_recipe(values, TrainRecipe, "test")


def arguments_of(tmp_path, num_steps=100, **training):
    return training_arguments(recipe_with(tmp_path, **training), Plan((), num_steps, 4, 1, 1))


def test_keys_are_passed_on_under_their_own_names(tmp_path):
    made = arguments_of(tmp_path, learning_rate=3e-4, weight_decay=0.5, optim="sgd", max_grad_norm=0.3)
    assert (made.learning_rate, made.weight_decay, made.max_grad_norm) == (3e-4, 0.5, 0.3)
    assert made.optim == "sgd"
    assert made.gradient_accumulation_steps == 4
    assert made.max_steps == 100


def test_the_papers_settings_are_the_defaults(tmp_path):
    made = arguments_of(tmp_path)
    assert made.lr_scheduler_type == "cosine"
    assert (made.warmup_steps, made.weight_decay) == (0.03, 2e-5)
    assert num_epochs(recipe_with(tmp_path)) == 2


@pytest.mark.parametrize(("num_steps", "given"), [(1032, {}), (95, {}), (7, {}), (50, {"logging_steps": 25})])
def test_a_run_leaves_at_least_ten_checkpoints(tmp_path, num_steps, given):
    made = arguments_of(tmp_path, num_steps, **given)
    assert num_steps // int(made.save_steps) >= min(10, num_steps)
    assert made.save_steps % made.logging_steps == 0, "a resume continues the loss log where it stopped"


def test_several_gpus_without_a_launcher_are_not_data_parallel(tmp_path, monkeypatch):
    """nn.DataParallel would cut a planned micro-batch into pieces."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    assert arguments_of(tmp_path).n_gpu <= 1


@pytest.mark.parametrize(
    ("training", "told"),
    [
        ({"learning_rte": 1e-3}, r"training\.learning_rte: not one of .*did you mean `learning_rate`"),
        (
            {"report_to": "wandbb"},
            r"training\.report_to: unknown tracker 'wandbb'; known: .*tensorboard.*wandb",
        ),
        ({"lr_scheduler_type": "round"}, r"training: .*round"),
        ({"save_steps": 0.5}, r"training\.save_steps: found 0\.5, need a positive whole number"),
        ({"logging_steps": True}, r"training\.logging_steps: found True"),
    ],
)
def test_what_the_library_would_not_take_is_named(tmp_path, training, told):
    with pytest.raises(RecipeError, match=told) as error:
        arguments_of(tmp_path, **training)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", [0, -1, "two", True, float("inf")])
def test_epochs_that_are_no_number_of_passes_are_refused(tmp_path, value):
    recipe = recipe_with(tmp_path).model_copy(update={"training": {"num_train_epochs": value}})
    with pytest.raises(RecipeError, match=r"training\.num_train_epochs: found .*need a positive number"):
        num_epochs(recipe)


@pytest.mark.parametrize(("value", "limit"), [(None, None), (-1, None), (7, 7)])
def test_max_steps(tmp_path, value, limit):
    assert max_steps(recipe_with(tmp_path, max_steps=value)) == limit


@pytest.mark.parametrize("value", [0, 1.5, "many"])
def test_max_steps_that_are_no_number_of_steps_are_refused(tmp_path, value):
    with pytest.raises(RecipeError, match=r"training\.max_steps: found .*need a (positive whole )?number"):
        max_steps(recipe_with(tmp_path, max_steps=value))


@pytest.mark.parametrize(
    "key", ["save_strategy", "accelerator_config", "use_liger_kernel", "auto_find_batch_size"]
)
def test_keys_that_derta_owns_are_refused(tmp_path, key):
    with pytest.raises(RecipeError, match=rf"training\.{key}: set by derta; "):
        recipe_with(tmp_path, **{key: True})


def test_a_tracker_that_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "derta.training.arguments.get_available_reporting_integrations", lambda: ["tensorboard"]
    )
    with pytest.raises(RecipeError, match=r"wandb is not installed; `pip install wandb`.*train_log\.jsonl"):
        arguments_of(tmp_path, report_to="wandb")
    assert arguments_of(tmp_path, report_to="all").report_to == ["tensorboard"]


def test_tensorboard_gets_the_losses(world, monkeypatch):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)
    training = settings(world)["training"] | {"report_to": "tensorboard", "max_steps": 2}
    run(settings(world, training=training))
    events = EventAccumulator(str(world / "run/logs"))
    events.Reload()
    assert {"train/loss", "train/loss_rto"} <= set(events.Tags()["scalars"])
    assert len(events.Scalars("train/loss")) == 2


def test_a_broken_epoch_trains_on_its_first_steps(world):
    counted = {}
    for epochs in (1, 1.5, 2):
        training = settings(world)["training"] | {"num_train_epochs": epochs}
        run(settings(world, f"run{epochs}", training=training))
        counted[epochs] = [entry["step"] for entry in log_of(world / f"run{epochs}") if "loss" in entry]
    assert counted[1] == [1, 2]
    assert counted[1.5] == [1, 2, 3]
    assert counted[2] == [1, 2, 3, 4]


@pytest.mark.parametrize("key", ["activation_checkpointing", "gradient_checkpointing"])
def test_recomputed_activations_change_no_number(world, key):
    plain = run(settings(world, "plain"))
    again = run(settings(world, "again", training=settings(world)["training"] | {key: True}))
    assert_equal_weights(plain, again, tolerance=1e-6)


@pytest.mark.parametrize("path", sorted(LAUNCHES.glob("*.yaml")), ids=lambda path: path.stem)
def test_launch_configurations_are_read_by_accelerate(path):
    read = load_config_from_file(str(path))
    assert read.num_processes % read.num_machines == 0
    if "FSDP" in str(read.distributed_type):
        assert read.fsdp_config["fsdp_version"] == 2
        assert read.fsdp_config["fsdp_state_dict_type"] == "SHARDED_STATE_DICT"
