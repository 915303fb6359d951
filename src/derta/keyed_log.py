"""Finished samples on disk, found again by the hash of everything that went into them.

One JSON line {"kind", "key", "value"} each, appended and fsynced by a thread of its own: what finishes while
one fsync runs is written with the next. After kill -9 at most one unfinished line is lost (and cut off).
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

Kind = Literal["generated", "judged", "probe"]
Line = dict[str, Any]


def key_of(**inputs: Any) -> str:
    """The hash of named inputs (JSON values)."""
    return sha256_text(dumps(inputs))


class SampleStore:
    """A context manager; leaving it waits until everything is on disk.

    on_saved: called (in the writing thread) for each line once it is durable.
    """

    def __init__(self, path: Path, on_saved: Callable[[Kind], None] | None = None) -> None:
        self.path = path
        self._on_saved = on_saved
        self._found: dict[tuple[str, str], Any] = {
            (line["kind"], line["key"]): line["value"] for line in read_finished(path, "kind", "key", "value")
        }
        self._queue: SimpleQueue[Line | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="derta-store", daemon=True)
        self._error: OSError | None = None

    def get(self, kind: Kind, key: str) -> Any | None:
        """The value saved under a key, or None."""
        return self._found.get((kind, key))

    def put(self, kind: Kind, key: str, value: Any) -> None:
        """Save a value (JSON), soon; keys of the environment that its texts hold are left out.

        Raises:
            RunError: an earlier line could not be written.
        """
        self._check()
        value = redacted(value)
        self._found[kind, key] = value
        self._queue.put({"kind": kind, "key": key, "value": value})

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

    def _write(self) -> None:
        """Take what has queued up, write it with one fsync, repeat until None."""
        closing = False
        while not closing:
            lines = [self._queue.get()]
            while not self._queue.empty():
                lines.append(self._queue.get())
            closing = None in lines
            whole = [line for line in lines if line is not None]
            if self._error is None and whole:
                try:
                    append_jsonl(self.path, whole)
                except OSError as error:
                    self._error = error
                else:
                    for line in whole:
                        if self._on_saved is not None:
                            self._on_saved(line["kind"])
