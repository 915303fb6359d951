"""The store of finished samples: durable, found again, honest about a full disk."""

import pytest

from derta.errors import RunError
from derta.keyed_log import SampleStore, key_of


def test_what_was_put_is_found_again(tmp_path):
    path, saved = tmp_path / "samples.jsonl", []
    with SampleStore(path, saved.append) as store:
        for number in range(50):
            store.put("generated", str(number), {"response": f"text {number}"})
        store.put("judged", "7", {"verdict": "unknown"})
    assert saved == ["generated"] * 50 + ["judged"]
    again = SampleStore(path)
    assert again.get("generated", "7") == {"response": "text 7"}
    assert again.get("judged", "7") == {"verdict": "unknown"}
    assert again.get("judged", "8") is None


def test_an_unfinished_last_line_is_cut_off(tmp_path):
    path = tmp_path / "samples.jsonl"
    with SampleStore(path) as store:
        store.put("judged", "1", 1)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"kind": "judged", "key": "2", "val')
    with SampleStore(path) as store:
        assert store.get("judged", "2") is None
        store.put("judged", "2", 2)
    assert SampleStore(path).get("judged", "2") == 2
    assert path.read_bytes().startswith(whole)


def test_a_full_disk_is_told_and_nothing_is_called_saved(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    saved = []
    monkeypatch.setattr("derta.keyed_log.append_jsonl", full)
    with (
        pytest.raises(RunError, match="No space left on device"),
        SampleStore(tmp_path / "s.jsonl", saved.append) as s,
    ):
        s.put("judged", "1", 1)
    assert saved == []


def test_keys_depend_on_names_and_values():
    assert key_of(a=1, b=2) != key_of(a=2, b=1)
    assert key_of(a=1) == key_of(a=1)


def test_without_a_block_each_line_is_durable_when_put_returns(tmp_path):
    path, saved = tmp_path / "verdicts.jsonl", []
    SampleStore(path, saved.append).put("verdict", "1", {"verdict": "harmful"})
    assert path.read_text() == '{"kind": "verdict", "key": "1", "value": {"verdict": "harmful"}}\n'
    assert saved == ["verdict"]


def test_a_disk_that_is_full_is_told_by_put_itself(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("derta.keyed_log.append_jsonl", full)
    with pytest.raises(RunError, match=r"s\.jsonl: can't be written: No space left on device"):
        SampleStore(tmp_path / "s.jsonl").put("verdict", "1", 1)


def test_answers_and_verdicts_of_older_versions_are_found(tmp_path):
    path = tmp_path / "answers.jsonl"
    path.write_text('{"key": "1", "response": "text"}\n{"key": "2", "response": "other"}\n')
    log = SampleStore(path)
    log.put("asked", "3", {"response": "new"})
    again = SampleStore(path)
    assert [again.get("asked", key) for key in "123"] == [
        {"response": "text"},
        {"response": "other"},
        {"response": "new"},
    ]


@pytest.mark.parametrize(
    "damaged", [b"\0" * 40, b'{"kind": "judged", "key": "2", "val', b"\xff\xfe", b'{"key": "2"}', b"7"]
)
def test_a_damaged_line_in_the_middle_is_told_and_asked_again(tmp_path, damaged, capsys):
    path = tmp_path / "samples.jsonl"
    with SampleStore(path) as store:
        for number in "123":
            store.put("judged", number, {"n": number})
    first, _, third = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([first, damaged, third]) + b"\n")
    with SampleStore(path) as store:
        [said] = capsys.readouterr().err.splitlines()
        assert f"{path}:2: damaged" in said
        assert [store.get("judged", number) for number in "123"] == [{"n": "1"}, None, {"n": "3"}]
        store.put("judged", "2", {"n": "2"})
    assert SampleStore(path).get("judged", "2") == {"n": "2"}
