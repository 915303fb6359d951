"""`derta capability`: models x benchmarks -> capability.jsonl, which `derta report` shows.

samples.jsonl      every response and score, found again by the hash of its inputs: nothing is asked twice
answers.jsonl      one line a question: response, what was read from it, right or wrong
capability.jsonl   one line per model and benchmark: share of right answers, n, unknown, Wilson's 95 % interval
manifest.json      what it was made from; written last
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from functools import cache
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

import derta
from derta.capability.questions import Doc, drawn, read_questions
from derta.capability.recipe import CapabilityRecipe, TaskSettings
from derta.capability.tasks import INVALID, HarnessTask, harness_tasks
from derta.config import TargetModel
from derta.encode.trained import renderer_of
from derta.errors import RunError
from derta.files import run_lock, write_jsonl
from derta.keyed_log import SampleStore, key_of
from derta.models import check_model, fingerprint, load_model, load_tokenizer
from derta.progress import Bar
from derta.provenance import write_manifest
from derta.run_folder import check_output, claim
from derta.statistics import rate
from derta.visible import visible

Rows = list[dict[str, Any]]
Benchmark = tuple[TaskSettings, list[Doc], list[Doc]]  # its questions, its worked examples
MUCH_UNREAD = 0.1  # share of responses that name no answer, from which the run says so


def capability(recipe: CapabilityRecipe) -> Path:
    """Ask what is not yet in the run folder, then write its files; returns `capability.jsonl`.

    Raises:
        DertaError: unusable recipe, questions or model; lm-eval is missing; too many questions could not be asked.
        KeyboardInterrupt: stopped by the user; the same command continues.
    """
    run_dir = recipe.run_dir
    files = [file for task in recipe.tasks for file in (task.file, task.fewshot_file) if file is not None]
    read = [*files, *(target.path for target in recipe.models), recipe.chat.template]
    check_output(run_dir, "capability", read)
    benchmarks = [(task, *_questions(task, recipe.seed)) for task in recipe.tasks]
    for settings, docs, examples in benchmarks:
        harness_tasks(settings, docs, examples)  # their faults are to be told before any model is loaded
    for target in recipe.models:
        check_model(str(target.path))
    prints = {target.name: fingerprint(str(target.path)) for target in recipe.models}
    claim(run_dir, "capability", read)
    with run_lock(run_dir):
        (run_dir / "manifest.json").unlink(missing_ok=True)
        answers, measured, hashes = _ask_all(recipe, benchmarks, prints)
        write_jsonl(run_dir / "answers.jsonl", answers)
        path = run_dir / "capability.jsonl"
        write_jsonl(path, measured)
        write_manifest(
            run_dir,
            kind="capability",
            config=recipe.model_dump(mode="json"),
            inputs=list(dict.fromkeys(files)),
            rows=len(answers),
            models=prints,
            template_hashes=hashes,
        )
    _say(measured, answers, recipe)
    return path


def _ask_all(
    recipe: CapabilityRecipe, benchmarks: Sequence[Benchmark], prints: dict[str, str]
) -> tuple[Rows, Rows, dict[str, str]]:
    """(lines of answers.jsonl, lines of capability.jsonl, template hash by model)."""
    answers: Rows = []
    measured: Rows = []
    hashes = {}
    with (
        Bar(Console(file=sys.stderr)).step("capability") as bar,
        SampleStore(recipe.run_dir / "samples.jsonl", lambda _: bar()) as store,
    ):
        for target in recipe.models:
            asked = _Asked(recipe, target, prints[target.name], store)
            hashes[target.name] = asked.renderer.template_hash
            for settings, docs, examples in benchmarks:
                about = f"{target.name} {settings.shown}"
                rows = asked.answers(
                    settings,
                    docs,
                    examples,
                    lambda number, about=about: bar.set(done=0, total=number, what=about),  # type: ignore[misc]
                )
                answers += rows
                measured.append(asked.name | _measured(settings, rows))
            asked.weights.cache_clear()
    return answers, measured, hashes


class _Asked:
    """One model, asked through the harness."""

    def __init__(
        self, recipe: CapabilityRecipe, target: TargetModel, print_: str, store: SampleStore
    ) -> None:
        self.recipe = recipe
        self.name = {"model": target.name, "method": target.method}
        path = str(target.path)
        self.renderer = renderer_of(load_tokenizer(path), path, recipe.chat, may_think=True)
        self.model_key = key_of(derta=derta.__version__, files=print_, dtype=target.dtype)
        self.store = store
        self.weights = cache(lambda: load_model(path, target.dtype))

    def answers(
        self,
        settings: TaskSettings,
        docs: Sequence[Doc],
        examples: Sequence[Doc],
        expect: Callable[[int], None],
    ) -> Rows:
        """One row per question, in order."""
        from derta.capability.model import RenderedModel

        model = RenderedModel(
            self.renderer,
            self.weights,
            self.store,
            model_key=self.model_key,
            batch_rows=self.recipe.generation.batch_rows,
            batch_tokens=self.recipe.generation.batch_tokens,
            expect=expect,
        )
        tasks = harness_tasks(settings, docs, examples)
        samples = run_harness(model, tasks, chat=settings.protocol == "paper", seed=self.recipe.seed)
        rows: dict[int, dict[str, Any]] = {}
        for task in tasks:
            name = str(task.task.config.task)
            for sample in samples[name]:
                if sample["filter"] == task.filter:
                    problem = model.problems.get((name, sample["doc_id"]))
                    number = task.numbers[sample["doc_id"]]
                    rows[number] = {**self.name, "task": settings.shown, "question": number + 1} | _row(
                        sample, task, problem
                    )
        assert sorted(rows) == list(range(len(docs))), "questions in must be answers out"
        return [rows[number] for number in range(len(docs))]


def run_harness(
    model: Any, tasks: Sequence[HarnessTask], *, chat: bool, seed: int
) -> dict[str, list[dict[str, Any]]]:
    """The harness's samples by task: one per question and filter."""
    from lm_eval import evaluate
    from lm_eval.tasks import TaskManager

    for task in tasks:
        task.task.set_fewshot_seed(seed=seed)
    with redirect_stderr(io.StringIO()):  # its bars for building prompts, beside ours
        results = evaluate(
            model,
            TaskManager(include_defaults=False).load([task.task for task in tasks]),
            apply_chat_template=chat,
            bootstrap_iters=0,
            log_samples=True,
        )
    found: dict[str, list[dict[str, Any]]] = results["samples"]  # type: ignore[index]
    return found


