"""Which architectures can be tuned, and whether what is saved is what was trained: tiny random models, tried.

    python -m benchmarks.architectures [NAME ...] [--json FILE] [--doc docs/models.md]

Each is tuned whole and with LoRA for two steps, packed where `derta train` packs; then loaded again with plain
transformers and peft. A cell holds yes; apart (each row in a line of its own); refused (one line, before training);
or WRONG. Wrong is: the loss of the first step differs from that of rows apart by over 1e-4; a weight of the saved
folder is missing or unexpected; an adapter that moved nothing, or changes nothing on the plain model. Needs about
five minutes; prints one line each.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
import transformers
from rich.console import Console
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import CONFIG_MAPPING, PreTrainedTokenizerFast

from benchmarks.tiny_architectures import ARCHITECTURES, SMALL
from derta.config import check_recipe
from derta.errors import DertaError
from derta.files import write_jsonl
from derta.model_classes import library_class
from derta.training.recipe import TrainRecipe
from derta.training.run import train

COLUMNS = ("full", "lora", "packed", "trunk", "save", "reload", "generate")
NAMES = ("wax", "salt", "moss", "thyme")
TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
BEGIN, END = (
    "<!-- architectures: begin (python -m benchmarks.architectures --doc) -->",
    "<!-- architectures: end -->",
)

Cells = dict[str, str]


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """One id a byte, and the marks of a chat."""
    marks = ["<|begin|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {text: number for number, text in enumerate(marks + letters)}
    made = Tokenizer(models.BPE(vocabulary, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(marks)
    fast = PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<|begin|>", eos_token="<|end|>")
    fast.chat_template = TEMPLATE
    return fast


def make_world(folder: Path) -> None:
    """The data files, harmless as everywhere."""
    triples = [
        {
            "id": f"t{name}",
            "harmful_query": f"Cast {name}?",
            "safe_response": "Sorry, no.",
            "harmful_response": f"1. Grind {name}.",
        }
        for name in NAMES
    ]
    benign = [{"id": f"b{name}", "benign_query": f"Make {name}?", "response": "Fold salt."} for name in NAMES]
    write_jsonl(folder / "triples.jsonl", triples)
    write_jsonl(folder / "benign.jsonl", benign)


def make_model(name: str, folder: Path) -> Path:
    """A folder with random weights and a tokenizer."""
    tokenizer = byte_tokenizer()
    shared = {"vocab_size": len(tokenizer), "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    settings = dict(ARCHITECTURES[name])
    if "text_config" in settings:
        settings["text_config"] = settings["text_config"] | shared
    else:
        settings = {key: value for key, value in (SMALL | shared | settings).items() if value is not None}
    config = CONFIG_MAPPING[name](**settings)
    for key, value in vars(config).items():  # two runs are compared: they may not draw
        if ("dropout" in key or key.endswith("pdrop")) and isinstance(value, float):
            setattr(config, key, 0.0)
    torch.manual_seed(0)
    kind = library_class(config)._model_mapping[type(config)]
    if "text_config" in settings:  # the published checkpoints are of the class with towers
        kind = transformers.AutoModelForImageTextToText._model_mapping[type(config)]
    model = kind(config)
    model.save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")
    return folder / "base"


def tune(folder: Path, run: str, **changes: Any) -> Path:
    """Two steps; returns the run folder."""
    values = {
        "run_dir": str(folder / run),
        "method": "derta",
        "model": {"path": str(folder / "base")},
        "data": {"triples": str(folder / "triples.jsonl"), "benign": str(folder / "benign.jsonl")},
        "max_length": 96,
        "batch": {"rows": 8, "tokens": 512},
        "training": {
            "max_steps": 2,
            "learning_rate": 1e-3,
            "warmup_steps": 0,
            "logging_steps": 1,
            "save_steps": 9,
        },
    }
    train(check_recipe(values | changes, TrainRecipe, "matrix"), Console(quiet=True))
    return folder / run


def first_loss(run: Path) -> float:
    """Loss of the first step, from the log."""
    return float(json.loads((run / "train_log.jsonl").read_text(encoding="utf-8").splitlines()[0])["loss"])


def tried(name: str, folder: Path) -> Cells:
    """All cells of one architecture, and the first reason of what is not yes."""
    cells = dict.fromkeys(COLUMNS, "-") | {"why": ""}
    make_world(folder)
    make_model(name, folder)
    try:
        run = tune(folder, "auto")
        cells["packed"] = cells["trunk"] = "yes" if _shares(run) else "apart"
        if cells["packed"] == "yes":
            apart = tune(
                folder, "apart", shared_trunk="off", batch={"rows": 8, "tokens": 512, "packing": "off"}
            )
            if abs(first_loss(run) - first_loss(apart)) > 1e-4 * abs(first_loss(apart)):
                cells["packed"] = cells["trunk"] = "WRONG"
    except DertaError as error:
        cells |= {"packed": "refused", "trunk": "refused", "why": _short(error)}
        try:
            run = tune(folder, "alone", batch={"rows": 8, "tokens": 512, "packing": "off"})
            cells |= {"packed": "refused", "trunk": "refused"}
        except DertaError as second:
            return cells | {"full": "refused", "lora": "refused", "why": _short(second)}
    cells |= {"full": "yes"} | _reloaded(folder, run)
    return cells | _adapted(folder, off=cells["packed"] == "refused", why=cells["why"])


def _shares(run: Path) -> bool:
    return bool(json.loads((run / "manifest.json").read_text(encoding="utf-8"))["shared_trunk"])


def _reloaded(folder: Path, run: Path) -> Cells:
    base, saved = (load_file(path / "model.safetensors") for path in (folder / "base", run / "model"))
    moved = any(name in saved and not torch.equal(tensor, saved[name]) for name, tensor in base.items())
    same = base.keys() == saved.keys()
    kind = library_class(transformers.AutoConfig.from_pretrained(run / "model"))
    model, info = kind.from_pretrained(run / "model", output_loading_info=True)
    whole = not info["missing_keys"] and not info["unexpected_keys"]
    ids = torch.tensor([[5, 40, 50, 60, 70]])
    made = model.eval().generate(ids, max_new_tokens=4, min_new_tokens=4, do_sample=False, use_cache=True)
    return {
        "save": "yes" if moved and same else "WRONG",
        "reload": "yes" if whole else "WRONG",
        "generate": "yes" if made.shape[1] == 9 else "WRONG",
    }


def _adapted(folder: Path, *, off: bool, why: str) -> Cells:
    """LoRA, loaded again with plain peft on the plain model of the checkpoint's own class."""
    from peft import PeftModel

    batch = {"rows": 8, "tokens": 512} | ({"packing": "off"} if off else {})
    try:
        run = tune(folder, "lora", lora={"r": 4, "alpha": 8, "dropout": 0}, batch=batch)
    except DertaError as error:
        return {"lora": "refused", "why": why or _short(error)}
    stored = load_file(run / "adapter/adapter_model.safetensors")
    ups = {name: tensor for name, tensor in stored.items() if "lora_B" in name}
    # of experts that no token was sent to, nothing moves
    still = [name for name, tensor in ups.items() if not tensor.any() and "expert" not in name]
    config = transformers.AutoConfig.from_pretrained(folder / "base")
    base = library_class(config).from_pretrained(folder / "base").eval()
    ids = torch.tensor([[5, 40, 50, 60, 70]])
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # peft warns of keys that it does not find
        before = base(input_ids=ids).logits
        after = PeftModel.from_pretrained(base, run / "adapter").eval()(input_ids=ids).logits
    if still or not ups or torch.equal(before, after):
        return {"lora": "WRONG", "why": f"nothing moved in {still[:1]}" if still else "changes nothing"}
    return {"lora": "yes"}


