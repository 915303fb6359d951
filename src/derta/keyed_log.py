"""What is finished, on disk, found again by the hash of everything that went into it: answers, verdicts, probes.

One JSON line {"kind", "key", "value"} each, appended and fsynced. After kill -9 at most one unfinished line is lost
(and cut off); a line that a power loss damaged is told, and what it held is asked for again (`read_finished`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Literal

from derta.errors import RunError
from derta.files import append_jsonl, dumps, read_finished, sha256_text
from derta.secrecy import redacted

Kind = Literal["generated", "judged", "probe", "asked", "verdict", "compared"]
Line = dict[str, Any]


def key_of(**inputs: Any) -> str:
    """The hash of named inputs (JSON values)."""
    return sha256_text(dumps(inputs))


class SampleStore:
    """The log of finished samples. `put` returns when its line is durable.

    As a context manager a thread of its own writes: `put` returns at once, what finishes while one fsync runs is
    written with the next, and leaving waits until everything is on disk.

    on_saved: called (in the writing thread) for each line once it is durable.
    """

    def __init__(self, path: Path, on_saved: Callable[[Kind], None] | None = None) -> None:
        self.path = path
        self._on_saved = on_saved
        self._found: dict[tuple[str | None, str], Any] = {
            (line.get("kind"), line["key"]): _value(line) for line in read_finished(path, *_fields(path))
        }
        self._queue: SimpleQueue[Line | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._write_queue, name="derta-store", daemon=True)
        self._error: OSError | None = None

    def get(self, kind: Kind, key: str) -> Any | None:
        """The value saved under a key, or None."""
        return self._found.get((kind, key), self._found.get((None, key)))

    def values(self, kind: Kind) -> list[Any]:
        """All that is saved of a kind, in the order in which it came."""
        return [value for (of, _), value in self._found.items() if of == kind]

    def put(self, kind: Kind, key: str, value: Any) -> None:
        """Save a value (JSON), soon; keys of the environment that its texts hold are left out.

        Raises:
            RunError: an earlier line could not be written.
        """
        self._check()
        value = redacted(value)
        self._found[kind, key] = value
        line = {"kind": kind, "key": key, "value": value}
        if self._thread.is_alive():
            self._queue.put(line)
        else:
            self._write([line])
            self._check()

    def __enter__(self) -> SampleStore:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._queue.put(None)
        self._thread.join()
        if error is None:
            self._check()

    def _check(self) -> None:
        if self._error is not None:
            raise RunError(
                f"{self.path}: can't be written: {self._error.strerror}; free some space or mend the folder, then "
                "run the same command again: finished samples are kept"
            )

    def _write_queue(self) -> None:
        """Take what has queued up, write it with one fsync, repeat until None."""
        closing = False
        while not closing:
            lines = [self._queue.get()]
            while not self._queue.empty():
                lines.append(self._queue.get())
            closing = None in lines
            self._write([line for line in lines if line is not None])

    def _write(self, lines: list[Line]) -> None:
        if self._error is not None or not lines:
            return
        try:
            append_jsonl(self.path, lines)
        except OSError as error:
            self._error = error
            return
        for line in lines:
            if self._on_saved is not None:
                self._on_saved(line["kind"])


def _fields(path: Path) -> tuple[str, ...]:
    """What each line has. Answers and verdicts of derta before 0.2 have neither kind nor value."""
    if path.exists():
        with path.open("rb") as handle:
            if handle.read(8) == b'{"key": ':
                return ("key",)
    return ("kind", "key", "value")


def _value(line: Line) -> Any:
    return line["value"] if "value" in line else {name: part for name, part in line.items() if name != "key"}
