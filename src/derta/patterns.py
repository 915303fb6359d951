"""Regular expressions from other people's files and recipes, matched against module names within a time.

Python's own engine has no limit, and peft matches with it: a few characters can keep it busy for years. So the same
matching is done first in a process of its own, which is stopped.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence

from derta.errors import ModelError

SECONDS = 10.0  # for all names of a model; published patterns take milliseconds
LONGEST = 20_000  # characters; Unsloth's longest has under 1,000
PLAIN = re.compile(r"[\w.-]*")  # names and their parts
_PROGRAM = """
import json, re, sys
patterns, names = json.load(sys.stdin)
out = []
for pattern in patterns:
    compiled = re.compile(pattern)
    out.append([name for name in names if compiled.fullmatch(name)])
json.dump(out, sys.stdout)
"""


def matching(pattern: str, names: Sequence[str], where: str) -> list[str]:
    """The names that a pattern matches whole.

    Raises:
        ModelError: no regular expression, or one that takes too long. where: the key and file, for the message.
    """
    return _run([pattern], names, where)[0]


def check_patterns(patterns: Sequence[str], names: Sequence[str], where: str) -> None:
    """Refuse patterns that would keep a matcher busy on these names; plain names pass unseen.

    Raises:
        ModelError: as `matching`.
    """
    odd = [pattern for pattern in patterns if not PLAIN.fullmatch(pattern)]
    if odd:  # peft puts some of them behind a prefix of its own
        _run([*odd, *(rf"(^|.*\.)({pattern})($|\..*)" for pattern in odd)], names, where)


def _run(patterns: Sequence[str], names: Sequence[str], where: str) -> list[list[str]]:
    if any(len(pattern) > LONGEST for pattern in patterns):
        raise ModelError(f"{where}: a pattern of over {LONGEST} characters; need module names or a short one")
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _PROGRAM],
            input=json.dumps([list(patterns), list(names)]),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ModelError(
            f"{where}: {patterns[0][:60]!r} takes over {SECONDS:g} s to match the model's module names; write the "
            "names out, or a pattern without repeats inside repeats"
        ) from None
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["?"])[-1]
        raise ModelError(f"{where}: {patterns[0][:60]!r} is no regular expression ({reason[:200]})")
    found: list[list[str]] = json.loads(done.stdout)
    return found
