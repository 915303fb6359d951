"""What survives a crash."""

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
    with run_lock(tmp_path), pytest.raises(RunError, match="in use by process"), run_lock(tmp_path):
        pass
    with run_lock(tmp_path):
        pass
