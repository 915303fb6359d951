"""The dpo baseline: from a vanilla run's model, one more pass that prefers the safe response to the harmful one.

The loss and the loop are TRL's; ids are ours (the same renderer as every other method), so nothing is rendered or
tokenized there. The run folder is that of `derta train`, and so are the checkpoints: TRL's own are pickled.
"""

from __future__ import annotations

import copy
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from transformers.trainer_callback import PrinterCallback

from derta.config import DpoSettings, TrainRecipe
from derta.encode.chat import ChatRenderer
from derta.encode.dataset import RowReport
from derta.encode.preferences import PreferenceRow, build_preferences, check_never_chosen, harmful_ids
from derta.errors import ModelError, RecipeError
from derta.files import run_lock, sha256_file, write_json, write_jsonl
from derta.models import add_adapter, load_tokenizer
from derta.provenance import write_manifest
from derta.records import Preference, Triple, load_records
from derta.run_folder import claim
from derta.train.arguments import NUM_CHECKPOINTS, autocasts, check_arguments
from derta.train.checkpoints.checkpoint import damage, publish
from derta.train.checkpoints.fingerprint import check_same_run, fingerprint
from derta.train.checkpoints.publishing import check_result, inputs_of, result_dir
from derta.train.checkpoints.saving import save_checkpoint, save_model
from derta.train.lora import add_lora
from derta.train.model import load_model
from derta.train.processes import join, on_first
from derta.train.progress import ProgressBar
from derta.train.trainer import newest_checkpoint

LOGGED = (
    "step",
    "loss",
    "learning_rate",
    "grad_norm",
    "logps/",
    "rewards/",
)  # what does not depend on the clock


def train_dpo(recipe: TrainRecipe, console: Console | None = None) -> Path:
    """Train the dpo baseline; returns the model folder (with LoRA the adapter's).

    Raises:
        DertaError: anything the user can mend, before a weight is loaded where possible.
    """
    settings = recipe.dpo
    assert settings is not None, "the recipe is checked"
    processes = join()
    check_arguments(recipe)
    console = (console or Console(stderr=True)) if processes.is_main_process else Console(quiet=True)
    folder = result_dir(recipe)
    now = fingerprint(recipe) | _start_fingerprint(settings)
    with ExitStack() as held:
        on_first(lambda: _open(held, recipe, now))
        if on_first(lambda: folder.exists() and damage(folder) is None):
            console.print(f"{recipe.run_dir}: already trained")
            return folder
        tokenizer = load_tokenizer(
            settings.start_from, trust_code=recipe.model.trust_remote_code, setting="dpo.start_from"
        )
        renderer = ChatRenderer.of(tokenizer, recipe.chat.template)
        triples = load_records(recipe.data.triples, Triple)
        benign = load_records(settings.preferences, Preference) if settings.preferences else []
        rows, report = build_preferences(recipe, renderer, triples, benign)
        _print_report(report, console)
        trainer = _trainer(recipe, settings, renderer, rows, console)
        trainer.train(resume_from_checkpoint=newest_checkpoint(trainer, console))
        _publish(recipe, renderer, report, trainer, folder)
    return folder


def _open(held: ExitStack, recipe: TrainRecipe, now: dict[str, str]) -> None:
    claim(recipe.run_dir, "train", inputs_of(recipe))
    held.enter_context(run_lock(recipe.run_dir))
    check_same_run(recipe.run_dir, now)
    check_result(result_dir(recipe))
    write_json(recipe.run_dir / "run.json", now)


def _start_fingerprint(settings: DpoSettings) -> dict[str, str]:
    """What the vanilla run left: the hashes of all its files, or for a hub id nothing but its name."""
    sealed = Path(settings.start_from) / "SHA256.json"
    found = {"content of dpo.start_from": sha256_file(sealed)} if sealed.exists() else {}
    if settings.preferences is not None and settings.preferences.exists():
        found["content of dpo.preferences"] = sha256_file(settings.preferences)
    return found


def _print_report(report: RowReport, console: Console) -> None:
    for kind in sorted(report.given):
        console.print(f"pairs {kind}: {report.used[kind]} used of {report.given[kind]}")
    for title, counts in (("dropped", report.dropped), ("cut", report.cut)):
        for reason, count in sorted(counts.items()):
            console.print(f"[yellow]{title}:[/] {count} x {reason}")


class CheckedCollator:
    """TRL's collator behind the proof that no batch prefers a harmful response."""

    def __init__(self, pad_id: int, harmful: frozenset[tuple[int, ...]]) -> None:
        from trl.trainer.dpo_trainer import DataCollatorForPreference

        self.collator = DataCollatorForPreference(pad_token_id=pad_id)
        self.harmful = harmful

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """The padded batch.

        Raises:
            HarmfulTargetError: an example's chosen response is a harmful one; the batch is not made.
        """
        check_never_chosen(
            (
                PreferenceRow("in a batch", e["prompt_ids"], e["chosen_ids"], e["rejected_ids"])
                for e in examples
            ),
            self.harmful,
        )
        batch: dict[str, Any] = self.collator(examples)
        return batch


