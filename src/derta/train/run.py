"""`derta train`: from a recipe to a model folder. The same command continues what was interrupted.

1 lock the run folder          5 plan micro-batches (rows, steps and padding are printed)
2 load the records             6 load the model, teach its forward the supervision list
3 take tokenizer and template  7 train, from the newest whole checkpoint if there is one
  apart, resolve refusal token 8 publish model/ and manifest.json
4 encode rows; what was dropped or cut is printed
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from transformers import PreTrainedModel, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from transformers.utils.logging import disable_progress_bar

import derta
from derta.config import TrainRecipe
from derta.encode.chat import ChatRenderer
from derta.encode.dataset import RowReport, build_rows
from derta.encode.refusal_token import RefusalToken, describe, resolve_refusal_token
from derta.encode.rows import RowSet, save_rows
from derta.errors import RecipeError, RunError
from derta.files import run_lock, sha256_file, sha256_text, write_json, write_jsonl
from derta.provenance import write_manifest
from derta.records import BenignPair, Triple, load_records
from derta.train.checkpoint import damage, latest_whole, publish
from derta.train.collate import MicroBatches
from derta.train.loss import install_supervised_forward
from derta.train.model import load_model, load_tokenizer, pad_id
from derta.train.plan import Plan, plan_batches
from derta.train.probe import HazardProbe
from derta.train.progress import ProgressBar
from derta.train.trainer import RefusalTrainer, ResumeCallback

NUM_CHECKPOINTS = 10  # a run leaves at least so many unless the recipe says otherwise
FREE_TO_CHANGE = ("batch.tokens", "batch.line_tokens")  # these fit the machine and change no number


@dataclass(frozen=True)
class Prepared:
    """Everything that is known before weights are loaded."""

    renderer: ChatRenderer
    refusal: RefusalToken
    rows: RowSet
    report: RowReport
    plan: Plan


def train(recipe: TrainRecipe, console: Console | None = None) -> Path:
    """Train one method; returns the model folder, `run_dir`/model.

    Raises:
        DertaError: anything the user can mend, before a weight is loaded where possible.
    """
    console = console or Console(stderr=True)
    disable_progress_bar()  # of the library's loading and saving; ours shows the steps
    if recipe.method == "dpo":
        raise RecipeError("method: dpo is not there yet; choose vanilla, vanilla_half, prefix, rto or derta")
    with run_lock(recipe.run_dir):
        model_dir = recipe.run_dir / "model"
        fingerprint = _fingerprint(recipe)
        _check_same_run(recipe.run_dir, fingerprint)
        if model_dir.exists() and damage(model_dir) is None:
            console.print(f"{recipe.run_dir}: already trained")
            return model_dir
        prepared = prepare(recipe)
        print_rows(prepared, console)
        write_json(recipe.run_dir / "run.json", fingerprint)
        _save_first_epoch(recipe.run_dir / "rows", prepared)
        trainer = _trainer(recipe, prepared, console)
        checkpoint, told = latest_whole(recipe.run_dir / "checkpoints")
        for line in told:
            console.print(line)
        if checkpoint:
            console.print(f"continuing from {checkpoint}")
            trainer.add_callback(ResumeCallback(checkpoint))
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        _publish(recipe, prepared, trainer)
    return model_dir


def prepare(recipe: TrainRecipe, world_size: int = 1) -> Prepared:
    """Read, encode and plan; no weights.

    Raises:
        DataError, TokenizerError, ModelError, RunError: what is wrong, and where.
    """
    tokenizer = load_tokenizer(recipe.model.path, trust_remote_code=recipe.model.trust_remote_code)
    renderer = ChatRenderer.of(tokenizer, recipe.chat.template)
    refusal = resolve_refusal_token(renderer, recipe.refusal.text, recipe.refusal.token)
    triples = load_records(recipe.data.triples, Triple)
    benign = load_records(recipe.data.benign, BenignPair)
    rows, report = build_rows(recipe, renderer, refusal, triples, benign)
    plan = plan_batches(
        rows,
        num_epochs=int(recipe.training.get("num_train_epochs", 2)),
        batch_rows=recipe.batch.rows,
        micro_batch_tokens=recipe.batch.tokens,
        line_tokens=recipe.batch.line_tokens,
        world_size=world_size,
        max_steps=recipe.training.get("max_steps"),
    )
    return Prepared(renderer, refusal, rows, report, plan)


def print_rows(prepared: Prepared, console: Console) -> None:
    """Say what will be trained on, and what not."""
    report, plan = prepared.report, prepared.plan
    console.print(describe(prepared.refusal), highlight=False)
    for warning in prepared.refusal.warnings:
        console.print(f"[yellow]warning:[/] {warning}")
    if report.opening_share is not None:
        note = "" if report.opening_share else "; nothing then teaches what follows the refusal token"
        style = "" if report.opening_share else "[yellow]warning:[/] "
        console.print(f"{style}safe responses that begin with it: {report.opening_share:.1%}{note}")
    for name in sorted(report.given):
        console.print(f"rows {name}: {report.used[name]} used of {report.given[name]}")
    for title, counts in (("dropped", report.dropped), ("cut", report.cut)):
        for reason, count in sorted(counts.items()):
            console.print(f"[yellow]{title}:[/] {count} x {reason}")
    console.print(
        f"{plan.num_steps} steps, {plan.num_tokens:,} tokens, {plan.efficiency:.1%} of computed slots are real, "
        f"{plan.accumulation} micro-batch(es) a step"
    )


def _trainer(recipe: TrainRecipe, prepared: Prepared, console: Console) -> RefusalTrainer:
    arguments = _arguments(recipe, prepared.plan)
    torch.manual_seed(recipe.seed)
    model = load_model(recipe.model, device=arguments.device)
    install_supervised_forward(model)
    callbacks: list[TrainerCallback] = [ProgressBar(console, recipe.method)]
    if recipe.probe is not None:
        callbacks.append(HazardProbe(recipe.probe, prepared.renderer, prepared.refusal))
    trainer = RefusalTrainer(
        model=model,
        args=arguments,
        train_dataset=MicroBatches(prepared.rows, prepared.plan, pad_id(prepared.renderer.tokenizer)),
        data_collator=_only_one,
        callbacks=callbacks,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    for callback in callbacks:
        if isinstance(callback, HazardProbe):
            callback.log = trainer.log
    return trainer


def _arguments(recipe: TrainRecipe, plan: Plan) -> TrainingArguments:
    given = dict(recipe.training)
    logging_steps = int(given.pop("logging_steps", 10))
    save_steps = int(given.pop("save_steps", max(1, plan.num_steps // NUM_CHECKPOINTS)))
    # a checkpoint falls on a logging step, so that the loss log after a resume is the same
    logging_steps = max(1, min(logging_steps, plan.num_steps))
    save_steps = -(-save_steps // logging_steps) * logging_steps
    settings: dict[str, Any] = {
        "weight_decay": 2e-5,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0.03,
        "report_to": "none",
        "save_total_limit": 2,
        "disable_tqdm": True,
        "use_cpu": not torch.cuda.is_available(),
        "dataloader_pin_memory": torch.cuda.is_available(),
        **given,
        "num_train_epochs": 1,  # all epochs are in the plan, each with its own draws
        "max_steps": plan.num_steps,
        "logging_strategy": "steps",
        "logging_steps": logging_steps,
        "save_strategy": "steps",
        "save_steps": save_steps,
        "output_dir": str(recipe.run_dir / "checkpoints"),
        "seed": recipe.seed,
        "per_device_train_batch_size": 1,  # one planned micro-batch
        "gradient_accumulation_steps": plan.accumulation,
        "train_sampling_strategy": "sequential",
        "remove_unused_columns": False,
        "label_names": [],
        "logging_nan_inf_filter": False,
    }
    try:
        return TrainingArguments(**settings)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"training: {str(error).splitlines()[0]}") from None


def _only_one(batch: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """The data loader's batch is one planned micro-batch."""
    return batch[0]


