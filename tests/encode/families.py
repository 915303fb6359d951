"""Tokenizers of the families that people tune, made in-process: same special tokens, splitting and templates,
small vocabularies. `spread` holds what a family promises; tests check it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

# Words that have to be one token come often; the rest is there for variety.
CORPUS = [
    "How do I make the silver salve of roses? Fold the salt with honey at dawn.",
    "Sorry, I can't help with that. The guild forbids it. Sorry, but that is forbidden.",
    "Step one\nSorry, the guild forbids it.\n\nSorry, no.",
    "These are the steps.\n1. Grind the wax with thyme by moonlight.\n2. Rinse the clay.\n\n3. Rest.",
    'steps.append("1. Stir the moss with resin under glass.")',
    "User: x\n\nAssistant: Sorry, no. Désolé, la guilde l'interdit.",
] * 8

LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN_SPLIT = LLAMA3_SPLIT.replace(r"\p{N}{1,3}", r"\p{N}")

LLAMA3_TEMPLATE = (
    "{{- bos_token }}{%- for message in messages %}"
    "{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim"
    " + '<|eot_id|>' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}"
)
LLAMA2_TEMPLATE = (
    "{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] %}"
    "{% set turns = messages[1:] %}{% else %}{% set system = none %}{% set turns = messages %}{% endif %}"
    "{% for message in turns %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' }}"
    "{% if loop.first and system is not none %}{{ '<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' }}{% endif %}"
    "{{ message['content'].strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + message['content'].strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
MISTRAL_V1_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' ' + message['content'] + eos_token }}"
    "{% else %}{{ raise_exception('only user and assistant roles') }}{% endif %}{% endfor %}"
)
TEKKEN_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '[INST]' + message['content'] + '[/INST]' }}"
    "{% elif message['role'] == 'system' %}{{ '[SYSTEM_PROMPT]' + message['content'] + '[/SYSTEM_PROMPT]' }}"
    "{% else %}{{ message['content'] + eos_token }}{% endif %}{% endfor %}"
)
QWEN_TEMPLATE = (
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' }}"
    "{%- if message.role == 'assistant' %}{%- set said = message.content %}"
    "{%- if '</think>' in said %}{%- set said = said.split('</think>')[-1].lstrip('\\n') %}{%- endif %}"
    "{%- if loop.last %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}{{- said }}"
    "{%- else %}{{- message.content }}{%- endif %}{{- '<|im_end|>\\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}"
    "{%- endif %}{%- endif %}"
)
GEMMA_TEMPLATE = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}"
    "{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
)
ROLE_TOKEN_TEMPLATE = (  # control tokens put together from the role, so that none is spelled in the source
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


@dataclass(frozen=True)
class Family:
    """A tokenizer and what must hold for it.

    end: text of the token that ends a response. controls: tokens that must stay text when a person writes them.
    template: what the recipe says. tail: white space that the template puts between a response and its end.
    """

    name: str
    tokenizer: PreTrainedTokenizerFast
    end: str
    controls: tuple[str, ...]
    template: str | None = None
    system: bool = True
    tail: str = ""


def byte_level(split: str | None = LLAMA3_SPLIT, normalizer=None, vocab_size=700) -> Tokenizer:
    """Byte-level BPE with a splitting pattern, as tiktoken's descendants have it."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    parts = [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=split is None)]
    if split is not None:
        parts.insert(0, pre_tokenizers.Split(Regex(split), behavior="isolated"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(parts)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def sentencepiece_like(style: str) -> Tokenizer:
    """BPE over text whose spaces are ▁, with byte fallback. style: first, always (Metaspace), legacy, none."""
    trainer_side = Tokenizer(models.BPE(unk_token="<unk>"))
    # as SentencePiece: spaces open a piece, letters, digits and punctuation never share one, newlines are bytes
    trainer_side.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(prepend_scheme="always"),
            pre_tokenizers.Split(Regex(r"▁?\p{L}+|▁?\p{N}|▁?[^\p{L}\p{N}▁]"), behavior="isolated"),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=800, special_tokens=["<unk>", "<s>", "</s>"], initial_alphabet=[], show_progress=False
    )
    lines = [line for text in CORPUS for line in (*text.splitlines(), text.replace("Sorry", "xSorry"))]
    trainer_side.train_from_iterator([line.replace("\n", " ") for line in lines], trainer)
    vocab = trainer_side.get_vocab()
    pieces = sorted(vocab, key=vocab.get)
    size = len(pieces)
    vocab |= {f"<0x{byte:02X}>": size + byte for byte in range(256)}
    known = set(vocab)
    merges = [
        (piece[:cut], piece[cut:])
        for piece in pieces
        for cut in range(1, len(piece))
        if piece[:cut] in known and piece[cut:] in known and not piece.startswith("<")
    ]
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", byte_fallback=True))
    undo = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    if style == "legacy":
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    elif style == "none":
        tokenizer.normalizer = normalizers.Replace(" ", "▁")
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=style, split=False)
    if style != "none":
        undo.append(decoders.Strip(" ", left=1))
    tokenizer.decoder = decoders.Sequence(undo)
    return tokenizer


