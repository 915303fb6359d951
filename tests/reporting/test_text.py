import unicodedata

import pytest

from derta.attacks.catalogue import in_order
from derta.reporting.labels import attack_name, system_labels
from derta.reporting.tables import csv_text
from derta.reporting.text import breakable, csv_cell, listed, number, slug
from derta.results.cell import System
from derta.visible import one_line, visible

from .payloads import NAMES, PAYLOADS


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain", "plain"),
        ("naïve – 你好 🙂", "naïve – 你好 🙂"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]8;;http://evil.test\x07link\x1b]8;;\x07", "link"),
        ("\x1b]0;title\x1b\\x", "x"),
        ("\x9b31mred", "red"),
        ("a\x1bZb", "ab"),
        ("a\u202eb", "a⟦U+202E⟧b"),
        ("a\u200bb", "a⟦U+200B⟧b"),
        ("a\x00b\x07", "a⟦U+0000⟧b⟦U+0007⟧"),
        ("a\r\nb\rc", "a\nb⟦U+000D⟧c"),
        ("lone \ud800", "lone ⟦U+D800⟧"),
        ("x\ufffe", "x⟦U+FFFE⟧"),
    ],
)
def test_visible(raw, shown):
    assert visible(raw) == shown


def test_nothing_invisible_survives():
    every = "".join(chr(code) for code in range(0x3000)) + "\U000e0041\ufeff\u2066"
    left = {unicodedata.category(char) for char in visible(every)} & {
        "Cc",
        "Cf",
        "Cs",
        "Co",
        "Cn",
        "Zl",
        "Zp",
    }
    assert left == {"Cc"}
    assert {char for char in visible(every) if unicodedata.category(char) == "Cc"} == {"\n", "\t"}


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", " =", "\x1b[0m=", "＝"])
def test_csv_cells_never_begin_a_formula(start):
    cell = csv_cell(f"{start}cmd|' /C calc'!A0")
    assert isinstance(cell, str)
    assert cell.startswith("'")


def test_csv_keeps_numbers_and_plain_text():
    assert csv_text([["a", -0.5, None, 3], ["-x", "b,c"]]) == 'a,-0.5,,3\n\'-x,"b,c"\n'


def test_slugs_neither_escape_nor_collide():
    slugs = [slug(name) for name in NAMES]
    assert len(NAMES) >= 100
    assert len(set(slugs)) == len(set(NAMES))
    for made in slugs:
        assert made.isascii()
        assert all(char.isalnum() or char == "-" for char in made)
        assert 1 < len(made) <= 60
        assert made.islower() or made.replace("-", "").isdigit()


def test_one_line_is_short_and_flat():
    for payload in PAYLOADS:
        assert len(one_line(payload)) <= 48
        assert "\n" not in one_line(payload)


def test_words_for_counts():
    assert [number(1, "word"), number(2000, "word")] == ["1 word", "2,000 words"]
    assert [listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"]), listed([])] == [
        "a",
        "a and b",
        "a, b and c",
        "",
    ]


def test_attacks_come_in_the_papers_order_depths_by_number():
    names = ["prefill@160", "mine", "prefill", "prefill@20", "pair", "code", "direct", "code"]
    assert in_order(names) == ["direct", "code", "pair", "prefill", "mine", "prefill@20", "prefill@160"]
    assert attack_name("prefill@20") == "Prefill 20"


def test_labels_are_the_shortest_that_tell_systems_apart():
    assert list(system_labels([System("a", "vanilla"), System("b", "derta")]).values()) == [
        "vanilla",
        "DeRTa",
    ]
    assert list(system_labels([System("a", "derta"), System("b", "derta")]).values()) == ["a", "b"]
    mixed = [System("a", "derta"), System("a", "dpo"), System("b", "derta")]
    assert list(system_labels(mixed).values()) == ["a · DeRTa", "a · DPO", "b · DeRTa"]
    alike = [System("x" * 50 + end, "derta") for end in "ab"]
    assert len(set(system_labels(alike).values())) == 2


def test_compounds_may_wrap_and_markup_stays_text():
    assert breakable("JailbreakChat") == "Jailbreak<wbr>Chat"
    assert breakable("PAIR") == "PAIR"
    assert breakable("<b>aB") == "&lt;b&gt;a<wbr>B"