def _short(error: Exception) -> str:
    return str(error).split("\n", 1)[0][:160]


def try_one(name: str) -> Cells:
    """The cells of one architecture; what stops otherwise than with a line for the user is WRONG."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            return tried(name, Path(folder))
        except Exception as error:  # a traceback is a finding
            return dict.fromkeys(COLUMNS, "-") | {
                "full": "WRONG",
                "why": f"{type(error).__name__}: {_short(error)}",
            }


def table(results: dict[str, Cells]) -> str:
    """Markdown, with the shares of what works."""
    lines = [f"| architecture | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
    lines += [f"| {name} | {' | '.join(cells[one] for one in COLUMNS)} |" for name, cells in results.items()]
    shares = ", ".join(
        f"{one} {sum(cells[one] == 'yes' for cells in results.values())} of {len(results)}" for one in COLUMNS
    )
    wrong = [name for name, cells in results.items() if "WRONG" in cells.values()]
    reasons = [f"- {name}: {cells['why']}" for name, cells in results.items() if cells["why"]]
    heading = f"Works: {shares}. Wrong in silence: {', '.join(wrong) or 'none'}."
    return "\n".join([heading, "", *lines, "", "Why not:", "", *reasons])


def main() -> None:
    """Try them all, or those named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--doc", type=Path, help="file whose table is written anew")
    given = parser.parse_args()
    transformers.logging.set_verbosity_error()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    results = {}
    for name in given.names or ARCHITECTURES:
        results[name] = try_one(name)
        print(
            f"{name:18} {' '.join(results[name][one] for one in COLUMNS)} {results[name]['why']}", flush=True
        )
    if given.json:
        given.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if given.doc:
        text = given.doc.read_text(encoding="utf-8")
        before, after = text.split(BEGIN)[0], text.split(END)[1]
        given.doc.write_text(f"{before}{BEGIN}\n{table(results)}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
