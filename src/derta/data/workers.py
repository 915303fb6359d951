"""An ordered map over worker processes: the same results in the same order, however many there are."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from derta.errors import RunError

Chunk = TypeVar("Chunk")
Result = TypeVar("Result")


def map_in_order(
    work: Callable[[Chunk], Result], chunks: Iterable[Chunk], *, num_processes: int
) -> Iterator[Result]:
    """`work` of every chunk, in the chunks' order; at most one chunk a process is held, so memory is constant.

    `work` must be picklable. Processes are spawned, not forked, and each ends when its pipe closes: a killed
    parent leaves none behind.

    Raises:
        RunError: a worker process died.
    """
    if num_processes == 1:
        yield from map(work, chunks)
        return
    context = multiprocessing.get_context("spawn")
    pipes: list[Connection] = []
    processes = []
    for _ in range(num_processes):
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, work), daemon=True)
        process.start()
        theirs.close()
        pipes.append(ours)
        processes.append(process)
    try:
        yield from _rotate(pipes, iter(chunks))
    finally:
        for pipe in pipes:
            pipe.close()
        for process in processes:
            process.join(timeout=5)
            if process.is_alive():
                process.kill()


def _rotate(pipes: list[Connection], chunks: Iterator[Any]) -> Iterator[Any]:
    """Chunk i goes to process i modulo n, and its result is taken before that process gets another."""
    busy = [False] * len(pipes)
    turn = 0
    try:
        while True:
            pipe = pipes[turn]
            if busy[turn]:
                yield _received(pipe)
                busy[turn] = False
            for chunk in chunks:
                pipe.send(chunk)
                busy[turn] = True
                break
            else:
                break
            turn = (turn + 1) % len(pipes)
        for offset in range(1, len(pipes)):
            later = (turn + offset) % len(pipes)
            if busy[later]:
                yield _received(pipes[later])
    except (EOFError, ConnectionError):
        raise RunError("a worker process died (out of memory?); lower num_processes and run again") from None


def _received(pipe: Connection) -> Any:
    failed, value = pipe.recv()
    if failed:
        raise value
    return value


def _serve(pipe: Connection, work: Callable[[Any], Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the parent, and its pipe ends us
    while True:
        try:
            chunk = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            answer = (False, work(chunk))
        except Exception as error:  # handed to the parent, which raises it
            answer = (True, error)
        try:
            pipe.send(answer)
        except OSError:
            return
