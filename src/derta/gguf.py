"""Models that come as one GGUF file: unpacked once into a folder of safetensors, which every verb can read."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

from derta.errors import ModelError
from derta.files import sha256_file, write_json
from derta.model_files import first_line

SOURCE = "gguf.json"  # in the new folder, written last: which file it was made from
PROMPTS = (
    "The capital of France is",
    "Two and two make",
    "Water boils at",
    "Once upon a time there was",
    "The opposite of hot is",
    "Bread is made of flour and",
    "A week has seven",
    "The sun rises in the",
    "Dear sister, thank you for your",
    "Honey is made by",
    "def add(a, b): return",
    "The colour of the sky is",
    "My favourite book is",
    "In winter the river",
    "She opened the door and",
    "The recipe needs salt and",
    "Ten minus three is",
    "Cats and dogs are",
    "He plays the piano and the",
    "Good morning, how are",
)


def unpack_gguf(file: Path, folder: Path) -> Path:
    """Weights (float32, whatever they were packed in), tokenizer and template of a GGUF file as a model folder.

    A folder that was made from this file is taken as it is. The weights are read back and must give the same most
    likely token behind each of `PROMPTS`.

    Raises:
        ModelError: no such file, the package gguf is missing, the file can't be read, something else stands in
            `folder`, or what was written answers otherwise.
    """
    if not file.is_file():
        raise ModelError(f"{file}: no such file")
    made_from = {"file": file.name, "sha256": sha256_file(file)}
    if (folder / SOURCE).is_file() and made_from["sha256"] in (folder / SOURCE).read_text(encoding="utf-8"):
        return folder
    if folder.exists():
        raise ModelError(f"{folder}: stands there, but was not made from {file}; remove it")
    if importlib.util.find_spec("gguf") is None:
        raise ModelError(f"{file}: GGUF needs the package gguf; pip install 'derta[real]'")
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    expected = _unpack(file, unfinished)
    _check_same(expected, unfinished, file)
    write_json(unfinished / SOURCE, made_from)
    unfinished.rename(folder)
    return folder


def _unpack(file: Path, folder: Path) -> list[int]:
    """Write the folder; returns the most likely token behind each prompt."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where: dict[str, Any] = {"gguf_file": file.name, "trust_remote_code": False}
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(file.parent, **where)
        model: Any = AutoModelForCausalLM.from_pretrained(file.parent, dtype=torch.float32, **where)
    except Exception as error:  # the library and gguf raise what they like on a stranger's file
        raise ModelError(f"{file}: can't be read as GGUF: {first_line(error)}") from None
    model.hf_quantizer = None  # the weights are plain float32 now; else the library refuses to save them
    model.config.__dict__.pop("quantization_config", None)
    expected = _top_tokens(model, tokenizer)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return expected


def _check_same(expected: list[int], folder: Path, file: Path) -> None:
    from derta.models import load_model, load_tokenizer

    found = _top_tokens(load_model(str(folder), "float32"), load_tokenizer(str(folder)))
    differ = sum(one != other for one, other in zip(expected, found, strict=True))
    if differ:
        raise ModelError(
            f"{file}: unpacked to safetensors it answers {differ} of {len(PROMPTS)} prompts otherwise"
        )


def _top_tokens(model: Any, tokenizer: Any) -> list[int]:
    import torch

    found = []
    with torch.inference_mode():
        for prompt in PROMPTS:
            ids = tokenizer(prompt, return_tensors="pt").input_ids.to(model.device)
            found.append(int(model(input_ids=ids, use_cache=False).logits[0, -1].argmax()))
    return found
