"""What fits in `max_length`: nothing is dropped or cut in silence."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from derta.encode.settings import RowSettings
from derta.encode.units import EncodedPair, EncodedTriple, Unit
from derta.errors import DataError


@dataclass
class RowReport:
    """What became of every record: used + dropped = given; cut rows are used, but shorter."""

    given: Counter[str] = field(default_factory=Counter)
    used: Counter[str] = field(default_factory=Counter)
    # by "kind: reason"
    dropped: Counter[str] = field(default_factory=Counter)
    # by "kind: what was cut"
    cut: Counter[str] = field(default_factory=Counter)
    # record of each reason's first
    first: dict[str, str] = field(default_factory=dict)
    # share of safe responses that begin with the refusal opening
    opening_share: float | None = None

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

    def check_dropped(self, settings: RowSettings, what: str, hint: str) -> None:
        """Stop where too much is lost. what: rows or pairs; hint: what to do about it.

        Raises:
            DataError: more dropped than `max_dropped_rate`.
        """
        if self.dropped_rate <= settings.max_dropped_rate:
            return
        reasons = "; ".join(
            f"{count} {reason}" + (f", the first: {self.first[reason]}" if reason in self.first else "")
            for reason, count in sorted(self.dropped.items())
        )
        raise DataError(
            f"{self.dropped_rate:.1%} of the {what} can't be used ({reasons}); at most "
            f"{settings.max_dropped_rate:.1%} is allowed. {hint}"
        )


# what it would be: `<think>` as the model's own control token is never made from a response's text
THINKS = "response that thinks aloud; take its thought out, it would be learned as spelt text"


def fits(unit: Unit, settings: RowSettings, report: RowReport) -> bool:
    """Whether a unit can be trained on; counted in the report, with the reason if not."""
    name, record = unit.kind.name, unit.record
    report.given[name] += 1
    if isinstance(record, EncodedPair):
        reason, is_cut = _pair(record, settings)
        what = "end of the response"
    else:
        reason, is_cut = _triple(unit, record, settings)
        what = "end of the harmful response"
    if is_cut and reason is None:
        report.cut[f"{name}: {what}"] += 1
    if reason is not None:
        report.dropped[f"{name}: {reason}"] += 1
        report.first.setdefault(f"{name}: {reason}", record.id)
        return False
    report.used[name] += 1
    return True


def _pair(record: EncodedPair, settings: RowSettings) -> tuple[str | None, bool]:
    """(why it can't be used, whether it is cut)."""
    if record.thinks:
        return THINKS, False
    prompt, limit = len(record.prompt_ids), settings.max_length
    whole = prompt + len(record.response_ids) + 1
    if prompt >= limit:
        return f"prompt alone fills {limit} tokens, no label is left", False
    if whole > limit and settings.on_long == "drop":
        return f"longer than {limit} tokens, its end would be lost", False
    return None if len(record.response_ids) else "response without any token", whole > limit


def _triple(unit: Unit, record: EncodedTriple, settings: RowSettings) -> tuple[str | None, bool]:
    if record.thinks:
        return THINKS, False
    prompt, limit = len(record.prompt_ids), settings.max_length
    safe = max(len(ids) for ids in record.safe_ids) + 1 if unit.kind.uses("safe") else 1
    if prompt + safe > limit:
        return f"prompt and safe response exceed {limit} tokens", False
    if not len(record.harmful_ids):
        return "harmful response without any token", False
    return None, unit.kind.uses("harmful") and prompt + len(record.harmful_ids) > limit
