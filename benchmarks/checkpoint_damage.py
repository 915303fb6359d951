"""Flipped bits in a checkpoint: every one is found before training, and the checkpoint before is taken.

    python -m benchmarks.checkpoint_damage --flips 1000 [--seed 0] [--json FILE]

Prints one JSON object, and writes it where asked; exit code 1 if a flip was not found, or if the run would not
have fallen back to the checkpoint before. Files are drawn by size and, as often, each alike.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.kill_resume import make_recipe, start, wait
from benchmarks.report import report
from derta.training.checkpoints.checkpoint import damage, latest_whole


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--json", type=Path, help="file for the result, such as benchmarks/results/checkpoint_damage.json"
    )
    given = parser.parse_args()
    torch.set_num_threads(1)  # a forked child must not inherit a thread pool
    with tempfile.TemporaryDirectory(prefix="checkpoint_damage_") as name:
        folder = Path(name)
        status = wait(start(make_recipe(folder, "run", 3), folder / "run.log"))
        assert status == 0, (folder / "run.log").read_text()
        found = flip(folder / "run/checkpoints", given.flips, random.Random(given.seed))
    report(found, given.json)
    sys.exit(found["found"] != found["flips"] or found["fell_back_and_said_so"] != found["flips"])


def flip(checkpoints: Path, flips: int, rng: random.Random) -> dict[str, int | float]:
    """Flip one bit at a time in the newest checkpoint, look, and put it back."""
    began = time.monotonic()
    newest = checkpoints / "checkpoint-3"
    files = sorted(path for path in newest.rglob("*") if path.is_file())
    sizes = [path.stat().st_size for path in files]
    found = fell_back = 0
    for turn in range(flips):
        path = rng.choice(files) if turn % 2 else rng.choices(files, sizes)[0]
        whole = path.read_bytes()
        spoilt = bytearray(whole)
        spoilt[rng.randrange(len(spoilt))] ^= 1 << rng.randrange(8)
        path.write_bytes(spoilt)
        found += damage(newest) is not None
        taken, told = latest_whole(checkpoints)
        fell_back += taken == checkpoints / "checkpoint-2" and "checkpoint-3: damaged" in told[0]
        path.write_bytes(whole)
    assert damage(newest) is None
    return {
        "flips": flips,
        "found": found,
        "fell_back_and_said_so": fell_back,
        "files": len(files),
        "seconds": round(time.monotonic() - began, 1),
    }


if __name__ == "__main__":
    main()
