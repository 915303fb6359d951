"""Rows of conversations: what was said before is prompt, and only the last answer is learned."""

import bz2
import copy
import gzip
import json
import lzma

import pytest
import zstandard

from derta.attacks.contract import Inputs
from derta.attacks.prefill import Prefill
from derta.encode.chat import ChatRenderer
from derta.encode.preferences import build_preferences
from derta.encode.refusal_token import resolve_refusal_token
from derta.encode.row_set import build_rows
from derta.encode.settings import RowSettings
from derta.errors import DataError, TokenizerError
from derta.methods import METHODS
from derta.records import BenignPair, Triple, Turn, as_row, load_records, turns_to

CONTEXT = (
    Turn("system", "You are a clerk."),
    Turn("user", "How do I make salve?"),
    Turn("assistant", "Fold the salt."),
)
LATE = Triple(
    id="late",
    harmful_query="And the curse?",
    safe_response="Sorry, no.",
    harmful_response="Grind wax.",
    context=CONTEXT,
)
PAIR = BenignPair(id="b", benign_query="More?", response="Rinse the clay.", context=CONTEXT)


@pytest.fixture
def build(tiny_tokenizer):
    renderer = ChatRenderer.of(tiny_tokenizer)

    def run(method, triples, benign=(), template=None, tokenizer=None, **changes):
        used = renderer
        if template or tokenizer:
            used = ChatRenderer.of(tokenizer or tiny_tokenizer, template and str(template))
        settings = RowSettings(max_length=256, **changes)
        refusal = resolve_refusal_token(used, settings.refusal.text, settings.refusal.token)
        rows, report = build_rows(METHODS[method].units, settings, used, refusal, triples, benign)
        return used, list(rows.all_rows(epoch=0)), report

    return run


def table(tokenizer, row):
    """The row as `text→label`, one entry a token that predicts; other tokens stand as text alone."""
    labels = {int(at): int(target) for at, target in zip(row.predict_at, row.target_ids, strict=True)}
    shown = []
    for at, token in enumerate(row.input_ids.tolist()):
        piece = tokenizer.decode([token])
        shown.append(f"{piece}→{tokenizer.decode([labels[at]])}" if at in labels else piece)
    return [entry.replace(" ", "·").replace("\n", "↵") for entry in shown]


# By hand: what follows the last question; BEFORE has no label anywhere.
TABLES = {
    "prefix:late": "Gr→Sorry Sorry→, ,→· ·→n n→o o→. .→<|end|> <|end|>",
    "rto:late": "↵→Sorry Gr→Sorry ind→Sorry ·wax→Sorry .",
    "benign:b": "↵→Rin Rin→se se→·the ·the→·clay ·clay→. .→<|end|> <|end|>",
}
QUESTIONS = {"late": "And the curse?", "b": "More?"}
BEFORE = (
    "<|begin|><|system|>\nYou are a clerk.<|end|>\n<|user|>\nHow do I make salve?<|end|>\n"
    "<|assistant|>\nFold the salt.<|end|>\n<|user|>\n{}<|end|>\n<|assistant|>\n"
)


def test_a_late_harm_is_learned_as_the_tables_by_hand_say(build, tiny_tokenizer):
    _, rows, _ = build("derta", [LATE], [PAIR])
    assert [row.row_id for row in rows] == list(TABLES)
    for row in rows:
        shown = table(tiny_tokenizer, row)
        learned = next(at for at, entry in enumerate(shown) if "→" in entry)
        assert " ".join(shown[learned:]) == TABLES[row.row_id]
        before = BEFORE.format(QUESTIONS[row.row_id.split(":")[1]]).replace(" ", "·").replace("\n", "↵")
        assert "".join(shown[:learned]) + ("↵" if shown[learned][0] == "↵" else "") == before


def test_the_first_rows_of_a_dialogue_are_no_label_of_any_method(build, tiny_tokenizer):
    for method in ("vanilla", "prefix", "rto", "derta"):
        used, rows, _ = build(method, [LATE], [PAIR])
        prompt = len(used.prompt_ids(turns_to(LATE.harmful_query, CONTEXT)))
        short = len(used.prompt_ids(turns_to(PAIR.benign_query, CONTEXT)))
        for row in rows:
            first = short if row.row_id.startswith("benign") else prompt
            assert row.predict_at.min() == first - 1 or row.row_id.startswith("prefix")
            assert row.predict_at.min() >= first - 1