def _trainer(
    recipe: TrainRecipe,
    settings: DpoSettings,
    renderer: ChatRenderer,
    rows: list[PreferenceRow],
    console: Console,
) -> Any:
    from datasets import Dataset
    from trl.trainer.dpo_trainer import DPOTrainer  # takes seconds to import

    class EncodedDPOTrainer(DPOTrainer):  # type: ignore[misc]
        """Trains on the ids it is given; TRL would render and tokenize texts anew."""

        def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
            return dataset

        def _save_checkpoint(self, model: Any, trial: Any) -> None:
            save_checkpoint(self)

    arguments = _arguments(recipe, settings, len(rows))
    torch.manual_seed(recipe.seed)
    tokenizer = copy.deepcopy(renderer.tokenizer)  # TRL sets a pad token on it; ours stays as it was
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(renderer.end_id)
    trainer = EncodedDPOTrainer(
        model=_start_model(recipe, settings, arguments.device),
        # with adapters TRL keeps a frozen copy of them instead
        ref_model=_start_model(recipe, settings, arguments.device) if recipe.lora is None else None,
        args=arguments,
        train_dataset=Dataset.from_list([vars(row) for row in rows]),
        data_collator=CheckedCollator(int(tokenizer.pad_token_id), harmful_ids(rows)),
        processing_class=tokenizer,
        callbacks=[ProgressBar(console, "dpo")],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _start_model(recipe: TrainRecipe, settings: DpoSettings, device: torch.device) -> Any:
    """The vanilla model: whole, whole with a new adapter, or its own adapter on the recipe's model.

    Raises:
        ModelError: none of them is there.
    """
    if not (Path(settings.start_from) / "adapter_config.json").exists():
        start = recipe.model.model_copy(update={"path": settings.start_from})
        model = load_model(start, device=device, frozen=recipe.lora is not None)
        _pad_masks(model)
        return model if recipe.lora is None else add_lora(model, recipe.lora)
    if recipe.lora is None:
        raise ModelError(
            f"dpo.start_from {settings.start_from}: an adapter; add `lora:` to go on training it, or merge it first "
            "(derta export --merge)"
        )
    base = load_model(recipe.model, device=device, frozen=True)
    _pad_masks(base)
    return add_adapter(base, settings.start_from, trainable=True, setting="dpo.start_from")


def _pad_masks(model: Any) -> None:
    """TRL pads rows and packs none: block masks have nothing to save there, dense SDPA is as good."""
    if model.config.get_text_config()._attn_implementation == "flex_attention":
        model.set_attn_implementation("sdpa")


def _arguments(recipe: TrainRecipe, settings: DpoSettings, num_pairs: int) -> Any:
    from trl.trainer.dpo_config import DPOConfig

    size, accumulation = _batch(recipe)
    logging_steps = int(recipe.training.get("logging_steps", 1))
    steps = num_pairs / recipe.batch.rows * float(recipe.training.get("num_train_epochs", 1))
    save_steps = int(recipe.training.get("save_steps", max(1, steps // NUM_CHECKPOINTS)))
    values: dict[str, Any] = {
        "learning_rate": 5e-7,
        "weight_decay": 2e-5,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0.03,
        "num_train_epochs": 1,
        "save_total_limit": 2,
        "report_to": "none",
        **recipe.training,
        "logging_steps": logging_steps,
        # on a logging step, so that the log after a resume is the same
        "save_steps": -(-save_steps // logging_steps) * logging_steps,
        "save_strategy": "steps",
        "disable_tqdm": True,
        "use_cpu": not torch.accelerator.is_available(),
        "bf16": autocasts(recipe),
        "seed": recipe.seed,
        "output_dir": str(recipe.run_dir / "checkpoints"),
        "per_device_train_batch_size": size,
        "gradient_accumulation_steps": accumulation,
        "beta": settings.beta,
        "max_length": None,  # rows were cut where they were made, and counted
    }
    try:
        return DPOConfig(**values)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"training: {str(error).splitlines()[0]}") from None


def _batch(recipe: TrainRecipe) -> tuple[int, int]:
    """(pairs a process computes at once, accumulation) with exactly `batch.rows` pairs a step.

    Raises:
        RecipeError: the processes can't share the rows evenly.
    """
    processes = join().num_processes
    if recipe.batch.rows % processes:
        raise RecipeError(f"batch.rows: found {recipe.batch.rows}, need a multiple of {processes} processes")
    share = recipe.batch.rows // processes
    fits = max(1, recipe.batch.tokens // (2 * recipe.max_length))  # two responses a pair
    size = max(count for count in range(1, min(share, fits) + 1) if share % count == 0)
    return size, share // size


def _publish(
    recipe: TrainRecipe, renderer: ChatRenderer, report: RowReport, trainer: Any, folder: Path
) -> None:
    run_dir, temporary = recipe.run_dir, recipe.run_dir / ".model.tmp"
    on_first(lambda: shutil.rmtree(temporary, ignore_errors=True))
    if "ref" in getattr(trainer.model, "peft_config", {}):
        trainer.model.delete_adapter("ref")  # TRL's frozen copy of the vanilla adapter
    save_model(trainer, temporary)

    def finish() -> None:
        log = [
            {name: value for name, value in sorted(entry.items()) if name.startswith(LOGGED)}
            for entry in trainer.state.log_history
            if "loss" in entry
        ]
        write_jsonl(run_dir / "train_log.jsonl", log)
        renderer.save_tokenizer(temporary)
        write_manifest(
            run_dir,
            kind="train",
            config=recipe.model_dump(mode="json"),
            inputs=[recipe.data.triples]
            + ([recipe.dpo.preferences] if recipe.dpo and recipe.dpo.preferences else []),
            template_hash=renderer.template_hash,
            rows=report.as_dict(),
            steps=trainer.state.global_step,
            device=str(trainer.args.device),
            processes=trainer.args.world_size,
        )
        publish(temporary, folder)

    on_first(finish)
