"""`where` compares numbers as numbers, and other cells as text."""

import pytest

from derta.data.formats.sources import FORMATS, convert_row
from derta.data.recipe import SourceSettings

ROW = {"benign_query": "Name a herb.", "response": "Thyme."}


@pytest.mark.parametrize(
    ("cell", "choice", "kept"),
    [
        (1.0, 1, True),
        ("1.0", 1, True),
        (1, "1", True),
        ("01", 1, True),
        (2, 1, False),
        ("True", True, True),
        (True, 1, False),
        ("Unsafe ", "unsafe", True),
        ("1_0", 10, False),
        (None, "none", True),
    ],
)
def test_where_finds_a_value_in_any_spelling(cell, choice, kept):
    source = SourceSettings(name="s", format="records", path="x", where={"label": [choice]})
    [found] = convert_row({**ROW, "label": cell}, source, FORMATS["records"])
    assert (not isinstance(found, str)) == kept
