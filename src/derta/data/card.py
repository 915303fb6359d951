"""The data card: where every row came from, what was thrown away and why, lengths, shares, hashes.

data_card.json is what the report reads; data_card.md says the same for people. Neither holds a text of the
data, nor a time: the same build gives the same bytes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from derta.data.clean.refusals import begins_with, is_refusal
from derta.data.corpus import Corpus
from derta.data.formats.sources import FORMATS
from derta.data.outputs import Output, reasons_of
from derta.data.recipe import DataRecipe, SourceSettings
from derta.data.select import Selection
from derta.errors import DataError
from derta.files import write_json, write_text
from derta.secrecy import public
from derta.words import count_words

LENGTH_EDGES = (8, 16, 32, 64, 128, 256, 512, 1024, 2048)
COUNTED_FIELDS = ("harmful_query", "safe_response", "harmful_response", "benign_query", "response", "query")
TOKENIZED_BATCH = 1000

Counts = Callable[[list[str]], list[int]]


def write_card(
    corpus: Corpus, chosen: Selection, recipe: DataRecipe, outputs: list[Output], *, answered: int
) -> dict[str, Any]:
    """Write data_card.json and data_card.md beside the files; returns the card."""
    sources = [_source(corpus, chosen, i, settings) for i, settings in enumerate(recipe.sources)]
    totals = {key: sum(source[key] for source in sources) for key in ("read", "kept", "rejected")}
    if totals["read"] != totals["kept"] + totals["rejected"]:
        raise AssertionError(f"rows lost: {totals}")
    card = {
        "sources": sources,
        **totals,
        "leaks": {"found": len(chosen.leaks), "action": recipe.clean.leakage.action},
        "written_by_model": {
            "model": recipe.safe_responses.model,
            "responses": answered,
        },
        "files": describe_files(recipe.out, recipe.card.tokenizer, opening=recipe.safe_responses.opening),
        "hashes": {output.name: output.sha256 for output in outputs},
        "recipe": public(recipe.model_dump(mode="json", exclude={"out", "num_processes"})),
    }
    write_json(recipe.out / "data_card.json", card)
    write_text(recipe.out / "data_card.md", render(card))
    return card


def read_card(folder: Path) -> dict[str, Any]:
    """The card of a built folder.

    Raises:
        DataError: there is none.
    """
    try:
        card: dict[str, Any] = json.loads((folder / "data_card.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{folder}/data_card.json: can't be read ({error}); make it with `derta data build`"
        ) from None
    return card


def _source(corpus: Corpus, chosen: Selection, number: int, settings: SourceSettings) -> dict[str, Any]:
    summary = json.loads((corpus.folders[number] / "scan.json").read_text(encoding="utf-8"))
    fates = reasons_of(corpus, chosen, number)
    kept = fates.pop("kept", 0)
    reasons = Counter(summary["reasons"]) + fates
    form = FORMATS.get(settings.format, FORMATS["records"])
    origin = settings.path or settings.hub
    return {
        "name": settings.name,
        "format": settings.format,
        "origin": str(origin) if origin else "made by the caller",
        "revision": settings.revision,
        "licence": settings.licence or form.licence,
        "gate": form.gate,
        "citation": form.citation,
        "read": summary["read"],
        "kept": kept,
        "rejected": summary["read"] - kept,
        "reasons": dict(sorted(reasons.items())),
    }


def describe_files(folder: Path, tokenizer: str | None, *, opening: str = "Sorry") -> dict[str, Any]:
    """Counts by source and category, lengths per field, and the share of refusals that begin with the opening."""
    count = _token_counter(tokenizer)
    unit = tokenizer or "words"
    names = (
        "triples.jsonl",
        "triples.held_out.jsonl",
        "benign.jsonl",
        "benign.held_out.jsonl",
        "queries.jsonl",
    )
    return {
        name: _describe(folder / name, count, unit, opening) for name in names if (folder / name).exists()
    }


def _describe(path: Path, count: Counts, unit: str, opening: str) -> dict[str, Any]:
    tallies: dict[str, Counter[str]] = {
        "by_source": Counter(),
        "by_category": Counter(),
        "by_kind": Counter(),
    }
    lengths: dict[str, Counter[int]] = {}
    rows = opens = refuses = 0
    for batch in _batches(path):
        rows += len(batch)
        for row in batch:
            tallies["by_source"][row.get("source", "unnamed")] += 1
            tallies["by_category"][row.get("category", "none")] += 1
            tallies["by_kind"][row.get("kind", "none")] += 1
            opens += "safe_response" in row and begins_with(row["safe_response"], opening)
            refuses += "safe_response" in row and is_refusal(row["safe_response"])
        for field in COUNTED_FIELDS:
            texts = [row[field] for row in batch if field in row]
            if texts:
                lengths.setdefault(field, Counter()).update(count(texts))
    card: dict[str, Any] = {"rows": rows}
    card |= {name: dict(sorted(tally.items())) for name, tally in tallies.items() if set(tally) != {"none"}}
    card["lengths"] = {"unit": unit, **{field: _histogram(counts) for field, counts in lengths.items()}}
    if "safe_response" in lengths:
        card["safe_responses"] = {
            "opening": opening,
            "begin_with_opening": opens / rows,
            "refuse_by_rule": refuses / rows,
        }
    return card


def _batches(path: Path) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    with path.open("rb") as handle:
        for line in handle:
            batch.append(json.loads(line))
            if len(batch) == TOKENIZED_BATCH:
                yield batch
                batch = []
    if batch:
        yield batch


def _token_counter(tokenizer: str | None) -> Counts:
    if tokenizer is None:
        return lambda texts: [count_words(text) for text in texts]
    from derta.models import load_tokenizer  # loads torch

    loaded = load_tokenizer(tokenizer, setting="card.tokenizer")
    return lambda texts: [len(ids) for ids in loaded(texts, add_special_tokens=False)["input_ids"]]


def _histogram(lengths: Counter[int]) -> dict[str, Any]:
    """Counts per bin (`<=8`, `<=16`, ... `>2048`), and the median, 95th percentile and longest."""
    bins: Counter[str] = Counter()
    for length, count in lengths.items():
        edge = next((f"<={edge}" for edge in LENGTH_EDGES if length <= edge), f">{LENGTH_EDGES[-1]}")
        bins[edge] += count
    order = [f"<={edge}" for edge in LENGTH_EDGES] + [f">{LENGTH_EDGES[-1]}"]
    total = lengths.total()
    return {
        "histogram": {edge: bins[edge] for edge in order if bins[edge]},
        "p50": _quantile(lengths, 0.5 * total),
        "p95": _quantile(lengths, 0.95 * total),
        "max": max(lengths),
    }


def _quantile(lengths: Counter[int], target: float) -> int:
    passed = 0
    for length in sorted(lengths):
        passed += lengths[length]
        if passed >= target:
            return length
    return max(lengths)


def render(card: dict[str, Any]) -> str:
    """The card as Markdown."""
    lines = [
        "# Data card",
        "",
        f"{card['read']:,} items read = {card['kept']:,} kept + {card['rejected']:,} rejected.",
        "",
    ]
    leaks = card["leaks"]
    verb = "dropped" if leaks["action"] == "drop" else "KEPT by the recipe (clean.leakage.action: keep)"
    lines += [
        f"Training rows that leak evaluation questions: {leaks['found']:,}, {verb}.",
        "",
        "## Sources",
        "",
    ]
    lines += [
        "| source | format | licence | gate | read | kept | rejected |",
        "|---|---|---|---|---|---|---|",
    ]
    for source in card["sources"]:
        cells = (source["name"], source["format"], source["licence"], source["gate"])
        numbers = (f"{source[key]:,}" for key in ("read", "kept", "rejected"))
        lines.append(f"| {' | '.join(map(_cell, (*cells, *numbers)))} |")
    lines += [
        "",
        *(f"- {_cell(s['name'])}: {_cell(s['origin'])}. {_cell(s['citation'])}" for s in card["sources"]),
    ]
    lines += ["", "## Rejected", "", "| source | reason | items |", "|---|---|---|"]
    for source in card["sources"]:
        lines += [
            f"| {_cell(source['name'])} | {_cell(reason)} | {n:,} |"
            for reason, n in source["reasons"].items()
        ]
    lines += ["", "## Files", ""]
    for name, described in card["files"].items():
        lines += _render_file(name, described, card["hashes"].get(name, ""))
    lines += ["## Recipe", "", "```json", json.dumps(card["recipe"], indent=2, ensure_ascii=False), "```", ""]
    return "\n".join(lines)


def _render_file(name: str, described: dict[str, Any], sha256: str) -> list[str]:
    lines = [f"### {name}", "", f"{described['rows']:,} rows, SHA-256 `{sha256}`.", ""]
    safe = described.get("safe_responses")
    if safe:
        share, rule = safe["begin_with_opening"], safe["refuse_by_rule"]
        lines += [
            f'Safe responses that begin with "{safe["opening"]}": {share:.1%}; refusals by rule: {rule:.1%}.',
            "",
        ]
    for key in ("by_kind", "by_source", "by_category"):
        if key in described:
            counted = ", ".join(f"{_cell(value)} {n:,}" for value, n in described[key].items())
            lines += [f"{key.replace('_', ' ').capitalize()}: {counted}.", ""]
    unit = described["lengths"]["unit"]
    lines += [f"| length in {_cell(unit)} | p50 | p95 | max | histogram |", "|---|---|---|---|---|"]
    for field, spread in described["lengths"].items():
        if field != "unit":
            bins = ", ".join(f"{edge}: {n:,}" for edge, n in spread["histogram"].items())
            lines.append(f"| {field} | {spread['p50']} | {spread['p95']} | {spread['max']} | {bins} |")
    return [*lines, ""]


def _cell(value: object) -> str:
    """A text that can't leave its table cell or become markup."""
    text = " ".join(str(value).split())
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("`", "\\`")
