"""From records to the rows of a method, with matched budgets and nothing dropped in silence.

Rows from n triples (paper, Table 4):

    vanilla       2n plain (q, r) rows from 2n different triples
    vanilla_half  n plain (q, r) rows
    prefix        n rows (q, h[:k], r)
    rto           n plain (q, r) rows and n RTO rows
    derta         n rows (q, h[:k], r) and n RTO rows
    dpo           no rows here: it starts from a vanilla run
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from derta.config import TrainRecipe
from derta.encode.chat import ChatRenderer
from derta.encode.records import EncodedPair, EncodedTriple, encode_benign, encode_triples
from derta.encode.refusal_token import RefusalToken
from derta.encode.rows import RowSet, RowSettings, Unit, UnitKind, row_settings
from derta.encode.sampling import seeded_order
from derta.errors import DataError
from derta.records import BenignPair, Triple

METHOD_UNITS: dict[str, tuple[UnitKind, ...]] = {
    "vanilla": ("safe",),
    "vanilla_half": ("safe",),
    "prefix": ("prefix",),
    "rto": ("safe", "rto"),
    "derta": ("derta",),
}


@dataclass
class RowReport:
    """What became of every record: used + dropped = given; cut rows are used, but shorter."""

    given: Counter[str] = field(default_factory=Counter)
    used: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)  # by "kind: reason"
    cut: Counter[str] = field(default_factory=Counter)  # by "kind: what was cut"
    opening_share: float | None = None  # share of safe responses that begin with the refusal opening

    def as_dict(self) -> dict[str, Any]:
        """As JSON values, keys sorted."""
        counts = {"given": self.given, "used": self.used, "dropped": self.dropped, "cut": self.cut}
        return {name: dict(sorted(count.items())) for name, count in counts.items()} | {
            "opening_share": self.opening_share
        }

    @property
    def dropped_rate(self) -> float:
        """Dropped units over given ones."""
        return sum(self.dropped.values()) / max(1, sum(self.given.values()))


def build_rows(
    recipe: TrainRecipe,
    renderer: ChatRenderer,
    refusal: RefusalToken,
    triples: Sequence[Triple],
    benign: Sequence[BenignPair],
    *,
    shared_trunk: bool = False,
) -> tuple[RowSet, RowReport]:
    """Encode the records that the method's budget takes.

    Raises:
        DataError: fewer triples than the budget needs, or more rows dropped than `max_dropped_rate`.
        TokenizerError: a response merges with its prompt's end.
    """
    settings = row_settings(recipe, shared_trunk=shared_trunk)
    report = RowReport()
    units: list[Unit] = []
    chosen = choose_triples(recipe, triples)
    encoded = list(encode_triples(renderer, refusal, chosen))
    report.opening_share = _opening_share(encoded, refusal)
    for kind in METHOD_UNITS[recipe.method]:
        for triple in encoded:
            record = _as_pair(triple) if kind == "safe" else triple
            _take(Unit(kind, record), settings, units, report)
    for pair in encode_benign(renderer, choose_benign(recipe, benign)):
        _take(Unit("benign", pair), settings, units, report)
    if report.dropped_rate > recipe.max_dropped_rate:
        reasons = "; ".join(f"{count} {reason}" for reason, count in sorted(report.dropped.items()))
        raise DataError(
            f"{report.dropped_rate:.1%} of the rows can't be used ({reasons}); at most "
            f"{recipe.max_dropped_rate:.1%} is allowed. Raise max_length ({recipe.max_length}), set on_long: "
            "cut, or raise max_dropped_rate"
        )
    return RowSet(units, settings, refusal, renderer.end_id), report


def choose_triples(recipe: TrainRecipe, triples: Sequence[Triple]) -> list[Triple]:
    """The triples of the method's budget, chosen by seed: vanilla's 2n contain every other method's n.

    Raises:
        DataError: the file holds fewer.
    """
    order = seeded_order([triple.id for triple in triples], recipe.seed, "triples")
    needed = len(triples)
    if recipe.data.num_triples is not None:
        needed = recipe.data.num_triples * (2 if recipe.method == "vanilla" else 1)
    if needed > len(triples):
        raise DataError(
            f"{recipe.data.triples}: {recipe.method} with data.num_triples = {recipe.data.num_triples} needs "
            f"{needed} triples, found {len(triples)}; lower data.num_triples or bring more"
        )
    return [triples[index] for index in order[:needed]]


def choose_benign(recipe: TrainRecipe, benign: Sequence[BenignPair]) -> list[BenignPair]:
    """The benign pairs of the budget, chosen by seed.

    Raises:
        DataError: the file holds fewer.
    """
    needed = len(benign) if recipe.data.num_benign is None else recipe.data.num_benign
    if needed > len(benign):
        raise DataError(f"{recipe.data.benign}: data.num_benign = {needed}, found {len(benign)}")
    order = seeded_order([pair.id for pair in benign], recipe.seed, "benign")
    return [benign[index] for index in order[:needed]]


def _take(unit: Unit, settings: RowSettings, units: list[Unit], report: RowReport) -> None:
    """Accept a unit, or count why not."""
    report.given[unit.kind] += 1
    record, limit = unit.record, settings.max_length
    prompt = len(record.prompt_ids)
    if isinstance(record, EncodedPair):
        whole = prompt + len(record.response_ids) + 1
        reason = _too_long(prompt, whole, limit, settings)
        if reason is None and whole > limit:
            report.cut[f"{unit.kind}: end of the response"] += 1
        if reason is None and not len(record.response_ids):
            reason = "response without any token"
    else:
        safe = max(len(ids) for ids in record.safe_ids) + 1
        needed = prompt + (safe if unit.kind != "rto" else 1)
        reason = f"prompt and safe response exceed {limit} tokens" if needed > limit else None
        if reason is None and not len(record.harmful_ids):
            reason = "harmful response without any token"
        if reason is None and unit.kind != "prefix" and prompt + len(record.harmful_ids) > limit:
            report.cut[f"{unit.kind}: end of the harmful response"] += 1
    if reason is not None:
        report.dropped[f"{unit.kind}: {reason}"] += 1
        return
    report.used[unit.kind] += 1
    units.append(unit)


def _too_long(prompt: int, whole: int, limit: int, settings: RowSettings) -> str | None:
    if prompt >= limit:
        return f"prompt alone fills {limit} tokens, no label is left"
    if whole > limit and not settings.cut_responses:
        return f"longer than {limit} tokens, its end would be lost"
    return None


def _as_pair(triple: EncodedTriple) -> EncodedPair:
    return EncodedPair(triple.id, triple.prompt_ids, triple.safe_ids[0])


def _opening_share(triples: Sequence[EncodedTriple], refusal: RefusalToken) -> float | None:
    if not triples:
        return None
    return sum(int(t.safe_ids[0][0]) == refusal.start_id for t in triples if len(t.safe_ids[0])) / len(
        triples
    )
