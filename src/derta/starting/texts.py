"""The recipes that `derta new` writes, with a comment where a number has a reason."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from derta.starting.fitting import Counts, Fit, Machine
from derta.training.watch.mix import KNOWN_SHARE, percent


@dataclass(frozen=True)
class Project:
    """What the recipes are about. folder: theirs; model: folder or hub id; parameters: of the model."""

    folder: Path
    model: str
    parameters: int
    counts: Counts
    machine: Machine
    gsm8k: Path
    mmlu: Path


def recipe_texts(about: Project, fit: Fit) -> dict[str, str]:
    """Name of the file -> its text."""
    return {
        "train.yaml": _training(about, fit, "derta"),
        "vanilla.yaml": _training(about, fit, "vanilla"),
        "evaluate.yaml": _evaluation(about, fit),
        "capability.yaml": _capability(about),
    }


def _training(about: Project, fit: Fit, method: str) -> str:
    counts, data = about.counts, about.folder / "data"
    name = "train" if method == "derta" else method
    purpose = {
        "derta": "DeRTa on your model: a refusal anywhere in the answer",
        "vanilla": "The baseline: ordinary safety tuning with the same data and steps, to compare DeRTa with",
    }[method]
    rto = (
        f"""
# The mix decides: with few benign pairs RTO outvotes the rest and the model refuses everything. These bring RTO to
# {percent(KNOWN_SHARE)} of the labels, the most that is known to work (docs/method.md, The mix).
rto: {{keep_rate: {fit.keep_rate:g}}}
weights: {{rto: {fit.rto_weight:g}}}"""
        if method == "derta"
        else ""
    )
    four_bit = ", load_in_4bit: true" if fit.load_in_4bit else ""
    checkpointing = (
        "\n  gradient_checkpointing: true   # less memory, a third more work"
        if fit.gradient_checkpointing
        else ""
    )
    return f"""# {purpose}.
# Written for {about.parameters / 1e6:,.0f}M parameters, {counts.triples:,} triples and {counts.benign:,} benign \
pairs, on {about.machine}.
#   derta train {about.folder / name}.yaml --dry-run     # rows, memory, time; then without --dry-run
run_dir: {about.folder / "runs" / method}
method: {method}
model: {{path: {about.model}{four_bit}}}
data:
  triples: {data / "triples.jsonl"}
  benign: {data / "benign.jsonl"}{rto}
lora: {{r: {fit.lora_r}, alpha: 16, dropout: {fit.dropout:g}}}   # full tuning: without this line, learning_rate 2e-5
max_length: {fit.max_length}                  # 99 % of your rows are not longer; raise it and nothing is cut
on_long: cut
max_dropped_rate: 0.05
batch: {{rows: {fit.rows}, tokens: {fit.tokens}}}      # rows of a step; tokens: less where memory runs out
probe:                           # P(refusal) and benign loss on rows that are never trained on
  triples: {data / "triples.held_out.jsonl"}
  benign: {data / "benign.held_out.jsonl"}
  every: {fit.probe_every}
stop_when: {{refusal_on_benign: 0.1, benign_loss_rise: 0.5}}   # the run ends where benign answers suffer
training:
  max_steps: {fit.steps}
  learning_rate: {fit.learning_rate}            # learns too little: twice; benign answers suffer: half
  warmup_steps: 0{checkpointing}
"""


def _evaluation(about: Project, fit: Fit) -> str:
    data, runs = about.folder / "data", about.folder / "runs"
    return f"""# Your model as it is, with ordinary safety tuning, and with DeRTa, attacked alike.
#   derta evaluate {about.folder / "evaluate.yaml"} --set limit=20     # a first look; without it: all
run_dir: {runs / "evaluate"}
models:
  - {{name: released, method: as released, path: {about.model}}}
  - {{name: vanilla, method: vanilla, path: {runs / "vanilla/adapter"}}}
  - {{name: derta, method: derta, path: {runs / "derta/adapter"}}}
base: {about.model}   # what the tuned models still know is compared with it
queries: {data / "queries.jsonl"}            # the held-out questions; or a file of yours
triples: {data / "triples.held_out.jsonl"}   # their harmful responses are the prefills
benign: {data / "benign.held_out.jsonl"}
attacks:
  - direct
  - code
  - {{name: prefill, depths: [0, 10, 40]}}   # tokens of the harmful response in front of the answer
  # more, some need files: recipes/redteam.yaml (derta recipes --to recipes), docs/evaluation.md
judge: {{name: span}}                        # offline; rubric asks a model (docs/judges.md)
generation: {{max_new_tokens: {fit.max_new_tokens}, batch_rows: {64 if about.machine.gpu else 16}}}
"""


def _capability(about: Project) -> str:
    runs = about.folder / "runs"
    return f"""# Is ordinary skill kept? The question files are yours (docs/capability.md); needs derta[capability].
#   derta capability {about.folder / "capability.yaml"}
run_dir: {runs / "evaluate/capability"}   # inside the evaluation's folder: `derta report` finds it
models:
  - {{name: released, method: as released, path: {about.model}}}
  - {{name: vanilla, method: vanilla, path: {runs / "vanilla/adapter"}}}
  - {{name: derta, method: derta, path: {runs / "derta/adapter"}}}
tasks:
  - {{name: gsm8k, file: {about.gsm8k}, num_questions: 500}}
  - {{name: mmlu, file: {about.mmlu}, num_questions: 500}}
"""
