"""Every kind of file is read to its end; what can't be read says why; nothing is lost."""

import gzip
import json
import lzma
import random
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derta.data.build import build
from derta.data.clean.filters import Filters
from derta.data.clean.refusals import is_refusal
from derta.data.formats.read import RawRow, Unreadable, parse_line, read_source
from derta.data.formats.sources import FORMATS
from derta.data.recipe import DataRecipe, SourceSettings
from derta.data.scan import INDEX, ScanWork
from derta.errors import DataError

from .guild_rows import pairs, read, triples, write

ROW = {"benign_query": "Name a herb.", "response": "Thyme, “dried”."}


def values(path, **more):
    rows = read_source(SourceSettings(name="s", format="records", path=path, **more))
    return [parse_line(row.value) if isinstance(row.value, bytes) else row.value for row in rows]


def test_json_lines_with_bom_crlf_and_blank_lines(tmp_path):
    line = json.dumps(ROW, ensure_ascii=False).encode()
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + line + b"\r\n\r\n  \n" + line)
    assert values(tmp_path / "a.jsonl") == [ROW, ROW]


def test_json_array_even_behind_a_bom(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf" + json.dumps([ROW, ROW]).encode())
    assert values(tmp_path / "a.json") == [ROW, ROW]


def test_a_cut_json_array_gives_its_whole_elements_and_one_reason(tmp_path):
    (tmp_path / "a.json").write_bytes(json.dumps([ROW, ROW, ROW]).encode()[:-20])
    found = values(tmp_path / "a.json")
    assert found[:2] == [ROW, ROW]
    assert isinstance(found[-1], Unreadable)
    assert "to its end" in found[-1].reason


@pytest.mark.parametrize(("opener", "ending"), [(gzip.open, "gz"), (lzma.open, "xz")])
def test_compressed_lines_whole_and_cut(tmp_path, opener, ending):
    path = tmp_path / f"a.jsonl.{ending}"
    with opener(path, "wb") as handle:
        for number in range(2000):
            handle.write(json.dumps({**ROW, "n": random.Random(number).random()}).encode() + b"\n")
    assert len(values(path)) == 2000
    path.write_bytes(path.read_bytes()[:-3000])
    found = values(path)
    assert isinstance(found[-1], Unreadable)
    assert "cut or damaged" in found[-1].reason


def test_csv_with_quotes_line_breaks_bad_widths_and_bytes_that_are_not_utf8(tmp_path):
    (tmp_path / "a.csv").write_bytes(
        b'\xef\xbb\xbfask,say\n"one, two","three\nfour"\nonly\n\xff,x\nlast,row\n'
    )
    first, narrow, bad, last = values(tmp_path / "a.csv")
    assert first == {"ask": "one, two", "say": "three\nfour"}
    assert narrow == Unreadable("1 cells; the header has 2 columns")
    assert bad == {"ask": "\udcff", "say": "x"}  # the text check names the lone surrogate
    assert last == {"ask": "last", "say": "row"}


def test_parquet_and_folders_in_the_order_of_their_names(tmp_path):
    pq.write_table(pa.Table.from_pylist([ROW]), tmp_path / "b.parquet")
    write(tmp_path / "a.jsonl", [{"n": 1}])
    (tmp_path / "README.md").write_text("no data")
    assert values(tmp_path) == [{"n": 1}, ROW]


def test_a_damaged_parquet_file_is_a_rejected_row(tmp_path):
    (tmp_path / "b.parquet").write_bytes(b"PAR1 nothing PAR1")
    (found,) = values(tmp_path / "b.parquet")
    assert "invalid Parquet" in found.reason


def test_a_line_of_fifty_megabytes_is_refused_without_loading_it(tmp_path):
    path = tmp_path / "a.jsonl"
    with path.open("wb") as handle:
        handle.write(b'{"x": "' + b"a" * 50_000_000 + b'"}\n' + json.dumps(ROW).encode() + b"\n")
    tracemalloc.start()
    long, good = values(path)
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert held < 20_000_000
    assert "50,000,010 bytes" in long.reason
    assert good == ROW


def test_limit_reads_only_the_first_rows(tmp_path):
    assert len(values(write(tmp_path / "a.jsonl", pairs(9)), limit=4)) == 4


def test_hub_rows_go_through_datasets_and_a_refusal_explains_the_gate(monkeypatch):
    import datasets

    asked = {}

    def load(name, subset, *, split, revision, streaming):
        asked.update(name=name, subset=subset, split=split, revision=revision, streaming=streaming)
        return iter([ROW])

    monkeypatch.setattr(datasets, "load_dataset", load)
    source = SourceSettings(
        name="s", format="records", hub="guild/herbs", subset="dry", split="test", revision="abc"
    )
    assert list(read_source(source)) == [RawRow("hub:guild/herbs", 1, ROW)]
    assert asked == {
        "name": "guild/herbs",
        "subset": "dry",
        "split": "test",
        "revision": "abc",
        "streaming": True,
    }

    def refuse(*_, **__):
        raise datasets.exceptions.DatasetNotFoundError("gated")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(DataError, match="accept its terms"):
        list(read_source(source))


def mutated(rng: random.Random, line: bytes) -> bytes:
    kind = rng.randrange(9)
    at = rng.randrange(len(line))
    if kind == 0:
        return line[:at]
    if kind == 1:
        return line[:at] + bytes([rng.randrange(256)]) + line[at + 1 :]
    if kind == 2:
        return (
            line[:at]
            + rng.choice([b"\x00", b"\xff", b"\\ud800", b"\r", b"\xe2\x80\xae", b"\xef\xbb\xbf"])
            + line[at:]
        )
    value = json.loads(line)
    name = rng.choice(sorted(value))
    if kind == 3:
        del value[name]
    if kind == 4:
        value[name] = rng.choice([None, 3, True, [], {}, "", "  ", "\ud83d", "a\x00b", 1e400])
    if kind == 5:
        return json.dumps([value]).encode()
    if kind == 6:
        return b"[" * rng.choice([1, 5000]) + line
    if kind == 7:
        return json.dumps({**value, "n": 10**50}).encode().replace(b"1" + b"0" * 50, b"9" * 5000)
    return json.dumps(value).encode()


def build_lines(folder, lines):
    path = folder / "fuzz.jsonl"
    path.write_bytes(b"\n".join(line.replace(b"\n", b" ") for line in lines) + b"\n")
    source = {"name": "fuzz", "format": "records", "path": str(path)}
    recipe = DataRecipe.model_validate({"out": str(folder / "out"), "num_processes": 1, "sources": [source]})
    build(recipe, overwrite=True)
    return json.loads((recipe.out / "data_card.json").read_text())


def test_ten_thousand_mutated_lines_give_no_traceback_and_lose_nothing(tmp_path):
    rng = random.Random(0)
    good = [json.dumps(row).encode() for row in [*triples(200), *pairs(200, prefix="p")]]
    lines = [mutated(rng, rng.choice(good)) for _ in range(10_000)]
    card = build_lines(tmp_path, lines)
    physical = sum(bool(line.strip()) for line in (tmp_path / "fuzz.jsonl").read_bytes().split(b"\n"))
    assert card["read"] == card["kept"] + card["rejected"]
    assert physical <= card["read"] <= physical + 10  # a row may hold two items
    assert len(read(tmp_path / "out" / "rejected.jsonl")) == card["rejected"]
    assert card["kept"] > 100


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    [
        "prompt",
        "response",
        "is_safe",
        "category",
        "response_0",
        "is_response_0_safe",
        "question",
        "Behavior",
        "ContextString",
        "goal",
        "type",
        "label",
        "focus",
        "instruction",
        "input",
        "output",
        "conversations",
        "messages",
        "prefix",
        "text",
        "safe",
        "safe_response",
        "harmful_query",
        "harmful_response",
        "benign_query",
        "query",
        "kind",
        "id",
        "pair",
        "borderline_query",
    ]
)


