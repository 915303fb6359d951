"""Settings of tiny random models, one for each architecture of transformers that the matrix tries."""

from __future__ import annotations

from typing import Any

SMALL = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}
HEAD = {"head_dim": 8}
WINDOW = {"sliding_window": 16}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2}
LOCAL = {"num_local_experts": 4, "num_experts_per_tok": 2}
GPT2_SIZES = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 512}
ROUTED = {
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "moe_intermediate_size": 16,
    "first_k_dense_replace": 1,
    "n_shared_experts": 1,
}
LATENT = {
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
    "num_key_value_heads": 4,
}
MAMBA = {
    "mamba_n_heads": 4,
    "mamba_d_head": 16,
    "mamba_d_state": 16,
    "mamba_n_groups": 1,
    "mamba_chunk_size": 16,
}
STATE = {"num_heads": 4, "head_dim": 16, "state_size": 16, "n_groups": 1, "chunk_size": 16}
LINEAR = {
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "num_hidden_layers": 4,
}
VISION = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
NEXT_EXPERTS = EXPERTS | {"moe_intermediate_size": 16, "shared_expert_intermediate_size": 16}
GEMMA = HEAD | WINDOW | {"query_pre_attn_scalar": 8}

# model_type: settings beside SMALL; None takes a key of SMALL away
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "apertus": {},
    "arcee": {},
    "bamba": MAMBA | {"attn_layer_indices": [1]},
    "bitnet": {},
    "bloom": {"n_head": 4, "n_layer": 2},
    "cohere": {},
    "cohere2": WINDOW,
    "deepseek_v2": LATENT | ROUTED,
    "deepseek_v3": LATENT | ROUTED,
    "diffllama": {},
    "doge": {},
    "dots1": ROUTED,
    "ernie4_5": HEAD,
    "ernie4_5_moe": {"moe_num_experts": 4, "moe_k": 2, "moe_intermediate_size": 16},
    "exaone4": WINDOW,
    "falcon": {},
    "falcon_h1": MAMBA | {"mamba_d_ssm": 64},
    "falcon_mamba": {"state_size": 8},
    "gemma": HEAD,
    "gemma2": GEMMA,
    "gemma3": {"text_config": SMALL | GEMMA, "vision_config": VISION | {"image_size": 28, "patch_size": 14}},
    "gemma3_text": GEMMA,
    "glm": HEAD,
    "glm4": HEAD,
    "glm4_moe": HEAD | ROUTED,
    "gpt2": GPT2_SIZES,
    "gpt_bigcode": GPT2_SIZES,
    "gpt_neox": {},
    "gpt_oss": HEAD | LOCAL | WINDOW,
    "gptj": {"n_embd": 32, "n_layer": 2, "n_head": 4, "rotary_dim": 8},
    "granite": {},
    "granitemoe": LOCAL,
    "granitemoehybrid": MAMBA
    | LOCAL
    | {"layer_types": ["mamba", "attention"], "shared_intermediate_size": 32},
    "helium": HEAD,
    "hunyuan_v1_dense": HEAD,
    "jamba": {
        "num_experts": 2,
        "num_experts_per_tok": 1,
        "attn_layer_offset": 1,
        "attn_layer_period": 2,
        "mamba_d_state": 8,
        "mamba_dt_rank": 8,
        "use_mamba_kernels": False,
    },
    "lfm2": {"block_multiple_of": 8, "full_attn_idxs": [1]},
    "lfm2_moe": EXPERTS
    | {"moe_intermediate_size": 16, "layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
    "llama": {},
    "llama4_text": HEAD | {"num_local_experts": 2, "intermediate_size_mlp": 48, "attention_chunk_size": 64},
    "longcat_flash": LATENT
    | HEAD
    | {
        "ffn_hidden_size": 48,
        "n_routed_experts": 4,
        "moe_topk": 2,
        "expert_ffn_hidden_size": 16,
        "zero_expert_num": 2,
        "num_layers": 2,
    },
    "mamba": {"state_size": 8},
    "mamba2": STATE,
    "minimax": HEAD | LOCAL | {"block_size": 16},
    "mistral": WINDOW,
    "mixtral": LOCAL,
    "mpt": {"d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 512},
    "nemotron": {},
    "nemotron_h": HEAD
    | {
        "mamba_num_heads": 4,
        "mamba_head_dim": 16,
        "ssm_state_size": 16,
        "n_groups": 1,
        "chunk_size": 16,
        "layers_block_type": ["mamba", "attention", "mlp"],
        "num_hidden_layers": None,
    },
    "olmo2": {},
    "olmo3": WINDOW,
    "olmoe": EXPERTS,
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32},
    "persimmon": {},
    "phi": {},
    "phi3": {},
    "qwen2": {},
    "qwen2_moe": NEXT_EXPERTS,
    "qwen3": HEAD,
    "qwen3_5": {
        "text_config": SMALL | HEAD | LINEAR,
        "vision_config": {"depth": 1, "hidden_size": 16, "intermediate_size": 32, "num_heads": 2}
        | {"out_hidden_size": 32, "num_position_embeddings": 16},
    },
    "qwen3_moe": HEAD | EXPERTS | {"moe_intermediate_size": 16, "decoder_sparse_step": 1},
    "qwen3_next": HEAD | LINEAR | NEXT_EXPERTS,
    "recurrent_gemma": HEAD | {"lru_width": 32, "attention_window_size": 32},
    "seed_oss": HEAD,
    "smollm3": {"no_rope_layers": [1, 0]},
    "stablelm": {},
    "starcoder2": {},
    "xglm": {"d_model": 32, "attention_heads": 4, "num_layers": 2, "ffn_dim": 48},
}
