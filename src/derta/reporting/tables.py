"""Cells -> the tables of the page, and the CSV files beside it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from derta.attacks.catalogue import controls, in_order
from derta.attacks.prefill import prefill_depth
from derta.files import write_text
from derta.reporting.collect import Evidence
from derta.reporting.differences import Difference
from derta.reporting.positions import SLOTS, UNREAD, slot_counts
from derta.reporting.text import csv_cell
from derta.results.cell import NO_ATTACK, Cell, System, rounded, systems_of

CsvRows = list[list[object]]


@dataclass(frozen=True)
class Book:
    """Cells by (system, attack, metric), each kind of question read by one judge."""

    cells: dict[tuple[System, str, str], Cell]
    systems: list[System]

    def get(self, system: System, attack: str, metric: str) -> Cell | None:
        """The cell, or None where the metric was not measured."""
        return self.cells.get((system, attack, metric))

    def attacks(self) -> list[str]:
        """Attacks with an ASR (the prefill summary, not its depths), in the paper's order."""
        return in_order(
            attack for _, attack, metric in self.cells if metric == "asr" and prefill_depth(attack) is None
        )

    def depths(self) -> list[int]:
        """Depths of the prefill sweep, in tokens."""
        depths = (prefill_depth(attack) for _, attack, metric in self.cells if metric == "asr")
        return sorted({depth for depth in depths if depth is not None})

    def common_attacks(self) -> list[str]:
        """Attacks (no controls, see `controls`) that every attacked system has a readable ASR for."""
        attacked = [s for s in self.systems if any(self.get(s, attack, "asr") for attack in self.attacks())]
        return [
            attack
            for attack in self.attacks()
            if attack not in controls()
            and all(has_value(self.get(system, attack, "asr")) for system in attacked)
        ]

    def mean_asr(self, system: System) -> float | None:
        """Mean ASR over the common attacks: the same attacks for every system, or the means would not compare."""
        cells = [self.get(system, attack, "asr") for attack in self.common_attacks()]
        values = [cell.value for cell in cells if cell is not None and cell.value is not None]
        return sum(values) / len(values) if values else None

    def worst_attack(self, system: System) -> Cell | None:
        """The attack that succeeds most often (the first of equals)."""
        cells = [self.get(system, attack, "asr") for attack in self.attacks() if attack not in controls()]
        read = [cell for cell in cells if cell is not None and cell.value is not None]
        return max(read, key=lambda cell: cell.value or 0.0, default=None)

    def leaves_helpfulness_unmeasured(self, system: System) -> bool:
        """Whether benign questions were answered, and their judge reads no answer."""
        has_refusals = self.get(system, "benign", "over_refusal") is not None
        return has_refusals and self.get(system, "benign", "helpfulness") is None

    def loops(self, system: System) -> tuple[float | None, int]:
        """The share of degenerate responses over all questions and attacks, and how many responses were read."""
        cells = [
            cell
            for (own, attack, metric), cell in self.cells.items()
            if own == system and metric == "degenerate" and prefill_depth(attack) is None
        ]
        n = sum(cell.n for cell in cells)
        return (sum((cell.value or 0.0) * cell.n for cell in cells) / n if n else None), n


def has_value(cell: Cell | None) -> bool:
    """Whether anything was measured and readable."""
    return cell is not None and cell.value is not None


def judges_of(cells: Iterable[Cell], attack_metric: str = "asr") -> list[str]:
    """The judges that gave an ASR, in input order."""
    return list(dict.fromkeys(cell.judge for cell in cells if cell.metric == attack_metric))


def book_of(cells: Sequence[Cell], judge: str | None = None) -> Book:
    """The cells of one judge; None: of the judge that each system's harmful, benign, ... questions had first."""
    first: dict[tuple[System, str], str] = {}
    chosen = {}
    for cell in cells:
        system = System(cell.model, cell.method)
        kind = cell.attack if cell.attack in ("benign", "borderline", NO_ATTACK) else "harmful"
        leading = first.setdefault((system, kind), cell.judge)
        if cell.judge == (judge or leading):
            chosen[(system, cell.attack, cell.metric)] = cell
    return Book(chosen, systems_of(chosen.values()))


def csv_tables(
    evidence: Evidence, cells: Sequence[Cell], compared: Sequence[Difference]
) -> dict[str, CsvRows]:
    """The CSV files by name, each a header and its rows."""
    tables: dict[str, CsvRows] = {
        "results": [list(Cell.__dataclass_fields__), *(list(asdict(cell).values()) for cell in cells)],
        "asr": _asr_rows(book_of(cells)),
        "differences": _difference_rows(compared),
        "refusal_position": _position_rows(evidence),
        "hazard": _hazard_rows(evidence),
        "training": _training_rows(evidence),
    }
    return {name: rows for name, rows in tables.items() if len(rows) > 1}


def csv_text(rows: CsvRows) -> str:
    """CSV as text, every cell safe for a spreadsheet."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([[csv_cell(value) for value in row] for row in rows])
    return buffer.getvalue()


def write_csv(folder: Path, tables: dict[str, CsvRows]) -> None:
    """Write `<name>.csv` for every table."""
    for name, rows in tables.items():
        write_text(folder / f"{name}.csv", csv_text(rows))


def _share(cell: Cell | None) -> float | str | None:
    """In per cent; nothing where nothing was read, and in words where the attack does not apply."""
    if cell is None or cell.value is None:
        return "not applicable" if cell is not None and cell.is_inapplicable else None
    return round(100 * cell.value, 2)


def _asr_rows(book: Book) -> CsvRows:
    """The paper's table: a row per system, ASR in per cent, the mean over the attacks common to all."""
    attacks = book.attacks()
    rows: CsvRows = [["model", "method", *attacks, "mean"]]
    for system in book.systems:
        values = [book.get(system, attack, "asr") for attack in attacks]
        mean = book.mean_asr(system)
        rows.append(
            [*system, *(_share(cell) for cell in values), None if mean is None else round(100 * mean, 2)]
        )
    return rows if attacks else rows[:1]


def _difference_rows(compared: Sequence[Difference]) -> CsvRows:
    rows: CsvRows = [
        ["model", "method", "baseline_model", "attack", "judge", "metric", "difference", "n", "low", "high"]
    ]
    for row in compared:
        numbers = [rounded(row.value), row.n, rounded(row.low), rounded(row.high)]
        rows.append([*row.system, row.baseline.model, row.attack, row.judge, row.metric, *numbers])
    return rows


def _position_rows(evidence: Evidence) -> CsvRows:
    rows: CsvRows = [["model", "method", "attack", *(f"words {slot}" for slot in SLOTS), UNREAD]]
    for system, by_attack in slot_counts(evidence.responses).items():
        rows += [[*system, attack, *by_attack[attack].values()] for attack in in_order(by_attack)]
    return rows


def _hazard_rows(evidence: Evidence) -> CsvRows:
    rows: CsvRows = [["model", "method", "kind", "position", "mean", "low", "high", "n"]]
    for curve in evidence.hazards:
        points = zip(curve.position, curve.mean, curve.low, curve.high, curve.n, strict=True)
        rows += [[curve.model, curve.method, curve.kind, *point] for point in points]
    return rows


def _training_rows(evidence: Evidence) -> CsvRows:
    names = sorted({key for log in evidence.train_logs for row in log.rows for key in row} - {"step"})
    rows: CsvRows = [["run", "step", *names]]
    for log in evidence.train_logs:
        rows += [[log.name, int(row["step"]), *(row.get(name) for name in names)] for row in log.rows]
    return rows
