"""`derta train`: from a recipe to a model folder. The same command continues what was interrupted.

1 lock the run folder          5 plan micro-batches (rows, steps and padding are printed)
2 load the records, then the   6 load the model, teach its forward the supervision list
  method                       7 train, from the newest whole checkpoint if there is one
3 take tokenizer and template  8 publish model/ and manifest.json
  apart, resolve refusal token
4 encode rows; what was dropped or cut is printed

A method that trains on pairs has the same run folder, and its own 3 to 7 (see pairs.py). Launched as several
processes, each does 2 to 7 on its own and the first owns the folder (see processes.py).
"""

from __future__ import annotations

import gc
import traceback
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import torch
from rich.console import Console
from transformers import TrainerCallback
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from transformers.utils.logging import disable_progress_bar

from derta.errors import RunError
from derta.files import run_lock, sha256_text, write_json
from derta.methods.contract import Handle, Method
from derta.run_folder import claim
from derta.training.arguments import check_arguments, training_arguments
from derta.training.checkpoints.checkpoint import damage
from derta.training.checkpoints.fingerprint import check_same_run, fingerprint
from derta.training.checkpoints.publishing import (
    about_rows,
    check_result,
    publish_run,
    result_dir,
)
from derta.training.checkpoints.saving import save_checkpoint, sharding
from derta.training.collate import MicroBatches
from derta.training.cost.allocator import keep_freed_memory
from derta.training.cost.memory import fitting_tokens, halve, is_out_of_memory
from derta.training.encoding import Records, inputs_of
from derta.training.loss import as_bits
from derta.training.model import model_for_training, pad_id
from derta.training.pairs import train_on_pairs
from derta.training.plan import Plan
from derta.training.preparation import (
    Prepared,
    prepare,
    print_rows,
    print_watch,
    replan,
    save_first_epoch,
    told_method,
)
from derta.training.processes import join, on_first, same_on_every
from derta.training.recipe import TrainRecipe
from derta.training.step_guard import StepGuard
from derta.training.trainer import RefusalTrainer, newest_checkpoint
from derta.training.watch.loss_log import LossLog, log_entries
from derta.training.watch.probe import HazardProbe
from derta.training.watch.progress import ProgressBar


def train(recipe: TrainRecipe, console: Console | None = None) -> Path:
    """Train one method; returns the model folder, `run_dir`/model (with LoRA the adapter's, `run_dir`/adapter).

    Raises:
        DertaError: anything the user can mend, before a weight is loaded where possible.
    """
    processes = join()
    if processes.device.type == "cpu":
        keep_freed_memory()
    console = (console or Console(stderr=True)) if processes.is_main_process else Console(quiet=True)
    disable_progress_bar()  # of the library's loading and saving; ours shows the steps
    model_dir = result_dir(recipe)
    check_arguments(recipe)  # TRL's own are refused: some of its losses push rejected responses up
    now = fingerprint(recipe)
    with ExitStack() as held:
        on_first(lambda: _open(held, recipe, now))
        if on_first(lambda: model_dir.exists() and damage(model_dir) is None):
            console.print(f"{recipe.run_dir}: already trained")
            return model_dir
        records, method = told_method(recipe, console)
        if method.pairs is None:
            _train_on_rows(recipe, method, records, now, console)
        else:
            train_on_pairs(recipe, method, records, console)
    return model_dir


def _train_on_rows(
    recipe: TrainRecipe, method: Method, records: Records, now: dict[str, str], console: Console
) -> None:
    prepared = prepare(recipe, method, records, join().num_processes)
    _check_one_run(recipe, now, prepared.plan)
    print_rows(prepared, console)
    print_watch(recipe, console)
    on_first(lambda: save_first_epoch(recipe.run_dir / "rows", prepared))
    prepared, trainer = _train_to_the_end(recipe, prepared, console)
    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, HazardProbe):
            callback.end(trainer.state)
    facts = about_rows(recipe, prepared)
    publish_run(recipe, method, prepared.renderer, trainer, log_entries(trainer.state), console, **facts)


def _open(held: ExitStack, recipe: TrainRecipe, now: dict[str, str]) -> None:
    """Claim and lock the run folder; one that was started with other settings stays as it is."""
    claim(recipe.run_dir, "train", inputs_of(recipe))
    held.enter_context(run_lock(recipe.run_dir))
    check_same_run(recipe.run_dir, now)
    check_result(result_dir(recipe))
    write_json(recipe.run_dir / "run.json", now)


