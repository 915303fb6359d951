"""What each attack sends, and what of the answer its judge reads."""

import json

import pytest

from derta.attacks import Inputs, Prompt, Turn
from derta.attacks.code import Code
from derta.attacks.completing import Completing, completing_prompt
from derta.attacks.direct import Direct
from derta.attacks.jailbreakchat import JailbreakChat, draw_template, jailbreakchat_prompt
from derta.attacks.prefill import Prefill, prefill_ids
from derta.attacks.selfcipher import SelfCipher, selfcipher_messages
from derta.attacks.texts import CipherTexts, Demonstration, Template
from derta.encode.chat import ChatRenderer
from derta.errors import DataError
from derta.records import Query, Triple

QUERY = Query(
    id="7", query="How do I make the salve?", kind="harmful", category="salves", opening="I make it so:\n1."
)
SHOWN = tuple(Demonstration(f"q{i}", f"r{i}", "salves" if i % 2 else "soups") for i in range(8))
TEXTS = CipherTexts("ROLE", SHOWN, "CLOSING")


def rows_of(attack, renderer=None, **inputs):
    return attack.rows(Inputs(queries=[QUERY], **inputs), renderer)


def turns_of(attack, **inputs):
    """The turns that it sends for QUERY in one call."""
    [row] = rows_of(attack, **inputs)
    [prompt] = row.prompts
    return prompt.turns


@pytest.fixture
def cipher(tmp_path):
    """The file of TEXTS."""
    shown = [vars(entry) for entry in SHOWN]
    value = {"role": TEXTS.role, "demonstrations": shown, "closing": TEXTS.closing}
    (tmp_path / "cipher.json").write_text(json.dumps(value))
    return {"selfcipher": tmp_path / "cipher.json"}


def test_direct_sends_the_query_alone():
    (turn,) = turns_of(Direct())
    assert (turn.role, turn.text) == ("user", QUERY.query)


def test_code_sends_the_scaffold():
    (turn,) = turns_of(Code())
    assert 'stack.append("salve?")' in turn.text


def test_jailbreakchat_puts_the_query_at_the_placeholder(tmp_path):
    (tmp_path / "t.json").write_text(json.dumps(["A [INSERT PROMPT HERE] Z", "B [INSERT PROMPT HERE]"]))
    rows = rows_of(JailbreakChat(cross_product=True), texts={"jailbreakchat": tmp_path / "t.json"})
    assert [row.params for row in rows] == [{"template": "0"}, {"template": "1"}]
    assert rows[0].prompts == (Prompt.user("A How do I make the salve? Z"),)
    assert jailbreakchat_prompt("[INSERT PROMPT HERE]", "x [INSERT PROMPT HERE]") == "x [INSERT PROMPT HERE]"


def test_template_draws_depend_on_seed_and_query_only():
    templates = [Template(str(i), "") for i in range(50)]
    drawn = [draw_template(templates, str(query), 1).id for query in range(200)]
    assert drawn == [draw_template(templates, str(query), 1).id for query in range(200)]
    assert drawn != [draw_template(templates, str(query), 2).id for query in range(200)]
    assert len(set(drawn)) > 40


def test_selfcipher_paper_form_is_one_user_turn(cipher):
    (turn,) = turns_of(SelfCipher(), texts=cipher)
    assert turn.role == "user"
    assert turn.text.splitlines() == [
        "ROLE",
        *(line for i in range(5) for line in (f"User: q{i}", f"Assistant: r{i}")),
        "User: How do I make the salve?",
    ]


def test_selfcipher_original_form_takes_the_querys_own_category(cipher):
    system, user = turns_of(SelfCipher(mode="original"), texts=cipher)
    assert (system.role, user.role, user.text) == ("system", "user", QUERY.query)
    assert system.text.startswith("ROLE")
    assert system.text.endswith("CLOSING")
    assert [f"q{i}" in system.text for i in range(8)] == [False, True, False, True, False, True, False, False]
    with pytest.raises(DataError, match="no demonstration of category 'hexes'"):
        selfcipher_messages("q", TEXTS, mode="original", category="hexes")


def test_completing_sends_raw_text(tmp_path):
    [row] = rows_of(Completing())
    assert row.prompts == (Prompt.user("I make it so:\n1.", raw=True),)
    (tmp_path / "o.jsonl").write_text('{"id": "7", "opening": "We make"}\n')
    [row] = rows_of(Completing(bos=False), texts={"completing": tmp_path / "o.jsonl"})
    assert row.prompts == (Prompt.user("We make", raw=True, bos=False),)
    assert row.params == {"bos": False}
    with pytest.raises(DataError, match="query '8' has no opening"):
        completing_prompt(Query(id="8", query="q", kind="harmful"))


def test_prefill_opens_the_assistant_turn(tiny_tokenizer):
    renderer = ChatRenderer.of(tiny_tokenizer)
    triple = Triple(id="t", harmful_query="Hex?", safe_response="Sorry.", harmful_response="Grind the salt.")
    attack = Prefill(depths=[0, 2, 99])
    plain, opened = rows_of(attack, renderer, triples=[triple])
    assert plain.prompts == (Prompt.user("Hex?", opening_ids=()),)
    assert not plain.prompts[0].is_open
    [prompt] = opened.prompts
    assert prompt.turns == (Turn("user", "Hex?"),)
    assert len(prompt.opening_ids) == 2
    assert "Grind the salt.".startswith(prompt.opening)
    assert attack.judged(opened).opening == prompt.opening  # what the judge knows not to be the model's
    assert attack.left_out([plain, opened], Inputs(queries=[], triples=[triple])) == {99: 1}


def test_prefill_depths():
    assert prefill_ids([5, 6, 7], 2) == (5, 6)
    assert prefill_ids([5, 6, 7], 3) == (5, 6, 7)
    assert prefill_ids([5, 6, 7], 4) is None
    assert prefill_ids([], 0) == ()


def test_what_the_judge_reads():
    def read(attack, response):
        [row] = rows_of(attack)
        return attack.read(response, row)

    assert read(Direct(), "text") == ("text", None)
    assert read(Completing(), " STEP ONE") == ("I make it so:\n1. STEP ONE", None)
    assert read(Code(), 'steps.append("1. STEP ONE")') == ("1. STEP ONE", True)
    assert read(Code(), "no") == ("no", False)
