"""Where a number comes from: code, library versions, machine, data hashes. One `manifest.json` a run."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import derta
from derta.files import sha256_file, write_json
from derta.secrecy import public

LIBRARIES = (
    "torch",
    "transformers",
    "accelerate",
    "peft",
    "datasets",
    "trl",
    "inspect-ai",
    "tokenizers",
    "numpy",
)


def library_versions() -> dict[str, str]:
    """Versions of the libraries a result depends on; absent ones are left out."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def code_version() -> dict[str, Any]:
    """Package version, and the git commit with its dirty flag when run from a checkout."""
    source = Path(__file__).resolve().parent
    commit = _git(source, "rev-parse", "HEAD")
    dirty = bool(_git(source, "status", "--porcelain", "--untracked-files=no", "--", str(source)))
    return {"derta": derta.__version__, "commit": commit or None, "dirty": dirty if commit else None}


def environment() -> dict[str, Any]:
    """What a report of a fault should name: code, Python, platform, libraries, processors, cards.

    Loads torch, to ask it for the cards.
    """
    import torch

    cards = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        **code_version(),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "cards": cards,
        "libraries": library_versions(),
    }


def write_manifest(
    run_dir: Path, *, kind: str, config: dict[str, Any], inputs: list[Path], **facts: Any
) -> None:
    """Write `manifest.json`. It alone holds times; every other file of a run is the same for the same seed.

    inputs: data files whose SHA-256 is recorded. facts: JSON values, e.g. template hash, device, row counts.
    """
    write_json(
        run_dir / "manifest.json",
        {
            "kind": kind,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "config": public(config),
            "code": code_version(),
            "python": sys.version.split()[0],
            "platform": platform.platform(),
            "libraries": library_versions(),
            "inputs": {str(path): sha256_file(path) for path in inputs},
            **facts,
        },
    )


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