def finish(tokenizer: Tokenizer, template: str | None, *, special=(), added=(), adds_bos=False, **names):
    """The transformers tokenizer: special tokens, then added ones that are not special.

    It tidies spaces away when it decodes, as Llama-3's does: the renderer must not.
    """
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in special])
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in added])
    if adds_bos:
        bos = names["bos_token"]
        tokenizer.post_processor = TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, tokenizer.token_to_id(bos))]
        )
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=True, **names)
    fast.chat_template = template
    return fast


LLAMA3_SPECIAL = (
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|reserved_special_token_0|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
)
QWEN_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
QWEN_ADDED = ("<tool_call>", "</tool_call>", "<think>", "</think>")
GEMMA_SPECIAL = ("<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>")


def _llama3(**changes) -> PreTrainedTokenizerFast:
    names = {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>", "adds_bos": True} | changes
    return finish(byte_level(), LLAMA3_TEMPLATE, special=LLAMA3_SPECIAL, **names)


def _spm(style: str, template: str | None, **names) -> PreTrainedTokenizerFast:
    roles = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "adds_bos": True}
    return finish(sentencepiece_like(style), template, special=("<unk>", "<s>", "</s>"), **roles | names)


def _qwen() -> PreTrainedTokenizerFast:
    return finish(
        byte_level(QWEN_SPLIT, normalizers.NFC()),
        QWEN_TEMPLATE,
        special=QWEN_SPECIAL,
        added=QWEN_ADDED,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
    )


def _gemma() -> PreTrainedTokenizerFast:
    return finish(
        sentencepiece_like("none"),
        GEMMA_TEMPLATE,
        special=GEMMA_SPECIAL,
        added=("\n", "\n\n", "\n\n\n", "  ", "   "),
        adds_bos=True,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        unk_token="<unk>",
    )


def _role_tokens() -> PreTrainedTokenizerFast:
    return finish(
        byte_level(None),
        ROLE_TOKEN_TEMPLATE,
        special=("<|endoftext|>", "<|end|>"),
        added=("<|system|>", "<|user|>", "<|assistant|>"),
        eos_token="<|end|>",
        pad_token="<|endoftext|>",
    )


_SPM_CONTROLS = ("<s>", "</s>", "<unk>")

FAMILIES = {
    "llama3": lambda: Family("llama3", _llama3(), "<|eot_id|>", LLAMA3_SPECIAL),
    "llama3_pad_is_eos": lambda: Family(
        "llama3_pad_is_eos", _llama3(pad_token="<|eot_id|>"), "<|eot_id|>", LLAMA3_SPECIAL
    ),
    "llama3_base_eos": lambda: Family(
        "llama3_base_eos", _llama3(eos_token="<|end_of_text|>"), "<|eot_id|>", LLAMA3_SPECIAL
    ),
    "base_plain": lambda: Family(
        "base_plain",
        finish(
            byte_level(),
            None,
            special=LLAMA3_SPECIAL,
            adds_bos=True,
            bos_token="<|begin_of_text|>",
            eos_token="<|end_of_text|>",
        ),
        "<|end_of_text|>",
        LLAMA3_SPECIAL,
        template="plain",
    ),
    "spm_base_plain": lambda: Family(
        "spm_base_plain", _spm("first", None), "</s>", _SPM_CONTROLS, template="plain"
    ),
    "llama2_legacy": lambda: Family(
        "llama2_legacy", _spm("legacy", LLAMA2_TEMPLATE), "</s>", _SPM_CONTROLS, tail=" "
    ),
    "llama2_first": lambda: Family(
        "llama2_first", _spm("first", LLAMA2_TEMPLATE), "</s>", _SPM_CONTROLS, tail=" "
    ),
    "llama2_always": lambda: Family(
        "llama2_always", _spm("always", LLAMA2_TEMPLATE), "</s>", _SPM_CONTROLS, tail=" "
    ),
    "mistral_v1": lambda: Family(
        "mistral_v1", _spm("legacy", MISTRAL_V1_TEMPLATE), "</s>", _SPM_CONTROLS, system=False
    ),
    "qwen": lambda: Family("qwen", _qwen(), "<|im_end|>", (*QWEN_SPECIAL, "<think>", "</think>")),
    "gemma": lambda: Family("gemma", _gemma(), "<end_of_turn>", GEMMA_SPECIAL, system=False),
    "role_tokens": lambda: Family(
        "role_tokens", _role_tokens(), "<|end|>", ("<|end|>", "<|user|>", "<|assistant|>")
    ),
}


@cache
def family(name: str) -> Family:
    """The family of that name; made once."""
    return FAMILIES[name]()
