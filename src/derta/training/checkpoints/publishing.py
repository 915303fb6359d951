"""The end of a run: a plain model folder, the loss log and the manifest."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from rich.console import Console
from transformers import Trainer

from derta.encode.chat import ChatRenderer
from derta.encode.prompt_report import prompt_facts
from derta.encode.trained import save_chat
from derta.errors import RunError
from derta.files import write_json, write_jsonl
from derta.methods.contract import Method, describe
from derta.methods.own import pairs_of
from derta.model_files import GENERATION_CONFIG
from derta.provenance import write_manifest
from derta.training.checkpoints.checkpoint import damage, publish, unlisted
from derta.training.checkpoints.saving import save_model
from derta.training.model import shares_trunks
from derta.training.preparation import Prepared
from derta.training.processes import on_first
from derta.training.recipe import TrainRecipe
from derta.training.watch.loss_log import FILE as LOG


def result_dir(recipe: TrainRecipe) -> Path:
    """Where the result goes: a whole model, or an adapter that loads on top of the recipe's model."""
    return recipe.run_dir / ("model" if recipe.lora is None else "adapter")


def check_result(folder: Path) -> None:
    """Whether a result that has to be made again holds nothing but what a run of ours put there.

    Raises:
        RunError: it holds other files, which would be lost.
    """
    others = unlisted(folder)
    if others and damage(folder) is not None:
        raise RunError(
            f"{folder}: holds {others[0]}, which derta did not write; move it away, then train again"
        )


def publish_run(
    recipe: TrainRecipe,
    method: Method,
    renderer: ChatRenderer,
    trainer: Trainer,
    log: list[dict[str, Any]],
    console: Console,
    **found: Any,
) -> None:
    """Write model/ or adapter/, train_log.jsonl and manifest.json (first process; all take part in gathering).

    log: the loss log's entries; console: told what stops the model; found: what else the manifest says.
    """
    run_dir = recipe.run_dir
    temporary = run_dir / ".model.tmp"
    on_first(lambda: shutil.rmtree(temporary, ignore_errors=True))
    _note_decoding(trainer, method)
    _note_ending(trainer, renderer, console)
    save_model(trainer, temporary)

    def finish() -> None:
        write_jsonl(run_dir / LOG, log)
        save_chat(temporary, renderer)
        if recipe.lora is not None:
            _save_decoding(trainer, temporary)
        write_manifest(
            run_dir,
            kind="train",
            config=recipe.model_dump(mode="json"),
            method=describe(method),
            inputs=input_files(recipe),
            template_hash=renderer.template_hash,
            chat=prompt_facts(renderer),
            steps=trainer.state.global_step,
            device=str(trainer.args.device),
            processes=trainer.args.world_size,
            **found,
        )
        publish(temporary, result_dir(recipe))

    on_first(finish)


def about_rows(recipe: TrainRecipe, prepared: Prepared) -> dict[str, Any]:
    """What the manifest says of training on rows."""
    return {
        "refusal_token": {
            "start": prepared.refusal.start_id,
            "running": prepared.refusal.running_id,
            "line": prepared.refusal.line_id,
            "rule": prepared.refusal.rule,
        },
        "rows": prepared.report.as_dict(),
        "tokens": prepared.plan.num_tokens,
        "attention": prepared.architecture.attention,
        "shared_trunk": shares_trunks(recipe, prepared.architecture),
        "launched_with": {
            name: os.environ[name] for name in sorted(os.environ) if name.startswith("ACCELERATE_")
        },
    }


def input_files(recipe: TrainRecipe) -> list[Path]:
    """Files whose hashes the manifest holds: the data, and a method file of the user's own."""
    files = [recipe.data.triples]
    pairs = pairs_of(recipe.method)
    if pairs is None:
        files.append(recipe.data.benign)
    elif pairs.benign is not None:
        files.append(pairs.benign)
    return files if recipe.method.file is None else [*files, recipe.method.file]


def _note_decoding(trainer: Trainer, method: Method) -> None:
    """Settings of generation that the method needs go into the model's generation_config.json."""
    config = getattr(trainer.model, "generation_config", None)
    if config is not None and method.decoding:
        config.update(**method.decoding)


def with_ending(config: Any, end_id: int) -> bool:
    """Let a GenerationConfig stop at the trained end of turn too; whether it did not already."""
    known = config.eos_token_id
    ends = [] if known is None else [known] if isinstance(known, int) else [int(token) for token in known]
    if end_id in ends:
        return False
    config.eos_token_id = [*ends, end_id] if ends else end_id
    return True


def _note_ending(trainer: Trainer, renderer: ChatRenderer, console: Console) -> None:
    """The trained end of turn stops the model wherever it is loaded: base models know end-of-text alone."""
    config = getattr(trainer.model, "generation_config", None)
    if config is not None and with_ending(config, renderer.end_id):
        name = renderer.tokenizer.convert_ids_to_tokens(renderer.end_id)
        said = f"generation_config.json: eos_token_id gets {renderer.end_id} ({name}), which ends a trained answer"
        console.print(said, highlight=False, markup=False, soft_wrap=True)


def _save_decoding(trainer: Trainer, folder: Path) -> None:
    """An adapter's folder has no settings of generation by itself; a merged model takes them from there."""
    config = getattr(trainer.model, "generation_config", None)
    if config is not None:
        write_json(folder / GENERATION_CONFIG, config.to_diff_dict())
