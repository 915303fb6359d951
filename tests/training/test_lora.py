"""Adapters: on every projection, the same numbers in every packing, saved so that plain peft loads them."""

import json
import shutil

import pytest
import torch
from peft import PeftModel
from rich.console import Console
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from conftest import make_tiny_model
from derta.config import check_recipe
from derta.errors import ModelError, RecipeError
from derta.files import write_jsonl
from derta.training.checkpoints.checkpoint import damage
from derta.training.lora import add_lora, four_bit
from derta.training.lora_targets import projections
from derta.training.loss import install_supervised_forward
from derta.training.model import load_model
from derta.training.recipe import LoraSettings, ModelSettings, TrainRecipe
from derta.training.run import train
from training.architectures import make_config, make_model
from training.test_architectures import (
    H1,
    Q1,
    TOLERANCE,
    gradients,
    largest_difference,
    ours,
    separate_rows,
    shared_rows,
)

SPLIT = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
PROJECTIONS = {
    "llama": (SPLIT, set()),
    "phi3": ({"qkv_proj", "o_proj", "gate_up_proj", "down_proj"}, set()),
    "mixtral": ({"q_proj", "k_proj", "v_proj", "o_proj"}, {"gate_up_proj", "down_proj"}),
    "qwen3_moe": ({"q_proj", "k_proj", "v_proj", "o_proj"}, {"gate_up_proj", "down_proj"}),
    "gemma3-window": (SPLIT, set()),
    "gemma2-window": (SPLIT, set()),
}


def adapted(name):
    """A model with adapters that change its numbers (fresh ones add zero)."""
    model = make_model(name)
    install_supervised_forward(model)
    with_adapters = add_lora(model, LoraSettings(r=4, alpha=8, dropout=0))
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in with_adapters.parameters():
            if parameter.requires_grad:
                parameter.copy_(0.2 * torch.randn(parameter.shape, generator=draw))
    return with_adapters.train()


@pytest.mark.parametrize("name", PROJECTIONS)
def test_every_projection_of_every_layer_is_adapted_and_nothing_else(name):
    modules, parameters = projections(make_model(name))
    expected = PROJECTIONS[name]
    assert {module.split(".")[-1] for module in modules} == expected[0]
    assert {parameter.split(".")[-1] for parameter in parameters} == expected[1]
    trained = [key for key, value in adapted(name).named_parameters() if value.requires_grad]
    assert all(".lora_A." in key or ".lora_B." in key for key in trained)
    assert len(trained) == 2 * 3 * (len(expected[0]) + len(expected[1]))  # A and B, 3 layers


@pytest.mark.parametrize("name", PROJECTIONS)
def test_shared_packed_and_recomputed_rows_give_the_same_adapter_gradients(name):
    model = adapted(name)
    apart = gradients(model, ours(model, [[[row] for row in separate_rows([0, 3, 9])]]))
    shared = gradients(model, ours(model, [[shared_rows([0, 3, 9])]]))
    assert largest_difference(apart, shared) <= TOLERANCE
    model.activation_checkpointing_enable({"use_reentrant": False})
    recomputed = gradients(model, ours(model, [[shared_rows([0, 3, 9])]]))
    assert largest_difference(shared, recomputed) <= 1e-6


def test_the_loss_runs_inside_data_parallel_around_adapters(tmp_path):
    """DDP adds up gradients in hooks around its forward: the loss has to be inside."""
    model = adapted("llama")
    expected = gradients(model, ours(model, [[shared_rows([3])]]))
    torch.distributed.init_process_group("gloo", f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        wrapped = torch.nn.parallel.DistributedDataParallel(model)
        synced = []
        wrapped.register_comm_hook(None, lambda state, bucket: synced.append(1) or _as_it_is(bucket))
        found = gradients(model, ours(wrapped, [[shared_rows([3])]]))
    finally:
        torch.distributed.destroy_process_group()
    assert synced
    assert largest_difference(expected, found) <= 1e-6


def _as_it_is(bucket):
    future = torch.futures.Future()
    future.set_result(bucket.buffer())
    return future


@pytest.mark.parametrize("name", ["llama", "mixtral", "phi3"])
def test_a_saved_adapter_loads_with_plain_peft(name, tmp_path):
    make_model(name).save_pretrained(tmp_path / "base")
    model = adapted(name)
    model.save_pretrained(tmp_path / "adapter")
    assert not list(tmp_path.glob("adapter/*.bin"))
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    again = PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    ids = torch.tensor([Q1 + H1])
    with torch.no_grad():
        expected = model.eval()(input_ids=ids).logits
        torch.testing.assert_close(again(input_ids=ids).logits, expected)
        with again.disable_adapter():
            assert float((again(input_ids=ids).logits - expected).abs().max()) > 1e-2


def test_dropout_on_shared_expert_weights_is_refused():
    with pytest.raises(ModelError, match=r"mixtral: its experts share .* set lora.dropout: 0"):
        add_lora(make_model("mixtral"), LoraSettings(r=4))


def test_a_decoder_whose_layers_have_another_name_is_adapted_on_all_of_them():
    model = GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=2, n_head=2, vocab_size=32, n_positions=32))
    adapted = add_lora(model, LoraSettings(r=4, dropout=0))
    layers = {
        name.split(".h.")[1].split(".lora_")[0] for name, _ in adapted.named_parameters() if "lora_A" in name
    }
    assert layers == {
        f"{i}.{name}" for i in (0, 1) for name in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    }


def test_a_projection_that_is_left_out_is_noticed(monkeypatch):
    """peft adapts what its names match and is silent about the rest."""
    from derta.training import lora

    monkeypatch.setattr(lora, "short_names", lambda modules, names: ["q_proj"])
    with pytest.raises(
        ModelError, match="21 projections and 0 expert tensors to adapt, peft adapted 3 and 0"
    ):
        add_lora(make_model("llama"), LoraSettings(r=4, dropout=0))


