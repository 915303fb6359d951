"""Cells -> what the page's template lays out. Numbers become text here, and nowhere else."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from derta.attacks.catalogue import controls, in_order
from derta.judges.redaction import redact_reason
from derta.records import JudgedResponse
from derta.reporting.collect import Evidence
from derta.reporting.differences import Difference
from derta.reporting.figures.canvas import Look
from derta.reporting.figures.palette import TINTS
from derta.reporting.headline import KNOWLEDGE_KEPT, kept_share
from derta.reporting.labels import attack_name, method_name
from derta.reporting.tables import Book, has_value
from derta.results.cell import NO_ATTACK, Cell, System
from derta.results.measured import Knowledge
from derta.visible import one_line

_MEASURES = {"over_refusal": "Refused", "helpfulness": "Helpful"}
READ_BY_JUDGES = ("asr", *_MEASURES)
SHOWN_REASONS = 5
REASON_LENGTH = 80  # characters
_HASH = re.compile(r"[0-9a-f]{40,}")


@dataclass(frozen=True)
class Entry:
    """One number of a table: `12.5`, its interval, its n.

    state: measured, unread, absent, unmeasured or inapplicable.
    """

    state: str
    value: str = ""
    interval: str = ""
    n: int = 0
    unknown: int = 0
    tint: int = 0
    best: bool = False


ABSENT = Entry("absent")
UNMEASURED = Entry("unmeasured")  # asked for, but no judge read it


@dataclass(frozen=True)
class RowHead:
    """A system as a row header: label, full names, marker and colour of the figures."""

    label: str
    model: str
    method: str
    marker: str
    color: str


def percent(value: float | None) -> str:
    """`12.5` for 0.125; an en dash for nothing."""
    return "–" if value is None else f"{100 * value:.1f}"


def entry(cell: Cell | None, *, best: bool = False) -> Entry:
    """A cell as a table entry."""
    if cell is None:
        return ABSENT
    if cell.is_inapplicable:
        return Entry("inapplicable")
    if cell.value is None:
        return Entry("unread", n=cell.n, unknown=cell.unknown)
    interval = "" if cell.low is None or cell.high is None else f"{100 * cell.low:.1f}–{100 * cell.high:.1f}"
    tint = round(TINTS[-1] * min(1.0, max(0.0, cell.value)))
    return Entry("measured", percent(cell.value), interval, cell.n, cell.unknown, tint, best)


def row_head(system: System, look: Look) -> RowHead:
    """The row header of a system."""
    style = look.styles[system]
    model, method = one_line(system.model), method_name(system.method)
    return RowHead(look.labels[system], model, method, style.marker, f"var(--{style.tone.name})")


def overview(book: Book, look: Look, evidence: Evidence) -> list[dict[str, Any]]:
    """At a glance: safety, its cost, and the control, one row per system."""
    knowledge = {System(row.model, row.method): row for row in evidence.knowledge}
    over_kind = refused_kind(book)
    rows = []
    for system in book.systems:
        worst = book.worst_attack(system)
        rows.append(
            {
                "system": row_head(system, look),
                "mean": percent(book.mean_asr(system)),
                "worst": entry(worst),
                "worst_attack": attack_name(worst.attack) if worst else "",
                "helpful": UNMEASURED
                if book.leaves_helpfulness_unmeasured(system)
                else entry(book.get(system, "benign", "helpfulness")),
                "over_refusal": entry(book.get(system, over_kind, "over_refusal")),
                "loops": loops_entry(book, system),
                "knowledge": knowledge_view(knowledge[system]) if system in knowledge else None,
            }
        )
    return rows


def loops_entry(book: Book, system: System) -> Entry:
    """Degenerate responses of a system, over everything that it was asked."""
    share, n = book.loops(system)
    return ABSENT if share is None else Entry("measured", percent(share), n=n)


def refused_kind(book: Book) -> str:
    """The questions that over-refusal is told of at a glance: borderline ones where there are any."""
    return "borderline" if any(attack == "borderline" for _, attack, _ in book.cells) else "benign"


def asr_view(book: Book, look: Look) -> dict[str, Any]:
    """The paper's table: methods x attacks, with the mean over the common attacks; lowest of a column marked."""
    attacks, common = book.attacks(), book.common_attacks()
    lowest: dict[str, float] = {}
    for attack in attacks:
        values = [
            cell.value
            for s in book.systems
            if (cell := book.get(s, attack, "asr")) and cell.value is not None
        ]
        if len(values) > 1:
            lowest[attack] = min(values)
    rows = []
    for system in book.systems:
        cells = [book.get(system, attack, "asr") for attack in attacks]
        if any(cells):
            entries = [
                entry(c, best=has_value(c) and c.value == lowest.get(c.attack)) if c else ABSENT
                for c in cells
            ]
            rows.append(
                {"system": row_head(system, look), "entries": entries, "mean": percent(book.mean_asr(system))}
            )
    return {
        "columns": [attack_name(attack) for attack in attacks],
        "rows": rows,
        "common": [attack_name(attack) for attack in common],
    }