@pytest.mark.parametrize("form", sorted(set(FORMATS) - {"columns"}))
@settings(max_examples=60, deadline=None, derandomize=True)
@given(rows=st.lists(st.dictionaries(FIELDS, JSON_VALUES, max_size=6) | JSON_VALUES, min_size=5, max_size=40))
def test_any_json_in_any_format_is_kept_or_rejected(form, rows):
    source = SourceSettings(name="s", format=form, path="x.jsonl")
    recipe = DataRecipe(out="out", sources=[source])
    work = ScanWork(settings=source, filters=Filters.of(recipe, is_refusal))
    raw = [RawRow("x.jsonl", i, json.dumps(row).encode()) for i, row in enumerate(rows, 1)]
    found = work((1, raw))
    assert found.counts.total() >= len(rows)
    assert found.counts["kept"] == found.items.count(b"\n") == len(found.index) // INDEX.itemsize
    assert found.counts.total() - found.counts["kept"] == found.rejected.count(b"\n")


@settings(max_examples=300, deadline=None, derandomize=True)
@given(raw=st.binary(max_size=200))
def test_any_bytes_are_a_value_or_a_reason(raw):
    parse_line(raw)


def test_a_packed_parquet_file_is_read_and_a_packed_cut_one_is_a_line(tmp_path):
    """pyarrow asks a stream for its mode, and gzip's is a number."""
    pq.write_table(pa.Table.from_pylist([ROW]), tmp_path / "b.parquet")
    whole = (tmp_path / "b.parquet").read_bytes()
    (tmp_path / "whole.parquet.gz").write_bytes(gzip.compress(whole))
    (tmp_path / "cut.parquet.gz").write_bytes(gzip.compress(whole[:9]))
    assert values(tmp_path / "whole.parquet.gz") == [ROW]
    [fault] = values(tmp_path / "cut.parquet.gz")
    assert isinstance(fault, Unreadable)
    assert "invalid Parquet" in str(fault)
