"""When a run is stopped because it does harm: `stop_when` against what the probe has logged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from derta.training.recipe import StopSettings
from derta.training.watch.mix import percent

IN_A_ROW = (
    2  # one probe may fall on a passing peak: a model refuses everywhere before it tells harm from the rest
)


def probes(log: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The probe's entries of a run's log."""
    return [entry for entry in log if "refusal_on_benign" in entry]


def broken_rule(log: Sequence[Mapping[str, Any]], rules: StopSettings) -> str | None:
    """What was seen at the last `IN_A_ROW` probes of the log that a rule forbids; None: nothing."""
    found = probes(log)
    last = [entry for entry in found if entry["step"] > 0][-IN_A_ROW:]
    if len(last) < IN_A_ROW:
        return None
    worst = min(float(entry["refusal_on_benign"]) for entry in last)
    if rules.refusal_on_benign is not None and worst > rules.refusal_on_benign:
        seen = " and ".join(percent(entry["refusal_on_benign"]) for entry in last)
        return f"P(refusal) on benign responses {seen}, stop_when.refusal_on_benign is {rules.refusal_on_benign:g}"
    rises = [benign_rise(found, entry) for entry in last]
    if rules.benign_loss_rise is not None and all(
        rise is not None and rise > rules.benign_loss_rise for rise in rises
    ):
        seen = " and ".join(f"{rise:+.0%}" for rise in rises)
        return (
            f"benign loss {seen} against the start, stop_when.benign_loss_rise is {rules.benign_loss_rise:g}"
        )
    return None


def benign_rise(found: Sequence[Mapping[str, Any]], entry: Mapping[str, Any]) -> float | None:
    """Relative change of the held-out benign loss since the first probe; None where either was not measured."""
    first, now = found[0].get("held_out_benign"), entry.get("held_out_benign")
    if found[0]["step"] != 0 or not first or now is None:
        return None
    return float(now) / float(first) - 1


def told(found: Sequence[Mapping[str, Any]]) -> str:
    """The last probe in one line, each depth of harmful responses beside benign ones."""
    entry = found[-1]
    depths = ", ".join(f"{depth} {percent(entry[f'refusal_{depth}'])}" for depth in DEPTHS)
    return (
        f"probe at step {entry['step']}: P(refusal) on harmful responses {depths}; on benign "
        f"{percent(entry['refusal_on_benign'])}; {_loss(found)}"
    )


def summary(found: Sequence[Mapping[str, Any]]) -> str:
    """The end of a run in one line."""
    entry = found[-1]
    return (
        f"last probe: refuses {percent(entry['refusal_late'])} late, {percent(entry['refusal_on_benign'])} on "
        f"benign text, {_loss(found)}"
    )


def _loss(found: Sequence[Mapping[str, Any]]) -> str:
    rise = benign_rise(found, found[-1])
    return f"benign loss {found[-1]['held_out_benign']:.3f}" + ("" if rise is None else f" ({rise:+.0%})")


DEPTHS = ("early", "middle", "late")