def cost_view(book: Book, look: Look) -> dict[str, Any]:
    """Helpfulness, over-refusal and capability: a row per system."""
    wanted = [
        ("benign", "helpfulness", "Helpful, benign"),
        ("borderline", "helpfulness", "Helpful, borderline"),
        ("benign", "over_refusal", "Refused, benign"),
        ("borderline", "over_refusal", "Refused, borderline"),
    ]
    tasks = dict.fromkeys(metric for _, _, metric in book.cells if metric.startswith("capability:"))
    wanted += [("none", task, one_line(task.partition(":")[2])) for task in tasks]
    wanted += [("code", "followed_format", "Kept the Code format")]
    wanted += [("benign", "degenerate", "Loops, benign"), ("borderline", "degenerate", "Loops, borderline")]
    columns = [w for w in wanted if any(book.get(system, w[0], w[1]) for system in book.systems)]
    rows = [
        {
            "system": row_head(system, look),
            "entries": [entry(book.get(system, attack, metric)) for attack, metric, _ in columns],
        }
        for system in book.systems
    ]
    return {"columns": [name for _, _, name in columns], "rows": rows}


def difference_view(compared: Sequence[Difference], look: Look) -> list[dict[str, Any]]:
    """Each method against its baseline: a table per baseline, a row per comparison, a column per method."""
    titles = {"asr": "ASR, ", "helpfulness": "Helpful, ", "over_refusal": "Refused, "}
    rows = [row for row in compared if "@" not in row.attack]
    tables = []
    for baseline in dict.fromkeys(row.baseline for row in rows):
        own = [row for row in rows if row.baseline == baseline]
        cells: dict[tuple[System, str, str], Difference] = {}
        for row in own:
            cells.setdefault((row.system, row.metric, row.attack), row)  # of the first judge
        order = [(m, a) for m in titles for a in in_order(row.attack for row in own if row.metric == m)]
        systems = list(dict.fromkeys(row.system for row in own))
        tables.append(
            {
                "baseline": look.labels[baseline],
                "systems": [row_head(system, look) for system in systems],
                "rows": [
                    (titles[m] + attack_name(a), [cells.get((s, m, a)) for s in systems]) for m, a in order
                ],
            }
        )
    return tables


def knowledge_view(row: Knowledge) -> dict[str, Any]:
    """Likelihood of held-out forbidden steps against the base model's."""
    kept = kept_share(row)
    return {
        "value": percent(row.value),
        "interval": ""
        if row.low is None or row.high is None
        else f"{100 * row.low:.1f}–{100 * row.high:.1f}",
        "base": percent(row.base_value),
        "kept": "–" if kept is None else f"{100 * kept:.0f} %",
        "lost": kept is not None and kept < KNOWLEDGE_KEPT,
        "n": row.n,
    }


def unknown_view(book: Book, look: Look) -> list[dict[str, Any]]:
    """Where answers could not be read: the rate if none of them, and if all of them counted."""
    rows = []
    for (system, attack, metric), cell in book.cells.items():
        ends = cell.bounds()
        if (
            cell.unknown
            and ends is not None
            and (metric in READ_BY_JUDGES or metric.startswith("capability:"))
        ):
            what = attack_name(attack) if metric == "asr" else _MEASURES.get(metric, one_line(metric))
            rows.append(
                {
                    "system": row_head(system, look),
                    "measure": what if metric == "asr" or attack == NO_ATTACK else f"{what}, {attack}",
                    "cell": cell,
                    "bounds": f"{100 * ends[0]:.1f}–{100 * ends[1]:.1f}",
                }
            )
    return rows