def _check_one_run(recipe: TrainRecipe, now: dict[str, str], plan: Plan) -> None:
    """Processes on several machines must see the same files.

    Raises:
        RunError: they don't.
    """
    if not same_on_every(sha256_text(repr((now, plan.micro_batches)))):
        raise RunError("the processes read different data, settings or code; give every node the same files")
    if not same_on_every(str((recipe.run_dir / "run.json").exists())):
        raise RunError(f"{recipe.run_dir}: not seen by every node; put run_dir on a shared file system")


def _train_to_the_end(
    recipe: TrainRecipe, prepared: Prepared, console: Console
) -> tuple[Prepared, RefusalTrainer]:
    """Train; where memory runs out, go on with smaller micro-batches."""
    tokens = fitting_tokens(recipe.run_dir, recipe.batch.tokens)
    while True:
        trainer, hooks = _trainer(recipe, prepared, console)
        checkpoint = newest_checkpoint(trainer, console)
        try:
            trainer.train(resume_from_checkpoint=checkpoint)
            return prepared, trainer
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            traceback.clear_frames(error.__traceback__)  # they hold the tensors of the broken step
        finally:
            _stop_progress(trainer)
            for hook in hooks:
                hook.remove()
        smaller = _make_room(recipe, prepared.plan, trainer, tokens)
        console.print(
            f"out of memory at step {trainer.state.global_step + 1} with batch.tokens = {tokens}; "
            f"on with {smaller} (same global batches)"
        )
        tokens = smaller
        prepared = replan(recipe, prepared, tokens)
        del trainer
        gc.collect()


def _make_room(recipe: TrainRecipe, plan: Plan, trainer: RefusalTrainer, tokens: int) -> int:
    """Keep the last finished step and choose the next micro-batch size.

    Raises:
        RunError: it can't shrink; or other processes wait in the middle of the step, and all must start again.
    """
    smaller = halve(recipe.run_dir, tokens, plan)
    if trainer.args.world_size > 1:
        raise RunError(
            f"out of memory on process {trainer.args.process_index} with batch.tokens = {tokens}; run the same "
            f"command again: it continues from the last checkpoint with {smaller} (same global batches)"
        )
    trainer.model_wrapped.zero_grad(set_to_none=True)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    done = recipe.run_dir / "checkpoints" / f"checkpoint-{trainer.state.global_step}"
    if trainer.state.global_step and not trainer.optimizer_is_moving and not done.exists():
        with suppress(MemoryError):  # then from the checkpoint before
            save_checkpoint(trainer)
    return smaller


def _trainer(
    recipe: TrainRecipe, prepared: Prepared, console: Console
) -> tuple[RefusalTrainer, Sequence[Handle]]:
    # before the model: ZeRO-3 cuts it up while it loads
    arguments = training_arguments(recipe, prepared.plan)
    torch.manual_seed(recipe.seed)
    method = prepared.method
    model = model_for_training(
        recipe, prepared.architecture, arguments.device, keep_hidden=bool(method.terms)
    )
    callbacks: list[TrainerCallback] = [LossLog(recipe.run_dir), ProgressBar(console, method.name)]
    if recipe.probe is not None:
        watched = HazardProbe(recipe.probe, recipe.stop_when, prepared.renderer, prepared.refusal, console)
        callbacks.append(watched)
    micro_batches = MicroBatches(
        prepared.rows,
        prepared.plan,
        pad_id(prepared.renderer.tokenizer, getattr(model.config.get_text_config(), "vocab_size", None)),
        prepared.architecture.line_multiple,
    )
    trainer = RefusalTrainer(
        model=model,
        args=arguments,
        guard=StepGuard(recipe.run_dir, micro_batches),
        terms=method.terms,
        train_dataset=micro_batches,
        data_collator=_only_one,
        callbacks=callbacks,
    )
    sharding(trainer)
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    for callback in callbacks:
        if isinstance(callback, HazardProbe):
            callback.log = trainer.log
    return trainer, method.hooks(model) if method.hooks else ()


def _only_one(batch: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """The data loader's batch is one planned micro-batch; its floats travel as bits (see `as_bits`)."""
    return {
        name: as_bits(tensor) if tensor.dtype == torch.float32 else tensor
        for name, tensor in batch[0].items()
    }


def _stop_progress(trainer: RefusalTrainer) -> None:
    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, ProgressBar):
            callback.stop()
