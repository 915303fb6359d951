"""What is read has an end, and what is kept of it has a size."""

import gzip
import json
import os
import socket
import subprocess
import sys

import pytest

from derta.data.formats.array import array_elements
from derta.data.formats.read import Unreadable, read_source
from derta.data.recipe import SourceSettings
from derta.errors import DataError
from derta.files import check_regular, read_small, sha256_file
from derta.records import MAX_COLUMNS, MAX_DEPTH, MAX_LINE_BYTES, Triple, load_records

from .tree import derta

LONG = "x" * (MAX_LINE_BYTES + 1)


def rows_of(path):
    return [row.value for row in read_source(SourceSettings(name="s", format="columns", path=path))]


@pytest.mark.parametrize(
    "value",
    [
        [],
        [1],
        [{}],
        [[]],
        [{"a": [1, {"b": None}], "c": "x"}, 2.5, True, None, "\u00e9\n"],
        [{"a": {}, "b": []}],
    ],
)
def test_elements_are_what_json_says(value, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(value))
    with path.open("rb") as handle:
        assert list(array_elements(handle)) == value


@pytest.mark.parametrize(
    ("element", "reason"),
    [
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "nested deeper"),
        ('{"a":' * (MAX_DEPTH + 1) + "1" + "}" * (MAX_DEPTH + 1), "nested deeper"),
        (json.dumps(["y" * 1000] * (MAX_LINE_BYTES // 1000 + 1)), "element of more than"),
        (json.dumps({str(i): i for i in range(MAX_LINE_BYTES // 8)}), "element of more than"),
        (json.dumps([[]] * (MAX_LINE_BYTES // 8 + 1)), "element of more than"),
    ],
    ids=["arrays", "objects", "texts", "names", "brackets"],
)
def test_an_element_beyond_the_limits_is_passed_over_and_the_next_is_read(tmp_path, element, reason):
    (tmp_path / "a.json").write_text(f'[{{"q": 1}}, {element}, {{"q": 2}}]')
    first, refused, last = rows_of(tmp_path / "a.json")
    assert (first, last) == ({"q": 1}, {"q": 2})
    assert isinstance(refused, Unreadable)
    assert reason in refused.reason
    deepest = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    (tmp_path / "b.json").write_text(f"[{deepest}]")
    assert not isinstance(rows_of(tmp_path / "b.json")[0], Unreadable)


@pytest.mark.parametrize(
    "text", [f'["{LONG}"', f"[{'1' * (MAX_LINE_BYTES * 2)}", "[" * 100_000, '[{"a":' * 50_000]
)
def test_an_array_without_an_end_ends_in_a_reason(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    *_, last = rows_of(tmp_path / "a.json")
    assert isinstance(last, Unreadable)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.csv", f"q,h\n{LONG},1\n2,3\n", "row of more than"),
        ("a.csv", 'q,h\n"' + "x\n" * (MAX_LINE_BYTES // 2 + 1) + '",1\n', "more than"),
        ("a.csv", ",".join(f"c{i}" for i in range(MAX_COLUMNS + 1)) + "\n", "columns"),
        ("a.tsv", LONG, "row of more than"),
        ("a.jsonl", f'{{"q": "{LONG}"}}\n', "line of"),
    ],
)
def test_a_table_has_bounded_rows(tmp_path, name, text, reason):
    (tmp_path / name).write_text(text)
    values = rows_of(tmp_path / name)
    assert any(isinstance(value, Unreadable) and reason in value.reason for value in values)
    if text.endswith("\n2,3\n"):
        assert values[-1] == {"q": "2", "h": "3"}


def test_a_parquet_row_that_repeats_a_large_text_is_passed_over(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"q": ["short", LONG, "short"], "n": [[1], [2], [3]]})
    pq.write_table(table, tmp_path / "a.parquet")
    first, refused, last = rows_of(tmp_path / "a.parquet")
    assert first == {"q": "short", "n": [1]}
    assert isinstance(refused, Unreadable)
    assert last == {"q": "short", "n": [3]}


@pytest.fixture(params=["device", "pipe", "socket", "folder"])
def endless(request, tmp_path):
    """A path that is no file."""
    path = tmp_path / "data.jsonl"
    if request.param == "device":
        path.symlink_to("/dev/zero")
    elif request.param == "pipe":
        os.mkfifo(path)
    elif request.param == "folder":
        path.mkdir()
    else:
        held = socket.socket(socket.AF_UNIX)
        os.chdir(tmp_path)  # a socket's path is short
        held.bind("data.jsonl")
    return path, request.param


def test_what_has_no_end_is_refused_at_once(endless):
    path, kind = endless
    for read in (check_regular, sha256_file, read_small, lambda path: load_records(path, Triple)):
        with pytest.raises(DataError, match=f"is a {kind}"):
            read(path)


VERBS = {
    "train": ["train", "r.yaml", "--set", "data.triples={}"],
    "template": ["train", "r.yaml", "--set", "chat.template={}"],
    "check": ["data", "check", "{}"],
    "openings": ["data", "openings", "{}", "--model", "mockllm/model"],
    "build": ["data", "build", "d.yaml"],
    "evaluate": ["evaluate", "e.yaml", "--set", "queries={}"],
    "recipe": ["train", "{}"],
}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_refuses_a_pipe(tmp_path, monkeypatch, capsys, save_model, verb):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    save_model(tmp_path / "base")
    (tmp_path / "t.jsonl").write_text(
        '{"id": "t", "harmful_query": "q?", "safe_response": "Sorry.", "harmful_response": "h"}\n'
    )
    (tmp_path / "b.jsonl").write_text('{"id": "b", "benign_query": "q?", "response": "r"}\n')
    shared = "data: {triples: t.jsonl, benign: b.jsonl}"
    (tmp_path / "r.yaml").write_text(f"run_dir: run\nmethod: derta\nmodel: {{path: base}}\n{shared}\n")
    (tmp_path / "d.yaml").write_text("out: built\nsources: [{name: a, format: records, path: pipe}]\n")
    (tmp_path / "e.yaml").write_text(
        "run_dir: run\nmodels: [{name: m, method: x, path: base}]\nattacks: [direct]\njudge: {name: span}\n"
        "queries: q.jsonl\n"
    )
    assert derta(monkeypatch, *(word.format("pipe") for word in VERBS[verb])) == 1
    said = capsys.readouterr()
    assert "pipe" in said.out + said.err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_hostile_files_stay_under_two_gigabytes(tmp_path):
    """Each in a process of its own, whose address space is limited: beyond it Python raises MemoryError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "deep.json").write_text("[" * 2_000_000)
    (tmp_path / "names.json").write_text('[{"a":' * 300_000)
    with gzip.open(tmp_path / "zeros.jsonl.gz", "wb", compresslevel=1) as handle:
        for _ in range(64):
            handle.write(b"0" * (1 << 24))  # 1 GB in one line
    with gzip.open(tmp_path / "text.json.gz", "wb", compresslevel=1) as handle:
        handle.write(b'["')
        for _ in range(64):
            handle.write(b"0" * (1 << 24))
    repeated = pa.array(["x" * 50_000_000]).dictionary_encode().take(pa.array([0] * 100))
    pq.write_table(pa.table({"q": repeated}), tmp_path / "repeated.parquet")
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))\n"
        "from derta.data.formats.read import read_source\n"
        "from derta.data.recipe import SourceSettings\n"
        "rows = list(read_source(SourceSettings(name='s', format='columns', path=sys.argv[1])))\n"
        "print(len(rows), rows[-1].value)"
    )
    for name in ("deep.json", "names.json", "zeros.jsonl.gz", "text.json.gz", "repeated.parquet"):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / name)], capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, (name, done.stderr[-500:])
        assert "Unreadable" in done.stdout


def test_control_characters_of_a_name_are_shown_as_text(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "rows"
    folder.mkdir()
    (folder / "a\x1b[2Jb.csv").mkdir()
    (folder / "bad\x1b[2J.jsonl").write_text("{")
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        f"out: {tmp_path / 'out'}\nnum_processes: 1\nsources: [{{name: a, format: records, path: {folder}}}]\n"
    )
    assert derta(monkeypatch, "data", "build", recipe) == 1
    assert derta(monkeypatch, "data", "check", folder) == 1
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err


@pytest.mark.parametrize("name", ["a\x1b[31m", "a\nb", " ", "\u202egpj"])
def test_a_models_name_is_plain_text(name):
    from derta.config import TargetModel

    with pytest.raises(ValueError, match="control characters"):
        TargetModel(name=name, method="x", path="base")
