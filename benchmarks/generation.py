"""C9 and C10: local generation against static batches, and how much of the prompts is computed at all.

The mix of lengths is the published runs': their useful share of decode slots in batches of 25 is 0.2 to 0.6.
"""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from benchmarks import models
from benchmarks.timing import CpuTimes, paired
from derta.attacks.code import code_attack_prompt
from derta.attacks.jailbreakchat import draw_template, jailbreakchat_prompt
from derta.attacks.selfcipher import selfcipher_messages
from derta.attacks.texts import PLACEHOLDER, CipherTexts, Demonstration, Template
from derta.engine.decoder import Decoder, Request, generate
from derta.engine.token_tree import common_prefix

Ids = list[int]

STATIC_ROWS = 25  # the reference's batch
NUM_PROMPTS = 200  # the paper's
NUM_TEMPLATES = 50
RESPONSE_SIGMA = 0.75  # of the lognormal lengths; a useful share of about 0.3 in static batches


# --- C9: continuous against static batches ---------------------------------------------------------------------


@dataclass(frozen=True)
class Work:
    """Prompts of a random vocabulary and how long each answer is."""

    prompts: list[Ids]
    lengths: list[int]

    @property
    def useful_share(self) -> float:
        """Tokens over slots of static batches: batch size x longest answer."""
        batches = [
            self.lengths[start : start + STATIC_ROWS] for start in range(0, len(self.lengths), STATIC_ROWS)
        ]
        return sum(self.lengths) / sum(len(batch) * max(batch) for batch in batches)


def make_work(count: int, vocabulary: int, *, mean: int, longest: int) -> Work:
    """Nothing in common between the prompts: what sharing saves is C10's business."""
    rng = random.Random(0)
    lengths = [
        max(1, min(longest, round(mean * rng.lognormvariate(-(RESPONSE_SIGMA**2) / 2, RESPONSE_SIGMA))))
        for _ in range(count)
    ]
    sizes = [max(4, min(200, round(40 * rng.lognormvariate(-0.18, 0.6)))) for _ in range(count)]
    return Work([[rng.randrange(vocabulary) for _ in range(size)] for size in sizes], lengths)


class AtLength(StoppingCriteria):
    """Ends each row at its own number of new tokens."""

    def __init__(self, prompt_columns: int, lengths: Sequence[int]) -> None:
        self.prompt_columns = prompt_columns
        self.lengths = torch.tensor(lengths)

    def __call__(self, input_ids: Any, scores: Any, **rest: Any) -> Any:
        return input_ids.shape[1] - self.prompt_columns >= self.lengths.to(input_ids.device)


