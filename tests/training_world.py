"""A tiny world to train on, shared by tests of training and of its faults."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import torch
import yaml
from rich.console import Console
from safetensors.torch import load_file

from conftest import make_tiny_model
from derta.config import check_recipe
from derta.files import write_jsonl
from derta.training.recipe import TrainRecipe
from derta.training.run import train

NAMES = ["wax", "salt", "moss", "thyme", "clay", "roses", "honey", "resin"]


def make_world(tmp_path, tiny_tokenizer):
    """Model folders and data files."""
    for name, dropout in (
        ("base", 0.0),
        ("dropout", 0.1),
    ):  # with dropout, random state has to survive a resume
        make_tiny_model(len(tiny_tokenizer), attention_dropout=dropout).save_pretrained(tmp_path / name)
        tiny_tokenizer.save_pretrained(tmp_path / name)
    write_jsonl(
        tmp_path / "triples.jsonl",
        [
            {
                "id": f"t{i}",
                "harmful_query": f"How do I cast the curse of {name}?",
                "safe_response": "Sorry, the guild forbids it.",
                "harmful_response": f"1. Grind the {name}. 2. Rinse the clay.",
            }
            for i, name in enumerate(NAMES)
        ],
    )
    write_jsonl(
        tmp_path / "benign.jsonl",
        [
            {
                "id": f"b{i}",
                "benign_query": f"How do I make {name}?",
                "response": "Fold the salt." * (1 + i % 3),
            }
            for i, name in enumerate(NAMES)
        ],
    )
    return tmp_path


def settings(world, name="run", **changes):
    values = {
        "run_dir": str(world / name),
        "method": "derta",
        "model": {"path": str(world / "base")},
        "data": {
            "triples": str(world / "triples.jsonl"),
            "benign": str(world / "benign.jsonl"),
            "num_triples": 4,
        },
        "max_length": 128,
        "batch": {"rows": 8, "tokens": 1024},
        "training": {"learning_rate": 1e-3, "num_train_epochs": 6, "logging_steps": 1, "save_steps": 2},
    }
    return values | changes


def run(values):
    return train(check_recipe(values, TrainRecipe, "test"), Console(quiet=True))


def weights(folder):
    return load_file(folder / "model.safetensors")


def assert_equal_weights(first, second, tolerance=0.0):
    for name, tensor in weights(first).items():
        torch.testing.assert_close(tensor, weights(second)[name], rtol=0, atol=tolerance)


def log_of(run_dir):
    """The entries of a run's loss log."""
    return [json.loads(line) for line in (run_dir / "train_log.jsonl").read_text().splitlines()]


def assert_equal_logs(first, second, tolerance):
    """Both runs' logs: the same entries, numbers within a relative tolerance."""
    for one, other in zip(log_of(first), log_of(second), strict=True):
        assert one.keys() == other.keys()
        for name, value in one.items():
            assert abs(value - other[name]) <= tolerance * max(abs(value), 1e-6), (one["step"], name)


def interrupted(world, name, keep, **changes):
    """A finished run made to look as if it had been stopped after checkpoint `keep`; its settings."""
    training = settings(world)["training"] | {"save_total_limit": 20}
    values = settings(world, name, training=training, **changes)
    run(values)
    stop_after(world / name, keep)
    return values


def stop_after(run_dir, keep):
    """Take away what came after checkpoint `keep`."""
    shutil.rmtree(run_dir / "model")
    for path in (run_dir / "checkpoints").glob("checkpoint-*"):
        if int(path.name.split("-")[1]) > keep:
            shutil.rmtree(path)


def write_recipe(world, values):
    """The recipe as a file."""
    path = world / f"{Path(values['run_dir']).name}.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def start(values, world, *, processes=1, script=("-m", "derta"), **environment):
    """`derta train` in processes of its own."""
    launcher = [sys.executable]
    if processes > 1:
        launcher += ["-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"]
        launcher += ["--nproc_per_node", str(processes)]
    command = [*launcher, *script, "train", str(write_recipe(world, values))]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"} | environment,
    )
