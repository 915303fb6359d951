"""A GGUF file becomes a model folder once; a tiny one is written by the gguf library itself."""

import shutil

import pytest
import torch

from derta.errors import ModelError
from derta.gguf import unpack_gguf
from derta.models import load_model, load_tokenizer

gguf = pytest.importorskip("gguf")
HEADS, KV_HEADS, LAYERS, WIDTH, INNER = 4, 2, 2, 32, 64
LINEAR = {  # gguf's name of each matrix -> transformers' name
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}


def turned(weight, heads):
    """llama.cpp keeps the halves of each head's rotated pairs beside each other."""
    return weight.reshape(heads, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def write(path, folder):
    """A model folder as a GGUF file."""
    model, tokenizer = load_model(str(folder)), load_tokenizer(str(folder))
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(256)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(model.config.rms_norm_eps)
    writer.add_vocab_size(len(tokenizer))
    words = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    merges = tokenizer.backend_tokenizer.model.__getstate__()
    import json

    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(words)
    writer.add_token_types([3 if word.startswith("<|") else 1 for word in words])
    writer.add_token_merges([" ".join(pair) for pair in json.loads(merges)["merges"]])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_chat_template(tokenizer.chat_template)
    weights = {name: tensor.float().numpy() for name, tensor in model.state_dict().items()}
    writer.add_tensor("token_embd.weight", weights["model.embed_tokens.weight"])
    writer.add_tensor("output_norm.weight", weights["model.norm.weight"])
    writer.add_tensor("output.weight", weights["lm_head.weight"])
    for layer in range(LAYERS):
        for name, ours in LINEAR.items():
            weight = weights[f"model.layers.{layer}.{ours}.weight"]
            if name in ("attn_q", "attn_k"):
                weight = turned(weight, HEADS if name == "attn_q" else KV_HEADS)
            writer.add_tensor(f"blk.{layer}.{name}.weight", weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def packed(tmp_path_factory, save_model):
    folder = tmp_path_factory.mktemp("gguf")
    save_model(folder / "model")
    write(folder / "tiny.gguf", folder / "model")
    return folder


def test_the_folder_has_the_files_weights_and_template(packed):
    made = unpack_gguf(packed / "tiny.gguf", packed / "made")
    before, after = load_model(str(packed / "model")), load_model(str(made))
    ids = torch.arange(5, 60)[None]
    torch.testing.assert_close(before(input_ids=ids).logits, after(input_ids=ids).logits)
    turns = [{"role": "user", "content": "How do I make the silver salve of roses?"}]
    rendered = [load_tokenizer(str(path)).apply_chat_template(turns) for path in (packed / "model", made)]
    assert rendered[0] == rendered[1]


def test_it_is_made_once_and_never_over_something_else(packed):
    made = unpack_gguf(packed / "tiny.gguf", packed / "once")
    before = (made / "model.safetensors").stat().st_mtime_ns
    assert unpack_gguf(packed / "tiny.gguf", packed / "once") == made
    assert (made / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(ModelError, match=r"stands there, but was not made from .*tiny\.gguf"):
        unpack_gguf(packed / "tiny.gguf", packed / "model")


def test_weights_that_answer_otherwise_when_read_back_are_refused(packed, monkeypatch):
    import derta.gguf

    answers = iter([[1] * 20, [1] * 18 + [2, 2]])
    monkeypatch.setattr(derta.gguf, "_top_tokens", lambda model, tokenizer: next(answers))
    with pytest.raises(ModelError, match="answers 2 of 20 prompts otherwise"):
        unpack_gguf(packed / "tiny.gguf", packed / "other")
    assert not (packed / "other").exists()


def test_a_file_that_is_none_is_one_line(packed):
    shutil.copy(packed / "model/config.json", packed / "no.gguf")
    with pytest.raises(ModelError, match=r"no\.gguf: can't be read as GGUF"):
        unpack_gguf(packed / "no.gguf", packed / "no")
    with pytest.raises(ModelError, match=r"none\.gguf: no such file"):
        unpack_gguf(packed / "none.gguf", packed / "no")
