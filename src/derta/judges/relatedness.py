"""How near an answer is in meaning to its question: cosine of sentence embeddings, by a local model.

Any encoder with mean pooling fits (the sentence-transformers family: Reimers and Gurevych, arXiv 1908.10084). It is
read from a folder and never fetched. Shared words say little where a role-play answer tells steps in other words.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from derta.errors import RecipeError

if TYPE_CHECKING:
    import torch

Relatedness = Callable[[str, str], float]

SETTING = "judge.relatedness.model"
LEAST = 0.2  # default of `least`; a choice, not a measurement: calibrate it on labelled rows of your own
CHUNK_WORDS = (
    120  # an answer is read in chunks of this many words, inside the 256 tokens of the small encoders
)


def read_settings(settings: dict[str, Any] | None) -> tuple[Relatedness | None, float]:
    """The measure, or None without settings, and the least value of an answer that is about the question.

    Raises:
        RecipeError: another setting than model and least, or no such folder.
        ModelError: the folder holds nothing loadable.
    """
    if settings is None:
        return None, LEAST
    unknown = settings.keys() - {"model", "least"}
    folder = Path(str(settings.get("model", "")))
    if unknown or "model" not in settings or not (folder / "config.json").is_file():
        found = f"unknown {sorted(unknown)[0]!r}" if unknown else f"no model in {str(folder)!r}"
        raise RecipeError(
            f"judge span: relatedness: {found}; need {{model: FOLDER of a sentence-embedding model, least: 0.2}}"
        )
    return _embedding_measure(str(folder)), float(settings.get("least", LEAST))


@cache
def _embedding_measure(folder: str) -> Relatedness:
    from derta.models import load_model, load_tokenizer

    tokenizer = load_tokenizer(folder, setting=SETTING)
    model = load_model(folder, dtype="float32", family="encoder", setting=SETTING)

    def related(question: str, answer: str) -> float:
        words = answer.split()
        chunks = [" ".join(words[start : start + CHUNK_WORDS]) for start in range(0, len(words), CHUNK_WORDS)]
        vectors = _embed(tokenizer, model, [question, *chunks])
        return float((vectors[1:] @ vectors[0]).max())

    return related


def _embed(tokenizer: Any, model: Any, texts: list[str]) -> torch.Tensor:
    """float32[texts, width]: means over the tokens that are no padding, of length 1."""
    import torch

    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt").to(model.device)
    with torch.inference_mode():
        hidden = model(**batch).last_hidden_state  # float[texts, tokens, width]
    mask = batch["attention_mask"].unsqueeze(-1).to(hidden.dtype)
    means = (hidden * mask).sum(1) / mask.sum(1)
    return torch.nn.functional.normalize(means.float(), dim=1)
