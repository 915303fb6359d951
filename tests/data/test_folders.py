"""The recipe's split, subset and revision are obeyed with local files, or refused by name; containers are named."""

import json
import sqlite3
import tarfile
import zipfile

import pytest

from derta.data.formats.folders import split_of
from derta.data.formats.read import Unreadable, parse_line, read_source
from derta.data.recipe import SourceSettings
from derta.errors import DataError

ROW = {"benign_query": "Name a herb.", "response": "Thyme."}


def values(path, **more):
    rows = read_source(SourceSettings(name="s", format="records", path=path, **more))
    return [parse_line(row.value) if isinstance(row.value, bytes) else row.value for row in rows]


def lay(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"at": name}) + "\n")
    return folder


def read_names(path, **more):
    return [row["at"] for row in values(path, **more)]


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("data/train-00000-of-00002.parquet", "train"),
        ("data/330k_train-00000-of-00002.parquet", "330k_train"),
        ("guild.dev.jsonl", "validation"),
        ("test/a.jsonl", "test"),
        ("train/a_test.jsonl", "test"),
        ("latest.jsonl", None),
        ("restraining.jsonl", None),
        ("triples.held_out.jsonl", None),
    ],
)
def test_the_split_that_a_name_says(name, split):
    assert split_of(name) == split


def test_only_the_split_asked_for_is_read(tmp_path):
    lay(tmp_path, "a/train.jsonl", "a/test.jsonl", "valid.jsonl")
    assert read_names(tmp_path) == ["a/train.jsonl"]
    assert read_names(tmp_path, split="test") == ["a/test.jsonl"]
    assert read_names(tmp_path, split="validation") == ["valid.jsonl"]
    assert len(read_names(tmp_path, split="all")) == 3
    assert read_names(f"{tmp_path}/*/t*.jsonl", split="test") == ["a/test.jsonl"]
    with pytest.raises(DataError, match=r"no split guild; found test, train, validation; set `split`"):
        values(tmp_path, split="guild")
    with pytest.raises(DataError, match="set `limit`"):
        values(tmp_path, split="train[:10]")


def test_a_folder_without_train_is_not_taken_for_it(tmp_path):
    lay(tmp_path, "test.jsonl", "dev.jsonl")
    with pytest.raises(DataError, match="no split train; found test, validation"):
        values(tmp_path)
    assert read_names(tmp_path, split="dev") == ["dev.jsonl"]


def test_one_file_cannot_be_another_split(tmp_path):
    lay(tmp_path, "guild_test.jsonl", "guild.jsonl")
    assert read_names(tmp_path / "guild_test.jsonl") == ["guild_test.jsonl"]
    with pytest.raises(DataError, match="its name says split test, the recipe asks for train"):
        values(tmp_path / "guild_test.jsonl", split="train")
    with pytest.raises(DataError, match="its name says no split"):
        values(tmp_path / "guild.jsonl", split="test")


def test_subsets_are_folders_or_configs_of_the_card(tmp_path):
    lay(tmp_path, "wells/train.jsonl", "bells/train.jsonl")
    assert read_names(tmp_path, subset="bells") == ["bells/train.jsonl"]
    with pytest.raises(DataError, match="no folder in it is called 'looms'"):
        values(tmp_path, subset="looms")
    configs = "".join(f"- config_name: {name}\n  data_files: {name}/*.jsonl\n" for name in ("wells", "bells"))
    (tmp_path / "README.md").write_text(f"---\nconfigs:\n{configs}---\n")
    assert read_names(tmp_path, subset="wells") == ["wells/train.jsonl"]
    with pytest.raises(DataError, match="holds the subsets bells, wells; set `subset`"):
        values(tmp_path)
    with pytest.raises(DataError, match="has no subset 'looms'"):
        values(tmp_path, subset="looms")
    with pytest.raises(DataError, match="`subset` belongs to"):
        values(tmp_path / "wells/train.jsonl", subset="wells")


def test_a_card_never_leads_out_of_its_folder(tmp_path):
    lay(tmp_path, "mine/a.jsonl", "other.jsonl")
    (tmp_path / "mine/README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files:\n  - {split: train, path: ../other.jsonl}\n---\n"
    )
    assert read_names(tmp_path / "mine") == ["mine/a.jsonl"]


def test_a_revision_of_a_local_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match="`revision` belongs to `hub`"):
        SourceSettings(name="s", format="records", path=tmp_path, revision="abc")


def test_a_pattern_without_files_says_so(tmp_path):
    with pytest.raises(DataError, match="no file has such a name"):
        values(f"{tmp_path}/*.jsonl")


def _sqlite(path):
    sqlite3.connect(path).execute("create table t (a)").connection.commit()


def _tar(path):
    lay(path.parent, "x.jsonl")
    with tarfile.open(path, "w") as archive:
        archive.add(path.parent / "x.jsonl", "x.jsonl")


def _zip(path, *names):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "x")


CONTAINERS = {
    "a.db": (_sqlite, "an SQLite data base"),
    "a.tar": (_tar, "a tar archive; unpack it"),
    "a.xlsx": (lambda path: _zip(path, "xl/workbook.xml"), "an Excel workbook; save its sheet as CSV"),
    "b.zip": (lambda path: _zip(path, "a.txt"), "a zip archive without a data file"),
    "c.zip": (lambda path: _zip(path, "a.zip"), "no JSON|zip|invalid"),
    "a.pkl": (lambda path: path.write_bytes(b"\x80\x04\x95abc"), "a pickle, which can run code"),
    "a.jsonl": (lambda path: path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid"), "git lfs"),
    "b.jsonl": (lambda path: path.write_bytes(b"<!DOCTYPE html><html>"), "a web page"),
    "cut.zip": (lambda path: path.write_bytes(b"PK\x03\x04 and no more"), "zip archive is cut"),
    "cut.json": (lambda path: path.write_text('{\n "data": [\n  {"a": 1},\n'), "invalid JSON from line 1"),
    "cut.arrow": (lambda path: path.write_bytes(b"ARROW1\0\0 and no more"), "invalid Arrow"),
    "splits.json": (
        lambda path: path.write_text('{"a": [{"x": 1}], "b": [{"x": 2}]}'),
        "several lists of rows",
    ),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_what_holds_no_rows_is_named_in_one_line(tmp_path, name):
    import re

    write, reason = CONTAINERS[name]
    write(tmp_path / name)
    found = values(tmp_path / name)
    assert len(found) == 1
    assert isinstance(found[0], Unreadable)
    assert re.search(reason, found[0].reason)


def test_a_lines_file_whose_first_line_is_broken_still_gives_the_others(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1,\n' + json.dumps(ROW) + "\n" + json.dumps(ROW) + "\n")
    first, *others = values(path)
    assert isinstance(first, Unreadable)
    assert others == [ROW, ROW]


def test_a_row_that_holds_a_conversation_is_one_row(tmp_path):
    row = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    (tmp_path / "a.json").write_text(json.dumps(row))
    assert values(tmp_path / "a.json") == [row]
