"""Files that survive a crash: atomic writes, append-only logs, hashes, and one lock per run folder."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from derta.errors import DataError, RunError
from derta.secrecy import redact, secrets

MAX_TEXT_BYTES = 16 * 1024 * 1024  # the largest such file known, a thesaurus, has 5 MB


def dumps(value: Any) -> str:
    """One line of JSON: the same bytes for the same value (field order kept, no NaN)."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(", ", ": "))


def fsync_folder(folder: Path) -> None:
    """Make a rename inside `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary name to write to; renamed to `path` (after fsync) only when the block ends well.

    A crash, a full disk or an exception leaves nothing under the final name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
        fsync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(redact(text), encoding="utf-8", newline="\n")


def as_json(value: Any) -> str:
    """Indented JSON with a final newline."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=2) + "\n"


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON atomically, with a final newline."""
    write_text(path, as_json(value))


def write_jsonl(path: Path, rows: Iterable[Any]) -> int:
    """Write one JSON value a line, atomically; returns the number of lines."""
    count = 0
    keys = secrets()
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as handle:
        for row in rows:
            line = dumps(row)
            handle.write((redact(line) if keys else line) + "\n")
            count += 1
    return count


def append_jsonl(path: Path, rows: Iterable[Any]) -> None:
    """Append whole lines and fsync; a crash leaves at most one unfinished last line (see `read_finished`)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as handle:
        handle.write(redact("".join(dumps(row) + "\n" for row in rows)).encode("utf-8"))
        handle.flush()
        os.fsync(handle.fileno())


def read_finished(path: Path, *fields: str) -> list[dict[str, Any]]:
    """The whole lines of an append-only log: JSON objects that have all `fields`, in the order they are written in.

    An unfinished last line (kill -9) is cut off the file. A damaged line (a power loss leaves blocks of NUL) is told
    and passed over, so what it held is asked for again.

    Raises:
        RunError: the file holds nothing of this log, so it is somebody else's; it stays as it is.
    """
    if not path.exists():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    lines = whole.split(b"\n")[:-1]
    found = [_object_with(line, fields) for line in lines]
    good = [value for value in found if value is not None]
    if not good and content.strip(b"\x00\n") and not _begins_log(content, fields):
        raise RunError(f"{path}: no line of it is one of this log; move it away, or choose another folder")
    if len(whole) != len(content):
        with path.open("rb+") as handle:
            handle.truncate(len(whole))
    if len(good) < len(found):
        first = found.index(None) + 1
        print(
            f"warning: {path}:{first}: damaged; {len(found) - len(good)} of {len(found)} lines are passed over, "
            "what they held is asked for again",
            file=sys.stderr,
        )
    return good


def _object_with(line: bytes, fields: Sequence[str]) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and all(field in value for field in fields) else None


def _begins_log(content: bytes, fields: Sequence[str]) -> bool:
    """Whether a file without a whole line begins as the log's first line does, as far as it goes."""
    start = f'{{"{fields[0]}": '.encode() if fields else b'{"'
    return content[: len(start)] == start[: len(content)]


def check_regular(path: Path) -> None:
    """Whether a path is a file that has an end: no folder, device, pipe or socket.

    Raises:
        DataError: it is not, or is not there.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:  # ValueError: a NUL in its name
        raise DataError(f"{path}: can't be read: {getattr(error, 'strerror', None) or error}") from None
    if not stat.S_ISREG(mode):
        kinds = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))
        found = next((name for test, name in kinds if test(mode)), "a device")
        raise DataError(f"{path}: is {found}; need a file")


def read_small(path: Path, what: str = "file") -> str:
    """The text of a file that people write by hand, at most `MAX_TEXT_BYTES`.

    Raises:
        DataError: it can't be read, is longer, or is not UTF-8.
    """
    check_regular(path)
    try:
        with path.open("rb") as handle:
            raw = handle.read(MAX_TEXT_BYTES + 1)
        if len(raw) > MAX_TEXT_BYTES:
            raise DataError(f"{path}: a {what} of more than {MAX_TEXT_BYTES:,} bytes is not read")
        return raw.decode("utf-8")
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 at byte {error.start + 1}") from None


def sha256_file(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal, read in blocks of 1 MiB.

    Raises:
        DataError: it is no file that has an end.
    """
    check_regular(path)
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sha256_text(text: str) -> str:
    """SHA-256 of a text's UTF-8 bytes, in hexadecimal."""
    return hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).hexdigest()


@contextmanager
def run_lock(run_dir: Path) -> Iterator[None]:
    """Keep a second process out of a run folder; the kernel frees the lock when the holder dies.

    Raises:
        RunError: another process holds the folder.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    lock_path = run_dir / ".lock"
    with lock_path.open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            holder = handle.read().strip() or "unknown"
            raise RunError(
                f"{run_dir}: in use by process {holder}; wait for it, stop it, or choose another run_dir"
            ) from None
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        try:
            yield
        finally:
            handle.truncate(0)


def check_unlocked(run_dir: Path) -> None:
    """Fail at once, before anything heavy is imported, if another process holds the run folder.

    Raises:
        RunError: it does.
    """
    if (run_dir / ".lock").exists():
        with run_lock(run_dir):
            pass
