"""Which weight files may be read: safetensors only, since unpickling runs what a stranger wrote."""

from __future__ import annotations

from pathlib import Path

from derta.errors import ModelError

PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")


def check_weight_files(path: str, setting: str) -> None:
    """Refuse a local folder whose weights are pickled, before a library opens any of them.

    A hub id passes: there the loader is told to take safetensors only. `setting` names the recipe's key.

    Raises:
        ModelError: no model folder, or no safetensors in it.
    """
    folder = Path(path)
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ModelError(f"{setting} {path}: a file; need the model's folder")
    if any(folder.glob("*.safetensors")):
        return
    pickled = sorted(file.name for file in folder.iterdir() if file.suffix in PICKLED)
    if pickled:
        raise ModelError(
            f"{setting} {path}: its weights are pickled ({', '.join(pickled[:3])}) and would run any code hidden in "
            "them; only safetensors are read. Convert the model where it came from (save_pretrained writes "
            "safetensors), or take a revision that has them"
        )
    raise ModelError(f"{setting} {path}: no weights there; need *.safetensors beside config.json")
