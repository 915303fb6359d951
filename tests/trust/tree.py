"""A folder as it is, to compare with what a verb leaves of it; and verbs run as a user runs them."""

import hashlib
import os
import sys

import pytest

from derta.cli import main


def tree(folder):
    """Every entry below a folder: a file's hash, a link's target, or that it is a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"link to {os.readlink(path)}"
        else:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
    return found


def derta(monkeypatch, *words):
    """The exit code of `derta WORDS`; a traceback fails the test."""
    monkeypatch.setattr(sys, "argv", ["derta", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code or 0
