"""What decides the numbers of a run, so that a resume with other settings is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import derta
from derta.config import TrainRecipe
from derta.errors import RunError
from derta.files import sha256_file, sha256_text

# These fit the machine or watch the run; they change no number (up to rounding).
FREE_TO_CHANGE = (
    "run_dir",
    "batch.tokens",
    "batch.line_tokens",
    "training.activation_checkpointing",
    "training.activation_checkpointing_kwargs",
    "training.gradient_checkpointing",
    "training.gradient_checkpointing_kwargs",
    "training.dataloader_num_workers",
    "training.dataloader_pin_memory",
    "training.ddp_timeout",
    "training.report_to",
    "training.run_name",
    "training.save_steps",
    "training.save_total_limit",
)


def fingerprint(recipe: TrainRecipe) -> dict[str, str]:
    """Recipe fields, data hashes, tokenizer and code, flat."""
    flat = _flatten(recipe.model_dump(mode="json"))
    flat = {
        name: text
        for name, text in flat.items()
        if not any(name == free or name.startswith(f"{free}.") for free in FREE_TO_CHANGE)
    }
    for name in ("triples", "benign"):
        path = getattr(recipe.data, name)
        flat[f"content of data.{name}"] = sha256_file(path) if path.exists() else "missing"
    for file in ("tokenizer.json", "chat_template.jinja", "config.json"):
        path = Path(recipe.model.path) / file
        if path.exists():
            flat[f"content of model.path/{file}"] = sha256_file(path)
    if recipe.chat.template and Path(recipe.chat.template).exists():
        flat["content of chat.template"] = sha256_file(Path(recipe.chat.template))
    flat["derta"] = f"{derta.__version__} {_code_hash()}"
    return flat


def check_same_run(run_dir: Path, now: dict[str, str]) -> None:
    """Refuse to continue a run that was started with other settings.

    Raises:
        RunError: names everything that changed.
    """
    path = run_dir / "run.json"
    if not path.exists():
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise RunError(
            f"{path}: unreadable, so nobody knows what this run is; choose another run_dir"
        ) from None
    changed = [
        f"{name}: was {before.get(name, 'absent')}, is {now.get(name, 'absent')}"
        for name in sorted(set(before) | set(now))
        if before.get(name) != now.get(name)
    ]
    if changed:
        raise RunError(
            f"{run_dir}: was started with other settings; choose another run_dir, remove this one, or set back:\n"
            + "\n".join(f"  {line}" for line in changed)
        )


def _code_hash() -> str:
    """Hash of the source that makes rows and trains on them."""
    package = Path(derta.__file__).parent
    files = sorted(path for stage in ("encode", "train") for path in (package / stage).rglob("*.py"))
    return sha256_text("".join(sha256_file(path) for path in files))[:16]


def _flatten(value: Any, prefix: str = "") -> dict[str, str]:
    if isinstance(value, dict) and value:
        return {
            key: text
            for name, part in value.items()
            for key, text in _flatten(part, f"{prefix}.{name}" if prefix else name).items()
        }
    return {prefix: json.dumps(value)}
