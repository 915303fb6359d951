"""What is loaded, what is refused by name, and that nothing in a model folder gets to run."""

import json
import os
import pickle
import shutil
from dataclasses import replace

import pytest
import torch
import transformers
from rich.console import Console

from conftest import make_tiny_model
from derta.config import check_recipe
from derta.errors import ModelError
from derta.models import load_tokenizer
from derta.training.attention.architecture import choose_attention, examine
from derta.training.attention.self_check import prove_exact
from derta.training.collate import collate
from derta.training.loss import install_supervised_forward
from derta.training.model import (
    architecture_of,
    line_tokens,
    load_config,
    load_model,
    resolve_dtype,
)
from derta.training.recipe import ModelSettings, TrainRecipe
from training.architectures import SHARED, make_config, make_model
from training.test_architectures import REFUSAL, TOLERANCE, alone, separate_rows

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def settings(path, **changes):
    return ModelSettings(path=str(path), **changes)


@pytest.fixture
def folder(tmp_path, tiny_tokenizer):
    make_tiny_model(len(tiny_tokenizer)).save_pretrained(tmp_path / "model")
    tiny_tokenizer.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


class Canary:
    """Unpickling it leaves a file behind."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "consolidated.00.pth", "model.ckpt"])
def test_a_planted_pickle_is_refused_and_never_read(folder, tmp_path, name):
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(pickle.dumps({"weight": Canary(tmp_path / "canary")}))
    for load in (load_config, lambda given: load_model(given, device=CPU)):
        with pytest.raises(ModelError, match=rf"its weights are pickled \({name}\)"):
            load(settings(folder))
    assert not (tmp_path / "canary").exists()
    pickle.loads((folder / name).read_bytes())
    assert (tmp_path / "canary").exists()


def test_a_pickle_beside_safetensors_is_left_alone(folder, tmp_path):
    for name in ("pytorch_model.bin", "training_args.bin", "optimizer.pt", "rng_state.pth"):
        (folder / name).write_bytes(pickle.dumps(Canary(tmp_path / "canary")))
    load_model(settings(folder), device=CPU)
    load_tokenizer(str(folder))
    assert not (tmp_path / "canary").exists()


def test_code_that_comes_with_a_model_needs_the_flag(folder, tmp_path):
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "guild", "auto_map": {"AutoConfig": "guild.GuildConfig"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "guild.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'canary')!r})\n")
    with pytest.raises(ModelError, match=r"set model\.trust_remote_code: true if you trust it"):
        load_model(settings(folder), device=CPU)
    assert not (tmp_path / "canary").exists()


def test_code_for_a_known_architecture_is_not_run_either(folder, tmp_path):
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "guild.GuildConfig", "AutoModelForCausalLM": "guild.Guild"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "guild.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'canary')!r})\n")
    assert type(load_model(settings(folder), device=CPU)).__name__ == "LlamaForCausalLM"
    assert not (tmp_path / "canary").exists()


def test_an_adapter_folder_is_no_model_to_start_from(folder):
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match="an adapter; training starts from a whole model"):
        load_config(settings(folder))


def test_a_folder_without_weights_and_a_file_are_told_apart(folder):
    with pytest.raises(ModelError, match="a file; need the model's folder"):
        load_config(settings(folder / "config.json"))
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"no weights there; need \*\.safetensors"):
        load_config(settings(folder))


def test_attention_by_device():
    llama = make_config("llama")
    assert choose_attention(llama, CPU) == "sdpa_by_row"
    assert choose_attention(llama, GPU) == "flex_attention"
    assert choose_attention(make_config("llama", attention_dropout=0.1), GPU) == "sdpa"
    assert choose_attention(make_config("gemma2"), CPU) == "eager"
    assert choose_attention(make_config("gemma2"), GPU) == "eager"


def test_types_by_device():
    """Weights that are trained stay float32; only frozen ones are halved, unless the recipe says so."""
    assert resolve_dtype("auto", CPU) == torch.float32
    assert resolve_dtype("auto", GPU) == torch.float32
    assert resolve_dtype("auto", GPU, frozen=True) == torch.bfloat16
    assert resolve_dtype("bfloat16", GPU) == torch.bfloat16


@pytest.mark.parametrize(
    ("config", "max_length", "message"),
    [
        (
            make_config("gemma3", use_bidirectional_attention=True),
            64,
            "gemma3_text: attends in both directions",
        ),
        (
            make_config("llama", rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}),
            129,
            "llama: its dynamic position embeddings .* longer than 128 tokens; found max_length = 129",
        ),
        (
            make_config(
                "phi3",
                original_max_position_embeddings=32,
                rope_parameters={
                    "rope_type": "longrope",
                    "rope_theta": 1e4,
                    "short_factor": [1.0] * 4,
                    "long_factor": [2.0] * 4,
                    "original_max_position_embeddings": 32,
                },
            ),
            33,
            "phi3: its longrope position embeddings .* need at most 32",
        ),
    ],
)
def test_what_can_t_be_exact_is_refused_by_name(config, max_length, message):
    with pytest.raises(ModelError, match=message):
        examine(config, max_length=max_length, device=CPU)
    if max_length > 64 or "longrope" in message:
        assert examine(config, max_length=max_length - 1, device=CPU).apart is None


def other(kind, **changes):
    """A tiny model of an architecture that no table knows."""
    torch.manual_seed(0)
    config = getattr(transformers, kind)(**(SHARED | changes))
    found = examine(config, max_length=64, device=CPU)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation=found.attention)
    return model, found


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("GPTNeoXConfig", {}),
        ("Starcoder2Config", {"sliding_window": 5}),
        (
            "GptOssConfig",
            {"head_dim": 8, "num_local_experts": 4, "sliding_window": 5, "rope_parameters": None},
        ),
    ],
)
def test_an_unknown_architecture_is_proved_on_its_weights(kind, changes):
    model, found = other(kind, **changes)
    assert found.apart is None
    prove_exact(model, packed=True)
    original = type(model.get_decoder().layers[0]).forward

    def deaf(self, *args, **inputs):
        """A layer that hears no mask: what the proof is there to find."""
        inputs["attention_mask"] = None
        return original(self, *args, **inputs)

    for layer in model.get_decoder().layers:
        layer.forward = deaf.__get__(layer)
    with pytest.raises(ModelError, match="rows packed in one line are not computed as they are apart"):
        prove_exact(model, packed=True)


def test_positions_by_place_in_the_line_are_found_out():
    """MPT's attention counts places in the line (ALiBi)."""
    model, found = other("MptConfig", d_model=32, n_heads=4, n_layers=2)
    assert found.apart is None
    with pytest.raises(ModelError, match=r"mpt: rows packed in one line .* batch\.packing: off may help"):
        prove_exact(model, packed=True)
    prove_exact(model, packed=False)


