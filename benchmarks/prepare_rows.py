"""Time to encode and plan the paper's data: 60,000 benign pairs and 3,000 triples (66,000 rows a epoch with DeRTa).

    python -m benchmarks.prepare_rows [--tokenizer FOLDER] [--benign 60000] [--triples 3000] [--json FILE]

Prints one JSON line, and writes it where asked. Without a tokenizer folder a byte-level BPE is trained on the
synthetic text itself.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from benchmarks.report import report
from derta.encode.chat import ChatRenderer
from derta.encode.refusal_token import resolve_refusal_token
from derta.encode.row_set import build_rows
from derta.encode.settings import RowSettings
from derta.methods import METHODS
from derta.records import BenignPair, Triple
from derta.training.plan import plan_batches

MEAN_TOKENS = 350  # of a benign row, prompt included
QUERY_SHARE = 0.15  # of a row's words
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] }}"
    "{{ eos_token }}\n{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
SPECIAL = ["<|begin|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]


class Words:
    """Sentences of 20,000 pseudo-words, the n-th as frequent as 1/n."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(0)  # the same words for every seed
        syllables = [
            first + vowel for first in "bcdfghjklmnprstvwz" for vowel in ("a", "e", "i", "o", "u", "er")
        ]
        self.words = [
            "".join(self.random.choices(syllables, k=self.random.choice((1, 2, 2, 3, 3, 4))))
            for _ in range(20_000)
        ]
        total = 0.0
        self.random = random.Random(seed)
        self.cumulative = [total := total + 1 / (rank + 1) for rank in range(len(self.words))]

    def text(self, num_words: int) -> str:
        """That many words, a full stop after every twelfth, a newline after every sixtieth."""
        words = self.random.choices(self.words, cum_weights=self.cumulative, k=max(1, num_words))
        for index in range(11, len(words), 12):
            words[index] += ".\n" if index % 60 == 59 else "."
        return " ".join(words)

    def lengths(self, mean: float, count: int) -> list[int]:
        """Log-normal lengths (sigma 0.6) with the given mean, at most 2.5 times it (long rows are cut before)."""
        centre = mean / 1.16
        return [
            min(round(2.5 * mean), max(4, round(centre * self.random.lognormvariate(0, 0.6))))
            for _ in range(count)
        ]


def synthetic(
    num_triples: int, num_benign: int, words_per_row: float
) -> tuple[list[Triple], list[BenignPair]]:
    """Triples and benign pairs whose rows have `words_per_row` words on average."""
    words = Words(0)
    benign = []
    for number, length in enumerate(words.lengths(words_per_row, num_benign)):
        query = round(QUERY_SHARE * length)
        benign.append(
            BenignPair(id=f"b{number}", benign_query=words.text(query), response=words.text(length - query))
        )
    triples = [
        Triple(
            id=f"t{number}",
            harmful_query=words.text(15),
            safe_response="Sorry, " + words.text(60),
            harmful_response=words.text(min(length, round(words_per_row))),
        )
        for number, length in enumerate(words.lengths(words_per_row * 0.6, num_triples))
    ]
    return triples, benign


def small_tokenizer() -> PreTrainedTokenizerBase:
    """A byte-level BPE of 8,000 ids, trained on synthetic text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=8000,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words = Words(0)
    tokenizer.train_from_iterator((words.text(300) + " Sorry, no." for _ in range(500)), trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=SPECIAL[0], eos_token=SPECIAL[1])
    fast.chat_template = TEMPLATE
    return fast


def measure(
    tokenizer: PreTrainedTokenizerBase, *, num_triples: int = 3000, num_benign: int = 60_000
) -> dict[str, Any]:
    """Seconds of `build_rows` and of `plan_batches` (two epochs, as the paper trains)."""
    sample = Words(1).text(20_000)
    words_per_row = MEAN_TOKENS * 20_000 / len(tokenizer(sample)["input_ids"])
    triples, benign = synthetic(num_triples, num_benign, words_per_row)
    settings = RowSettings.model_validate({"rto": {"keep_rate": 0.05}})
    renderer = ChatRenderer.of(tokenizer)
    refusal = resolve_refusal_token(renderer)
    start, cpu_start = time.perf_counter(), time.process_time()
    rows, report = build_rows(METHODS["derta"].units, settings, renderer, refusal, triples, benign)
    encoded = time.perf_counter()
    plan = plan_batches(rows, num_epochs=2, batch_rows=128, micro_batch_tokens=8192, line_tokens=8192)
    planned = time.perf_counter()
    return {
        "benchmark": "prepare_rows",
        "rows_per_epoch": sum(unit.num_rows for unit in rows.units),
        "tokens_two_epochs": plan.num_tokens,
        "vocabulary": len(tokenizer),
        "dropped": sum(report.dropped.values()),
        "encode_seconds": round(encoded - start, 2),
        "plan_seconds": round(planned - encoded, 2),
        "total_seconds": round(planned - start, 2),
        "cpu_seconds": round(time.process_time() - cpu_start, 2),
        "limit_seconds": 90,
        "cpus": len(os.sched_getaffinity(0)),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokenizer", help="folder of a tokenizer with a chat template")
    parser.add_argument("--triples", type=int, default=3000)
    parser.add_argument("--benign", type=int, default=60_000)
    parser.add_argument("--json", type=Path, help="file for the result")
    arguments = parser.parse_args()
    tokenizer = (
        AutoTokenizer.from_pretrained(arguments.tokenizer) if arguments.tokenizer else small_tokenizer()
    )
    found = measure(tokenizer, num_triples=arguments.triples, num_benign=arguments.benign)
    report(found, arguments.json)


if __name__ == "__main__":
    main()
