"""One hand-written row of every published schema, in the fictional world."""

import pytest

from derta.data.formats.items import Item
from derta.data.formats.schemas import LABELLED_SAFE
from derta.data.formats.sources import FORMATS, convert_row, format_of
from derta.data.recipe import SourceSettings
from derta.errors import RecipeError

REFUSAL = "Sorry, the guild forbids curses."


def convert(form: str, row, **settings):
    source = SourceSettings(name="s", format=form, path="x.jsonl", **settings)
    return convert_row(row, source, FORMATS[form])


def test_beavertails_unsafe_row_gives_a_harmful_response_with_its_first_category():
    row = {
        "prompt": "How is a goat cursed?",
        "response": "STEP ONE of the curse.",
        "category": {"hexes": False, "curses": True, "charms": True},
        "is_safe": False,
    }
    assert convert("beavertails", row) == [
        Item(
            role="harmful",
            query="How is a goat cursed?",
            response="STEP ONE of the curse.",
            category="curses",
        )
    ]


def test_beavertails_safe_row_is_a_safe_response_only_when_it_refuses():
    row = {
        "prompt": "How is a goat cursed?",
        "response": REFUSAL,
        "category": {"curses": False},
        "is_safe": True,
    }
    assert convert("beavertails", row) == [Item(role="safe", query="How is a goat cursed?", response=REFUSAL)]
    assert convert("beavertails", {**row, "response": "Goats eat grass."}) == [LABELLED_SAFE]


@pytest.mark.parametrize("label", ["False", "false", 0, "0"])
def test_labels_spelled_by_other_file_types_are_read(label):
    row = {"prompt": "q", "response": "STEP ONE", "category": {}, "is_safe": label}
    assert convert("beavertails", row)[0].role == "harmful"


def test_an_unreadable_label_is_never_taken_for_safe_or_unsafe():
    row = {"prompt": "q", "response": "STEP ONE", "category": {}, "is_safe": "maybe"}
    assert convert("beavertails", row) == ["no safety label: found 'maybe', need true or false"]


def test_pku_saferlhf_row_gives_two_items():
    row = {
        "prompt": "How is a goat cursed?",
        "response_0": "STEP ONE of the curse.",
        "response_1": REFUSAL,
        "is_response_0_safe": False,
        "is_response_1_safe": True,
        "response_0_harm_category": {"Curses": True, "Hexes": False},
        "response_1_harm_category": {"Curses": False, "Hexes": False},
        "response_0_severity_level": 2,
        "response_1_severity_level": 0,
        "better_response_id": 1,
        "safer_response_id": 1,
    }
    assert [(item.role, item.category) for item in convert("pku_saferlhf", row)] == [
        ("harmful", "Curses"),
        ("safe", None),
    ]


def test_do_not_answer_row():
    row = {
        "id": 3,
        "risk_area": "Guild secrets",
        "types_of_harm": "x",
        "specific_harms": "y",
        "question": "Which rune?",
    }
    assert convert("do_not_answer", row) == [
        Item(role="query", query="Which rune?", kind="harmful", category="Guild secrets")
    ]


def test_harmbench_rows_standard_contextual_copyright_and_mirror():
    row = {
        "Behavior": "Write a curse",
        "FunctionalCategory": "standard",
        "SemanticCategory": "curses",
        "Tags": "",
        "ContextString": "",
        "BehaviorID": "write_a_curse",
    }
    assert convert("harmbench", row)[0].query == "Write a curse"
    contextual = convert("harmbench", {**row, "FunctionalCategory": "contextual", "ContextString": "A goat."})
    assert contextual[0].query == "A goat.\n\n---\n\nWrite a curse"
    assert convert("harmbench", {**row, "FunctionalCategory": "copyright"})[0].startswith(
        "copyright behaviour"
    )
    assert convert("harmbench", {"prompt": "Write a hex", "category": "hexes"})[0].category == "hexes"


def test_advbench_row():
    row = {"goal": "Write a curse", "target": "Sure, here is a curse"}
    assert convert("advbench", row) == [Item(role="query", query="Write a curse", kind="harmful")]


def test_xstest_rows_pair_by_family_and_focus():
    safe = {
        "id": 1,
        "prompt": "How do I curse less?",
        "type": "homonyms",
        "label": "safe",
        "focus": "curse",
        "note": "",
    }
    unsafe = {**safe, "prompt": "How do I curse a goat?", "type": "contrast_homonyms", "label": "unsafe"}
    (first,), (second,) = convert("xstest", safe), convert("xstest", unsafe)
    assert (first.kind, second.kind) == ("borderline", "harmful")
    assert first.pair == second.pair == "homonyms/curse"


def test_or_bench_rows_are_borderline_unless_toxic():
    row = {"prompt": "How do I break a curse?", "category": "curses"}
    assert convert("or_bench", row)[0].kind == "borderline"
    assert convert("or_bench", row, subset="or-bench-toxic")[0].kind == "harmful"


def test_alpaca_row_joins_instruction_and_input():
    row = {"instruction": "Sum up.", "input": "Moss is green.", "output": "Green moss.", "text": "..."}
    assert convert("alpaca", row) == [
        Item(role="benign", query="Sum up.\n\nMoss is green.", response="Green moss.")
    ]
    assert convert("alpaca", {**row, "input": ""})[0].query == "Sum up."


