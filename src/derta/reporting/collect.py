"""Read run folders: every file that the report shows, checked line by line. Files only; no torch.

A run may hold several stages in sub-folders (the demo does): the files are found wherever they lie, except in
folders that hold other things (models, checkpoints, older reports).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from derta.errors import DataError, RunError
from derta.records import JudgedResponse
from derta.reporting.card import RunCard, find_cards
from derta.results.measured import Capability, Hazard, Knowledge, NotApplicable

READ_FILES = ("responses.jsonl", "hazard.jsonl", "knowledge.jsonl", "capability.jsonl", "train_log.jsonl")
_OTHER_FOLDERS = frozenset({"report", "model", "adapter", "checkpoints", "rows", "data"})


@dataclass(frozen=True)
class TrainLog:
    """Logged steps of one training run; `name` is the run's folder."""

    name: str
    rows: list[dict[str, float]]


@dataclass(frozen=True)
class Evidence:
    """All that a report is made from, in input order. `manifests`: (run folder's name, manifest)."""

    responses: list[JudgedResponse] = field(default_factory=list)
    hazards: list[Hazard] = field(default_factory=list)
    knowledge: list[Knowledge] = field(default_factory=list)
    capability: list[Capability] = field(default_factory=list)
    not_applicable: list[NotApplicable] = field(default_factory=list)
    train_logs: list[TrainLog] = field(default_factory=list)
    manifests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    cards: list[RunCard] = field(default_factory=list)

    @property
    def is_demo(self) -> bool:
        """Whether any of the runs is the embedded demo: then the page says so in its first lines."""
        return any(str(manifest.get("kind", "")).startswith("demo") for _, manifest in self.manifests)


Measured = TypeVar("Measured", JudgedResponse, Hazard, Knowledge, Capability, NotApplicable)


def collect(run_dirs: Sequence[Path]) -> Evidence:
    """Read the runs, in the given order; the same folder given twice is read once.

    Raises:
        RunError: a folder is missing or holds nothing to report, or two rows answer the same question.
        DataError: a line that can't be read, as `file:line: reason`.
    """
    evidence = Evidence()
    unique = {path.resolve(): path for path in run_dirs}
    if not unique:
        raise RunError("report: no run folder given; name at least one, e.g. runs/demo")
    for path in unique.values():
        _read_run(path, evidence)
    _refuse_repeats(evidence.responses)
    evidence.cards.extend(find_cards(list(unique.values()), _inputs(evidence)))
    return evidence


def _inputs(evidence: Evidence) -> list[dict[str, str]]:
    """Each manifest's input files with their hashes."""
    inputs = [manifest.get("inputs") for _, manifest in evidence.manifests]
    return [
        {str(path): str(digest) for path, digest in entry.items()}
        for entry in inputs
        if isinstance(entry, dict)
    ]


def read_lines(path: Path, kind: type[Measured]) -> list[Measured]:
    """All lines of a file as `kind`; unknown fields are ignored, so newer files stay readable.

    Raises:
        DataError: `file:line: reason` for the first line that isn't one.
    """
    adapter: TypeAdapter[Measured] = TypeAdapter(kind)
    found = []
    for number, raw in _raw_lines(path):
        try:
            found.append(adapter.validate_json(raw, strict=True))
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in fault["loc"]) or "line"
            raise DataError(f"{path}:{number}: field `{where}`: {fault['msg'].lower()}") from None
    return found


def _read_run(run_dir: Path, evidence: Evidence) -> None:
    if not run_dir.is_dir():
        raise RunError(f"{run_dir}: no such run folder; name the folder that `derta evaluate` wrote")
    files = list(_files(run_dir))
    if not any(path.name in READ_FILES for path in files):
        raise RunError(f"{run_dir}: nothing to report; need at least one of {', '.join(READ_FILES)}")
    for path in files:
        folder = path.parent.parent if path.parent.name == "logs" else path.parent
        name = (Path(run_dir.resolve().name) / folder.relative_to(run_dir)).as_posix()
        match path.name:
            case "responses.jsonl":
                evidence.responses.extend(_without_prompt(path))
            case "hazard.jsonl":
                evidence.hazards.extend(_same_lengths(path))
            case "knowledge.jsonl" | "capability.jsonl" | "not_applicable.jsonl":
                _read_plain(path, evidence)
            case "train_log.jsonl":
                evidence.train_logs.append(TrainLog(name, _numbers(path)))
            case "manifest.json":
                evidence.manifests.append((name, _object(path.read_bytes(), str(path))))


