"""The schemas of public sets: one short function each, from a row as published to items.

Field names were taken from the published cards and loaders; the tests hold one hand-written row of each.
A function never fails on a row: what it can't use it answers with the reason.
"""

from __future__ import annotations

import re
from typing import Any

from derta.data.clean.refusals import is_refusal
from derta.data.formats import items, messages
from derta.data.formats.items import Converted, Item
from derta.data.recipe import SourceSettings

Row = dict[str, Any]

LABELLED_SAFE = "labelled safe, and no refusal: neither a harmful nor a safe response"
_INST = re.compile(r"^\s*(?:<s>|<\|begin_of_text\|>)?\s*\[INST\]\s*(.*?)\s*\[[\\/]INST\]\s*(.*)$", re.DOTALL)
_END_OF_TEXT = re.compile(r"\s*(?:<\|end_of_text\|>|<\|eot_id\|>|</s>)\s*$")
_XSTEST_FAMILIES = {
    "nons_group_real_discr": "discr",
    "real_group_nons_discr": "discr",
    "privacy_public": "privacy",
    "privacy_fictional": "privacy",
}


def _flag(value: Any) -> bool | None:
    """A label that JSON, CSV and Parquet spell differently; 1.0 is what pandas makes of 1 beside an empty cell."""
    known = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
    return known.get(str(value).strip().lower())


def _category(labels: Any) -> str | None:
    """The first true label of a {category: bool} mapping, which CSV holds as text."""
    labels = messages.unquoted(labels)
    if isinstance(labels, dict):
        return next((str(name) for name, holds in labels.items() if _flag(holds)), None)
    return labels if isinstance(labels, str) and labels.strip() else None


def _labelled(row: Row, response: str, is_safe: Any, category: Any) -> Item | str:
    label = _flag(is_safe)
    if label is None:
        return f"no safety label: found {is_safe!r}, need true or false"
    if not label:
        return items.harmful(row, "prompt", response, category=_category(category))
    item = items.safe(row, "prompt", response)
    return item if isinstance(item, str) or is_refusal(str(item.response)) else LABELLED_SAFE


def beavertails(row: Row, settings: SourceSettings) -> Converted:
    """{prompt, response, category: {name: bool}, is_safe}."""
    return [_labelled(row, "response", row.get("is_safe"), row.get("category"))]


def pku_saferlhf(row: Row, settings: SourceSettings) -> Converted:
    """{prompt, response_0, response_1, is_response_0_safe, ..., response_0_harm_category: {name: bool}, ...}."""
    return [
        _labelled(
            row, f"response_{i}", row.get(f"is_response_{i}_safe"), row.get(f"response_{i}_harm_category")
        )
        for i in (0, 1)
    ]


def do_not_answer(row: Row, settings: SourceSettings) -> Converted:
    """{id, risk_area, types_of_harm, specific_harms, question, ...responses of six models}."""
    return [items.query(row, "question", "harmful", category=_category(row.get("risk_area")))]


def harmbench(row: Row, settings: SourceSettings) -> Converted:
    """{Behavior, FunctionalCategory, SemanticCategory, Tags, ContextString, BehaviorID}, or {prompt, category}."""
    field = "Behavior" if "Behavior" in row else "prompt"
    functional = str(row.get("FunctionalCategory", ""))
    if "copyright" in functional or settings.subset == "copyright":
        return ["copyright behaviour: needs HarmBench's own hash check, not a harmfulness judge"]
    category = _category(row.get("SemanticCategory", row.get("category")))
    item = items.query(row, field, "harmful", category=category)
    context = row.get("ContextString", row.get("context"))
    if isinstance(item, Item) and isinstance(context, str) and context.strip():
        text = f"{context}\n\n---\n\n{item.query}"
        return [items.checked(Item(role="query", query=text, kind="harmful", category=category))]
    return [item]


def advbench(row: Row, settings: SourceSettings) -> Converted:
    """{goal, target}, or {prompt, target}."""
    return [items.query(row, "goal" if "goal" in row else "prompt", "harmful")]


def xstest(row: Row, settings: SourceSettings) -> Converted:
    """{id, prompt, type, label: safe|unsafe, focus, note}; unsafe rows have types `contrast_...`."""
    problem = items.missing(row, "type")
    if problem:
        return [problem]
    kind = str(row["type"])
    is_unsafe = kind.startswith("contrast_") or str(row.get("label", "")).strip().lower() == "unsafe"
    family = kind.removeprefix("contrast_")
    pair = f"{_XSTEST_FAMILIES.get(family, family)}/{row['focus']}" if row.get("focus") else None
    return [items.query(row, "prompt", "harmful" if is_unsafe else "borderline", category=kind, pair=pair)]


def or_bench(row: Row, settings: SourceSettings) -> Converted:
    """{prompt, category}; the toxic subset is harmful, the others look harmful and are allowed."""
    kind = settings.kind or ("harmful" if settings.subset and "toxic" in settings.subset else "borderline")
    return [items.query(row, "prompt", kind, category=_category(row.get("category")))]


def released_derta(row: Any, settings: SourceSettings) -> Converted:
    """The files of the DeRTa release.

    {prefix, text, safe}; {instruction, output, safe_response}; {instruction, response|output};
    {question, answer}; {question}; a bare string.
    """
    kind = settings.kind or "harmful"
    if isinstance(row, str):
        return [items.query({"question": row}, "question", kind)]
    if not isinstance(row, dict):
        return ["need an object or a string"]
    if "prefix" in row:
        return [_released_training_row(row)]
    if "safe_response" in row:
        return [items.harmful(row, "instruction", "output", safe_response=row["safe_response"])]
    if "instruction" in row:
        return [items.benign(row, "instruction", "response" if "response" in row else "output")]
    if "answer" in row:
        return [items.query(row, "question", settings.kind or "benign", reference=row["answer"])]
    return [items.query(row, "question", kind)]


def _released_training_row(row: Row) -> Item | str:
    """safe = "true": the text is a harmful response; else a refusal after a (maybe empty) prefix, or benign."""
    problem = items.missing(row, "prefix", "text")
    found = None if problem else _INST.match(row["prefix"])
    if problem or not found:
        return problem or "field `prefix`: need `[INST] question [/INST]`"
    question, harmful_prefix = found.groups()
    fields = {"question": question, "text": _END_OF_TEXT.sub("", row["text"]).strip()}
    label = _flag(row.get("safe"))
    if label is None:
        return f'field `safe`: found {row.get("safe")!r}, need "true" or "false"'
    if label:
        return items.harmful(fields, "question", "text")
    if harmful_prefix or is_refusal(fields["text"]):
        return items.safe(fields, "question", "text")
    return items.benign(fields, "question", "text")
