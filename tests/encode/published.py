"""Two published tokenizers, taken out of mistral-common's wheel: tekken (131,072 ids) and the SentencePiece one of
Mistral-7B (32,000 ids; the same build as Llama-2's). The wheel is downloaded once and never installed: it pins an
older numpy.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import zipfile
from functools import cache
from pathlib import Path

import pytest
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, processors
from transformers import PreTrainedTokenizerFast
from transformers.tokenization_utils_base import generate_merges

from .families import MISTRAL_V1_TEMPLATE, TEKKEN_TEMPLATE

WHEEL = "mistral-common==1.13.1"
# in order of their ids; <SPECIAL_20> to <SPECIAL_999> fill the rest
TEKKEN_SPECIAL = [
    "<unk>",
    "<s>",
    "</s>",
    "[INST]",
    "[/INST]",
    "[AVAILABLE_TOOLS]",
    "[/AVAILABLE_TOOLS]",
    "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]",
    "[TOOL_CALLS]",
    "[IMG]",
    "<pad>",
    "[IMG_BREAK]",
    "[IMG_END]",
    "[PREFIX]",
    "[MIDDLE]",
    "[SUFFIX]",
    "[SYSTEM_PROMPT]",
    "[/SYSTEM_PROMPT]",
    "[TOOL_CONTENT]",
]


@cache
def tekken() -> PreTrainedTokenizerFast:
    """Tekken of 2024-09-11, as transformers' own converter makes it."""
    folder = _cache() / f"tekken-{transformers.__version__}"
    if not (folder / "tokenizer.json").exists():
        from transformers.integrations.mistral import convert_tekken_tokenizer

        # this file's format predates its list of special tokens; with it the converter needs no mistral-common
        value = json.loads(_from_wheel("tekken_240911.json").read_text(encoding="utf-8"))
        value["special_tokens"] = [
            {"rank": rank, "token_str": text, "is_control": True} for rank, text in enumerate(TEKKEN_SPECIAL)
        ]
        source = folder / "tekken.json"
        folder.mkdir(parents=True, exist_ok=True)
        source.write_text(json.dumps(value), encoding="utf-8")
        convert_tekken_tokenizer(str(source), chat_template=TEKKEN_TEMPLATE).save_pretrained(folder)
        source.unlink()
    return PreTrainedTokenizerFast.from_pretrained(folder)


@cache
def mistral_sentencepiece() -> PreTrainedTokenizerFast:
    """Mistral-7B-v0.1's SentencePiece model with Llama's legacy splitting, as LlamaConverter builds it."""
    pieces = _sentencepiece_pieces(_from_wheel("tokenizer.model.v1").read_bytes())
    vocab = {text: index for index, (text, _) in enumerate(pieces)}
    merges = generate_merges(vocab, dict(pieces))
    tokenizer = Tokenizer(
        models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True, dropout=None)
    )
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", left=1)]
    )
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    fast.chat_template = MISTRAL_V1_TEMPLATE
    return fast


def _cache() -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "derta-tests"


def _from_wheel(name: str) -> Path:
    target = _cache() / name
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(_wheel()) as archive:
            temporary = target.with_suffix(f".{os.getpid()}.tmp")
            temporary.write_bytes(archive.read(f"mistral_common/data/{name}"))
            temporary.replace(target)
    return target


def _wheel() -> Path:
    folder = _cache()
    found = sorted(folder.glob("mistral_common-*.whl"))
    if not found:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--timeout", "10", "--retries", "1"]
        done = subprocess.run(
            [*command, "--quiet", "--dest", str(folder), WHEEL], capture_output=True, text=True, check=False
        )
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
            pytest.skip(f"{WHEEL} can't be downloaded from the package registry: {reason}")
        found = sorted(folder.glob("mistral_common-*.whl"))
    return found[-1]


def _sentencepiece_pieces(model: bytes) -> list[tuple[str, float]]:
    """(text, score) of each piece: field 1 of the ModelProto, read without protobuf."""
    pieces = []
    for field, value in _fields(model):
        if field == 1:
            parts = dict(_fields(value))
            score = struct.unpack("<f", parts[2])[0] if 2 in parts else 0.0
            pieces.append((parts[1].decode(), score))
    return pieces


def _fields(message: bytes):
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        field, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(message, at)
        else:
            size = {1: 8, 5: 4}.get(wire)
            if size is None:
                size, at = _varint(message, at)
            value, at = message[at : at + size], at + size
        yield field, value


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at
