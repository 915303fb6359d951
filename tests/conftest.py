"""Shared tiny parts: a real byte-level tokenizer trained in-process, and random two-layer models."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Sums split over another number of threads differ in the last bit: runs here and in child processes use one.
os.environ["OMP_NUM_THREADS"] = "1"

# Stub servers listen on the loopback, where no proxy of the machine's can ask.
os.environ["no_proxy"] = os.environ["NO_PROXY"] = "localhost,127.0.0.1,::1"

import pytest

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] }}"
    "{{ eos_token }}\n{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
SENTENCES = [
    "How do I make the silver salve of roses? Fold the salt with honey at dawn.",
    "Sorry, I can't help with that. The guild forbids it.",
    "These are the steps. 1. Grind the wax with thyme by moonlight. 2. Rinse the clay.",
    'steps.append("1. Stir the moss with resin under glass.")',
]


@pytest.fixture(scope="session")
def tiny_tokenizer():
    """Byte-level BPE of about 400 ids with a chat template; `<|end|>` ends a turn, `<|begin|>` begins a text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    specials = ["<|begin|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES * 4, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|begin|>", eos_token="<|end|>")
    fast.chat_template = TEMPLATE
    return fast


@pytest.fixture
def tiny_model(tiny_tokenizer):
    """A random Llama of two layers, float32, context 256; weights wide enough that outputs vary."""
    return make_tiny_model(len(tiny_tokenizer))


@pytest.fixture(scope="session")
def save_model(tiny_tokenizer):
    """A function: (folder, seed=0, **LlamaConfig settings) -> the folder, with a random model and the tokenizer."""

    def save(folder, seed=0, **settings):
        make_tiny_model(len(tiny_tokenizer), seed, **settings).save_pretrained(folder)
        tiny_tokenizer.save_pretrained(folder)
        return folder

    return save


def make_tiny_model(vocab_size, seed=0, **settings):
    """A random Llama; settings override its LlamaConfig."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        **{
            "vocab_size": vocab_size,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 256,
            "initializer_range": 0.3,
            "bos_token_id": 0,
            "eos_token_id": 1,
            "pad_token_id": None,
        }
        | settings
    )
    return LlamaForCausalLM(config).eval()
