"""The loaders of attack texts: every fault of a file is said with its place."""

import json

import pytest

from derta.attacks.texts import Demonstration, Template, load_cipher, load_openings, load_templates
from derta.errors import DataError


def write(path, value):
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def test_templates_with_and_without_ids(tmp_path):
    path = write(
        tmp_path / "t.json", ["a [INSERT PROMPT HERE]", {"id": "tale", "text": "[INSERT PROMPT HERE] b"}]
    )
    assert load_templates(path) == [
        Template("0", "a [INSERT PROMPT HERE]"),
        Template("tale", "[INSERT PROMPT HERE] b"),
    ]
    assert load_templates(write(tmp_path / "o.json", ["<q>!"]), "<q>") == [Template("0", "<q>!")]


def test_cipher_texts(tmp_path):
    demonstrations = [{"query": "q", "response": "r"}, {"query": "q2", "response": "r2", "category": "craft"}]
    texts = load_cipher(
        write(tmp_path / "c.json", {"role": "R", "demonstrations": demonstrations, "closing": "C"})
    )
    assert texts.role == "R"
    assert texts.demonstrations == (Demonstration("q", "r"), Demonstration("q2", "r2", "craft"))
    assert texts.closing == "C"


def test_openings(tmp_path):
    path = write(tmp_path / "o.jsonl", '{"id": "1", "opening": "I make"}\n\n{"id": "2", "opening": "We"}\n')
    assert load_openings(path) == {"1": "I make", "2": "We"}


@pytest.mark.parametrize(
    ("load", "content", "message"),
    [
        (load_templates, [], "need a JSON list of templates"),
        (load_templates, ["no place"], "template '0' .* 0 times, need once"),
        (load_templates, ["[INSERT PROMPT HERE] [INSERT PROMPT HERE]"], "2 times"),
        (load_templates, [{"id": "a"}], "entry 1: `text`: need a text, found None"),
        (load_templates, [{"id": "0", "text": "[INSERT PROMPT HERE]"}] * 2, "same id"),
        (load_templates, "[1,", ":1: invalid JSON"),
        (load_cipher, [], "need a JSON object"),
        (load_cipher, {"role": "R"}, "`demonstrations`: need a list"),
        (load_cipher, {"role": "R", "demonstrations": [{"query": "q"}]}, "demonstration 1: `response`"),
        (load_cipher, {"demonstrations": [{"query": "q", "response": "r"}]}, "`role`: need a text"),
        (load_openings, '{"id": "1", "opening": " "}', ":1: `opening`"),
        (load_openings, '{"id": "1", "opening": "I"}\n{"id": "1", "opening": "I"}', ":2: duplicate id '1'"),
        (load_openings, "x", ":1: invalid JSON at column 1"),
    ],
)
def test_faults_are_named(tmp_path, load, content, message):
    with pytest.raises(DataError, match=message) as caught:
        load(write(tmp_path / "file", content))
    assert str(tmp_path / "file") in str(caught.value)


def test_missing_file_and_wrong_encoding(tmp_path):
    with pytest.raises(DataError, match="can't be read: No such file"):
        load_templates(tmp_path / "none.json")
    (tmp_path / "latin").write_bytes(b"\xff")
    with pytest.raises(DataError, match="not UTF-8 at byte 1"):
        load_openings(tmp_path / "latin")