def _row(sample: dict[str, Any], task: HarnessTask, problem: str | None) -> dict[str, Any]:
    """What was answered: the response, or the score of each option."""
    is_scored = task.task.OUTPUT_TYPE == "multiple_choice"
    right = bool(sample[task.metric])
    read = None if is_scored else sample["filtered_resps"][0]
    is_unread = not is_scored and (read == INVALID or bool(sample.get("unread")))
    return {
        "response": None if is_scored or problem else sample["resps"][0][0],
        "log_p": [round(float(pair[0]), 6) for pair in sample["filtered_resps"]]
        if is_scored and not problem
        else None,
        "right": None if problem else right,
        "unread": bool(is_unread and not problem),
        "reason": problem,
    }


def _scores(sample: dict[str, Any]) -> list[float]:
    return [round(float(log_p), 6) for log_p, _ in sample["filtered_resps"]]


def _measured(settings: TaskSettings, rows: Rows) -> dict[str, Any]:
    """The line of capability.jsonl. A response that names no answer is wrong, as everywhere in the harness."""
    share = rate([row["right"] for row in rows])
    return {
        "task": settings.shown,
        "value": share.value,
        "n": share.n,
        "unknown": share.unknown,
        "low": share.low,
        "high": share.high,
        "unread": sum(row["unread"] for row in rows),
        "protocol": settings.protocol,
        "num_fewshot": settings.shots,
    }


def _questions(task: TaskSettings, seed: int) -> tuple[list[Doc], list[Doc]]:
    docs = drawn(read_questions(task.file, task.name), task.num_questions, seed)
    return docs, read_questions(task.fewshot_file, task.name) if task.fewshot_file else []


def _say(measured: Rows, answers: Rows, recipe: CapabilityRecipe) -> None:
    """The scores, what is unread, what is unknown; an error when too much of it is."""
    console = Console(stderr=True, soft_wrap=True)
    for row in measured:
        share = "?" if row["value"] is None else f"{row['value']:.1%} ({row['low']:.1%} to {row['high']:.1%})"
        line = f"{row['model']}, {row['task']}: {share}, n {row['n']}, unknown {row['unknown']}"
        console.print(Text(visible(line)))
        if row["n"] and row["unread"] > MUCH_UNREAD * row["n"]:
            warning = (
                f"warning: {row['model']}, {row['task']}: {row['unread']} of {row['n']} responses name no "
                "answer that could be read; they count as wrong (answers.jsonl has them)"
            )
            console.print(Text(visible(warning)))
    unknown = [row for row in answers if row["right"] is None]
    if not unknown:
        return
    said = f"{len(unknown)} of {len(answers)} questions could not be asked (first: {unknown[0]['reason']})"
    if len(unknown) > recipe.max_unknown_rate * len(answers):
        raise RunError(
            f"{recipe.run_dir / 'capability.jsonl'}: {said}; at most {recipe.max_unknown_rate:.0%} are allowed "
            "(max_unknown_rate). The files are written"
        )
    console.print(Text(visible(f"warning: {said}")))
