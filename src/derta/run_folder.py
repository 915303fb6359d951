"""Where derta may write: the one rule of every verb.

A folder is new, empty, or carries our marker of *this kind* of run; anything else is refused before a byte is
written. No output lies in an input, and none is an input (links are followed; files are compared by what they are,
not by their names). What is removed is only what a run of this kind writes, or what its manifest lists.

A folder's marker is `.derta.json`: {"kind": ..., "files": [...]}. Folders of versions that had none are known by
their manifest.json, run.json or store. A single file is ours as long as its bytes are those we wrote (their hash
stands in `.NAME.derta.json` beside it), so what a person has mended in it is never written over.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal

from derta.errors import RunError
from derta.files import sha256_file, write_json

Kind = Literal[
    "data", "train", "evaluate", "capability", "judge", "pairwise", "over_refusal", "report", "demo", "bench",
    "export", "new",
]  # fmt: skip

MARKER = ".derta.json"
SHOWN = 3  # names in a message
_ALWAYS = (MARKER, ".lock", "manifest.json", ".*.tmp")
_JUDGED = ("results.json", "verdicts.jsonl")

# What a run of each kind writes into its folder (patterns of names at its top level).
OWN: dict[Kind, tuple[str, ...]] = {
    "data": (
        *("triples.jsonl", "triples.held_out.jsonl", "benign.jsonl", "benign.held_out.jsonl"),
        *("queries.jsonl", "pairs.jsonl", "leaks.jsonl", "rejected.jsonl"),
        *("data_card.json", "data_card.md", ".work", ".answers"),
    ),
    "train": (
        *("run.json", "train_log.jsonl", "skipped_steps.jsonl", "micro_batch.json"),
        *("model*", "adapter*", "checkpoints", "rows", "logs"),
    ),
    "evaluate": (
        *("samples.jsonl", "responses.jsonl", "not_applicable.jsonl", "hazard.jsonl", "knowledge.jsonl"),
        *("logs", "autodan"),
    ),
    "capability": ("samples.jsonl", "answers.jsonl", "capability.jsonl"),
    "judge": (*_JUDGED, "judgements.jsonl"),
    "pairwise": (*_JUDGED, "comparisons.jsonl"),
    "over_refusal": (*_JUDGED, "classes.jsonl"),
    "report": ("index.html", "results.json", "tables", "figures"),
    "demo": ("demo.json", "data", "taught", "train", "evaluate", "report"),
    "bench": ("bench.json", "index.html", "seed-*"),
    "export": (),
    "new": ("train.yaml", "vanilla.yaml", "evaluate.yaml", "capability.yaml", "data", "runs"),
}


def check_output(folder: Path, kind: Kind, inputs: Iterable[str | Path | None] = ()) -> None:
    """Whether a run of this kind may write into `folder`; nothing is written.

    inputs: files and folders that the run reads; what is no path here (a hub id) is passed over.

    Raises:
        RunError: it may not, and why.
    """
    check_place(folder, inputs)
    found = entries(folder)
    if not found:
        return
    made_by = kind_of(folder)
    if made_by is None:
        shown = ", ".join(found[:SHOWN]) + (", ..." if len(found) > SHOWN else "")
        raise RunError(
            f"{folder}: holds files that derta did not write ({shown}); choose a new or an empty folder for {kind}"
        )
    if kind not in made_by:
        raise RunError(
            f"{folder}: holds a run of another kind ({made_by[0]}); give {kind} a folder of its own, "
            f"e.g. {folder / kind}"
        )


def claim(folder: Path, kind: Kind, inputs: Iterable[str | Path | None] = ()) -> None:
    """Mark `folder` (made now if need be) as one of this kind, before anything else is written to it.

    Raises:
        RunError: as `check_output`.
    """
    check_output(folder, kind, inputs)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise RunError(f"{folder}: is no folder, and can't be made one; choose another") from None
    if _marker(folder) is None:
        write_json(folder / MARKER, {"kind": kind, "files": []})


def listed(folder: Path) -> list[str]:
    """The files below `folder` that its marker lists (`list_files`)."""
    files = (_marker(folder) or {}).get("files")
    return [name for name in files if isinstance(name, str)] if isinstance(files, list) else []


def list_files(folder: Path, kind: Kind, names: Sequence[str]) -> None:
    """List the files that this run writes below `folder`, where their names are not always the same."""
    write_json(folder / MARKER, {"kind": kind, "files": sorted(names)})


def remove_listed(folder: Path, keep: Iterable[str] = ()) -> None:
    """Remove the files that the marker lists, but for those to `keep`; other people's beside them stay."""
    root = _real(folder)
    for name in sorted(set(listed(folder)) - set(keep)):
        path = folder / name
        if path.is_file() and _real(path).is_relative_to(root):
            path.unlink()