def late_view(book: Book, look: Look) -> list[tuple[RowHead, str]]:
    """Refusals that came only after the harmful answer was complete, over all attacks together."""
    rows = []
    for system in book.systems:
        cells = [book.get(system, attack, "refused_after_completing") for attack in book.attacks()]
        read = [cell for cell in cells if cell is not None and cell.value is not None]
        if total := sum(cell.n for cell in read):
            rows.append(
                (row_head(system, look), percent(sum((cell.value or 0.0) * cell.n for cell in read) / total))
            )
    return rows


def reasons_view(responses: Sequence[JudgedResponse]) -> list[tuple[str, int]]:
    """Why verdicts are unread, most frequent first, without any quotation of what a model wrote."""
    unread = (row for row in responses if row.kind == "harmful" and row.verdict == "unknown")
    reasons = (redact_reason(row.reason or "no reason given") for row in unread)
    return Counter(one_line(reason, REASON_LENGTH) for reason in reasons).most_common(SHOWN_REASONS)


def provenance_view(evidence: Evidence) -> list[dict[str, Any]]:
    """What each manifest says about where the numbers come from; file names without their folders."""
    views = []
    for name, manifest in evidence.manifests:
        code, config = _mapping(manifest.get("code")), _mapping(manifest.get("config"))
        commit = str(code.get("commit") or "not a checkout")[:12] + (
            " (changed)" if code.get("dirty") else ""
        )
        facts = {
            "created": manifest.get("created"),
            "method": config.get("method"),
            "seed": config.get("seed"),
            "derta": f"{code.get('derta', 'unknown')}, commit {commit}",
            "libraries": _pairs(manifest.get("libraries")),
            "Python": manifest.get("python"),
            "platform": manifest.get("platform"),
            "device": manifest.get("device"),
            "chat template": manifest.get("template_hash"),
            "chat templates": _pairs(manifest.get("template_hashes")),
            "chat": _chat(manifest.get("chat")),
            "models": _pairs(manifest.get("models")),
            "prefills too short": _pairs(
                {
                    name: _pairs(dropped)
                    for name, dropped in _mapping(manifest.get("prefill_dropped")).items()
                    if dropped
                }
            ),
        }
        inputs = [(str(path).replace("\\", "/").rpartition("/")[2], str(digest)) for path, digest in
                  _mapping(manifest.get("inputs")).items()]  # fmt: skip
        views.append(
            {
                "name": name,
                "kind": str(manifest.get("kind", "unknown")),
                "facts": {key: str(value) for key, value in facts.items() if value is not None},
                "inputs": inputs,
            }
        )
    return views


def scope_view(responses: Sequence[JudgedResponse], book: Book) -> dict[str, Any]:
    """What was evaluated: counts for the page's first lines."""
    return {
        "responses": len(responses),
        "harmful": len({row.query_id for row in responses if row.kind == "harmful"}),
        "benign": len({row.query_id for row in responses if row.kind == "benign"}),
        "borderline": len({row.query_id for row in responses if row.kind == "borderline"}),
        "attacks": len([attack for attack in book.attacks() if attack not in controls()]),
        "judges": list(dict.fromkeys(row.judge for row in responses)),
        "seeds": sorted({row.seed for row in responses}),
    }


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _chat(value: object) -> str | None:
    """What stands before the answer: of a training run, or of each evaluated model."""
    found = _mapping(value)
    each = {"": found} if "before_answer" in found else found
    texts = [
        f"{name}{': ' if name else ''}{_mapping(facts).get('before_answer')!r} before the answer"
        for name, facts in each.items()
        if _mapping(facts)
    ]
    return "; ".join(texts) or None


def _pairs(value: object) -> str | None:
    """A mapping as `key value, key value`; hashes cut to 12 digits."""
    texts = (f"{key} {entry[:12] if _HASH.fullmatch(entry) else entry}" for key, entry in
             ((key, str(entry)) for key, entry in _mapping(value).items()))  # fmt: skip
    return ", ".join(texts) or None
