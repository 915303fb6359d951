"""Load a model under test from a folder or hub id; fingerprint it, so that its answers can be found again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from derta.errors import ModelError
from derta.files import dumps, sha256_file, sha256_text
from derta.weights import check_weight_files

# Files of a model folder that change what it answers; logs, optimizer states and cards do not.
ANSWER_FILES = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt", "*.tiktoken")
TOKENIZER_FILES = (
    "tokenizer*",
    "special_tokens_map.json",
    "vocab*",
    "merges.txt",
    "*.jinja",
    "*.model",
    "*.tiktoken",
)


def load_tokenizer(path: str) -> PreTrainedTokenizerBase:
    """The tokenizer beside a model.

    Raises:
        ModelError: nothing loadable there.
    """
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(path)
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: no tokenizer could be loaded: {_first_line(error)}") from None
    return tokenizer


def load_model(path: str, dtype: Literal["auto", "float32", "bfloat16"] = "auto") -> PreTrainedModel:
    """A causal LM (or an adapter folder with its base) for inference, on the GPU if there is one.

    Only safetensors are read and no code that comes with a model is run.

    Raises:
        ModelError: nothing loadable there.
    """
    check_weight_files(path, "model")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if dtype == "auto":
        chosen = torch.bfloat16 if device.type == "cuda" else torch.float32
    else:
        chosen = torch.float32 if dtype == "float32" else torch.bfloat16
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()  # ours is on the screen already
    try:
        model = _from_pretrained(path, chosen)
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: the model can't be loaded: {_first_line(error)}") from None
    finally:
        if bars:
            transformers_logging.enable_progress_bar()
    model.to(device)  # type: ignore[arg-type]
    model.eval()
    return model


def _from_pretrained(path: str, dtype: torch.dtype) -> PreTrainedModel:
    """With SDPA where the architecture has it, else eager (Gemma-2: soft caps); never what a config asks for."""
    settings = {"dtype": dtype, "use_safetensors": True}
    try:
        return AutoModelForCausalLM.from_pretrained(path, attn_implementation="sdpa", **settings)
    except ValueError as error:
        if "scaled_dot_product_attention" not in str(error):
            raise
    return AutoModelForCausalLM.from_pretrained(path, attn_implementation="eager", **settings)


def fingerprint(path: str) -> str:
    """SHA-256 over everything in a model folder that changes its answers (for an adapter, its base too).

    For a hub id: the id and its commit.

    Raises:
        ModelError: a folder without a model.
    """
    folder = Path(path)
    if not folder.is_dir():
        return sha256_text(dumps({"hub": path, "commit": _hub_commit(path)}))
    files = sorted({file for pattern in ANSWER_FILES for file in folder.glob(pattern) if file.is_file()})
    if not any(file.name in ("config.json", "adapter_config.json") for file in files):
        raise ModelError(
            f"{path}: no config.json or adapter_config.json there; need a model or adapter folder"
        )
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name} {sha256_file(file)}\n".encode())
    adapter = folder / "adapter_config.json"
    if adapter.is_file():
        base = json.loads(adapter.read_text(encoding="utf-8")).get("base_model_name_or_path")
        digest.update(f"base {fingerprint(base) if base else None}\n".encode())
    return digest.hexdigest()


def tokenizer_fingerprint(path: str) -> str:
    """The same over a tokenizer's files alone (no weights are needed beside it)."""
    folder = Path(path)
    if not folder.is_dir():
        return sha256_text(dumps({"hub": path}))
    files = sorted({file for pattern in TOKENIZER_FILES for file in folder.glob(pattern) if file.is_file()})
    return sha256_text(dumps({file.name: sha256_file(file) for file in files}))


def _hub_commit(path: str) -> str | None:
    try:
        return getattr(AutoConfig.from_pretrained(path), "_commit_hash", None)
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: neither a folder nor a loadable hub id: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]
