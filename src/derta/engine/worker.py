"""A thread that owns a model and decodes whatever has been asked for so far; it never waits for a batch to fill."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue

from derta.engine.decoder import Decoder, Generated, Request
from derta.errors import ModelError

Answer = Future[Generated]
Job = tuple[Request, Answer]


class DecodeWorker:
    """load: makes the decoder (and loads its model); called in the thread, at the first request."""

    def __init__(self, load: Callable[[], Decoder[Answer]]) -> None:
        self._load = load
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()  # None: stop
        self._thread: threading.Thread | None = None
        self._decoder: Decoder[Answer] | None = None
        self._open: set[Answer] = set()

    def submit(self, request: Request) -> Answer:
        """Queue a request from any thread; its future gets the answer, or the error that prevented it."""
        answer: Answer = Future()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="derta-decode", daemon=True)
            self._thread.start()
        self._jobs.put((request, answer))
        return answer

    def close(self) -> None:
        """Stop after the current step and let go of the model; requests still open are cancelled."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None

    def _work(self) -> None:
        while (jobs := self._take()) is not None:
            try:
                self._step(jobs)
            except (
                Exception
            ) as error:  # handed to every request that waits for it; the next one starts afresh
                for answer in self._open:
                    answer.set_exception(error)
                self._open.clear()
                self._decoder = None
        for answer in self._open:
            answer.set_exception(ModelError("the evaluation was stopped"))
        self._open.clear()
        self._decoder = None

    def _step(self, jobs: list[Job]) -> None:
        # From here on a future can't be cancelled by its asker any more, so setting its result is safe.
        live = [(request, answer) for request, answer in jobs if answer.set_running_or_notify_cancel()]
        self._open.update(answer for _, answer in live)
        if self._decoder is None:
            self._decoder = self._load()
        for request, answer in live:
            try:
                self._decoder.submit(answer, request)
            except ModelError as error:  # this prompt's own fault
                self._open.discard(answer)
                answer.set_exception(error)
        for answer, generated in self._decoder.step():
            self._open.discard(answer)
            answer.set_result(generated)

    def _take(self) -> list[Job] | None:
        """The jobs asked for so far (waits for one only when there is nothing to decode); None: stop."""
        jobs: list[Job] = []
        idle = self._decoder is None or not self._decoder.busy
        while True:
            try:
                job = self._jobs.get(block=idle and not jobs)
            except Empty:
                return jobs
            if job is None:
                for _, answer in jobs:
                    answer.cancel()
                return None
            jobs.append(job)
