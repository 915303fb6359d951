"""`show-labels`: one golden screen, and nothing that a terminal would obey."""

import io
import subprocess
import sys

import pytest
from rich.console import Console

from derta.encode.show import visible
from derta.errors import DataError
from derta.files import write_jsonl
from derta.training.labels import show_labels

from .golden import assert_golden
from .guild import recipe


def screen(made, **options):
    out = io.StringIO()
    show_labels(made, Console(file=out, width=80), **options)
    return out.getvalue()


def test_the_screen_equals_the_golden_file(tmp_path, tiny_tokenizer):
    shown = screen(recipe(tmp_path, tiny_tokenizer, seed=3))
    apart = screen(recipe(tmp_path, tiny_tokenizer, seed=3, shared_trunk="off", rto={"keep_rate": 0.5}))
    assert_golden("show_labels.txt", f"{shown}\n\n{apart}")
    assert "\x1b" not in shown
    assert "branch after" in shown


def test_one_row_of_a_shared_trunk_can_be_asked_for(tmp_path, tiny_tokenizer):
    made = recipe(tmp_path, tiny_tokenizer)
    for name in ("rto:t03", "prefix:t03", "derta:t03", "benign:b1"):
        shown = screen(made, row_id=name)
        assert f"\n{name}: " in shown
        assert shown.count(" labels\n") == 1
    assert "\nderta:t03: " in screen(made, row_id="t03")
    with pytest.raises(DataError, match="--row t99: no such row"):
        screen(made, row_id="t99")


def test_the_refusal_label_at_the_end_of_text_is_shown(tmp_path, tiny_tokenizer):
    shown = screen(recipe(tmp_path, tiny_tokenizer, "rto", rto={"end_of_text": True}), row_id="rto:t03")
    assert shown.rstrip().endswith("rto: refusal token at the end of text")


def test_every_label_of_a_row_is_shown_once(tmp_path, tiny_tokenizer):
    from derta.encode.show import lines
    from derta.training.encoding import encode_recipe, records_and_method

    for shared in (True, False):
        made = recipe(tmp_path, tiny_tokenizer)
        records, method = records_and_method(made)
        encoded = encode_recipe(made, method, records, shared_trunk=shared)
        for unit in range(len(encoded.rows)):
            for row in encoded.rows.rows(unit, 0):
                labels = [line.label for line in lines(row, encoded.rows.end_id) if line.label is not None]
                assert sorted(labels) == sorted(row.target_ids.tolist())


def test_colour_in_a_terminal(tmp_path, tiny_tokenizer):
    out = io.StringIO()
    show_labels(
        recipe(tmp_path, tiny_tokenizer), Console(file=out, force_terminal=True, color_system="standard")
    )
    assert "\x1b[" in out.getvalue()


def test_control_characters_of_data_never_reach_the_terminal(tmp_path, tiny_tokenizer):
    made = recipe(tmp_path, tiny_tokenizer)
    evil = "\x1b[2J\x1b]0;owned\x07\u202eabc\r\x9b31m[red]x[/red]\u200b"
    row = {"id": "b\x1b[1m", "benign_query": evil, "response": evil}
    write_jsonl(made.data.benign, [row])
    shown = screen(made)
    assert not [c for c in shown if not c.isprintable() and c != "\n"]
    assert "'[" in shown  # rich's markup is text


def test_visible_escapes_what_is_not_printable():
    assert visible("a\x1b\n\u202eé銀") == "a\\x1b\\n\\u202eé銀"


def test_encode_loads_no_torch():
    code = "import sys, derta.encode.preferences, derta.training.labels; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