@torch.inference_mode()
def static_batches(model: Any, work: Work) -> list[Ids]:
    """The reference's way: 25 prompts in the order given, padded on the left, until the longest answer ends."""
    answers: list[Ids] = []
    for start in range(0, len(work.prompts), STATIC_ROWS):
        prompts = work.prompts[start : start + STATIC_ROWS]
        lengths = work.lengths[start : start + STATIC_ROWS]
        columns = max(map(len, prompts))
        ids = torch.tensor([[0] * (columns - len(prompt)) + prompt for prompt in prompts])
        mask = torch.tensor([[0] * (columns - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        out = model.generate(
            ids.to(model.device),
            attention_mask=mask.to(model.device),
            max_new_tokens=max(lengths),
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
            stopping_criteria=StoppingCriteriaList([AtLength(columns, lengths)]),
        )
        answers += [
            row[columns : columns + length].tolist() for row, length in zip(out, lengths, strict=True)
        ]
    return answers


def ours(model: Any, work: Work, **settings: Any) -> list[Ids]:
    """derta's decode loop on the same work."""
    requests = [
        Request(tuple(prompt), length) for prompt, length in zip(work.prompts, work.lengths, strict=True)
    ]
    return [list(answer.ids) for answer in generate(model, requests, stop_ids=(), **settings)]


def c9(quick: bool) -> dict[str, object]:
    """Useful tokens a second on the 8B-like toy: both ways answer the same prompts at the same lengths."""
    model = models.eight_b_like(hidden=256, layers=2 if quick else 4).eval()
    model.generation_config.eos_token_id = None
    work = make_work(
        100 if quick else 200,
        model.config.vocab_size,
        mean=48 if quick else 96,
        longest=256 if quick else 512,
    )
    wanted, found = static_batches(model, work), ours(model, work)
    assert [len(ids) for ids in wanted] == [len(ids) for ids in found] == work.lengths
    cpu = CpuTimes(lambda: ours(model, work), lambda: static_batches(model, work))
    ratio = paired(
        cpu.fast,
        cpu.slow,
        pairs=3 if quick else 5,
        warmup=0,
    )
    return ratio.as_dict(
        floor=2.2,
        aim=2.8,
        cpu=cpu.as_dict(),
        same_answers=round(sum(map(list.__eq__, wanted, found)) / len(wanted), 4),
        static_useful_share=round(work.useful_share, 4),
        tokens=sum(work.lengths),
    )


# --- C10: tokens of prompts that are computed -------------------------------------------------------------------


def word_ids(text: str, vocabulary: int) -> Ids:
    """One id a word or mark, behind a short header such as templates have."""
    words = re.findall(r"\w+|[^\w\s]", text)
    return [1, 2, 3, 4, 5, *(zlib.crc32(word.encode()) % vocabulary for word in words)]


class Babble:
    """Words of a language that does not exist."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.words = [
            "".join(self.rng.choices("bdfgklmnprst", k=3)) + "".join(self.rng.choices("aeiou", k=3))
            for _ in range(600)
        ]

    def text(self, count: int) -> str:
        """So many words."""
        return " ".join(self.rng.choices(self.words, k=count))

    def query(self) -> str:
        """9 to 21 words, as the questions of the published sets."""
        return self.text(self.rng.randint(9, 21)) + "?"


def selfcipher_prompts() -> list[str]:
    """Role and five demonstrations of the published size: 0.96 of a prompt is common to all."""
    babble = Babble(1)
    shown = tuple(Demonstration(babble.query(), babble.text(40)) for _ in range(5))
    texts = CipherTexts(babble.text(90), shown)
    return [selfcipher_messages(babble.query(), texts)[0].text for _ in range(NUM_PROMPTS)]


def jailbreakchat_prompts() -> list[str]:
    """50 templates, one drawn a query; the query stands near their end, as in most published ones."""
    babble = Babble(2)
    templates = []
    for number in range(NUM_TEMPLATES):
        size = max(60, round(300 * babble.rng.lognormvariate(-0.12, 0.5)))
        text = f"{babble.text(size)} {PLACEHOLDER} {babble.text(size // 40)}"
        templates.append(Template(str(number), text))
    drawn = [draw_template(templates, f"q{index}", seed=0) for index in range(NUM_PROMPTS)]
    return [jailbreakchat_prompt(babble.query(), template.text) for template in drawn]


def code_prompts() -> list[str]:
    """In the published form's proportions: 0.29 stand before the first word of the query."""
    babble = Babble(3)
    head, tail = babble.text(85), babble.text(120)
    prompts = []
    for _ in range(NUM_PROMPTS):
        pushes = "\n".join(f'push("{word}")' for word in reversed(babble.query().split()))
        prompts.append(f"{head}\n{pushes}\n{tail}")
    return prompts


def our_code_prompts() -> list[str]:
    """derta's own scaffold is shorter: less of it can be common."""
    babble = Babble(3)
    return [code_attack_prompt(babble.query()) for _ in range(NUM_PROMPTS)]


def prefill_share(texts: Sequence[str], *, floor: float | None, aim: float | None) -> dict[str, object]:
    """Tokens that went through the model, padding included, over the prompts' tokens one by one."""
    vocabulary = 4096
    model = models.llama(vocabulary, hidden=64, layers=1).eval()
    prompts = [word_ids(text, vocabulary) for text in texts]
    work = make_work(len(prompts), vocabulary, mean=12, longest=64)
    decoder: Decoder[int] = Decoder(model, stop_ids=())
    for index, (prompt, length) in enumerate(zip(prompts, work.lengths, strict=True)):
        decoder.submit(index, Request(tuple(prompt), length))
    while decoder.busy:
        decoder.step()
    total, ordered = sum(map(len, prompts)), sorted(prompts)
    common = sum(common_prefix(one, other) for one, other in pairwise(ordered))
    share = round(decoder.prefilled / total, 4)
    limits = {} if floor is None else {"floor": floor, "aim": aim}
    return {
        "ratio": share,
        "min": share,
        "max": share,
        **limits,
        "smaller_is_better": True,
        "theory": round(1 - common / total, 4),
        "computed": decoder.prefilled,
        "tokens": total,
    }


def c10(quick: bool) -> dict[str, object]:
    """Counts, not times: the same every time."""
    return {
        "selfcipher": prefill_share(selfcipher_prompts(), floor=0.10, aim=0.06),
        "jailbreakchat": prefill_share(jailbreakchat_prompts(), floor=0.35, aim=0.32),
        "code": prefill_share(code_prompts(), floor=0.75, aim=0.73),
        "code_own_scaffold": prefill_share(our_code_prompts(), floor=None, aim=None),
    }
