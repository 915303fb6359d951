"""`derta guard calibrate` and `derta guard test`: from a model and data files to a guard, and to its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from derta.encode.chat import ChatRenderer
from derta.errors import DataError
from derta.files import sha256_file
from derta.guard.calibration import false_stops, fit_rule
from derta.guard.guard import Calibrated, Guard, reply_ids
from derta.guard.hazard import answer_hazards, opening_ids
from derta.guard.measure import WITHIN, GuardFigures, largest, measure, roc
from derta.guard.rule import RuleName
from derta.models import fingerprint, load_model, load_tokenizer
from derta.records import BenignPair, Triple, load_records, turns_to
from derta.results.cell import rounded_rate
from derta.statistics import Rate


@dataclass(frozen=True)
class Calibration:
    """How a guard is made. openings: how refusals begin; reply: what a stopped answer ends with."""

    rule: RuleName
    false_stop_rate: float
    openings: Sequence[str]
    reply: str
    template: str | None = None


def calibrate(model: str, benign: Path, settings: Calibration) -> Guard:
    """A guard whose limit comes from the benign answers of a file (benign.jsonl).

    Raises:
        DataError: too few answers for the rate.
        ModelError, TokenizerError: nothing usable there.
    """
    pairs = load_records(benign, BenignPair)
    renderer = ChatRenderer.of(load_tokenizer(model), settings.template)
    ids = opening_ids(renderer, settings.openings)
    fit_rule(
        "threshold", [[0.0]] * len(pairs), settings.false_stop_rate
    )  # too few: said before any forward pass
    weights = load_model(model)
    answers = [(turns_to(pair.benign_query, pair.context), pair.response) for pair in pairs]
    hazards = answer_hazards(weights, renderer, answers, ids)
    rule = fit_rule(settings.rule, hazards, settings.false_stop_rate)
    observed = false_stops(rule, hazards)
    assert observed.value is not None
    assert observed.low is not None
    assert observed.high is not None
    ends = [renderer.end_id, *sorted(renderer.stop_ids - {renderer.end_id})]
    return Guard(
        rule=rule,
        openings=tuple(settings.openings),
        ids=ids,
        end_ids=tuple(ends),
        reply=settings.reply,
        reply_ids=reply_ids(renderer, settings.reply),
        calibrated=Calibrated(
            model=fingerprint(model),
            template=renderer.template_hash,
            benign=sha256_file(benign),
            false_stop_rate=settings.false_stop_rate,
            n=observed.n,
            false_stops=round(observed.value * observed.n),
            low=observed.low,
            high=observed.high,
        ),
    )


def measure_guard(
    model: str, guard: Guard, triples: Path, benign: Mapping[str, Path], template: str | None = None
) -> tuple[GuardFigures, dict[str, Any]]:
    """(figures, the same as JSON values with the ROC) on held-out files; benign: file by kind.

    Raises:
        DataError: a file that the guard was calibrated on.
    """
    for path in benign.values():
        if sha256_file(path) == guard.calibrated.benign:
            raise DataError(
                f"{path}: the guard was calibrated on this file; test it on answers it has not seen"
            )
    renderer = ChatRenderer.of(load_tokenizer(model), template)
    weights = load_model(model)
    harmful = [
        (turns_to(triple.harmful_query, triple.context), triple.harmful_response)
        for triple in load_records(triples, Triple)
    ]
    bad = answer_hazards(weights, renderer, harmful, guard.ids)
    kinds = {
        kind: answer_hazards(
            weights,
            renderer,
            [(turns_to(p.benign_query, p.context), p.response) for p in load_records(path, BenignPair)],
            guard.ids,
        )
        for kind, path in benign.items()
    }
    figures = measure(guard.rule, bad, kinds)
    ordinary = [answer for answers in kinds.values() for answer in answers]
    return figures, _as_json(model, guard, figures) | {
        "roc": roc(largest(guard.rule, bad), largest(guard.rule, ordinary))
    }


def print_figures(figures: GuardFigures, console: Console) -> None:
    """Two tables: by depth, and false stops by kind."""
    table = Table(
        "harmful answers, from token", f"stopped within {WITHIN} tokens", "tokens until", "AUROC", "n"
    )
    for at in figures.depths:
        tokens = "-" if at.tokens is None else f"{at.tokens:g}"
        table.add_row(str(at.depth), _shown(at.stopped), tokens, _shown(at.auroc, 3), str(at.stopped.n))
    table.add_row("every depth", _shown(figures.everywhere), "", "", str(figures.everywhere.n))
    table.add_row("single tokens", "", "", _shown(figures.by_token, 3), "")
    console.print(table)
    table = Table("benign answers", "false stops", "n")
    for kind, stopped in figures.false_stops.items():
        table.add_row(kind, _shown(stopped), str(stopped.n))
    console.print(table)


def _shown(value: Rate, digits: int = 0) -> str:
    if value.value is None or value.low is None or value.high is None:
        return "-"
    if digits:
        return f"{value.value:.{digits}f} [{value.low:.{digits}f}, {value.high:.{digits}f}]"
    return f"{value.value:.1%} [{value.low:.1%}, {value.high:.1%}]"


def _as_json(model: str, guard: Guard, figures: GuardFigures) -> dict[str, Any]:
    return {
        "model": model,
        "rule": {"name": guard.rule.name, "limit": guard.rule.limit, "drift": guard.rule.drift},
        "calibrated": guard.calibrated.model_dump(),
        "within": WITHIN,
        "depths": [
            {
                "depth": at.depth,
                "stopped": rounded_rate(at.stopped),
                "tokens": at.tokens,
                "auroc": rounded_rate(at.auroc),
            }
            for at in figures.depths
        ],
        "every_depth": rounded_rate(figures.everywhere),
        "auroc_by_token": rounded_rate(figures.by_token),
        "false_stops": {kind: rounded_rate(value) for kind, value in figures.false_stops.items()},
    }
