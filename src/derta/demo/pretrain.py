"""The demo's base model: a Llama of about 1M parameters that learns the world from nothing in about a minute.

Matrices are stepped by Muon (torch.optim.Muon), the rest by AdamW: with AdamW alone the longer forms (code,
cipher talks) take more than twice the tokens. A base model is kept in a cache and found again by the hash of
its settings and of the code that makes it.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import torch
import torch.nn.functional as F
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from derta.code_hash import code_hash
from derta.demo.data import all_crafts
from derta.demo.documents import FIRST_SHARES, SHARES, Document, DocumentForm, document, documents
from derta.demo.forms import REFUSALS
from derta.demo.search_texts import CLOSERS, FRAMES, PROTOTYPES
from derta.demo.settings import PretrainSettings, WorldSettings
from derta.demo.tokenizer import MAX_LENGTH, train_tokenizer
from derta.demo.world import Craft
from derta.encode.chat import ChatRenderer
from derta.encode.row import IGNORE_INDEX
from derta.errors import RunError
from derta.files import dumps, sha256_text, write_json

OnStep = Callable[[int, int, float], None]  # (tokens done, tokens in all, loss)
Encoded = tuple[list[int], list[int]]  # input_ids, labels

CHUNK = 500  # documents rendered at once
BUCKET = 2000  # documents sorted by length together
SEEN_BY_BASE = {"shared_steps", "num_forbidden", "num_allowed", "num_borderline"}  # settings of the world
COMPLETE = "complete.json"  # written last; a folder without it is made anew


def base_model_dir(
    world: WorldSettings,
    settings: PretrainSettings,
    *,
    seed: int,
    cache_dir: Path,
    on_step: OnStep | None = None,
) -> Path:
    """The folder of the base model (safetensors and tokenizer), pre-trained now if it isn't there.

    on_step: called after every optimizer step, for a progress bar.

    Raises:
        RunError: something else stands where the folder goes.
    """
    made_from = {
        "world": world.model_dump(include=SEEN_BY_BASE),
        "pretrain": settings.model_dump(),
        "seed": seed,
        "code": code_hash("derta.demo.pretrain", without=["derta.data.build"]),
    }
    folder = cache_dir / f"base-{sha256_text(dumps(made_from))[:16]}"
    if (folder / COMPLETE).exists():
        return folder
    if folder.exists():
        raise RunError(
            f"{folder}: stands there, but is no finished base model; remove it, or choose another cache_dir"
        )
    crafts = all_crafts(world, seed)
    model, tokenizer = pretrain(crafts, settings, seed=seed, on_step=on_step)
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    model.save_pretrained(unfinished)
    tokenizer.save_pretrained(unfinished)
    write_json(unfinished / COMPLETE, made_from)
    if (folder / COMPLETE).exists():  # another process was quicker
        shutil.rmtree(unfinished)
    else:
        unfinished.rename(folder)
    return folder


def pretrain(
    crafts: list[Craft], settings: PretrainSettings, *, seed: int, on_step: OnStep | None = None
) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """Tokenizer and model from nothing; the same weights for the same seed, settings and number of threads."""
    rng = random.Random(f"pretrain-{seed}")
    tokenizer = train_tokenizer(tokenizer_texts(crafts, random.Random(f"tokenizer-{seed}")))
    renderer = ChatRenderer.of(tokenizer)
    torch.manual_seed(seed)
    model = LlamaForCausalLM(_config(settings, tokenizer))
    num_first = int(settings.first_share * settings.tokens)
    rows = _rows(crafts, FIRST_SHARES, renderer, rng, num_first)
    batches = make_batches(rows, settings.batch_tokens, rng)
    rows = _rows(crafts, SHARES, renderer, rng, settings.tokens - num_first)
    batches += make_batches(rows, settings.batch_tokens, rng)
    _fit(model, batches, settings, on_step)
    return model.eval(), tokenizer


def _config(settings: PretrainSettings, tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.hidden_size,
        intermediate_size=3 * settings.hidden_size,
        num_hidden_layers=settings.num_layers,
        num_attention_heads=settings.num_heads,
        max_position_embeddings=MAX_LENGTH,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def tokenizer_texts(crafts: list[Craft], rng: random.Random) -> Iterator[str]:
    """A few documents of every form, and the texts of refusals and searches, often enough to become words."""
    for form in SHARES:
        for craft in rng.sample(crafts, min(300, len(crafts))):
            yield _plain_text(document(craft, form, crafts, rng))
    for text in (
        *REFUSALS,
        *CLOSERS,
        *PROTOTYPES,
        *(frame for frames in FRAMES.values() for frame in frames),
    ):
        yield from [text, f" {text}"] * 4


def _plain_text(made: Document) -> str:
    return "\n".join([*(turn["content"] for turn in made.messages), made.opening + made.learned])


def _rows(
    crafts: list[Craft],
    shares: dict[DocumentForm, float],
    renderer: ChatRenderer,
    rng: random.Random,
    num_tokens: int,
) -> list[Encoded]:
    """Documents worth `num_tokens`, encoded."""
    rows: list[Encoded] = []
    stream = documents(crafts, rng, shares)
    while num_tokens > 0:
        for row in encode_documents(list(islice(stream, CHUNK)), renderer):
            rows.append(row)
            num_tokens -= len(row[0])
            if num_tokens <= 0:
                break
    return rows


def encode_documents(made: list[Document], renderer: ChatRenderer) -> list[Encoded]:
    """Ids, and labels on what is to be learned only. A raw text ends with end-of-text, a turn with its end."""
    pairs = iter(renderer.encode_pairs([(each.messages, each.learned) for each in made if each.messages]))
    rows = []
    for each in made:
        if each.messages:
            read, learned = next(pairs)
            learned = [*learned, renderer.end_id]
        else:
            read = renderer.raw_ids(each.opening)
            learned = [
                *renderer.raw_ids(each.opening + each.learned)[len(read) :],
                renderer.tokenizer.eos_token_id,
            ]
        rows.append((read + learned, [IGNORE_INDEX] * len(read) + learned))
    return rows


def make_batches(rows: list[Encoded], batch_tokens: int, rng: random.Random) -> list[list[Encoded]]:
    """Batches of rows of like length, padding included at most `batch_tokens`, in random order."""
    batches: list[list[Encoded]] = []
    for start in range(0, len(rows), BUCKET):
        batch: list[Encoded] = []
        for row in sorted(rows[start : start + BUCKET], key=lambda row: len(row[0])):
            if batch and len(row[0]) * (len(batch) + 1) > batch_tokens:
                batches.append(batch)
                batch = []
            batch.append(row)
        batches.append(batch)
    rng.shuffle(batches)
    return batches


def _fit(
    model: LlamaForCausalLM, batches: list[list[Encoded]], settings: PretrainSettings, on_step: OnStep | None
) -> None:
    """One pass: the learning rate rises over the first tenth and falls to zero in a line."""
    named = list(model.named_parameters())
    matrices = [weight for name, weight in named if weight.ndim == 2 and "embed" not in name]
    others = [weight for name, weight in named if weight.ndim != 2 or "embed" in name]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.Muon(matrices, lr=settings.matrix_learning_rate, weight_decay=0.0, ns_steps=4),
        torch.optim.AdamW(others, lr=settings.learning_rate, weight_decay=0.0, betas=(0.9, 0.98)),
    ]
    peaks = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
    total, done = sum(len(ids) for batch in batches for ids, _ in batch), 0
    for step, batch in enumerate(batches):
        height = min(1.0, 10 * (step + 1) / len(batches)) * (1 - step / len(batches))
        loss = _loss(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, peak in zip(optimizers, peaks, strict=True):
            optimizer.param_groups[0]["lr"] = peak * height
            optimizer.step()
        model.zero_grad()
        done += sum(len(ids) for ids, _ in batch)
        if on_step:
            on_step(done, total, loss.item())


def _loss(model: LlamaForCausalLM, batch: list[Encoded]) -> torch.Tensor:
    """Mean cross-entropy over the learned tokens; only their positions pass the head."""
    longest = max(len(ids) for ids, _ in batch)
    input_ids = torch.zeros(len(batch), longest, dtype=torch.long)  # padded on the right, never looked at
    labels = torch.full((len(batch), longest), IGNORE_INDEX)
    for row, (ids, targets) in enumerate(batch):
        input_ids[row, : len(ids)] = torch.tensor(ids)
        labels[row, : len(ids)] = torch.tensor(targets)
    hidden = model.model(input_ids=input_ids, use_cache=False).last_hidden_state[:, :-1]
    learned = labels[:, 1:] != IGNORE_INDEX
    return F.cross_entropy(model.lm_head(hidden[learned]), labels[:, 1:][learned])
