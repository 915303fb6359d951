"""Inspect's logs: `.eval` (a zip archive with header.json and samples/*.json) and `.json`.

A sample: {id, epoch, input, output: {choices: [{message, stop_reason}]}, error, limit, attachments}. Long texts may
stand apart, as `attachment://HASH`. Read without Inspect, sample by sample: any version's archive opens.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

from derta.errors import DataError
from derta.results.document import Document, archive_members
from derta.results.formats.answer import Answer, Format, Found, last_question, message_answer, numbered
from derta.results.json_values import Broken, parse

_ATTACHED = "attachment://"
MAX_MEMBER = 1 << 30  # bytes of one sample, unpacked
_FAULTS = (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError, RuntimeError, zlib.error)


def _is_archive(document: Document) -> bool:
    if document.shape != "zip archive":
        return False
    names = archive_members(document.path)
    if not {"header.json", "_journal/start.json"} & set(names):
        raise DataError(
            f"{document.path}: a zip archive that is no Inspect log (.xlsx, .zip?); unpack it, or save it as CSV"
        )
    return True


def _fits(document: Document) -> bool:
    whole = document.whole or {}
    is_json = isinstance(whole.get("eval"), dict) and isinstance(whole.get("samples"), list)
    return _is_archive(document) or is_json


def _read(document: Document) -> Iterator[Found]:
    log = document.whole
    if log is not None:
        for number, sample in enumerate(log["samples"], 1):
            yield from numbered(number, sample, lambda row: _answers(row, log["eval"]))
        return
    with _archive(document) as archive:
        header = _member(archive, _header_name(archive))
        spec = header.get("eval") if isinstance(header, dict) else {}
        names = [
            name for name in archive.namelist() if name.startswith("samples/") and name.endswith(".json")
        ]
        for number, name in enumerate(dict.fromkeys(names), 1):
            yield from numbered(number, _member(archive, name), lambda row: _answers(row, spec))


def _archive(document: Document) -> zipfile.ZipFile:
    import zipfile_zstd  # type: ignore[import-untyped]  # noqa: F401  # teaches zipfile the way Inspect packs

    try:
        return zipfile.ZipFile(document.path)
    except _FAULTS as error:
        raise DataError(f"{document.path}: the log is cut or damaged: {error}") from None


def _header_name(archive: zipfile.ZipFile) -> str:
    """A log that never ended has only its beginning."""
    return "header.json" if "header.json" in archive.namelist() else "_journal/start.json"


def _member(archive: zipfile.ZipFile, name: str) -> Any:
    import zstandard

    try:
        if archive.getinfo(name).file_size > MAX_MEMBER:
            return Broken(f"{name}: more than {MAX_MEMBER:,} bytes")
        return parse(archive.read(name).decode("utf-8", "surrogateescape"))
    except (*_FAULTS, zstandard.ZstdError) as error:
        return Broken(f"{name}: cut or damaged: {str(error)[:100]}")


def _answers(sample: dict[str, Any], spec: Any) -> Iterator[Answer]:
    attached = sample.get("attachments") if isinstance(sample.get("attachments"), dict) else {}
    asked = _with(sample.get("input"), attached)
    spec = spec if isinstance(spec, dict) else {}
    common: dict[str, Any] = {
        "question": asked if isinstance(asked, str) else last_question(asked),
        "id": sample.get("id"),
        "cluster": f"sample {sample.get('id')}",
        "model": spec.get("model"),
        "attack": spec.get("task"),
        "fields": {name: sample.get(name) for name in ("id", "epoch", "metadata", "target")},
    }
    output = sample.get("output") if isinstance(sample.get("output"), dict) else {}
    choices = _with((output or {}).get("choices"), attached)
    error = sample.get("error") or (output or {}).get("error")
    if not isinstance(choices, list) or not choices:
        why = error.get("message") if isinstance(error, dict) else error
        yield Answer(error=f"error: {why}" if why else "no output", **common)
        return
    for choice in choices:
        if not isinstance(choice, dict):
            yield Answer(error="a choice is no object", **common)
        else:
            yield message_answer(choice.get("message"), stop=choice.get("stop_reason"), **common)


def _with(value: Any, attached: Any) -> Any:
    """The value with its attached texts put back."""
    if isinstance(value, str) and value.startswith(_ATTACHED):
        return attached.get(value.removeprefix(_ATTACHED), value)
    if isinstance(value, list):
        return [_with(inner, attached) for inner in value]
    return (
        {name: _with(inner, attached) for name, inner in value.items()} if isinstance(value, dict) else value
    )


def _declared(document: Document) -> int | None:
    header = document.whole
    if header is None:
        with _archive(document) as archive:
            found = _member(archive, _header_name(archive))
            header = found if isinstance(found, dict) else {}
    results = header.get("results")
    total = results.get("total_samples") if isinstance(results, dict) else None
    return total if isinstance(total, int) else None


INSPECT = Format("Inspect log", _fits, _read, declared=_declared, sample="choice", record="sample")
