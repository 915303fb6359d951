"""Run Inspect tasks quietly: no display, no servers, no network, logs under the run folder."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from inspect_ai import Task
from inspect_ai import eval as inspect_eval
from inspect_ai.log import EvalLog, read_eval_log
from inspect_ai.model import Model, ModelInfo, set_model_info

from derta.config import RequestSettings
from derta.evaluation.providers.local import IN_FLIGHT
from derta.evaluation.recipe import GenerationSettings

SAMPLES_PER_ROW = (
    2  # samples open per row of the decode batch: the next ones are rendered while a batch decodes
)

TRACE_FILE = "INSPECT_TRACE_FILE"  # environment variable: where Inspect writes its trace


def run_tasks(
    tasks: Sequence[Task],
    model: Model,
    log_dir: Path,
    *,
    generation: GenerationSettings,
    seed: int,
    requests: RequestSettings | None = None,
) -> dict[tuple[str, str], str]:
    """Run all tasks at once on one model; returns (task name, sample id) -> message for samples that failed.

    requests: how a server is asked; None: the model is computed here.

    Raises:
        KeyboardInterrupt: the user stopped it; what had finished is in the store.
    """
    set_model_info(str(model), ModelInfo())  # else Inspect parses its tables of commercial models (0.8 s)
    with _undisturbed(log_dir):
        logs = inspect_eval(
            list(tasks),
            model=model,
            display="none",
            log_dir=str(log_dir),
            log_level="error",
            log_realtime=False,
            log_model_api=False,
            log_refusals=False,
            log_header_only=True,
            log_buffer=IN_FLIGHT,
            score_display=False,
            ctl_server=False,
            acp_server=False,
            fail_on_error=False,
            retry_on_error=0,
            max_tasks=len(tasks),
            max_samples=(requests.max_connections if requests else generation.batch_rows) * SAMPLES_PER_ROW,
            max_connections=requests.max_connections if requests else IN_FLIGHT,
            max_retries=requests.max_attempts - 1 if requests else None,
            timeout=max(1, round(60 * requests.max_minutes)) if requests else None,
            attempt_timeout=requests.timeout if requests else None,
            max_tokens=generation.max_new_tokens,
            temperature=generation.temperature,
            top_p=generation.top_p,
            seed=seed,
        )
    # Inspect swallows Ctrl-C and returns the logs that it has: none of a task that was under way
    if len(logs) < len(tasks) or any(log.status == "cancelled" for log in logs):
        raise KeyboardInterrupt
    return {place: message for log in logs for place, message in _errors(log).items()}


@contextmanager
def hook_kept() -> Iterator[None]:
    """Keep the process's exception hook, which Inspect replaces as soon as a model is opened."""
    hook = sys.excepthook
    try:
        yield
    finally:
        sys.excepthook = hook


@contextmanager
def _undisturbed(log_dir: Path) -> Iterator[None]:
    """Keep what Inspect changes for the whole process as it was: root logger, trace file."""
    log_dir.mkdir(parents=True, exist_ok=True)
    trace = os.environ.get(TRACE_FILE)
    # else in the user's home; whole, since a process started meanwhile may stand in another folder
    os.environ[TRACE_FILE] = trace or str(log_dir.resolve() / "trace.log")
    logging.getLogger("inspect_ai.model").setLevel(logging.ERROR)  # two trace records a call are not worth it
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    try:
        yield
    finally:
        if trace is None:
            del os.environ[TRACE_FILE]
        root.setLevel(level)
        root.handlers[:] = handlers


def _errors(log: EvalLog) -> dict[tuple[str, str], str]:
    """Messages of a log's failed samples; a task that failed as a whole fails all of its samples."""
    counted = log.results.completed_samples if log.results else 0
    if log.status == "success" and log.eval.dataset.samples == counted:
        return {}
    whole = read_eval_log(log.location)
    errors = {
        (log.eval.task, str(sample.id)): _first_line(sample.error.message)
        for sample in whole.samples or []
        if sample.error
    }
    if log.error:
        for sample_id in log.eval.dataset.sample_ids or []:
            errors.setdefault((log.eval.task, str(sample_id)), _first_line(log.error.message))
    return errors


def _first_line(message: str) -> str:
    return message.strip().split("\n", 1)[0][:500]