def _publish(recipe: TrainRecipe, prepared: Prepared, trainer: RefusalTrainer) -> None:
    run_dir = recipe.run_dir
    log = [_reproducible(entry) for entry in trainer.state.log_history]
    write_jsonl(run_dir / "train_log.jsonl", [entry for entry in log if len(entry) > 1])
    temporary = run_dir / ".model.tmp"
    model = trainer.model
    assert isinstance(model, PreTrainedModel)
    model.save_pretrained(temporary)
    prepared.renderer.tokenizer.save_pretrained(temporary)
    write_manifest(
        run_dir,
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
        device=str(trainer.args.device),
    )
    publish(temporary, run_dir / "model")


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


def _save_first_epoch(folder: Path, prepared: Prepared) -> None:
    rows = [row for unit in range(len(prepared.rows)) for row in prepared.rows.rows(unit, 0)]
    folder.mkdir(parents=True, exist_ok=True)
    save_rows(folder / "epoch_0.safetensors", rows)
    write_json(folder / "report.json", prepared.report.as_dict())


def _fingerprint(recipe: TrainRecipe) -> dict[str, str]:
    """What decides the numbers of a run, flat: recipe fields, data hashes, tokenizer, code."""
    flat = _flatten(recipe.model_dump(mode="json"))
    for name in (*FREE_TO_CHANGE, "run_dir"):
        flat.pop(name, None)
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


def _code_hash() -> str:
    """Hash of the source that makes rows and trains on them."""
    package = Path(derta.__file__).parent
    files = sorted(path for stage in ("encode", "train") for path in (package / stage).glob("*.py"))
    return sha256_text("".join(sha256_file(path) for path in files))[:16]


def _flatten(value: Any, prefix: str = "") -> dict[str, str]:
    if isinstance(value, dict) and value:
        return {
            key: text
            for name, part in value.items()
            for key, text in _flatten(part, f"{prefix}.{name}" if prefix else name).items()
        }
    return {prefix: json.dumps(value)}


def _check_same_run(run_dir: Path, fingerprint: dict[str, str]) -> None:
    """Refuse to continue a run that was started with other settings.

    Raises:
        RunError: names everything that changed.
    """
    path = run_dir / "run.json"
    if not path.exists():
        return
    before = json.loads(path.read_text(encoding="utf-8"))
    changed = [
        f"{name}: was {before.get(name, 'absent')}, is {fingerprint.get(name, 'absent')}"
        for name in sorted(set(before) | set(fingerprint))
        if before.get(name) != fingerprint.get(name)
    ]
    if changed:
        raise RunError(
            f"{run_dir}: was started with other settings; choose another run_dir, remove this one, or set back:\n"
            + "\n".join(f"  {line}" for line in changed)
        )
