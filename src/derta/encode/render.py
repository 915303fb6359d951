"""Chat templates are rendered in a process of their own (template_worker.py); a bad one is one line here."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from derta.encode import template_worker
from derta.errors import TokenizerError

CPU_SECONDS = 10.0  # for one conversation; published templates take less than a millisecond
CHUNK = 256  # conversations of one request
BACKSTOP = 300.0  # seconds on the clock for one request, should the worker's own bound on CPU time not end it

_lock = threading.Lock()
_worker: tuple[int, subprocess.Popen[str]] | None = None  # (process that started it, the worker)


def render_apart(
    template: str,
    conversations: Sequence[Sequence[Mapping[str, Any]]],
    *,
    variables: Mapping[str, Any],
    generation_prompt: bool,
    date: str | None = None,
) -> list[str]:
    """The template's text of each conversation.

    variables: bos_token and the like, and the recipe's own, by name. date: ISO; what a template is told today is.

    Raises:
        TokenizerError: the template refuses one's turns, fails, or needs too much time, memory or room; the message
            quotes its error.
    """
    texts: list[str] = []
    for start in range(0, len(conversations), CHUNK):
        some = conversations[start : start + CHUNK]
        answer = _ask(
            {
                **variables,
                "date": date,
                "chat_template": template,
                "conversations": [[dict(message) for message in messages] for messages in some],
                "add_generation_prompt": generation_prompt,
            }
        )
        texts += answer["texts"]
        if "refused" in answer:
            roles = ", ".join(message["role"] for message in some[len(answer["texts"])])
            raise TokenizerError(f"chat template refuses the turns ({roles}): {_one_line(answer['refused'])}")
        if "failed" in answer:
            raise TokenizerError(f"chat template can't be rendered: {_one_line(answer['failed'])}")
    return texts


def _ask(request: dict[str, Any]) -> dict[str, Any]:
    with _lock:
        worker = _running()
        assert worker.stdin is not None
        assert worker.stdout is not None
        backstop = threading.Timer(BACKSTOP, worker.kill)
        backstop.daemon = True
        backstop.start()
        try:
            worker.stdin.write(json.dumps(request, default=str) + "\n")
            worker.stdin.flush()
            line = worker.stdout.readline()
        except BrokenPipeError:
            line = ""
        except BaseException:  # Ctrl-C: an answer that nobody read would be taken for the next one
            _stop()
            raise
        finally:
            backstop.cancel()
        if not line:
            code = worker.wait()
            _stop()
            return {"texts": [], "failed": f"the process that renders it ended with {code}"}
    answer: dict[str, Any] = json.loads(line)
    return answer


def _running() -> subprocess.Popen[str]:
    """This process's worker, started at the first use; a fork needs its own."""
    global _worker
    if _worker is None or _worker[0] != os.getpid() or _worker[1].poll() is not None:
        command = [sys.executable, "-P", str(Path(template_worker.__file__)), f"{CPU_SECONDS:g}"]
        _worker = (
            os.getpid(),
            subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
                start_new_session=True,  # Ctrl-C is ours
            ),
        )
    return _worker[1]


@atexit.register
def _stop() -> None:
    global _worker
    if _worker is not None and _worker[0] == os.getpid():
        worker = _worker[1]
        worker.kill()
        worker.wait()
        for pipe in (worker.stdin, worker.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:  # a request was still in it
                    continue
    _worker = None


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]