def test_a_template_without_system_turns_names_the_record(build, tmp_path, tiny_tokenizer):
    bare = tmp_path / "bare.jinja"
    refuse = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    bare.write_text(refuse + tiny_tokenizer.chat_template)
    with pytest.raises(TokenizerError, match=r"record late, safe response: .*refuses the turns \(system"):
        build("derta", [LATE], template=bare)


def test_preference_pairs_are_asked_in_their_conversation(tiny_tokenizer):
    renderer = ChatRenderer.of(tiny_tokenizer)
    [row], _ = build_preferences(RowSettings(max_length=256), renderer, [LATE], [], method="dpo")
    assert row.prompt_ids == renderer.prompt_ids(turns_to(LATE.harmful_query, CONTEXT))


def test_the_prefill_attack_sends_the_conversation(tiny_tokenizer):
    inputs = Inputs(queries=[], triples=[LATE])
    [row] = Prefill(depths=[1]).rows(inputs, ChatRenderer.of(tiny_tokenizer))
    [prompt] = row.prompts
    assert [turn.role for turn in prompt.turns] == ["system", "user", "assistant", "user"]
    assert prompt.turns[-1].text == LATE.harmful_query


def test_white_space_that_merges_with_the_prompt_is_mended_and_counted(build, tiny_tokenizer):
    merging = copy.deepcopy(tiny_tokenizer)
    merging.add_tokens(["\n\n"])  # as Llama-3's vocabulary has it: the prompt's newline and the response's
    spaced = Triple(**{**LATE.__dict__, "id": "spaced", "harmful_response": "\nGrind wax.", "context": ()})
    plain = Triple(**{**spaced.__dict__, "id": "plain", "harmful_response": "Grind wax."})
    _, rows, report = build("rto", [spaced, plain], tokenizer=merging)
    made = {row.row_id: row.input_ids.tolist() for row in rows}
    assert made["rto:spaced"] == made["rto:plain"]
    assert report.cut == {"harmful response: white space at its start, which merges with the prompt": 1}


PACKERS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": zstandard.compress}


@pytest.mark.parametrize("ending", PACKERS)
def test_packed_data_files_give_the_same_records(tmp_path, ending):
    line = json.dumps(as_row(LATE)).encode() + b"\n"
    path = tmp_path / f"triples.jsonl.{ending}"
    path.write_bytes(PACKERS[ending](line))
    assert load_records(path, Triple) == [LATE]


@pytest.mark.parametrize("ending", PACKERS)
def test_a_cut_packed_file_names_its_place(tmp_path, ending):
    rows = [json.dumps({**as_row(LATE), "id": f"{n}{'x' * (n % 97)}"}).encode() for n in range(3000)]
    path = tmp_path / f"triples.jsonl.{ending}"
    path.write_bytes(PACKERS[ending](b"\n".join(rows))[:-30])
    with pytest.raises(DataError, match="cut or damaged"):
        load_records(path, Triple)


SYSTEM = {"role": "system", "content": "Be a clerk."}
USER = {"role": "user", "content": "Hello?"}
BOT = {"role": "assistant", "content": "Good day."}
FAULTS = {
    "no list": ("hello", "need a list of turns, found a string"),
    "two questions": ([USER, USER], "found user, user"),
    "open question": ([SYSTEM, USER], "found system, user"),
    "late system": ([USER, BOT, SYSTEM], "found user, assistant, system"),
    "tool": ([{"role": "tool", "content": "x"}], "found tool"),
    "empty": ([{**USER, "content": " "}, BOT], "`context[0].content` is empty"),
    "more": ([{**USER, "name": "x"}, BOT], "`context[0]`: need an object with `role` and `content`"),
    "number": ([3], "`context[0]`: need an object"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_context_that_is_no_conversation_is_named(tmp_path, name):
    turns, reason = FAULTS[name]
    row = {**as_row(LATE), "context": turns}
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(DataError) as told:
        load_records(path, Triple)
    assert reason in str(told.value)


def test_a_record_without_a_context_is_written_as_before():
    assert "context" not in as_row(Triple(**{**LATE.__dict__, "context": ()}))
    assert as_row(LATE)["context"][0] == {"role": "system", "content": "You are a clerk."}