def test_a_head_that_bends_its_logits_otherwise_is_found_out():
    model = make_model("granite")
    prove_exact(model, packed=True)
    model.config.logits_scaling = 1.0  # what the loss would do; the model was built with 4
    plain = model.forward
    model.forward = lambda **inputs: _scaled(plain(**inputs))
    with pytest.raises(ModelError, match="granite: its output head is not computed as the model itself does"):
        prove_exact(model, packed=True)


def _scaled(output):
    output.logits = output.logits / 4.0
    return output


@pytest.mark.parametrize(
    ("kind", "changes", "reason"),
    [
        ("MambaConfig", {"state_size": 4}, "mamba carries a state from token to token"),
        (
            "MiniMaxConfig",
            {"head_dim": 8, "num_local_experts": 2},
            r"minimax has layers \(linear_attention\)",
        ),
        ("Starcoder2Config", {"sliding_window": 2000}, "starcoder2 has a sliding window of 2000"),
    ],
)
def test_layers_that_run_along_the_line_get_a_line_for_each_row(kind, changes, reason):
    model, _ = other(kind, **changes)
    found = examine(model.config, max_length=4000, device=CPU)
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(found.apart)
    prove_exact(model, packed=False)
    rows = separate_rows([3])
    with torch.no_grad():
        expected = sum(float(alone(model, row)) for row in rows)
        install_supervised_forward(model, packed=False)
        batch = collate([[row] for row in rows], 0, 1.0, REFUSAL)
        batch.pop("objective")
        assert float(model(**batch).loss) == pytest.approx(expected, rel=TOLERANCE)


def recipe(world, **changes):
    values = {
        "run_dir": str(world / "run"),
        "method": "derta",
        "model": {"path": str(world / "model")},
        "data": {"triples": str(world / "triples.jsonl"), "benign": str(world / "benign.jsonl")},
    }
    return check_recipe(values | changes, TrainRecipe, "test")


