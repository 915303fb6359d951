"""Ctrl-C, at any moment of any verb, is one line that says how to go on."""

import os
import signal
import subprocess
import sys

import pytest

from derta.__main__ import STOPPED

VERBS = [
    ["train"],
    ["evaluate"],
    ["capability"],
    ["show-labels"],
    ["encode", "--out", "x"],
    ["data", "build"],
    ["demo", "--recipe"],
    ["judge", "--judge", "span"],
]


def start(arguments, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", "derta", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )


# Ctrl-C at the very moment when the verb opens its file: it is under way then, whatever the machine's speed.
AS_IT_OPENS_ITS_FILE = """
import os, signal, sys

sent = []


def stop(event, arguments):
    if event == "open" and str(arguments[0]).endswith("file.yaml") and not sent:
        sent.append(event)
        os.kill(os.getpid(), signal.SIGINT)


sys.addaudithook(stop)
"""


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_a_verb_that_is_stopped_says_that_the_same_command_continues(tmp_path, verb):
    (tmp_path / "sitecustomize.py").write_text(AS_IT_OPENS_ITS_FILE)
    (tmp_path / "file.yaml").write_text("seed: 1\n")
    path = f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"
    process = start([*verb, tmp_path / "file.yaml"], PYTHONPATH=path)
    out, errors = process.communicate(timeout=60)
    assert (out, errors) == ("", f"{STOPPED}\n")
    assert process.returncode in (130, -signal.SIGINT)  # 130 for the shell, either way


HARD_MOMENTS = {
    "while the first library is imported": "os.kill(os.getpid(), signal.SIGINT)",
    "a library makes an error of its own of it": """
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    raise ImportError("numpy could not be imported")
""",
    "in a destructor, where Python would only print it": """
class Thing:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
Thing()
for _ in range(10_000_000): pass
""",
}


@pytest.mark.parametrize("moment", HARD_MOMENTS)
def test_the_first_second_shows_no_traceback(tmp_path, moment):
    (tmp_path / "typer.py").write_text(f"import os, signal\n{HARD_MOMENTS[moment]}")
    process = start(["--version"], PYTHONPATH=f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    out, errors = process.communicate(timeout=60)
    assert (out, errors) == ("", f"{STOPPED}\n")


def test_only_the_first_of_several_processes_speaks(tmp_path):
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt")
    process = start(["--version"], PYTHONPATH=f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}", RANK="1")
    assert process.communicate(timeout=60) == ("", "")


def test_an_error_of_ours_still_shows_its_traceback(tmp_path):
    (tmp_path / "typer.py").write_text("raise ZeroDivisionError")
    process = start(["--version"], PYTHONPATH=f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    assert "ZeroDivisionError" in process.communicate(timeout=60)[1]


def test_an_output_that_is_not_utf8_is_no_error(tmp_path):
    """What can't be written there is shown as an escape."""
    (tmp_path / "ré→.json").write_text('[{"question": "q", "response": "Sorry, I can\'t."}]')
    process = start(["judge", tmp_path / "ré→.json"], PYTHONIOENCODING="ascii")
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "r\\xe9\\u2192.json" in out
    process = start(["train", tmp_path / "→.yaml"], PYTHONIOENCODING="ascii")
    out, errors = process.communicate(timeout=60)
    assert errors == f"error: {tmp_path}/\\u2192.yaml: can't be read: No such file or directory\n"
