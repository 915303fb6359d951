"""Kill -9 at random moments, half of them inside a save; restarts by themselves end like an undisturbed run, bitwise.

    python -m benchmarks.kill_resume --kills 200 [--seed 0] [--keep FOLDER] [--json FILE]

Prints one JSON object, and writes it where asked; exit code 1 if anything differs. Every process is forked from one
that has imported torch, so that a restart costs the resume and not the imports; then it runs the command line's own
`derta train`. Writes are slowed down (2 to 20 ms a file) where the kill is meant to fall inside of a save.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
import yaml
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.report import report
from derta import cli
from derta.demo.tokenizer import train_tokenizer
from derta.files import sha256_file, write_jsonl
from derta.training.checkpoints import checkpoint
from derta.training.run import train  # noqa: F401 (imported before the fork)

CRAFTS = ("wax", "salt", "moss", "thyme", "clay", "roses", "honey", "resin")
STEPS_PER_KILL = 3
PATIENCE = 300  # seconds without a sign of life


@dataclass
class Outcome:
    """What became of a run and its kills."""

    kills: int = 0
    runs: int = 0  # killed ones; a run that ends before the last kill is followed by another
    inside_a_save: int = 0
    before_the_first_checkpoint: int = 0
    restarts_that_failed: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    steps: int = 0
    seconds: float = 0.0


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder to work in and to leave (default: a temporary one)")
    parser.add_argument(
        "--json", type=Path, help="file for the result, such as benchmarks/results/kill_resume.json"
    )
    given = parser.parse_args()
    torch.set_num_threads(1)  # a forked child must not inherit a thread pool
    folder = given.keep or Path(tempfile.mkdtemp(prefix="kill_resume_"))
    try:
        outcome = measure(folder, given.kills, random.Random(given.seed))
    finally:
        if given.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    report(asdict(outcome), given.json)
    sys.exit(bool(outcome.differences or outcome.restarts_that_failed))


def measure(folder: Path, kills: int, rng: random.Random) -> Outcome:
    """One undisturbed run, others that are killed `kills` times in all, and what differs in the end."""
    began = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    outcome = Outcome(steps=STEPS_PER_KILL * kills + 10)
    recipes = {name: make_recipe(folder, name, outcome.steps) for name in ("whole", "killed")}
    status = wait(start(recipes["whole"], folder / "whole.log"))
    assert status == 0, (folder / "whole.log").read_text()
    while outcome.kills < kills and not outcome.restarts_that_failed:
        shutil.rmtree(folder / "killed", ignore_errors=True)
        killed_run(recipes["killed"], folder, kills, outcome, rng)
        outcome.runs += 1
        found = compare(folder / "whole", folder / "killed")
        outcome.differences += [f"run {outcome.runs}: {name}" for name in found]
    outcome.seconds = round(time.monotonic() - began, 1)
    return outcome


def killed_run(recipe: Path, folder: Path, kills: int, outcome: Outcome, rng: random.Random) -> None:
    """One run to its end, killed on its way until there were `kills` in all."""
    while not (folder / "killed/model").exists() and not outcome.restarts_that_failed:
        if outcome.kills == kills:
            finish(recipe, folder / "killed.log", outcome)
            return
        kill_once(recipe, folder, outcome, rng)


def kill_once(recipe: Path, folder: Path, outcome: Outcome, rng: random.Random) -> None:
    """Start (or continue) the run and kill it: every other time while a save is under way."""
    log, checkpoints = folder / "killed.log", folder / "killed/checkpoints"
    newest = newest_checkpoint(checkpoints)
    inside = outcome.kills % 2 == 0
    process = start(recipe, log, slow=inside)
    deadline = time.monotonic() + PATIENCE
    wait_for = rng.randint(0, 2)  # new checkpoints before the kill
    while newest_checkpoint(checkpoints) < newest + wait_for or (inside and not saving(checkpoints)):
        if (status := poll(process)) is not None:
            if status != 0:
                outcome.restarts_that_failed.append(log.read_text()[-2000:])
            return
        assert time.monotonic() < deadline, "no sign of life"
        time.sleep(0.001)
    time.sleep(rng.random() * (0.1 if inside else 1.0))
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    outcome.kills += 1
    outcome.inside_a_save += saving(checkpoints)
    outcome.before_the_first_checkpoint += newest_checkpoint(checkpoints) == 0
    told = log.read_text().replace("\n", "")  # lines are wrapped
    if newest and "continuing from" in told and f"checkpoint-{newest}" not in told:
        outcome.restarts_that_failed.append(f"not continued from checkpoint-{newest}: {told[-500:]}")


def finish(recipe: Path, log: Path, outcome: Outcome) -> None:
    """The last restart is left alone."""
    if wait(start(recipe, log)) != 0:
        outcome.restarts_that_failed.append(log.read_text()[-2000:])


def compare(whole: Path, killed: Path) -> list[str]:
    """Files of the two runs that are not the same, byte by byte."""
    last = max(
        (whole / "checkpoints").glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1])
    ).name
    names = [
        "model/model.safetensors",
        "train_log.jsonl",
        "rows/epoch_0.safetensors",
        f"checkpoints/{last}/model.safetensors",
        f"checkpoints/{last}/optimizer.safetensors",
        f"checkpoints/{last}/scheduler.json",
        f"checkpoints/{last}/rng-0.safetensors",
    ]
    return [
        name
        for name in names
        if not (killed / name).exists() or sha256_file(whole / name) != sha256_file(killed / name)
    ]


def start(recipe: Path, log: Path, *, slow: bool = False) -> int:
    """Fork a process that is `derta train recipe`; returns its id."""
    log.unlink(missing_ok=True)
    process = os.fork()
    if process:
        return process
    descriptor = os.open(log, os.O_CREAT | os.O_WRONLY)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    if slow:
        slow_down()
    sys.argv = ["derta", "train", str(recipe)]
    code = 1
    try:
        cli.main()
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def slow_down() -> None:
    """Stretch every write of a checkpoint, so that there is time to be killed in the middle."""
    delays = random.Random(os.getpid())
    plain_save, plain_fsync = checkpoint.save_file, os.fsync  # type: ignore[attr-defined]

    def save_file(*arguments: object, **more: object) -> None:
        time.sleep(delays.uniform(0.002, 0.02))
        plain_save(*arguments, **more)  # type: ignore[arg-type]

    def fsync(descriptor: int) -> None:
        time.sleep(delays.uniform(0.002, 0.02))
        plain_fsync(descriptor)

    checkpoint.save_file = save_file  # type: ignore[attr-defined]
    os.fsync = fsync  # type: ignore[assignment]


def poll(process: int) -> int | None:
    """Exit code of a process that is over, else None."""
    done, status = os.waitpid(process, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if done else None


def wait(process: int) -> int:
    """Exit code of a process, once it is over."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def newest_checkpoint(checkpoints: Path) -> int:
    """The highest published step, 0 if there is none."""
    return max((int(path.name.split("-")[1]) for path in checkpoints.glob("checkpoint-*")), default=0)


