"""The base model: learns what is to be learned, the same for the same seed, and is found again."""

import random

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from derta.demo import pretrain as pretrain_module
from derta.demo.data import all_crafts
from derta.demo.documents import SHARES, Document
from derta.demo.pretrain import COMPLETE, base_model_dir, encode_documents, make_batches, pretrain
from derta.demo.settings import PretrainSettings, WorldSettings
from derta.encode.chat import ChatRenderer
from derta.errors import RunError

WORLD = WorldSettings(num_forbidden=12, num_allowed=12, num_borderline=12, num_queries=4, num_benign=8)
TINY = PretrainSettings(tokens=16_000, batch_tokens=320, hidden_size=16, num_layers=1, num_heads=2)


@pytest.fixture(scope="module")
def trained():
    return pretrain(all_crafts(WORLD, 0), TINY, seed=0)


def test_same_seed_same_weights(trained):
    again, _ = pretrain(all_crafts(WORLD, 0), TINY, seed=0)
    other, _ = pretrain(all_crafts(WORLD, 0), TINY, seed=1)
    weights = [model.state_dict()["model.norm.weight"] for model in (trained[0], again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_loss_falls_and_progress_reaches_the_end():
    seen = []
    pretrain(all_crafts(WORLD, 0), TINY, seed=0, on_step=lambda *step: seen.append(step))
    assert seen[-1][0] == seen[-1][1]
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)
    assert sum(loss for *_, loss in seen[-5:]) < 0.85 * sum(loss for *_, loss in seen[:5])


def test_loss_is_on_the_learned_text_and_its_end_only(trained):
    renderer = ChatRenderer.of(trained[1])
    asked = Document("Yes, it is.", messages=({"role": "user", "content": "Is it?"},))
    raw = Document(" Fold the wax.", opening="I do this:\n1.")
    for (ids, labels), (read, learned, end) in zip(
        encode_documents([asked, raw], renderer),
        [
            ("<|bos|><|user|>Is it?<|end|><|assistant|>", "Yes, it is.", "<|end|>"),
            ("<|bos|>I do this:\n1.", " Fold the wax.", "<|eos|>"),
        ],
        strict=True,
    ):
        decode = trained[1].decode
        assert decode(ids) == read + learned + end
        assert decode([label for label in labels if label != -100]) == learned + end
        assert [label for label in labels if label != -100] == ids[labels.count(-100) :]


def test_batches_hold_every_row_once_within_the_budget():
    rows = [([0] * length, [0] * length) for length in range(1, 120)]
    batches = make_batches(rows, 200, random.Random(0))
    assert sorted(len(ids) for batch in batches for ids, _ in batch) == list(range(1, 120))
    assert all(len(batch) * max(len(ids) for ids, _ in batch) <= 200 for batch in batches)


def test_base_is_made_once_and_loads_with_transformers(tmp_path, monkeypatch):
    folder = base_model_dir(WORLD, TINY, seed=0, cache_dir=tmp_path)
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.config.vocab_size == len(AutoTokenizer.from_pretrained(folder))
    assert not list(folder.glob("*.bin"))
    monkeypatch.setattr(pretrain_module, "pretrain", None)  # not called again
    assert base_model_dir(WORLD, TINY, seed=0, cache_dir=tmp_path) == folder


def test_other_settings_seed_or_code_make_another_base(tmp_path, monkeypatch):
    calls = []

    def fake(crafts, settings, *, seed, on_step):
        calls.append(seed)
        raise KeyboardInterrupt

    monkeypatch.setattr(pretrain_module, "pretrain", fake)
    for world, seed in ((WORLD, 0), (WORLD, 1), (WORLD.model_copy(update={"shared_steps": 3}), 0)):
        with pytest.raises(KeyboardInterrupt):
            base_model_dir(world, TINY, seed=seed, cache_dir=tmp_path)
    assert calls == [0, 1, 0]
    assert not list(tmp_path.glob("base-*"))


def test_a_folder_that_is_no_finished_base_is_left_alone_and_named(tmp_path):
    folder = base_model_dir(WORLD, TINY, seed=0, cache_dir=tmp_path)
    (folder / COMPLETE).unlink()
    (folder / "model.safetensors").write_bytes(b"mine")
    with pytest.raises(RunError, match=r"base-\w+: stands there, but is no finished base model; remove it"):
        base_model_dir(WORLD, TINY, seed=0, cache_dir=tmp_path)
    assert (folder / "model.safetensors").read_bytes() == b"mine"


def test_shares_of_documents_add_up():
    assert sum(SHARES.values()) == pytest.approx(1)