def entries(folder: Path) -> list[str]:
    """What a folder holds, without what a run of ours that was killed at once leaves behind.

    Raises:
        RunError: it is a file, or can't be read.
    """
    try:
        found = sorted(path.name for path in folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunError(f"{folder}: can't be used as a folder: {error.strerror}") from None
    found = [name for name in found if not fnmatch(name, f".{MARKER}.*.tmp")]
    return [] if found == [".lock"] and _is_our_lock(folder / ".lock") else found


def foreign(folder: Path, kind: Kind) -> list[str]:
    """Entries of a folder that no run of this kind writes."""
    return [name for name in entries(folder) if not any(fnmatch(name, own) for own in (*OWN[kind], *_ALWAYS))]


def kind_of(folder: Path) -> tuple[Kind, ...] | None:
    """The kinds of run that a folder may be one of (a marker names one), or None: it is not ours."""
    marker = _marker(folder)
    if marker is not None:
        kind = marker.get("kind")
        return (kind,) if isinstance(kind, str) and kind in OWN else None
    return tuple(_kinds_without_marker(folder)) or None


def _kinds_without_marker(folder: Path) -> Iterator[Kind]:
    """Folders of versions that wrote no marker."""
    manifest = _object(folder / "manifest.json")
    kind = (manifest or {}).get("kind")
    if (
        manifest is not None
        and isinstance(kind, str)
        and kind in OWN
        and isinstance(manifest.get("code"), dict)
    ):
        yield kind
        return
    run = _object(folder / "run.json")
    if run is not None and "derta" in run and "method" in run:
        yield "train"
    started = _object(folder / "demo.json")
    if started is not None and set(started) == {"settings", "code"}:
        yield "demo"
    if (folder / ".work").is_dir() and (folder / ".lock").is_file() and not foreign(folder, "data"):
        yield "data"
    sampled: tuple[Kind, Kind] = ("evaluate", "capability")
    for kind in sampled:
        if _is_store(folder / "samples.jsonl") and not foreign(folder, kind):
            yield kind
    page = folder / "index.html"
    if page.is_file() and (folder / "results.json").is_file() and not foreign(folder, "report"):
        with page.open("rb") as handle:
            if b"<title>Refusal report" in handle.read(4096):
                yield "report"


def check_file(path: Path, inputs: Iterable[str | Path | None] = ()) -> None:
    """Whether a single output file may be written: it is new, or as we wrote it.

    Raises:
        RunError: it may not, and why.
    """
    check_place(path, inputs)
    if not path.exists() and not path.is_symlink():
        return
    signed = _object(_signature(path)) or {}
    if not path.is_file() or signed.get("sha256") != sha256_file(path):
        raise RunError(f"{path}: exists, and is not as derta wrote it; choose another name or move it away")


def sign_file(path: Path) -> None:
    """Remember a single output file's bytes as ours."""
    write_json(_signature(path), {"sha256": sha256_file(path)})


def _signature(path: Path) -> Path:
    return path.with_name(f".{path.name}{MARKER}")


def check_place(path: Path, inputs: Iterable[str | Path | None]) -> None:
    """Refuse what is no place for outputs: `/`, the home folder, an input, what lies in one or holds one.

    Raises:
        RunError: it is none, and why.
    """
    place = _real(path)
    if place == place.parent or _same(place, Path.home()):
        raise RunError(
            f"{path}: is {'/' if place == place.parent else 'your home folder'}; choose a folder in it"
        )
    for given in inputs:
        source = None if given is None else Path(given)
        if source is None or not source.exists():
            continue
        source = _real(source)
        if any(_same(source, part) for part in (place, *place.parents)):
            raise RunError(f"{path}: leads into an input ({given}); choose another place to write to")
        if any(_same(place, part) for part in source.parents) or _linked(place, source):
            raise RunError(f"{path}: holds an input ({given}); choose another place to write to")


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))  # a loop of links ends here, where Path.resolve raises


def _same(a: Path, b: Path) -> bool:
    """One file or folder, whatever it is called (hard links, names in another case)."""
    try:
        return a.samefile(b)
    except OSError:
        return a == b


def _linked(folder: Path, source: Path) -> bool:
    """Whether an entry of `folder` is the very file `source` under another name."""
    if not folder.is_dir() or not source.is_file() or source.stat().st_nlink < 2:
        return False
    return any(_same(entry, source) for entry in folder.iterdir())


def _marker(folder: Path) -> dict[str, Any] | None:
    return _object(folder / MARKER)


def _object(path: Path) -> dict[str, Any] | None:
    """The JSON object in a small file, or None."""
    try:
        value = json.loads(path.read_bytes()) if path.is_file() else None
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _is_store(path: Path) -> bool:
    """Whether a file begins with a finished sample of ours (keyed_log)."""
    if not path.is_file():
        return False
    with path.open("rb") as handle:
        return handle.read(9) == b'{"kind": '


def _is_our_lock(path: Path) -> bool:
    try:
        text = path.read_bytes()[:32].decode("ascii", errors="replace")
    except OSError:
        return False
    return not text or text.isdigit()
