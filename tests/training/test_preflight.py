"""What a run would stumble over later is one line before it starts."""

import json

import pytest
import torch
from benchmarks.architectures import COLUMNS, try_one
from transformers import AutoConfig, AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from conftest import make_tiny_model
from derta.config import check_recipe
from derta.errors import ModelError, RecipeError
from derta.model_classes import decoder_of, library_class
from derta.models import add_adapter
from derta.patterns import check_patterns, matching
from derta.training import lora_targets
from derta.training.arguments import check_arguments
from derta.training.lora import add_lora
from derta.training.loss import install_supervised_forward
from derta.training.recipe import LoraSettings, TrainRecipe
from training.architectures import make_model
from training.test_architectures import gradients, ours, separate_rows
from training_world import log_of, make_world, run, settings

HOSTILE = r"(\w+\.?)+!"


@pytest.fixture
def world(tmp_path, tiny_tokenizer):
    return make_world(tmp_path, tiny_tokenizer)


@pytest.mark.parametrize(
    ("training", "told"),
    [
        ({"eval_strategy": "steps"}, r"training\.eval_strategy: .*probe"),
        ({"torch_compile": True}, r"training\.torch_compile: .*leave it out"),
        ({"optim": "adamw_bnb_8bit"}, r"training\.optim: adamw_bnb_8bit: can't be used"),
        (
            {"lr_scheduler_type": "cosine_with_min_lr"},
            r"training\.lr_scheduler_type: cosine_with_min_lr: can't be used",
        ),
        ({"lr_scheduler_type": "reduce_lr_on_plateau"}, r"training: .*requires an eval strategy"),
    ],
)
def test_arguments_that_would_break_later_are_named(world, training, told):
    recipe = check_recipe(settings(world, training=training), TrainRecipe, "test")
    with pytest.raises(RecipeError, match=told) as error:
        check_arguments(recipe)
    assert "\n" not in str(error.value)


def test_steps_go_on_over_as_many_epochs_as_they_need(world):
    run(settings(world, training={"max_steps": 5, "num_train_epochs": 1, "logging_steps": 1}))
    assert [entry["step"] for entry in log_of(world / "run") if "loss" in entry] == [1, 2, 3, 4, 5]


def test_a_vocabulary_above_the_embedding_is_one_line(world, tiny_tokenizer):
    make_tiny_model(len(tiny_tokenizer) // 2).save_pretrained(world / "base")
    with pytest.raises(ModelError, match=r"gives the id \d+, the embedding has \d+ rows"):
        run(settings(world))


def test_rows_above_the_learned_positions_are_one_line(world, tiny_tokenizer):
    config = GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=len(tiny_tokenizer), n_positions=32)
    GPT2LMHeadModel(config).save_pretrained(world / "base")
    with pytest.raises(ModelError, match=r"gpt2: it has learned 32 positions; found max_length = 128"):
        run(settings(world))


def targets(**chosen):
    found = lora_targets.chosen_targets(make_model("llama"), LoraSettings(r=2, dropout=0, **chosen))
    return {name.removeprefix("model.layers.") for name in found.modules}


def test_targets_are_the_recipe_s_names_or_pattern_less_what_is_excluded():
    assert targets(target_modules=["q_proj"]) == {f"{i}.self_attn.q_proj" for i in range(3)}
    assert targets(
        target_modules=r".*\.[01]\..*_proj", exclude=["mlp.down_proj", "up_proj", "gate_proj"]
    ) == {f"{i}.self_attn.{name}_proj" for i in (0, 1) for name in "qkvo"}
    with pytest.raises(
        ModelError, match=r"lora\.target_modules: no module is called 'q_prj'; did you mean `q_proj`"
    ):
        targets(target_modules=["q_prj"])
    with pytest.raises(ModelError, match="names the output head"):
        targets(target_modules=["lm_head"])


def test_convolutions_are_no_experts():
    layers = torch.nn.ModuleList([torch.nn.ModuleDict({"conv": torch.nn.Conv1d(4, 4, 3)})])
    assert lora_targets._expert_tensors(layers) == []


@pytest.mark.parametrize("tied", [True, False])
def test_tokens_and_a_head_trained_beside_the_adapter_get_the_whole_gradient(tied):
    """Against full tuning's gradient of the same weights."""
    model = make_model("llama", tie_word_embeddings=tied)
    install_supervised_forward(model)
    full = gradients(model, ours(model, [[separate_rows([3])]]))
    chosen = {"trainable_token_indices": [8, 2]} if tied else {"modules_to_save": ["lm_head"]}
    adapted = add_lora(model, LoraSettings(r=2, dropout=0, **chosen))
    found = gradients(adapted, ours(adapted, [[separate_rows([3])]]))
    own = {name: gradient for name, gradient in found.items() if "lora_" not in name}
    assert len(own) == 1
    expected = full["model.embed_tokens.weight"][[8, 2]] if tied else full["lm_head.weight"]
    torch.testing.assert_close(next(iter(own.values())), expected)


def test_an_adapter_s_endless_pattern_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("derta.patterns.SECONDS", 1.0)
    model = make_tiny_model(64)
    model.save_pretrained(tmp_path / "base")
    add_lora(model, LoraSettings(r=2, dropout=0)).save_pretrained(tmp_path / "adapter")
    file = tmp_path / "adapter/adapter_config.json"
    config = json.loads(file.read_text()) | {"base_model_name_or_path": str(tmp_path / "base")}
    file.write_text(json.dumps(config | {"target_modules": HOSTILE}))
    with pytest.raises(ModelError, match=r"takes over 1 s to match"):
        add_adapter(make_tiny_model(64), str(tmp_path / "adapter"))
    with pytest.raises(ModelError, match="is no regular expression"):
        check_patterns(["(q_proj"], ["q_proj"], "here")
    assert matching(r".*\.(q|k)_proj", ["a.q_proj", "a.o_proj"], "here") == ["a.q_proj"]


def test_a_checkpoint_with_towers_keeps_its_class():
    from benchmarks.tiny_architectures import ARCHITECTURES

    config = AutoConfig.for_model("qwen3_5", **ARCHITECTURES["qwen3_5"])
    assert library_class(config) is AutoModelForCausalLM
    config.architectures = ["Qwen3_5ForConditionalGeneration"]
    assert library_class(config).__name__ == "AutoModelForImageTextToText"
    assert decoder_of(make_model("llama")).__class__.__name__ == "LlamaModel"


@pytest.mark.parametrize("name", ["qwen3_5", "deepseek_v3", "longcat_flash"])
def test_the_matrix_finds_what_its_table_says(name):
    cells = try_one(name)
    assert {cells[one] for one in COLUMNS} <= {"yes", "apart"}, cells
