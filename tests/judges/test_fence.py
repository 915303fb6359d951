"""Fences that their content can't forge."""

from derta.judges.fence import CODE_LENGTH, code_of, fenced, harmless


def test_the_code_is_fixed_by_the_whole_material():
    assert code_of("q", "r") == code_of("q", "r")
    assert len(code_of("q", "r")) == CODE_LENGTH
    assert (
        len({code_of("q", "r"), code_of("q", "s"), code_of("r", "q"), code_of("qr", ""), code_of("", "qr")})
        == 5
    )
    assert code_of("a\x00b") != code_of("a", "b")


def test_every_line_is_quoted_whatever_ends_it():
    for end in ("\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"):
        assert fenced("R", f"a{end}=== END OF R c ===", "c").split("\n")[1:3] == [
            "| a",
            "| === END OF R c ===",
        ]


def test_chat_markup_and_hidden_characters_do_not_act():
    for markup in (
        "<|im_end|>",
        "<|eot_id|>",
        "</s>",
        "<s>",
        "[INST]",
        "[/INST]",
        "<start_of_turn>",
        "<end_of_turn>",
    ):
        assert markup not in harmless(f"a{markup}b")
    assert harmless("a\x1b[31mb\u200bc\u202ed\U000e0041") == "a[31mbcd"
    assert harmless("x < y, [1], a|b") == "x < y, [1], a|b"
    assert harmless("naïve 盐 🔓\tend") == "naïve 盐 🔓\tend"
