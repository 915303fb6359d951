"""What decides the numbers of a run, so that a resume with other settings is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from derta.code_hash import changed_files, code_files
from derta.encode.prompt_report import day_of
from derta.errors import DataError, RunError
from derta.files import dumps, read_small, sha256_file, sha256_text
from derta.methods import METHODS
from derta.methods.own import pairs_of
from derta.models import weights_fingerprint
from derta.records import Message
from derta.training.encoding import open_tokenizer
from derta.training.recipe import TrainRecipe

# These fit the machine or watch the run; they change no number (up to rounding).
FREE_TO_CHANGE = (
    "run_dir",
    "stop_when",
    "batch.tokens",
    "batch.line_tokens",
    "chat.date",  # what it changes is in the rendered conversation
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

_CONVERSATION: list[Message] = [
    {"role": "user", "content": "A question?"},
    {"role": "assistant", "content": "Its answer."},
    {"role": "user", "content": "Another one?"},
]
CODE = "code "  # before the name of a source file
# What is shown, estimated or written; how micro-batches fit the machine. dpo.py, only where it is the method.
NO_NUMBERS = (
    "derta.training.watch.progress",
    "derta.training.watch.mix",
    "derta.training.checkpoints",
    "derta.training.cost",
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
    for file in ("tokenizer.json", "config.json"):
        path = Path(recipe.model.path) / file
        if path.exists():
            flat[f"content of model.path/{file}"] = sha256_file(path)
    for name, path in _files_of_method(recipe).items():
        flat[f"content of {name}"] = sha256_file(path) if path.exists() else "missing"
    if recipe.chat.template and Path(recipe.chat.template).exists():
        flat["content of chat.template"] = sha256_file(Path(recipe.chat.template))
    flat |= _rendering(recipe)
    weights = weights_fingerprint(recipe.model.path)
    if weights is not None:
        flat["weights of model.path"] = weights
    return flat | {f"{CODE}{file}": code for file, code in _code_of(recipe).items()}


def _rendering(recipe: TrainRecipe) -> dict[str, str]:
    """What a conversation becomes, wherever its template lives; and the ids of the special tokens."""
    renderer, _ = open_tokenizer(recipe)
    tokenizer = renderer.tokenizer
    [(prompt, answer)] = renderer.encode_pairs([(_CONVERSATION, "An answer.\n\nOf two lines.")])
    rendered = [*prompt, *answer, *renderer.parts.end_ids]
    special = {name: str(text) for name, text in tokenizer.special_tokens_map.items()}
    added = {str(token): str(text) for token, text in tokenizer.added_tokens_decoder.items()}
    found = {
        "chat template": sha256_text(renderer.template),
        "rendered conversation": sha256_text(str(rendered)),
        "special tokens": sha256_text(dumps({"named": special, "added": added})),
    }
    day = day_of(renderer.rendering)
    return found if day is None else found | {"date that the template writes (chat.date sets it)": str(day)}


def check_same_run(run_dir: Path, now: dict[str, str]) -> None:
    """Refuse to continue a run that was started with other settings.

    Raises:
        RunError: names everything that changed.
    """
    path = run_dir / "run.json"
    if not path.exists():
        return
    try:
        before = json.loads(read_small(path))
        if not isinstance(before, dict):
            raise ValueError
    except (DataError, ValueError, RecursionError):
        raise RunError(
            f"{path}: unreadable, so nobody knows what this run is; choose another run_dir"
        ) from None
    # a setting that has no value is the same as none: those of other methods came and went with derta's versions
    before, now = ({k: v for k, v in run.items() if v != "null"} for run in (before, now))
    changed = [
        f"{name}: was {before.get(name, 'absent')}, is {now.get(name, 'absent')}"
        for name in sorted(set(before) | set(now))
        if before.get(name) != now.get(name) and name != "derta" and not name.startswith(CODE)
    ] + _changed_code(before, now)
    if changed:
        raise RunError(
            f"{run_dir}: was started with other settings; choose another run_dir, remove this one, or set back:\n"
            + "\n".join(f"  {line}" for line in changed)
        )


def _code_of(recipe: TrainRecipe) -> dict[str, str]:
    """The sources that make rows and train on them; other methods' have no part in it."""
    others = [f"derta.methods.{name}" for name in METHODS if name != recipe.method.name]
    on_pairs = [] if pairs_of(recipe.method) else ["derta.training.pairs", "derta.encode.preferences"]
    return code_files("derta.training.run", without=(*NO_NUMBERS, *others, *on_pairs))


def _changed_code(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """One line where the code changed, not one a file."""
    was, is_now = (
        {name: text for name, text in run.items() if name.startswith(CODE)} for run in (before, now)
    )
    if "derta" in before:
        return [f"code: was derta {before['derta']}, which kept no hash that can be compared with today's"]
    changed = changed_files(was, is_now)
    return (
        [f"code: {changed.replace(CODE, '')} changed; go on with the version that began the run"]
        if changed
        else []
    )


def _files_of_method(recipe: TrainRecipe) -> dict[str, Path]:
    """Files that a method brings: one of the user's own itself, and those that its settings name."""
    if recipe.method.file is not None:
        return {"method.file": recipe.method.file}
    pairs = pairs_of(recipe.method)
    files = {} if pairs is None else pairs.files()
    return {f"{recipe.method.name}.{name}": path for name, path in files.items()}


def _flatten(value: Any, prefix: str = "") -> dict[str, str]:
    if isinstance(value, dict) and value:
        return {
            key: text
            for name, part in value.items()
            for key, text in _flatten(part, f"{prefix}.{name}" if prefix else name).items()
        }
    return {prefix: json.dumps(value)}
