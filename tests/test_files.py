"""What survives a crash."""

import os
from pathlib import Path

import pytest

from derta.errors import RunError
from derta.files import append_jsonl, atomic_path, read_finished, run_lock, write_json, write_jsonl


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"version": 1})

    def fail_halfway():
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_halfway()
    assert path.read_text() == '{\n  "version": 1\n}\n'
    assert list(tmp_path.iterdir()) == [path]


def test_nan_is_refused(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        write_jsonl(tmp_path / "a", [{"x": float("nan")}])
    assert not list(tmp_path.iterdir())


def test_an_unfinished_last_line_is_cut_off_and_the_log_goes_on(tmp_path):
    path = tmp_path / "log.jsonl"
    append_jsonl(path, [{"a": 1}, {"a": 2}])
    with path.open("ab") as handle:
        handle.write(b'{"a": 3')
    assert read_finished(path) == [{"a": 1}, {"a": 2}]
    append_jsonl(path, [{"a": 4}])
    assert read_finished(path) == [{"a": 1}, {"a": 2}, {"a": 4}]
    assert read_finished(tmp_path / "absent") == []


def test_a_run_folder_has_one_user(tmp_path):
    for _ in range(2):  # it is free again
        holder = rf"in use by process {os.getpid()};"
        with run_lock(tmp_path), pytest.raises(RunError, match=holder), run_lock(tmp_path):
            pass
        assert (tmp_path / ".lock").read_bytes() == b""


def test_a_file_is_durable_before_its_name_and_its_name_before_the_return(tmp_path, monkeypatch):
    """Content, then rename, then the folder: in another order a power loss leaves an empty file under the name."""
    calls, sizes = [], []
    plain_fsync, plain_replace = os.fsync, os.replace

    def fsync(descriptor):
        target = os.readlink(f"/proc/self/fd/{descriptor}")
        calls.append(("fsync", "folder" if target == str(tmp_path) else "content"))
        sizes.append(os.fstat(descriptor).st_size)
        plain_fsync(descriptor)

    def replace(source, target):
        calls.append(("rename", Path(target).name))
        plain_replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    write_json(tmp_path / "a.json", {})
    assert calls == [("fsync", "content"), ("rename", "a.json"), ("fsync", "folder")]
    calls.clear()
    append_jsonl(tmp_path / "log.jsonl", [{}])
    assert calls[0] == ("fsync", "content")
    assert sizes[-1] == len("{}\n"), "what is still in the buffer is not synced"
