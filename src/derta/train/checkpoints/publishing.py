"""The end of a run: a plain model folder, the loss log and the manifest."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from derta.config import TrainRecipe
from derta.errors import RunError
from derta.files import write_jsonl
from derta.provenance import write_manifest
from derta.train.checkpoints.checkpoint import damage, publish, unlisted
from derta.train.checkpoints.saving import save_model
from derta.train.model import shares_trunks
from derta.train.preparation import Prepared
from derta.train.processes import on_first
from derta.train.trainer import RefusalTrainer


def result_dir(recipe: TrainRecipe) -> Path:
    """Where the result goes: a whole model, or an adapter that loads on top of the recipe's model."""
    return recipe.run_dir / ("model" if recipe.lora is None else "adapter")


def inputs_of(recipe: TrainRecipe) -> list[str | Path | None]:
    """Every file and folder that a training run reads."""
    found: list[str | Path | None] = [recipe.data.triples, recipe.data.benign, recipe.model.path]
    if recipe.probe is not None:
        found += [recipe.probe.triples, recipe.probe.benign]
    if recipe.dpo is not None:
        found += [recipe.dpo.start_from, recipe.dpo.preferences]
    return [*found, recipe.chat.template]


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


def publish_run(recipe: TrainRecipe, prepared: Prepared, trainer: RefusalTrainer) -> None:
    """Write model/ or adapter/, train_log.jsonl and manifest.json (first process; all take part in gathering)."""
    run_dir = recipe.run_dir
    temporary = run_dir / ".model.tmp"
    on_first(lambda: shutil.rmtree(temporary, ignore_errors=True))
    save_model(trainer, temporary)

    def finish() -> None:
        log = [_reproducible(entry) for entry in trainer.state.log_history]
        write_jsonl(run_dir / "train_log.jsonl", [entry for entry in log if len(entry) > 1])
        prepared.renderer.save_tokenizer(temporary)
        _write_manifest(recipe, prepared, trainer)
        publish(temporary, result_dir(recipe))

    on_first(finish)


def _write_manifest(recipe: TrainRecipe, prepared: Prepared, trainer: RefusalTrainer) -> None:
    write_manifest(
        recipe.run_dir,
        kind="train",
        config=recipe.model_dump(mode="json"),
        inputs=[recipe.data.triples, recipe.data.benign],
        template_hash=prepared.renderer.template_hash,
        refusal_token={
            "start": prepared.refusal.start_id,
            "running": prepared.refusal.running_id,
            "line": prepared.refusal.line_id,
            "rule": prepared.refusal.rule,
        },
        rows=prepared.report.as_dict(),
        steps=prepared.plan.num_steps,
        tokens=prepared.plan.num_tokens,
        attention=prepared.architecture.attention,
        shared_trunk=shares_trunks(recipe, prepared.architecture),
        device=str(trainer.args.device),
        processes=trainer.args.world_size,
        launched_with={
            name: os.environ[name] for name in sorted(os.environ) if name.startswith("ACCELERATE_")
        },
    )


def _reproducible(entry: dict[str, Any]) -> dict[str, Any]:
    """A log entry without what depends on the clock; keys sorted, as a resume reads them back."""
    clock = (
        "train_runtime",
        "train_samples_per_second",
        "train_steps_per_second",
        "total_flos",
        "train_loss",
    )
    return {name: value for name, value in sorted(entry.items()) if name not in (*clock, "epoch")}