def test_a_shared_trunk_is_refused_where_rows_stay_apart(tmp_path):
    model, _ = other("MambaConfig", state_size=4)
    model.save_pretrained(tmp_path / "model")
    with pytest.raises(ModelError, match="shared_trunk: on is not possible: mamba carries a state"):
        architecture_of(recipe(tmp_path, shared_trunk="on"), CPU)
    found = architecture_of(recipe(tmp_path, shared_trunk="auto"), CPU)
    assert line_tokens(recipe(tmp_path), found) == 0


def test_line_lengths_by_form(folder):
    given = recipe(folder.parent, batch={"tokens": 4096})
    assert line_tokens(given, architecture_of(given, CPU)) == 4096
    assert line_tokens(given, replace(architecture_of(given, CPU), attention="eager")) is None
    assert line_tokens(given, architecture_of(given, GPU)) == 4096
    assert architecture_of(given, GPU).line_multiple == 128
    apart = recipe(folder.parent, batch={"packing": "off"})
    assert line_tokens(apart, architecture_of(apart, CPU)) == 0


def test_a_recurrent_model_trains_from_recipe_to_folder(tmp_path, tiny_tokenizer):
    from derta.files import write_jsonl
    from derta.training.run import train

    model, _ = other("MambaConfig", state_size=4, vocab_size=len(tiny_tokenizer))
    model.save_pretrained(tmp_path / "model")
    tiny_tokenizer.save_pretrained(tmp_path / "model")
    write_jsonl(
        tmp_path / "triples.jsonl",
        [
            {
                "id": f"t{number}",
                "harmful_query": "How do I cast the curse?",
                "safe_response": "Sorry, the guild forbids it.",
                "harmful_response": "1. Grind the wax. 2. Rinse the clay.",
            }
            for number in range(2)
        ],
    )
    write_jsonl(
        tmp_path / "benign.jsonl", [{"id": "b", "benign_query": "How do I make tea?", "response": "Boil."}]
    )
    training = {"learning_rate": 1e-3, "lr_scheduler_type": "constant", "warmup_steps": 0}
    trained = train(recipe(tmp_path, max_length=128, training=training), Console(quiet=True))
    before = model.state_dict()
    after = transformers.AutoModelForCausalLM.from_pretrained(trained).state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    manifest = json.loads((tmp_path / "run/manifest.json").read_text())
    assert manifest["shared_trunk"] is False


def test_only_text_is_trained_in_a_model_that_also_sees():
    """DDP would wait for gradients that the image tower never gets."""
    text = make_config("gemma3").to_dict()
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.Gemma3Config(
        text_config=text, vision_config={**vision, "image_size": 28, "patch_size": 14}, mm_tokens_per_image=4
    )
    model = transformers.Gemma3ForConditionalGeneration(config)
    from derta.training.model import _freeze_other_senses

    _freeze_other_senses(model)
    trained = {name.split(".")[1] for name, value in model.named_parameters() if value.requires_grad}
    assert trained <= {"language_model", "weight"}
    assert any(not value.requires_grad for value in model.parameters())
    install_supervised_forward(model)
    row = separate_rows([3])[0]
    batch = collate([[row]], 0, 1.0, REFUSAL)
    batch.pop("objective")
    model(**batch).loss.backward()
    assert all(value.grad is not None for value in model.parameters() if value.requires_grad)


def test_loading_leaves_no_trace_in_the_folder(folder):
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy)
    load_model(settings(folder), device=CPU)
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in copy.iterdir())


def test_hidden_states_that_are_no_numbers_are_found_out(monkeypatch):
    """Some of them: the largest of a number and NaN is the number, for Python's max."""
    monkeypatch.setattr("derta.training.attention.self_check.EXACT", frozenset())
    model = make_tiny_model(60)
    prove_exact(model, packed=True)
    decoder = model.get_decoder()
    forward = decoder.forward

    def broken(**inputs):
        output = forward(**inputs)
        if inputs.get("attention_mask") is not None:
            output.last_hidden_state[:, -3:] = torch.nan
        return output

    decoder.forward = broken
    with pytest.raises(ModelError, match=r"rows packed in one line .* \(relative difference nan\)"):
        prove_exact(model, packed=True)


def test_the_self_check_is_made_without_dropout(monkeypatch):
    monkeypatch.setattr("derta.training.attention.self_check.EXACT", frozenset())
    model = make_tiny_model(60, attention_dropout=0.5).train()
    prove_exact(model, packed=True)
    assert model.training