def test_evol_instruct_both_versions():
    turns = [{"from": "human", "value": "Name a herb."}, {"from": "gpt", "value": "Thyme."}]
    expected = [Item(role="benign", query="Name a herb.", response="Thyme.")]
    assert convert("evol_instruct", {"conversations": turns, "idx": "a1"}) == expected
    assert convert("evol_instruct", {"instruction": "Name a herb.", "output": "Thyme."}) == expected


def test_sharegpt_takes_the_first_exchange_and_refuses_other_beginnings():
    turns = [
        {"from": "system", "value": "Be kind."},
        {"from": "human", "value": "Name a herb."},
        {"from": "gpt", "value": "Thyme."},
        {"from": "human", "value": "Another?"},
    ]
    assert convert("sharegpt", {"id": "x", "conversations": turns})[0].response == "Thyme."
    messages = [{"role": "user", "content": "Name a herb."}, {"role": "assistant", "content": "Sage."}]
    assert convert("sharegpt", {"messages": messages})[0].response == "Sage."
    assert convert("sharegpt", {"conversations": turns[2:]})[0].startswith("no question with an answer")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (
            {
                "prefix": "[INST] How is a goat cursed? [\\INST]",
                "text": " STEP ONE<|end_of_text|>",
                "safe": "true",
            },
            Item(role="harmful", query="How is a goat cursed?", response="STEP ONE"),
        ),
        (
            {
                "prefix": "[INST] How is a goat cursed? [\\INST] STEP ONE",
                "text": f" {REFUSAL}</s>",
                "safe": "false",
            },
            Item(role="safe", query="How is a goat cursed?", response=REFUSAL),
        ),
        (
            {"prefix": "[INST] Name a herb. [/INST]", "text": " Thyme.", "safe": "false"},
            Item(role="benign", query="Name a herb.", response="Thyme."),
        ),
        (
            {"instruction": "How is a goat cursed?", "output": "STEP ONE", "safe_response": REFUSAL},
            Item(role="harmful", query="How is a goat cursed?", response="STEP ONE", safe_response=REFUSAL),
        ),
        (
            {"instruction": "Name a herb.", "response": "Thyme."},
            Item(role="benign", query="Name a herb.", response="Thyme."),
        ),
        (
            {"question": "Two and two?", "answer": "4"},
            Item(role="query", query="Two and two?", kind="benign", reference="4"),
        ),
        ({"question": "Which rune?"}, Item(role="query", query="Which rune?", kind="harmful")),
        ("Which rune?", Item(role="query", query="Which rune?", kind="harmful")),
    ],
)
def test_every_file_of_the_release_is_read(row, expected):
    assert convert("released_derta", row) == [expected]


def test_a_release_row_whose_flag_is_not_a_flag_is_never_guessed():
    row = {"prefix": "[INST] q [/INST]", "text": "STEP ONE", "safe": "tru"}
    assert convert("released_derta", row) == ['field `safe`: found \'tru\', need "true" or "false"']


def test_columns_map_any_table_and_where_filters_it():
    row = {"ask": "How is a goat cursed?", "bad": "STEP ONE", "good": REFUSAL, "label": "UNSAFE"}
    mapping = {"harmful_query": "ask", "harmful_response": "bad", "safe_response": "good"}
    item = convert("columns", row, columns=mapping, where={"label": ["unsafe"]})[0]
    assert (item.role, item.response, item.safe_response) == ("harmful", "STEP ONE", REFUSAL)
    assert convert("columns", row, columns=mapping, where={"label": ["safe"]}) == [
        "where: `label` is 'unsafe'"
    ]
    assert convert("columns", {"ask": "q"}, columns=mapping)[0].startswith("column `bad` is missing")


def test_a_look_alike_row_gives_the_forbidden_query_and_its_allowed_twin():
    row = {
        "harmful_query": "How do I curse a goat?",
        "borderline_query": "How do I curse less?",
        "response": "Count to ten.",
    }
    forbidden, allowed = convert("records", row)
    assert (forbidden.kind, allowed.kind, allowed.response) == ("harmful", "borderline", "Count to ten.")
    assert forbidden.pair == allowed.pair


def test_use_queries_takes_the_questions_of_labelled_rows_only():
    row = {
        "prompt": "How is a goat cursed?",
        "response": "STEP ONE",
        "category": {"curses": True},
        "is_safe": False,
    }
    item = convert("beavertails", row, use="queries")[0]
    assert (item.role, item.kind, item.response) == ("query", "harmful", None)


def test_use_and_categories_say_why_a_row_is_not_taken():
    row = {"instruction": "Name a herb.", "output": "Thyme."}
    assert convert("alpaca", row, use="triples") == ["use: triples: the row is of role `benign`"]
    labelled = {"prompt": "q", "response": "STEP", "category": {"hexes": True}, "is_safe": False}
    assert convert("beavertails", labelled, categories=["curses"]) == ["categories: 'hexes' is not asked for"]


def test_an_unknown_format_names_the_nearest():
    with pytest.raises(RecipeError, match="did you mean `beavertails`"):
        format_of(SourceSettings(name="s", format="beavertail", path="x"))


def test_every_published_format_states_licence_and_citation():
    for name, form in FORMATS.items():
        if name not in ("columns", "records"):
            assert form.licence, name
            assert form.citation, name
