"""A model or adapter under test: pickled weights are refused unread; soft-capped attention is computed eagerly."""

import os
import pickle

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import Gemma2Config, Gemma2ForCausalLM

from conftest import make_tiny_model
from derta.errors import ModelError
from derta.models import load_model


class Canary:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("kind", ["model", "adapter"])
def test_pickled_weights_are_refused_and_never_read(tmp_path, kind):
    model = make_tiny_model(32)
    model.save_pretrained(tmp_path / "model")
    model = make_tiny_model(32)
    model.name_or_path = model.config._name_or_path = str(tmp_path / "model")
    get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(tmp_path / "adapter")
    folder = tmp_path / kind
    load_model(str(folder))
    stem = "model" if kind == "model" else "adapter_model"
    (folder / f"{stem}.safetensors").unlink()
    (folder / f"{stem}.bin").write_bytes(pickle.dumps(Canary(tmp_path / "canary")))
    with pytest.raises(ModelError, match=rf"its weights are pickled \({stem}\.bin\)"):
        load_model(str(folder))
    assert not (tmp_path / "canary").exists()


def test_gemma_2_is_loaded_with_the_attention_that_caps(tmp_path):
    torch.manual_seed(0)
    settings = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = Gemma2Config(vocab_size=32, num_key_value_heads=1, head_dim=8, **settings)
    model = Gemma2ForCausalLM._from_config(config, attn_implementation="eager").eval()
    model.save_pretrained(tmp_path)
    loaded = load_model(str(tmp_path))
    ids = torch.tensor([[1, 2, 3, 4]])
    with torch.no_grad():
        torch.testing.assert_close(loaded(input_ids=ids).logits, model(input_ids=ids).logits)