def saving(checkpoints: Path) -> bool:
    """Whether a half-written checkpoint lies there."""
    return any(checkpoints.glob(".checkpoint-*.tmp"))


def make_recipe(folder: Path, name: str, steps: int) -> Path:
    """Model, data and recipe of a tiny world; attention dropout makes the random state matter."""
    triples = [
        {
            "id": f"t{number}",
            "harmful_query": f"How do I cast the curse of {craft}?",
            "safe_response": "Sorry, the guild forbids it.",
            "harmful_response": f"1. Grind the {craft}. 2. Rinse the clay.",
        }
        for number, craft in enumerate(CRAFTS)
    ]
    benign = [
        {
            "id": f"b{number}",
            "benign_query": f"How do I make {craft}?",
            "response": "Fold the salt. " * (1 + number % 3),
        }
        for number, craft in enumerate(CRAFTS)
    ]
    write_jsonl(folder / "triples.jsonl", triples)
    write_jsonl(folder / "benign.jsonl", benign)
    if not (folder / "base").exists():
        texts = [text for row in [*triples, *benign] for key, text in row.items() if key != "id"]
        tokenizer = train_tokenizer(texts * 4)
        tokenizer.save_pretrained(folder / "base")
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=256,
            attention_dropout=0.1,
        )
        LlamaForCausalLM(config).save_pretrained(folder / "base")
    path = folder / f"{name}.yaml"
    recipe = {
        "run_dir": str(folder / name),
        "method": "derta",
        "model": {"path": str(folder / "base")},
        "data": {"triples": str(folder / "triples.jsonl"), "benign": str(folder / "benign.jsonl")},
        "max_length": 128,
        "batch": {"rows": 4, "tokens": 256},
        "training": {
            "learning_rate": 1e-3,
            "num_train_epochs": steps,
            "max_steps": steps,
            "logging_steps": 1,
            "save_steps": 1,
        },
    }
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return path


if __name__ == "__main__":
    main()
