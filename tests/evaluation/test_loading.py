"""Fingerprints of model folders, and messages for what can't be loaded."""

import json

import pytest
import torch

from derta.errors import ModelError
from derta.models import fingerprint, load_model


def test_fingerprint_follows_what_changes_answers(tmp_path, save_model):
    folder = save_model(tmp_path / "m")
    before = fingerprint(str(folder))
    assert fingerprint(str(save_model(tmp_path / "same"))) == before
    (folder / "README.md").write_text("a card")
    assert fingerprint(str(folder)) == before
    (folder / "chat_template.jinja").write_text("another template")
    assert fingerprint(str(folder)) != before
    assert fingerprint(str(save_model(tmp_path / "other", seed=1))) != before


def test_one_flipped_bit_of_the_weights_changes_it(tmp_path, save_model):
    folder = save_model(tmp_path / "m")
    before = fingerprint(str(folder))
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    assert fingerprint(str(folder)) != before


def test_an_adapter_is_fingerprinted_with_its_base(tmp_path, save_model):
    base, adapter = save_model(tmp_path / "base"), tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}))
    before = fingerprint(str(adapter))
    save_model(base, seed=1)
    assert fingerprint(str(adapter)) != before


def test_types(tmp_path, save_model):
    folder = str(save_model(tmp_path / "m"))
    assert load_model(folder).dtype == torch.float32
    assert load_model(folder, "bfloat16").dtype == torch.bfloat16
    assert not load_model(folder).training


def test_a_pickle_is_not_read(tmp_path, save_model):
    folder = save_model(tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="its weights are pickled"):
        load_model(str(folder))


def test_no_model_there(tmp_path):
    with pytest.raises(ModelError, match=r"no config.json or adapter_config.json there"):
        fingerprint(str(tmp_path))
    with pytest.raises(ModelError, match="neither a folder nor a loadable hub id"):
        fingerprint(str(tmp_path / "nothing"))
