"""An ordered map over worker processes: the same results in the same order, however many there are."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any, TypeVar

from derta.errors import RunError

Chunk = TypeVar("Chunk")
Result = TypeVar("Result")

IN_FLIGHT = 2  # chunks held per process: one is worked on, one waits or is done and waits for its turn

_work: Callable[[Any], Any]  # of a worker process


def map_in_order(
    work: Callable[[Chunk], Result], chunks: Iterable[Chunk], *, num_processes: int
) -> Iterator[Result]:
    """`work` of every chunk, in the chunks' order; at most `IN_FLIGHT` chunks a process are held: constant memory.

    `work` must be picklable; it is sent to each process once. Processes are spawned, not forked, and end when the
    parent does, however it dies.

    Raises:
        RunError: a worker process died.
        Exception: what `work` raised, for the first chunk of which it raises.
    """
    if num_processes == 1:
        yield from map(work, chunks)
        return
    pool = ProcessPoolExecutor(
        num_processes, multiprocessing.get_context("spawn"), initializer=_start, initargs=(work,)
    )
    held: deque[Future[Result]] = deque()
    try:
        for chunk in chunks:
            with _ctrl_c_waits():  # a process starts here, and would show its own traceback
                held.append(pool.submit(_call, chunk))
            if len(held) >= IN_FLIGHT * num_processes:
                yield held.popleft().result()
        while held:
            yield held.popleft().result()
    except BrokenProcessPool:
        raise RunError("a worker process died (out of memory?); lower num_processes and run again") from None
    finally:
        pool.shutdown(cancel_futures=True)


def _start(work: Callable[[Any], Any]) -> None:
    global _work
    _work = work
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker holds both ends of its queue, so that it would wait for ever for a parent that was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _call(chunk: Any) -> Any:
    return _work(chunk)


@contextmanager
def _ctrl_c_waits() -> Iterator[None]:
    """Ctrl-C comes after the block; a process that is started inside never gets it (the parent ends it)."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
