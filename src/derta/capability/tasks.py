"""The benchmarks as tasks of the lm-evaluation-harness: its own definitions, fed with the user's questions.

paper    its GSM8K with the bare question and its flexible reading; MMLU with the release's options and reading.py
harness  its GSM8K and its MMLU by subject, word for word
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from derta.capability.questions import LETTERS, Doc
from derta.capability.reading import read_letter
from derta.capability.recipe import TaskSettings
from derta.errors import RecipeError

if TYPE_CHECKING:
    from lm_eval.api.task import ConfigurableTask

INVALID = "[invalid]"  # what the harness's filters give for a response that holds no answer
MMLU_INSTRUCTION = "Answer with the letter of the correct option."


class HarnessTask(NamedTuple):
    """A harness task, the metric to take from it, and which of its filters to read.

    numbers: place of each of its questions among all of the benchmark.
    """

    task: ConfigurableTask
    metric: str
    filter: str
    numbers: list[int]


def harness_tasks(settings: TaskSettings, docs: Sequence[Doc], examples: Sequence[Doc]) -> list[HarnessTask]:
    """The tasks that together ask all of `docs`; examples: worked ones, for few-shot.

    Raises:
        RecipeError: lm-eval is not installed, or a subject has too few examples.
    """
    if settings.name == "gsm8k":
        return [_gsm8k(settings, docs, examples)]
    if settings.protocol == "paper":
        return [_mmlu_paper(settings, docs)]
    return _mmlu_by_subject(settings, docs, examples)


def _gsm8k(settings: TaskSettings, docs: Sequence[Doc], examples: Sequence[Doc]) -> HarnessTask:
    stock = stock_config("gsm8k/gsm8k.yaml")
    numbers = list(range(len(docs)))
    if settings.protocol == "harness":
        _check_examples(settings, examples, "")
        config = stock | {"num_fewshot": settings.shots}
        return HarnessTask(
            _task(settings.shown, config, docs, examples), "exact_match", "strict-match", numbers
        )
    asked = [doc | {"prompt": _under(doc["question"], settings.instruction)} for doc in docs]
    flexible = [entry for entry in stock["filter_list"] if entry["name"] == "flexible-extract"]
    config = stock | _asked_freely(settings) | {"filter_list": flexible}
    return HarnessTask(_task(settings.shown, config, asked, ()), "exact_match", "flexible-extract", numbers)


def _mmlu_paper(settings: TaskSettings, docs: Sequence[Doc]) -> HarnessTask:
    instruction = MMLU_INSTRUCTION if settings.instruction is None else settings.instruction
    asked = [doc | {"prompt": _under(_with_options(doc), instruction)} for doc in docs]

    def read(doc: Doc, results: list[str]) -> dict[str, float]:
        letter = read_letter(results[0], doc["choices"])
        return {"acc": float(letter == LETTERS[doc["answer"]]), "unread": float(letter is None)}

    metrics = [
        {"metric": name, "aggregation": "mean", "higher_is_better": name == "acc"}
        for name in ("acc", "unread")
    ]
    config = _asked_freely(settings) | {
        "output_type": "generate_until",
        "test_split": "test",
        "doc_to_target": "answer",
        "process_results": read,
        "metric_list": metrics,
    }
    return HarnessTask(_task(settings.shown, config, asked, ()), "acc", "none", list(range(len(docs))))


def _mmlu_by_subject(
    settings: TaskSettings, docs: Sequence[Doc], examples: Sequence[Doc]
) -> list[HarnessTask]:
    stock = stock_config("mmlu/default/_default_template_yaml")
    found = []
    for subject in dict.fromkeys(doc["subject"] for doc in docs):
        numbers = [number for number, doc in enumerate(docs) if doc["subject"] == subject]
        own = [doc for doc in examples if doc["subject"] == subject]
        _check_examples(settings, own, subject)
        about = f" about {subject.replace('_', ' ')}" if subject else ""
        config = stock | {
            "description": f"The following are multiple choice questions (with answers){about}.\n\n",
            "num_fewshot": settings.shots,
        }
        task = _task(f"{settings.shown}:{subject}", config, [docs[number] for number in numbers], own)
        found.append(HarnessTask(task, "acc", "none", numbers))
    return found


def stock_config(name: str) -> dict[str, Any]:
    """One of the harness's own task definitions.

    Raises:
        RecipeError: lm-eval is not installed.
    """
    try:
        import lm_eval.tasks
        from lm_eval.tasks._yaml_loader import load_yaml
    except ImportError:
        raise RecipeError(
            "capability: needs the lm-evaluation-harness; install it with: pip install 'derta[capability]'"
        ) from None
    config: dict[str, Any] = load_yaml(Path(lm_eval.tasks.__file__).parent / name)
    return {key: value for key, value in config.items() if key not in ("dataset_path", "dataset_name", "tag")}


def _asked_freely(settings: TaskSettings) -> dict[str, Any]:
    """One prompt, no examples, a response of any length: the model's own end of turn ends it."""
    return {
        "doc_to_text": "prompt",
        "num_fewshot": 0,
        "fewshot_split": None,
        "training_split": None,
        "generation_kwargs": {"until": [], "do_sample": False, "max_gen_toks": settings.max_new_tokens},
    }


def _task(
    name: str, config: dict[str, Any], docs: Sequence[Doc], examples: Sequence[Doc]
) -> ConfigurableTask:
    from datasets import Dataset
    from lm_eval.api.task import ConfigurableTask

    logging.getLogger("lm_eval").setLevel(logging.ERROR)  # advice on settings that are meant as they are
    split = config.get("fewshot_split")
    data = {config["test_split"]: Dataset.from_list(list(docs))}
    if split:
        data[split] = Dataset.from_list(
            list(examples or docs[:1])
        )  # never drawn from when there are no examples
    given: Callable[..., Any] = lambda **_: data  # noqa: E731
    return ConfigurableTask(config=config | {"task": name, "custom_dataset": given})


def _check_examples(settings: TaskSettings, examples: Sequence[Doc], subject: str) -> None:
    if len(examples) < settings.shots:
        of = f" of the subject {subject!r}" if subject else ""
        raise RecipeError(
            f"{settings.fewshot_file}: {len(examples)} worked examples{of}, need {settings.shots}; "
            "give more, or set num_fewshot"
        )


def _with_options(doc: Doc) -> str:
    options = "\n".join(
        f"-({letter}) {choice}" for letter, choice in zip(LETTERS, doc["choices"], strict=False)
    )
    return f"{doc['question']}\n-options\n{options}"


def _under(question: str, instruction: str | None) -> str:
    return f"{question.strip()}\n\n{instruction}" if instruction else question.strip()
