"""How long `derta data build` takes, what it holds in memory, and whether its bytes depend on anything.

Three generated sources (labelled responses, instructions, conversations) of --rows rows each, text from a made-up
language, with planted duplicates. Prints one JSON object: seconds, CPU seconds and peak memory of each build,
and whether the builds with 1 and 2 processes and a killed one are the same to the byte.

    python -m benchmarks.data_build --rows 200000 --kills 20 [--json FILE]

Exit code 1 where bytes differ.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.report import report

SYLLABLES = [consonant + vowel for consonant in "bdfgklmn" for vowel in "aeio"]
GLUE = (
    "the",
    "a",
    "of",
    "to",
    "in",
    "is",
    "and",
    "with",
    "for",
    "on",
    "that",
    "how",
    "what",
    "from",
    "by",
    "as",
)
CATEGORIES = [f"guild_{i}" for i in range(14)]


def make_words(rng: random.Random, count: int) -> list[str]:
    return ["".join(rng.choices(SYLLABLES, k=rng.randint(2, 4))) for _ in range(count)]


def sentence(rng: random.Random, words: list[str], low: int, high: int) -> str:
    length = rng.randint(low, high)
    return " ".join(rng.choice(GLUE) if rng.random() < 0.4 else rng.choice(words) for _ in range(length))


def query(rng: random.Random, words: list[str], earlier: list[str]) -> str:
    """New in 95 % of the rows; else an earlier one, as it is, in capitals, or with one word changed."""
    if earlier and rng.random() < 0.05:
        text = rng.choice(earlier)
        parts = text.split()
        parts[rng.randrange(len(parts))] = rng.choice(words)
        return rng.choice([text, text.upper(), " ".join(parts)])
    text = sentence(rng, words, 8, 24)
    if len(earlier) < 5000:
        earlier.append(text)
    return text


def labelled(rng: random.Random, words: list[str], earlier: list[str]) -> dict[str, Any]:
    is_safe = rng.random() < 0.45
    text = (
        "Sorry, the guild forbids that. " + sentence(rng, words, 5, 20)
        if is_safe
        else sentence(rng, words, 30, 120)
    )
    category = dict.fromkeys(CATEGORIES, False)
    category[rng.choice(CATEGORIES)] = not is_safe
    return {"prompt": query(rng, words, earlier), "response": text, "category": category, "is_safe": is_safe}


def instruction(rng: random.Random, words: list[str], earlier: list[str]) -> dict[str, Any]:
    return {"instruction": query(rng, words, earlier), "input": "", "output": sentence(rng, words, 20, 150)}


def conversation(rng: random.Random, words: list[str], earlier: list[str]) -> dict[str, Any]:
    turns = [("human", query(rng, words, earlier)), ("gpt", sentence(rng, words, 20, 200))]
    return {"id": "x", "conversations": [{"from": who, "value": text} for who, text in turns]}


def generate(folder: Path, rows: int) -> None:
    for number, (name, make) in enumerate(
        {"labelled": labelled, "instructions": instruction, "conversations": conversation}.items()
    ):
        rng = random.Random(number)
        words, earlier = make_words(rng, 20_000), []
        with (folder / f"{name}.jsonl").open("w", encoding="utf-8") as handle:
            for _ in range(rows):
                handle.write(json.dumps(make(rng, words, earlier)) + "\n")
    rng = random.Random(9)
    words = make_words(rng, 20_000)
    with (folder / "questions.jsonl").open("w", encoding="utf-8") as handle:
        for _ in range(400):
            handle.write(json.dumps({"query": sentence(rng, words, 8, 24), "kind": "harmful"}) + "\n")


def recipe(folder: Path, out: str, processes: int) -> Path:
    path = folder / f"{out}.yaml"
    sources = [
        {"name": "labelled", "format": "beavertails", "path": str(folder / "labelled.jsonl")},
        {"name": "instructions", "format": "alpaca", "path": str(folder / "instructions.jsonl")},
        {"name": "conversations", "format": "sharegpt", "path": str(folder / "conversations.jsonl")},
        {"name": "questions", "format": "records", "path": str(folder / "questions.jsonl")},
    ]
    settings = {
        "out": str(folder / out),
        "num_processes": processes,
        "sources": sources,
        "held_out": {"triples": 10, "benign": 100},
        "benign": {"num": 60_000},
    }
    path.write_text(json.dumps(settings), encoding="utf-8")
    return path


COMMAND = "from derta.data.commands import app; app()"


def command(path: Path) -> list[str]:
    return [sys.executable, "-c", COMMAND, "build", str(path)]


def timed(path: Path) -> dict[str, float]:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    with subprocess.Popen(command(path), stdout=subprocess.DEVNULL) as process:
        peak = 0
        while process.poll() is None:
            peak = max(peak, tree_memory(process.pid))
            time.sleep(0.05)
    assert process.returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": time.perf_counter() - start, "cpu_seconds": cpu, "peak_mib": peak / 2**20}


def tree_memory(pid: int) -> int:
    """Resident bytes of a process and its children, summed (pages they share are counted twice)."""
    import psutil

    try:
        process = psutil.Process(pid)
        return sum(part.memory_info().rss for part in [process, *process.children(recursive=True)])
    except psutil.Error:
        return 0


def killed(path: Path, seconds: float) -> bool:
    """Start a build and kill it; False if it had ended by then."""
    process = subprocess.Popen(command(path), stdout=subprocess.DEVNULL, start_new_session=True)
    time.sleep(seconds)
    if process.poll() is not None:
        return False
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return True


def hashes(folder: Path) -> dict[str, str]:
    """All files but the manifest, which alone holds times."""
    files = sorted(
        file for file in folder.iterdir() if file.is_file() and file.name not in ("manifest.json", ".lock")
    )
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000, help="rows per source")
    parser.add_argument("--kills", type=int, default=0, help="builds killed at random moments")
    parser.add_argument("--json", type=Path, help="also write the object here")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="data_build_"))
    try:
        generate(folder, arguments.rows)
        result: dict[str, Any] = {"rows": 3 * arguments.rows}
        for processes in (2, 1):
            result[f"processes_{processes}"] = timed(recipe(folder, f"out{processes}", processes))
        expected = hashes(folder / "out2")
        result["same_bytes_with_1_process"] = hashes(folder / "out1") == expected
        result["counts"] = {
            key: json.loads((folder / "out2/data_card.json").read_text())[key]
            for key in ("read", "kept", "rejected")
        }
        rng, same = random.Random(0), 0
        for _ in range(arguments.kills):
            path = recipe(folder, "killed", 2)
            while not killed(path, rng.uniform(0.1, 0.95) * result["processes_2"]["seconds"]):
                shutil.rmtree(folder / "killed")
            subprocess.run(command(path), check=True, stdout=subprocess.DEVNULL)
            same += hashes(folder / "killed") == expected
            shutil.rmtree(folder / "killed")
        result["killed_and_same"] = f"{same}/{arguments.kills}"
        report(result, arguments.json)
        if same != arguments.kills or not result["same_bytes_with_1_process"]:
            sys.exit(1)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
