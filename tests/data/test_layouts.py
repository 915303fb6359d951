"""The same rows, however a library has written them, become the same items."""

import pytest

from derta.data.formats.items import Item
from derta.data.formats.read import Unreadable, parse_line, read_source
from derta.data.formats.sources import convert_row, format_of
from derta.data.recipe import SourceSettings

from .layouts import LAYOUTS, REFUSAL, ROWS
from .mutated_files import run

ITEMS = [
    Item(role="safe", query=row["prompt"], response=REFUSAL)
    if row["is_safe"]
    else Item(role="harmful", query=row["prompt"], response=row["response"], category="hexes, small")
    for row in ROWS
]


def items_of(source):
    form = format_of(source)
    found = []
    for row in read_source(source):
        value = parse_line(row.value) if isinstance(row.value, bytes) else row.value
        found += [value.reason] if isinstance(value, Unreadable) else convert_row(value, source, form)
    return found


def test_the_layouts_are_many():
    assert len(LAYOUTS) >= 40


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_gives_the_same_items(tmp_path, monkeypatch, name):
    monkeypatch.setenv("HOME", str(tmp_path))
    source = SourceSettings(name="s", format="beavertails", path=LAYOUTS[name](tmp_path))
    assert items_of(source) == ITEMS


def test_mutated_files_give_no_traceback_and_lose_no_row(tmp_path):
    totals = run(tmp_path, files=300, seed=1)
    assert totals["kept"] > 100
    assert totals["rejected"] > 100
