"""The formats a recipe may name, each with its schema, its licence, its gate and its citation (docs/data.md)."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from derta.data.formats import dialogues, own, schemas
from derta.data.formats.items import Converted, Item
from derta.data.recipe import SourceSettings
from derta.errors import RecipeError

_NUMBER = re.compile(r"[-+]?\d{1,300}(?:\.\d{0,300})?")

Convert = Callable[[Any, SourceSettings], Converted]


@dataclass(frozen=True, kw_only=True)
class Format:
    """How rows of one schema are read, and on what terms the published set stands.

    gate: what has to be done before the set can be read; hub: its id there.
    """

    convert: Convert
    licence: str = "your own file: say so with `licence`"
    gate: str = "none"
    citation: str = ""
    hub: str | None = None


FORMATS: dict[str, Format] = {
    "beavertails": Format(
        convert=schemas.beavertails,
        licence="CC BY-NC 4.0",
        citation="Ji et al. 2023, BeaverTails, arXiv 2307.04657",
        hub="PKU-Alignment/BeaverTails",
    ),
    "pku_saferlhf": Format(
        convert=schemas.pku_saferlhf,
        licence="CC BY-NC 4.0",
        citation="Ji et al. 2024, PKU-SafeRLHF, arXiv 2406.15513",
        hub="PKU-Alignment/PKU-SafeRLHF",
    ),
    "do_not_answer": Format(
        convert=schemas.do_not_answer,
        licence="Apache 2.0 (hub card); others give CC BY-NC-SA 4.0 for the data: keep to the stricter",
        citation="Wang et al. 2023, Do-Not-Answer, arXiv 2308.13387",
        hub="LibrAI/do-not-answer",
    ),
    "harmbench": Format(
        convert=schemas.harmbench,
        licence="MIT",
        gate="GitHub file: none; hub mirror walledai/HarmBench: share contact details on its page first",
        citation="Mazeika et al. 2024, HarmBench, arXiv 2402.04249",
        hub="walledai/HarmBench",
    ),
    "advbench": Format(
        convert=schemas.advbench,
        licence="MIT",
        gate="GitHub file: none; hub mirror walledai/AdvBench: share contact details on its page first",
        citation="Zou et al. 2023, AdvBench, arXiv 2307.15043",
        hub="walledai/AdvBench",
    ),
    "xstest": Format(
        convert=schemas.xstest,
        licence="CC BY 4.0",
        gate="GitHub file and Paul/XSTest: none; mirror walledai/XSTest: share contact details first",
        citation="Röttger et al. 2024, XSTest, arXiv 2308.01263",
        hub="Paul/XSTest",
    ),
    "or_bench": Format(
        convert=schemas.or_bench,
        licence="CC BY 4.0",
        citation="Cui et al. 2024, OR-Bench, arXiv 2405.20947",
        hub="bench-llm/or-bench",
    ),
    "evol_instruct": Format(
        convert=dialogues.evol_instruct,
        licence="MIT (hub card of V2); answers come from a commercial model: read its terms",
        citation="Xu et al. 2023, WizardLM, arXiv 2304.12244",
        hub="WizardLMTeam/WizardLM_evol_instruct_V2_196k",
    ),
    "alpaca": Format(
        convert=dialogues.alpaca,
        licence="CC BY-NC 4.0; answers come from a commercial model: read its terms",
        citation="Taori et al. 2023, Stanford Alpaca",
        hub="tatsu-lab/alpaca",
    ),
    "sharegpt": Format(
        convert=dialogues.sharegpt,
        licence="unclear: the copies' cards say apache-2.0 or cc0-1.0, but the users and the model's maker gave none",
        citation="ShareGPT and its cleaned copies",
        hub="anon8231489123/ShareGPT_Vicuna_unfiltered",
    ),
    "released_derta": Format(
        convert=schemas.released_derta,
        licence="as its parts: BeaverTails (CC BY-NC 4.0), Evol-Instruct, Do-Not-Answer, HarmBench",
        citation="Yuan et al. 2025, DeRTa, arXiv 2407.09121",
    ),
    "preference": Format(
        convert=dialogues.preference,
        citation="your own file; its strings as in Bai et al. 2022, HH-RLHF, arXiv 2204.05862",
    ),
    "columns": Format(convert=own.columns),
    "records": Format(convert=own.records),
}


def format_of(settings: SourceSettings, extra: Collection[str] = ()) -> Format:
    """The format that a source names; an extra source (rows made in this process) has our own field names.

    Raises:
        RecipeError: no such format, or settings that don't fit it.
    """
    if settings.format in extra:
        return FORMATS["records"]
    known = [*FORMATS, *extra]
    if settings.format not in FORMATS:
        near = difflib.get_close_matches(settings.format, known, n=1, cutoff=0.5)
        hint = f"did you mean `{near[0]}`?" if near else f"known: {', '.join(known)}"
        raise RecipeError(f"source {settings.name}: format {settings.format!r} is unknown; {hint}")
    if settings.path is None and settings.hub is None:
        raise RecipeError(
            f"source {settings.name}: no origin; set `path` (file or folder) or `hub` (data set id)"
        )
    if settings.format == "columns" and not settings.columns:
        raise RecipeError(
            f"source {settings.name}: format `columns` needs `columns`, e.g. {{harmful_query: prompt, "
            "harmful_response: answer}"
        )
    if settings.format != "columns" and settings.columns:
        raise RecipeError(
            f"source {settings.name}: `columns` belongs to format `columns`, not {settings.format!r}"
        )
    return FORMATS[settings.format]


def convert_row(row: Any, settings: SourceSettings, form: Format) -> Converted:
    """The row's items, or reasons: its schema, then the recipe's `where`, `categories` and `use`."""
    if isinstance(row, dict):
        for column, allowed in settings.where.items():
            value = _comparable(row.get(column))
            if value not in {_comparable(choice) for choice in allowed}:
                return [f"where: `{column}` is {str(row.get(column)).strip().lower()[:60]!r}"]
    elif form.convert is not schemas.released_derta:
        return [f"need an object, found {type(row).__name__}"]
    return [_as_used(item, settings) for item in form.convert(row, settings)]


def _comparable(value: Any) -> str | float:
    """A cell or a choice: a number (1, 1.0, "1.0") as a number, all else as lower-case text."""
    text = str(value).strip().lower()
    return float(text) if _NUMBER.fullmatch(text) else text


def _as_used(item: Item | str, settings: SourceSettings) -> Item | str:
    if isinstance(item, str):
        return item
    if settings.categories is not None and item.category not in settings.categories:
        return f"categories: {item.category!r} is not asked for"
    if settings.use is None:
        return item
    if settings.use in ("queries", "decontaminate"):
        return own.SINGLE_ONLY if item.context and settings.use == "queries" else _as_query(item)
    wanted = {"triples": ("harmful", "safe"), "benign": ("benign",)}[settings.use]
    return item if item.role in wanted else f"use: {settings.use}: the row is of role `{item.role}`"


def _as_query(item: Item) -> Item | str:
    """The item's question alone, for evaluation; a benign answer becomes the reference."""
    if item.role == "query":
        return item
    if item.role == "benign":
        return Item(role="query", query=item.query, kind="benign", reference=item.response, id=item.id)
    return Item(role="query", query=item.query, kind="harmful", category=item.category, id=item.id)
