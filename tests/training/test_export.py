"""An exported folder loads with plain transformers and peft, computes the same, and says what it is."""

import json

import pytest
import torch
import yaml
from peft import PeftModel
from rich.console import Console
from transformers import AutoModelForCausalLM, AutoTokenizer

from conftest import make_tiny_model
from derta.config import check_recipe
from derta.errors import DataError, RunError
from derta.files import write_json
from derta.training.checkpoints.checkpoint import damage
from derta.training.checkpoints.export import export
from derta.training.recipe import TrainRecipe
from derta.training.run import train
from encode.guild import recipe

CELLS = [
    {
        "model": "ours",
        "method": "derta",
        "attack": "code",
        "judge": "world|v1",
        "metric": "asr",
        "value": 0.05,
        "n": 100,
        "unknown": 1,
        "low": 0.02,
        "high": 0.11,
    },
    {
        "model": "other",
        "method": "vanilla",
        "attack": "code",
        "judge": "w",
        "metric": "asr",
        "value": 0.9,
        "n": 9,
    },
]


@pytest.fixture
def world(tmp_path, tiny_tokenizer):
    # a base model: it knows end-of-text (here: another token), not the template's end of turn
    make_tiny_model(len(tiny_tokenizer), eos_token_id=0).save_pretrained(tmp_path / "model")
    tiny_tokenizer.save_pretrained(tmp_path / "model")
    recipe(tmp_path, tiny_tokenizer)
    return tmp_path


def run(world, name, **changes):
    values = {
        "run_dir": str(world / name),
        "method": "derta",
        "model": {"path": str(world / "model")},
        "data": {"triples": str(world / "triples.jsonl"), "benign": str(world / "benign.jsonl")},
        "max_length": 128,
        "batch": {"rows": 64, "tokens": 4096},
        "training": {"learning_rate": 1e-2, "num_train_epochs": 2},
    }
    train(check_recipe(values | changes, TrainRecipe, "test"), Console(quiet=True))
    return world / name


def logits(model):
    with torch.no_grad():
        return model(torch.arange(5, 45)[None]).logits


def ends_of(folder):
    """Where plain `generate` stops."""
    return json.loads((folder / "generation_config.json").read_text())["eos_token_id"]


def test_a_whole_model_and_its_card(world):
    done = run(world, "full")
    write_json(world / "results.json", CELLS)
    out = export(done, world / "out", results=world / "results.json")
    assert damage(out) is None
    model, tokenizer = AutoModelForCausalLM.from_pretrained(out), AutoTokenizer.from_pretrained(out)
    assert torch.equal(logits(model), logits(AutoModelForCausalLM.from_pretrained(done / "model")))
    for folder in (done / "model", out):
        assert ends_of(folder) == [0, tokenizer.eos_token_id]  # the trained end of turn, beside its own
    assert "before_answer" in json.loads((done / "manifest.json").read_text())["chat"]
    assert model.get_input_embeddings().num_embeddings == len(tokenizer)
    card = (out / "README.md").read_text()
    _, head, body = card.split("---\n", 2)
    assert yaml.safe_load(head)["library_name"] == "transformers"
    assert "tuned with `derta`" in body
    manifest = json.loads((done / "manifest.json").read_text())
    for digest in manifest["inputs"].values():
        assert digest in body
    assert "| asr | code | world\\|v1 | 0.050 | 0.020 to 0.110 | 100 | 1 |" in body
    assert "0.900" not in body  # another method's cell
    assert "| derta | 20 | 20 |" in body
    assert "| learning_rate | 0.01 |" in body
    assert "## Limits" in body
    assert str(world) not in card  # no path of the machine it was made on


@pytest.mark.slow
def test_an_adapter_and_its_merge_compute_the_same(world):
    done = run(world, "lora", lora={"r": 4, "alpha": 8, "dropout": 0.0})
    adapter = export(done, world / "adapter_out")
    merged = export(done, world / "merged_out", merge=True)
    base = AutoModelForCausalLM.from_pretrained(world / "model")
    before = logits(base)
    expected = logits(PeftModel.from_pretrained(base, adapter).eval())
    assert not torch.allclose(before, expected, atol=1e-2)
    torch.testing.assert_close(logits(AutoModelForCausalLM.from_pretrained(adapter)), expected)
    torch.testing.assert_close(
        logits(AutoModelForCausalLM.from_pretrained(merged)), expected, rtol=0, atol=1e-4
    )
    assert ends_of(adapter) == ends_of(merged) == [0, AutoTokenizer.from_pretrained(adapter).eos_token_id]
    assert not list(merged.glob("adapter_*"))
    assert "library_name: peft" in (adapter / "README.md").read_text()
    assert "library_name: transformers" in (merged / "README.md").read_text()
    assert "None were given" in (merged / "README.md").read_text()


def test_a_base_models_template_travels_with_it(world, tiny_tokenizer):
    import copy

    bare = copy.deepcopy(tiny_tokenizer)
    bare.chat_template = None
    (world / "model/chat_template.jinja").unlink()
    bare.save_pretrained(world / "model")
    out = export(run(world, "base", chat={"template": "plain"}), world / "out")
    assert "Assistant:" in AutoTokenizer.from_pretrained(out).apply_chat_template(
        [{"role": "user", "content": "x"}], add_generation_prompt=True, tokenize=False
    )


def test_what_can_not_be_exported_is_told(world):
    with pytest.raises(RunError, match=r"no readable manifest\.json"):
        export(world, world / "out")
    done = run(world, "full")
    with pytest.raises(RunError, match="no adapter to merge"):
        export(done, world / "out", merge=True)
    write_json(world / "broken.json", [{"metric": "asr"}])
    with pytest.raises(DataError, match=r"broken\.json: not a results\.json"):
        export(done, world / "out", results=world / "broken.json")
    (world / "taken").mkdir()
    with pytest.raises(RunError, match="exists already"):
        export(done, world / "taken")
    weights = done / "model/model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(RunError, match=r"damaged \(model\.safetensors has changed\)"):
        export(done, world / "out")
    assert not (world / "out").exists()


def test_pushing_offline_keeps_the_folder_and_says_why(world, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = run(world, "full")
    with pytest.raises(
        RunError, match=r"written, but not pushed to someone/model: .*hf upload someone/model"
    ):
        export(done, world / "out", push="someone/model")
    assert damage(world / "out") is None
    with pytest.raises(RunError, match="not pushed to no such name!"):
        export(done, world / "out2", push="no such name!")


def test_a_pushed_repository_is_private(world, monkeypatch):
    calls = []
    monkeypatch.setattr(
        "huggingface_hub.HfApi.create_repo", lambda *a, **k: calls.append(("create", a[1:], k))
    )
    monkeypatch.setattr(
        "huggingface_hub.HfApi.upload_folder", lambda *a, **k: calls.append(("upload", a[1:], k))
    )
    out = export(run(world, "full"), world / "out", push="someone/model")
    assert calls[0] == ("create", ("someone/model",), {"private": True, "exist_ok": True})
    assert calls[1][2]["folder_path"] == out
