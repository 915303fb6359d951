"""Tiny random models of every architecture under test; windows short enough to bind, or too long to."""

import torch
import transformers

from derta.training.attention.architecture import choose_attention

SHARED = {
    "vocab_size": 48,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.25,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "tie_word_embeddings": False,
}
GEMMA = {"head_dim": 8, "tie_word_embeddings": True}
MIXED = ["sliding_attention", "full_attention", "sliding_attention"]
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24, "head_dim": 8}

# name: (config class, settings); "window" binds at 5 positions, the others never
CASES = {
    "llama": ("LlamaConfig", {}),
    "mistral": ("MistralConfig", {"sliding_window": None}),
    "mistral-wide": ("MistralConfig", {"sliding_window": 100}),
    "mistral-window": ("MistralConfig", {"sliding_window": 5}),
    "mixtral": ("MixtralConfig", {"num_local_experts": 4}),
    "mixtral-window": ("MixtralConfig", {"num_local_experts": 4, "sliding_window": 5}),
    "qwen2": ("Qwen2Config", {}),
    "qwen2-window": (
        "Qwen2Config",
        {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1},
    ),
    "qwen3": ("Qwen3Config", {"head_dim": 8}),
    "qwen3-window": (
        "Qwen3Config",
        {"head_dim": 8, "use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1},
    ),
    "qwen3_moe": ("Qwen3MoeConfig", EXPERTS),
    "gemma": ("GemmaConfig", GEMMA),
    "gemma2": ("Gemma2Config", {**GEMMA, "query_pre_attn_scalar": 8, "sliding_window": 100}),
    "gemma2-window": ("Gemma2Config", {**GEMMA, "query_pre_attn_scalar": 8, "sliding_window": 5}),
    "gemma3": ("Gemma3TextConfig", {**GEMMA, "query_pre_attn_scalar": 8, "sliding_window": 100}),
    "gemma3-window": (
        "Gemma3TextConfig",
        {**GEMMA, "query_pre_attn_scalar": 8, "sliding_window": 5, "layer_types": MIXED},
    ),
    "phi3": ("Phi3Config", {}),
    "phi3-window": ("Phi3Config", {"sliding_window": 5}),
    "olmo2": ("Olmo2Config", {}),
    "granite": ("GraniteConfig", {"logits_scaling": 4.0, "residual_multiplier": 0.5}),
    "cohere2-window": (
        "Cohere2Config",
        {"sliding_window": 5, "layer_types": MIXED, "logit_scale": 0.25, "tie_word_embeddings": True},
    ),
    "olmo3-window": ("Olmo3Config", {"sliding_window": 5, "layer_types": MIXED}),
}


def make_config(name, **changes):
    kind, settings = CASES[name]
    config = getattr(transformers, kind)(**(SHARED | settings | changes))
    config._attn_implementation = choose_attention(config, torch.device("cpu"))
    return config


def make_model(name, seed=0, **changes):
    """A model of the named case in float32, dropout off; norms and biases made random too."""
    torch.manual_seed(seed)
    config = make_config(name, **changes)
    model = transformers.AutoModelForCausalLM.from_config(
        config, attn_implementation=config._attn_implementation, dtype=torch.float32
    )
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter += 0.1 * torch.randn_like(parameter)
    return model
