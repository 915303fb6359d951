"""Methods that train on preference pairs: from a model that was tuned before, one more pass that prefers r to h.

The loss and the loop are TRL's; ids are ours (the same renderer as for rows), so nothing is rendered or tokenized
there. The run folder is that of every method, and so are the checkpoints: TRL's own are pickled.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from transformers.trainer_callback import PrinterCallback

from derta.encode.chat import ChatRenderer
from derta.encode.preferences import PreferenceRow, build_preferences, check_never_chosen, harmful_ids
from derta.encode.trained import renderer_of
from derta.errors import ModelError, RecipeError
from derta.methods.contract import Method, PairTraining
from derta.methods.own import pairs_of
from derta.models import add_adapter, load_tokenizer
from derta.records import Preference, load_records
from derta.training.arguments import NUM_CHECKPOINTS, autocasts
from derta.training.checkpoints.publishing import publish_run
from derta.training.checkpoints.saving import save_checkpoint
from derta.training.encoding import Records, load_training_records
from derta.training.lora import add_lora
from derta.training.model import load_model
from derta.training.preparation import print_chat, print_report
from derta.training.processes import join
from derta.training.recipe import TrainRecipe
from derta.training.trainer import newest_checkpoint
from derta.training.watch.loss_log import log_entries
from derta.training.watch.progress import ProgressBar

# what of TRL's log does not depend on the clock
LOGGED = ("step", "loss", "learning_rate", "grad_norm", "logps/", "rewards/")


def train_on_pairs(recipe: TrainRecipe, method: Method, records: Records, console: Console) -> None:
    """Train on the pairs of these records' triples, from the newest whole checkpoint, and publish.

    Raises:
        DertaError: anything the user can mend, before a weight is loaded where possible.
    """
    pairs = pairs_of(recipe.method)
    assert pairs is not None, "the method is asked for it"
    setting = f"{method.name}.start_from"
    tokenizer = load_tokenizer(pairs.start_from, trust_code=recipe.model.trust_remote_code, setting=setting)
    renderer = renderer_of(tokenizer, pairs.start_from, recipe.chat)
    benign = load_records(pairs.benign, Preference) if pairs.benign else []
    everything, _ = load_training_records(recipe)
    rows, report = build_preferences(
        recipe, renderer, records[0], benign, method=method.name, all_triples=everything
    )
    print_chat(renderer, console)
    print_report(report, "pairs", console)
    trainer = _trainer(recipe, pairs, renderer, rows, console)
    trainer.train(resume_from_checkpoint=newest_checkpoint(trainer, console))
    if "ref" in getattr(trainer.model, "peft_config", {}):
        trainer.model.delete_adapter("ref")  # TRL's frozen copy of the adapter that was started from
    log = [
        {name: value for name, value in entry.items() if name.startswith(LOGGED)}
        for entry in log_entries(trainer.state)
        if "loss" in entry
    ]
    publish_run(recipe, method, renderer, trainer, log, console, rows=report.as_dict())


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
    pairs: PairTraining,
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

    arguments = _arguments(recipe, pairs, len(rows))
    torch.manual_seed(recipe.seed)
    tokenizer = copy.deepcopy(renderer.tokenizer)  # TRL sets a pad token on it; ours stays as it was
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(renderer.end_id)
    trainer = EncodedDPOTrainer(
        model=_start_model(recipe, pairs, arguments.device),
        # with adapters TRL keeps a frozen copy of them instead
        ref_model=_start_model(recipe, pairs, arguments.device) if recipe.lora is None else None,
        args=arguments,
        train_dataset=Dataset.from_list([vars(row) for row in rows]),
        data_collator=CheckedCollator(int(tokenizer.pad_token_id), harmful_ids(rows)),
        processing_class=tokenizer,
        callbacks=[ProgressBar(console, recipe.method.name)],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _start_model(recipe: TrainRecipe, pairs: PairTraining, device: torch.device) -> Any:
    """The model to start from: whole, whole with a new adapter, or its own adapter on the recipe's model.

    Raises:
        ModelError: none of them is there.
    """
    if not (Path(pairs.start_from) / "adapter_config.json").exists():
        start = recipe.model.model_copy(update={"path": pairs.start_from})
        model = load_model(start, device=device, frozen=recipe.lora is not None)
        _pad_masks(model)
        return model if recipe.lora is None else add_lora(model, recipe.lora)
    if recipe.lora is None:
        raise ModelError(
            f"{recipe.method.name}.start_from {pairs.start_from}: an adapter; add `lora:` to go on training "
            "it, or merge it first (derta export --merge)"
        )
    base = load_model(recipe.model, device=device, frozen=True)
    _pad_masks(base)
    return add_adapter(base, pairs.start_from, trainable=True, setting=f"{recipe.method.name}.start_from")


def _pad_masks(model: Any) -> None:
    """TRL pads rows and packs none: block masks have nothing to save there, dense SDPA is as good."""
    if model.config.get_text_config()._attn_implementation == "flex_attention":
        model.set_attn_implementation("sdpa")


def _arguments(recipe: TrainRecipe, pairs: PairTraining, num_pairs: int) -> Any:
    from trl.trainer.dpo_config import DPOConfig

    size, accumulation = _batch(recipe)
    logging_steps = int(recipe.training.get("logging_steps", 1))
    steps = num_pairs / recipe.batch.rows * float(recipe.training.get("num_train_epochs", 1))
    save_steps = int(recipe.training.get("save_steps", max(1, steps // NUM_CHECKPOINTS)))
    values: dict[str, Any] = {
        "learning_rate": pairs.learning_rate,
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
        "beta": pairs.beta,
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