def test_four_bits_need_a_gpu_and_bitsandbytes(tmp_path):
    make_tiny_model(64).save_pretrained(tmp_path)
    settings = ModelSettings(path=str(tmp_path), load_in_4bit=True)
    with pytest.raises(ModelError, match=r"model\.load_in_4bit: needs an NVIDIA GPU, found device cpu"):
        load_model(settings, device=torch.device("cpu"), frozen=True)


def test_four_bits_without_bitsandbytes_say_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"pip install 'derta\[qlora\]'"):
        four_bit(torch.device("cuda"))


@pytest.fixture
def world(tmp_path, tiny_tokenizer):
    for name, dropout in (("base", 0.0),):
        make_tiny_model(len(tiny_tokenizer), attention_dropout=dropout).save_pretrained(tmp_path / name)
        tiny_tokenizer.save_pretrained(tmp_path / name)
    names = ["wax", "salt", "moss", "thyme", "clay", "roses"]
    triples = [
        {
            "id": f"t{i}",
            "harmful_query": f"How do I cast the curse of {name}?",
            "safe_response": "Sorry, the guild forbids it.",
            "harmful_response": f"1. Grind the {name}. 2. Rinse the clay.",
        }
        for i, name in enumerate(names)
    ]
    benign = [
        {"id": f"b{i}", "benign_query": f"How do I make {name}?", "response": "Fold the salt."}
        for i, name in enumerate(names)
    ]
    write_jsonl(tmp_path / "triples.jsonl", triples)
    write_jsonl(tmp_path / "benign.jsonl", benign)
    return tmp_path


def run(world, name, **changes):
    values = {
        "run_dir": str(world / name),
        "method": "derta",
        "model": {"path": str(world / "base")},
        "data": {
            "triples": str(world / "triples.jsonl"),
            "benign": str(world / "benign.jsonl"),
        },
        "lora": {"r": 4, "alpha": 8, "dropout": 0.1},
        "max_length": 128,
        "batch": {"rows": 8, "tokens": 1024},
        "training": {"learning_rate": 1e-2, "num_train_epochs": 2, "logging_steps": 1, "save_steps": 2},
    }
    return train(check_recipe(values | changes, TrainRecipe, "test"), Console(quiet=True))


def test_a_run_leaves_an_adapter_folder_and_the_base_as_it_was(world):
    before = (world / "base/model.safetensors").read_bytes()
    training = {"learning_rate": 1e-2, "num_train_epochs": 2, "gradient_checkpointing": True}
    folder = run(world, "run", training=training)
    assert folder == world / "run/adapter"
    assert damage(folder) is None
    assert not (world / "run/model").exists()
    assert (world / "base/model.safetensors").read_bytes() == before
    assert not [path for path in world.glob("run/**/*") if path.suffix in {".bin", ".pt", ".pth", ".pkl"}]
    settings = json.loads((folder / "adapter_config.json").read_text())
    assert (settings["r"], settings["lora_alpha"], settings["lora_dropout"]) == (4, 8, 0.1)
    base = AutoModelForCausalLM.from_pretrained(world / "base")
    again = PeftModel.from_pretrained(base, folder).eval()
    moved = [value for key, value in again.named_parameters() if "lora_B" in key]
    assert moved
    assert all(float(value.abs().max()) > 0 for value in moved)


def test_an_interrupted_adapter_run_ends_the_same(world):
    whole = run(world, "whole")
    keep = {"learning_rate": 1e-2, "num_train_epochs": 2, "logging_steps": 1, "save_steps": 2}
    keep["save_total_limit"] = 20
    run(world, "cut", training=keep)
    shutil.rmtree(world / "cut/adapter")
    steps = sorted(int(path.name.split("-")[1]) for path in (world / "cut/checkpoints").iterdir())
    assert steps[0] == 2
    for step in steps[1:]:
        shutil.rmtree(world / f"cut/checkpoints/checkpoint-{step}")
    again = run(world, "cut", training=keep)
    for name, tensor in load_file(whole / "adapter_model.safetensors").items():
        assert torch.equal(tensor, load_file(again / "adapter_model.safetensors")[name]), name


def test_shared_trunks_are_the_default_and_change_no_number(world):
    adapters = [
        run(world, name, shared_trunk=choice, lora={"r": 4, "alpha": 8, "dropout": 0})
        for name, choice in (("shared", "auto"), ("apart", "off"))
    ]
    manifests = [json.loads((folder.parent / "manifest.json").read_text()) for folder in adapters]
    assert [manifest["shared_trunk"] for manifest in manifests] == [True, False]
    assert manifests[0]["tokens"] < manifests[1]["tokens"]
    first, second = (load_file(folder / "adapter_model.safetensors") for folder in adapters)
    for name, tensor in first.items():
        torch.testing.assert_close(tensor, second[name], rtol=0, atol=2e-4)


def test_four_bits_without_adapters_are_refused_by_the_recipe(world):
    with pytest.raises(RecipeError, match=r"model.load_in_4bit: .* add `lora:`"):
        run(world, "run", model={"path": str(world / "base"), "load_in_4bit": True}, lora=None)


def test_yaml_s_bare_on_and_off_are_understood(world):
    values = {"packing": False}
    with pytest.raises(RecipeError, match=r"shared_trunk: on contradicts batch\.packing: off"):
        run(world, "run", shared_trunk=True, batch=values)


def test_the_adapter_matrix_uses_the_attention_that_training_chooses():
    from derta.training.attention.architecture import choose_attention

    for name in PROJECTIONS:
        config = make_config(name)
        assert choose_attention(config, torch.device("cpu")) == config._attn_implementation
