"""The process in which strangers' chat templates are rendered, with bounds on time, memory and length.

jinja2's sandbox keeps a template from files and code, not from `'a' * 3000000000` or a loop without end, and nothing
inside one process can bound both. So templates get a process of their own: it reads requests as JSON lines, renders
with transformers' own sandboxed environment, and answers as JSON lines. Run as a script with the seconds of CPU time
that one conversation may take; it imports nothing of ours.
"""

from __future__ import annotations

import datetime
import json
import resource
import signal
import sys
from typing import Any, NoReturn

MEMORY = 1 << 29  # bytes beside what the process has when it is ready
LONGEST = 1 << 24  # characters of one rendered conversation


def main() -> None:
    """Answer requests until the other side is gone."""
    import jinja2
    from transformers.utils.chat_template_utils import render_jinja_template

    _bound_memory()
    signal.signal(signal.SIGVTALRM, _too_long)
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, Any] = {"texts": []}
        date = request.pop("date", None)
        for conversation in request.pop("conversations"):
            try:
                signal.setitimer(signal.ITIMER_VIRTUAL, float(sys.argv[1]))
                _tell_date(request["chat_template"], date)
                text = render_jinja_template(conversations=[conversation], **request)[0][0]
                signal.setitimer(signal.ITIMER_VIRTUAL, 0)
                if len(text) > LONGEST:
                    raise OverflowError(f"wrote {len(text)} characters; at most {LONGEST}")
                answer["texts"].append(text)
            except jinja2.TemplateError as error:
                answer["refused"] = str(error)
            except MemoryError:
                answer["failed"] = f"MemoryError: needs more than {MEMORY >> 20} MiB"
            except Exception as error:  # a template can raise anything
                answer["failed"] = f"{type(error).__name__}: {error}"
            finally:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            if len(answer) > 1:
                break
        print(json.dumps(answer), flush=True)


def _tell_date(template: str, date: str | None) -> None:
    """What the library's `strftime_now` says is today; None: today. Its compiled templates are kept, so each time."""
    from transformers.utils.chat_template_utils import _compile_jinja_template

    day = datetime.datetime.now() if date is None else datetime.datetime.fromisoformat(date)
    _compile_jinja_template(template).globals["strftime_now"] = day.strftime


def _bound_memory() -> None:
    """Where the system tells how much is in use (Linux); elsewhere time and length are the bounds."""
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    try:
        with open("/proc/self/statm", encoding="ascii") as sizes:
            used = int(sizes.read().split()[0]) * resource.getpagesize()
    except FileNotFoundError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, most))


def _too_long(*_: object) -> NoReturn:
    raise TimeoutError(f"rendered for more than {sys.argv[1]} seconds")


if __name__ == "__main__":
    main()
