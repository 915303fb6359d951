"""`derta judge calibrate`: run judges over labelled responses, and correct what they measure on result files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from derta.errors import DataError
from derta.judges import build_judge
from derta.judges.human import Label, load_labels
from derta.judging.calibrate import Agreement, agreement
from derta.judging.judge_files import judge_rows, results_of
from derta.records import Query
from derta.results.cell import rounded_rate
from derta.results.rows import ResultRow, read_result_file
from derta.statistics import Rate


@dataclass(frozen=True)
class Corrected:
    """A file's ASR as the judge measured it, and corrected (None: it can't be)."""

    name: str
    measured: Rate
    corrected: Rate | None


@dataclass(frozen=True)
class Calibration:
    """One judge against people, and its corrected rates: first on the labelled responses themselves."""

    agreement: Agreement
    rates: list[Corrected]

    def as_json(self) -> dict[str, Any]:
        """The figures as JSON values."""
        own = self.agreement
        kappa = own.kappa()
        names = (
            "true_positive",
            "false_positive",
            "false_negative",
            "true_negative",
            "n",
            "unknown",
            "unlabelled",
        )
        return {
            "judge": own.judge,
            **{name: getattr(own, name) for name in names},
            "kappa": kappa._asdict() if kappa else None,
            "sensitivity": rounded_rate(own.sensitivity),
            "specificity": rounded_rate(own.specificity),
            "human_asr": rounded_rate(own.human_rate),
            "rates": [
                {
                    "file": item.name,
                    "measured": rounded_rate(item.measured),
                    "corrected": rounded_rate(item.corrected) if item.corrected else None,
                }
                for item in self.rates
            ],
        }


async def calibrate_judges(
    labels: Sequence[Path], judges: Sequence[str], settings: dict[str, Any], files: Sequence[Path]
) -> list[Calibration]:
    """Compare each judge with the labels; settings go to the judges that have a model.

    Raises:
        DataError: no label in the files. RecipeError: a judge that can't be built.
    """
    people = load_labels(labels)
    if not people:
        raise DataError(
            f"{', '.join(map(str, labels))}: no labels; make some with: derta judge label FILES --out ..."
        )
    rows = [row for path in files for row in read_result_file(path)]
    return [await _calibrate(name, settings, people, rows) for name in judges]


async def _calibrate(
    name: str, settings: dict[str, Any], people: Sequence[Label], rows: Sequence[ResultRow]
) -> Calibration:
    judge = build_judge(name, settings if name in ("rubric", "classifier") else {})
    labelled = [
        ResultRow(
            file=Path("labels"),
            row=i,
            query=Query(id=label.id, query=label.query, kind="harmful"),
            response=label.response,
        )
        for i, label in enumerate(people, 1)
    ]
    verdicts = [item.judgement.verdict for item in await judge_rows(labelled, judge)]
    own = agreement(name, [label.verdict for label in people], verdicts)
    rates = [Corrected("(labelled)", own.judge_rate, own.corrected(own.judge_rate))]
    for result in results_of(await judge_rows(rows, judge)):
        if result.rows[0].row.query.kind == "harmful":
            shown = result.model if result.attack == "none" else f"{result.model} {result.attack}"
            rates.append(Corrected(shown, result.asr, own.corrected(result.asr)))
    return Calibration(own, rates)
