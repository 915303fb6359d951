"""bench.json: what it holds, and what a file from somebody else must hold to be taken."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from derta.errors import DataError
from derta.files import dumps, sha256_text

FORMAT = "derta-bench 1"
MANIFEST = ("code", "libraries", "recipe", "judge", "inputs")
LARGEST = 64 * 1024 * 1024  # bytes; the full grid has well under one


def cells_hash(document: Mapping[str, Any]) -> str:
    """Of manifest and numbers: a number that was changed by hand no longer fits."""
    return sha256_text(dumps([document[name] for name in ("manifest", "cells", "pooled")]))


def check_bench(path: Path) -> dict[str, Any]:
    """A bench.json that is whole; the document.

    A hash proves that the file is as it was written, not that it was measured: rebuild a cell to know.

    Raises:
        DataError: it can't be read, or lacks something; every fault is named, a line each.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise DataError(f"{path}: larger than {LARGEST} bytes, which no bench.json is")
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise DataError(f"{path}: is no JSON; need a bench.json of `derta bench run`") from None
    faults = list(faults_of(document))
    if faults:
        raise DataError("\n".join(f"{path}: {fault}" for fault in faults))
    checked: dict[str, Any] = document
    return checked


def faults_of(document: Any) -> Iterator[str]:
    """What is wrong with a bench.json."""
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        yield f"format: need {FORMAT!r}; found a file of something else or of another version"
        return
    manifest = document.get("manifest")
    if not isinstance(manifest, dict) or any(not manifest.get(name) for name in MANIFEST):
        yield f"manifest: need {', '.join(MANIFEST)}"
        return
    if not isinstance(document.get("cells"), list) or not isinstance(document.get("pooled"), list):
        yield "cells, pooled: need two lists"
        return
    try:
        if document.get("sha256") != cells_hash(document):
            yield "sha256: does not fit manifest and cells; the file was changed after it was written"
        yield from _manifest_faults(manifest)
        yield from _cell_faults(document["cells"], manifest["recipe"])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        yield f"a part has another form than `derta bench run` writes ({type(error).__name__}: {error})"


def _manifest_faults(manifest: Mapping[str, Any]) -> Iterator[str]:
    code = manifest["code"]
    if not code.get("commit") and not code.get("derta"):
        yield "manifest.code: need the version or the commit that measured it"
    if code.get("dirty"):
        yield "manifest.code: measured with changed sources (dirty: true), which nobody else has"
    for name, digest in manifest["inputs"].items():
        if len(str(digest)) != 64:
            yield f"manifest.inputs: {name}: need a SHA-256"
    recipe = manifest["recipe"]
    for seed in recipe["seeds"]:
        if not any(name.startswith(f"seed-{seed}/") for name in manifest["inputs"]):
            yield f"manifest.inputs: no data file of seed {seed}"


def _cell_faults(cells: list[dict[str, Any]], recipe: Mapping[str, Any]) -> Iterator[str]:
    names = [attack if isinstance(attack, str) else attack["name"] for attack in recipe["attacks"]]
    made = {(c["seed"], c["method"], c["attack"].partition("@")[0]) for c in cells if c["metric"] == "asr"}
    for seed in recipe["seeds"]:
        for method in recipe["methods"]:
            lacking = [name for name in names if (seed, method, name) not in made]
            if lacking:
                yield f"cells: seed {seed}, {method}: no attack success rate of {', '.join(lacking)}"
    for number, cell in enumerate(cells):
        value, low, high = cell["value"], cell["low"], cell["high"]
        numbers = all(isinstance(x, int | float) for x in (value, low, high))
        if numbers and not -1e-6 <= low - 1e-6 <= value <= high + 1e-6 <= 1 + 2e-6:
            yield f"cells[{number}]: value {value} with interval {low} to {high}; need 0 <= low <= value <= high <= 1"
        if not cell.get("rebuild"):
            yield f"cells[{number}]: no command that rebuilds it"