def _read_plain(path: Path, evidence: Evidence) -> None:
    """The files whose lines are shown as they are."""
    match path.name:
        case "knowledge.jsonl":
            evidence.knowledge.extend(read_lines(path, Knowledge))
        case "capability.jsonl":
            evidence.capability.extend(read_lines(path, Capability))
        case "not_applicable.jsonl":
            evidence.not_applicable.extend(read_lines(path, NotApplicable))


def _files(folder: Path) -> Iterator[Path]:
    """Files to read below `folder`, in the order of their names; links to folders are not followed."""
    for path in sorted(folder.iterdir(), key=lambda entry: (entry.is_dir(), entry.name)):
        if path.is_file() and path.name in (*READ_FILES, "not_applicable.jsonl", "manifest.json"):
            yield path
        elif (
            path.is_dir()
            and not path.is_symlink()
            and path.name not in _OTHER_FOLDERS
            and not path.name.startswith(".")
        ):
            yield from _files(path)


def _without_prompt(path: Path) -> Iterator[JudgedResponse]:
    """Judged responses; prompts are never shown and are the bulk of the file, so they are let go."""
    for number, row in enumerate(read_lines(path, JudgedResponse), start=1):
        depth = row.attack_params.get("depth")
        if row.attack == "prefill" and (not isinstance(depth, int) or isinstance(depth, bool) or depth < 0):
            raise DataError(f"{path}:{number}: a prefill row needs `attack_params.depth`, a token count >= 0")
        yield replace(row, prompt="")


def _same_lengths(path: Path) -> Iterator[Hazard]:
    for number, curve in enumerate(read_lines(path, Hazard), start=1):
        lengths = {len(curve.position), len(curve.mean), len(curve.low), len(curve.high), len(curve.n)}
        if len(lengths) != 1:
            raise DataError(
                f"{path}:{number}: position, mean, low, high and n differ in length; write it again"
            )
        yield curve


def _raw_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Numbered lines; a last line without its end is one that a crash cut off."""
    with path.open("rb") as handle:
        for number, raw in enumerate(handle, start=1):
            if not raw.endswith(b"\n"):
                raise DataError(f"{path}:{number}: unfinished last line; run the stage again, it continues")
            yield number, raw


def _numbers(path: Path) -> list[dict[str, float]]:
    """Finite numbers of each logged step; other values (text, NaN of a skipped measurement) are not drawn."""
    rows = []
    for number, raw in _raw_lines(path):
        value = _object(raw, f"{path}:{number}")
        row = {
            key: float(entry)
            for key, entry in value.items()
            if isinstance(entry, int | float) and not isinstance(entry, bool) and abs(entry) < float("inf")
        }
        if "step" in row:
            rows.append(row)
    return rows


def _object(raw: bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not JSON ({error}); the file is damaged, run the stage again") from None
    if not isinstance(value, dict):
        raise DataError(f"{where}: need a JSON object, found {type(value).__name__}")
    return value


def _refuse_repeats(responses: Sequence[JudgedResponse]) -> None:
    """One question counted twice would narrow every interval."""
    seen = set()
    for row in responses:
        params = json.dumps(row.attack_params, sort_keys=True)
        key = (row.model, row.method, row.attack, params, row.judge, row.kind, row.query_id, row.seed)
        if key in seen:
            raise RunError(
                f"report: query {row.query_id!r} is answered twice by model {row.model!r} ({row.method}) under "
                f"attack {row.attack!r} with seed {row.seed}; give the models of the runs different names, "
                "or report the runs apart"
            )
        seen.add(key)
