"""Toy shapes with the proportions that matter, and steps of the three ways of computing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.rows import END, REFUSAL, REFUSAL_IDS
from derta.encode.row import IGNORE_INDEX, Objective, Row
from derta.training.attention.architecture import choose_attention
from derta.training.collate import Batch, collate
from derta.training.loss import install_supervised_forward
from derta.training.plan import best_fit

Step = Callable[[], float]


def eight_b_like(*, layers: int = 4, hidden: int = 512, seed: int = 0) -> LlamaForCausalLM:
    """Llama-3-8B's proportions: ff 3.5 d, kv d/4, head 7 % of the matmul weights."""
    per_layer = 2 * hidden * hidden + 2 * hidden * (hidden // 4) + 3 * hidden * int(3.5 * hidden)
    vocabulary = round(0.07 / 0.93 * layers * per_layer / hidden / 8) * 8
    return llama(vocabulary, hidden=hidden, layers=layers, seed=seed)


def llama(vocabulary: int, *, hidden: int, layers: int, seed: int = 0) -> LlamaForCausalLM:
    """A random Llama in float32."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=int(3.5 * hidden),
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        num_key_value_heads=max(1, hidden // 256),
        max_position_embeddings=8192,
        tie_word_embeddings=False,
        attn_implementation="sdpa",
    )
    return LlamaForCausalLM(config)


def matmul_parameters(model: torch.nn.Module) -> int:
    """N of 6N: parameters that take part in matrix products (no embedding, no norm)."""
    return sum(p.numel() for name, p in model.named_parameters() if p.dim() == 2 and "embed" not in name)


def ours(model: Any, batches: Sequence[Batch]) -> Step:
    """One optimizer step over derta's micro-batches."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)

    def step() -> float:
        total = 0.0
        for batch in batches:
            loss = model(**{name: value for name, value in batch.items() if name != "objective"}).loss
            loss.backward()
            total += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return total

    return step


def reference(model: Any, rows: Sequence[Row], *, micro_batch_rows: int) -> Step:
    """The released code's way: padded micro-batches, float32 logits everywhere, a relabelling loop, recompute."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.train()

    def step() -> float:
        total = 0.0
        for start in range(0, len(rows), micro_batch_rows):
            batch = _padded(rows[start : start + micro_batch_rows])
            logits = model(
                input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False
            ).logits
            labels = _relabelled(batch)
            shifted = logits.float()[:, :-1].reshape(-1, logits.shape[-1])
            loss = functional.cross_entropy(shifted, labels[:, 1:].reshape(-1), ignore_index=IGNORE_INDEX)
            loss.backward()
            total += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return total

    return step


def trl(
    model: Any,
    rows: Sequence[Row],
    *,
    micro_batch_rows: int,
    packing: bool,
    max_length: int,
    checkpointing: bool,
) -> Step:
    """TRL's SFTTrainer on ready labels: its collator, its loss, its training step."""
    import tempfile

    from datasets import Dataset
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast
    from trl import SFTConfig, SFTTrainer

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"<pad>": END, "<s>": REFUSAL}, unk_token="<s>")),
        pad_token="<pad>",
        eos_token="<pad>",
    )
    arguments = SFTConfig(
        output_dir=tempfile.mkdtemp(),
        per_device_train_batch_size=micro_batch_rows,
        gradient_checkpointing=checkpointing,
        packing=packing,
        max_length=max_length,
        bf16=False,
        use_cpu=True,
        report_to="none",
        train_sampling_strategy="sequential",
        dataloader_pin_memory=False,
        learning_rate=1e-5,
        optim="adamw_torch_fused",
        disable_tqdm=True,
        dataset_num_proc=None,
    )
    data = Dataset.from_dict(
        {"input_ids": [row.input_ids.tolist() for row in rows], "labels": [row.labels() for row in rows]}
    )
    trainer = SFTTrainer(model=model, args=arguments, train_dataset=data, processing_class=tokenizer)
    trainer.create_optimizer()
    batches = list(trainer.get_train_dataloader())
    trainer.current_gradient_accumulation_steps = len(batches)
    wrapped = trainer._wrap_model(trainer.model)

    def step() -> float:
        total = 0.0
        items = sum(int((batch["labels"][:, 1:] != IGNORE_INDEX).sum()) for batch in batches)
        for batch in batches:
            total += float(trainer.training_step(wrapped, dict(batch), torch.tensor(items)))
        torch.nn.utils.clip_grad_norm_(wrapped.parameters(), 1.0)
        assert trainer.optimizer is not None
        trainer.optimizer.step()
        trainer.optimizer.zero_grad()
        return total

    return step


def prepared(model: Any, *, checkpointing: bool) -> Any:
    """A model with derta's supervised forward, in training mode."""
    model.set_attn_implementation(choose_attention(model.config, torch.device("cpu")))
    install_supervised_forward(model)
    if checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.train()
    return model


def packed(rows: Sequence[Row], *, batch_tokens: int) -> list[Batch]:
    """Rows in best-fit lines, each a micro-batch, as the trainer's plan makes them on a CPU."""
    lines = best_fit([len(row) for row in rows], batch_tokens)
    weight = sum(float(row.weight.sum()) for row in rows)
    return [collate([[rows[index] for index in line]], END, weight, REFUSAL_IDS) for line in lines]


def _padded(rows: Sequence[Row]) -> dict[str, torch.Tensor]:
    width = max(len(row) for row in rows)
    ids = torch.full((len(rows), width), END)
    attention = torch.zeros(len(rows), width, dtype=torch.long)
    labels = torch.full((len(rows), width), IGNORE_INDEX)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = torch.from_numpy(row.input_ids.astype("int64"))
        attention[number, : len(row)] = 1
        labels[number, : len(row)] = torch.tensor(row.labels())
    is_rto = torch.tensor([bool(len(row.objective)) and row.objective[0] == Objective.RTO for row in rows])
    return {"input_ids": ids, "attention_mask": attention, "labels": labels, "is_rto": is_rto}


def _relabelled(batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """A row at a time, as the released code does it."""
    labels = batch["labels"].clone()
    for row in range(len(labels)):
        if bool(batch["is_rto"][row]):
            labels[row][labels[row] != IGNORE_INDEX] = REFUSAL
    return labels
