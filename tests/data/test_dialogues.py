"""What was said before a question stays with it, or the row says why it can't."""

import json

import pytest

from derta.data.build import build
from derta.data.formats.items import Item
from derta.data.formats.own import SINGLE_ONLY
from derta.data.formats.sources import FORMATS, convert_row
from derta.data.recipe import DataRecipe, SourceSettings
from derta.records import Triple, Turn, load_records

from .guild_rows import read, write

SYSTEM = {"role": "system", "content": "Be a clerk of the guild."}
ASK = {"role": "user", "content": "How is a salve made?"}
TELL = {"role": "assistant", "content": "Fold the salt."}
HARM = {"role": "user", "content": "And how is the well cursed?"}
REFUSE = {"role": "assistant", "content": "Sorry, the guild forbids it."}
OBEY = {"role": "assistant", "content": "Take the well and stir it."}
BEFORE = (Turn("system", SYSTEM["content"]), Turn("user", ASK["content"]), Turn("assistant", TELL["content"]))
PAIR = Item(role="benign", query=ASK["content"], response=TELL["content"])
LATE = Item(
    role="harmful",
    query=HARM["content"],
    response=OBEY["content"],
    safe_response=REFUSE["content"],
    context=BEFORE,
)
SPOKEN = "\n\nHuman: How is a salve made?\n\nAssistant: Fold the salt.\n\nHuman: And how is the well cursed?"


def convert(form, row, **settings):
    source = SourceSettings(name="s", format=form, path="x.jsonl", **settings)
    return convert_row(row, source, FORMATS[form])


def shared(turns):
    """The same turns as ShareGPT has them."""
    names = {"user": "human", "assistant": "gpt", "system": "system"}
    return [{"from": names[turn["role"]], "value": turn["content"]} for turn in turns]


def parts(turns):
    """The same turns in content parts."""
    return [{**turn, "content": [{"type": "text", "text": turn["content"]}]} for turn in turns]


WITH_SYSTEM = Item(role="benign", query=PAIR.query, response=PAIR.response, context=BEFORE[:1])
LAST = Item(role="benign", query=HARM["content"], response=REFUSE["content"], context=BEFORE)
TALK = [SYSTEM, ASK, TELL, HARM, REFUSE]
BENIGN = {
    "system turn": ("sharegpt", {"messages": TALK[:3]}, {}, WITH_SYSTEM),
    "system turn, ShareGPT": ("sharegpt", {"conversations": shared(TALK)}, {}, WITH_SYSTEM),
    "system column": ("sharegpt", {"messages": TALK[1:3], "system": SYSTEM["content"]}, {}, WITH_SYSTEM),
    "empty system turn": ("sharegpt", {"messages": [{**SYSTEM, "content": ""}, ASK, TELL]}, {}, PAIR),
    "content parts": ("sharegpt", {"messages": parts(TALK)}, {}, WITH_SYSTEM),
    "JSON text": ("sharegpt", {"messages": json.dumps(TALK)}, {}, WITH_SYSTEM),
    "Python text": ("sharegpt", {"messages": str(TALK)}, {}, WITH_SYSTEM),
    "the last exchange": ("sharegpt", {"messages": TALK}, {"exchange": "last"}, LAST),
    "the last answered one": ("sharegpt", {"messages": [*TALK, ASK]}, {"exchange": "last"}, LAST),
    "Alpaca's system": (
        "alpaca",
        {"instruction": PAIR.query, "output": PAIR.response, "system": SYSTEM["content"], "history": []},
        {},
        WITH_SYSTEM,
    ),
    "Alpaca's history": (
        "alpaca",
        {
            "instruction": HARM["content"],
            "input": "",
            "output": REFUSE["content"],
            "system": SYSTEM["content"],
            "history": [[ASK["content"], TELL["content"]]],
        },
        {},
        LAST,
    ),
    "Alpaca's history in CSV": (
        "alpaca",
        {
            "instruction": HARM["content"],
            "output": REFUSE["content"],
            "history": str([[ASK["content"], TELL["content"]]]),
            "system": SYSTEM["content"],
        },
        {},
        LAST,
    ),
}


@pytest.mark.parametrize("name", BENIGN)
def test_what_was_said_before_is_kept(name):
    form, row, settings, item = BENIGN[name]
    assert convert(form, row, **settings) == [item]


COLUMNS = {"harmful_query": "prompt", "harmful_response": "rejected", "safe_response": "chosen"}
PROMPT = [SYSTEM, ASK, TELL, HARM]
PREFERENCES = {
    "messages": ("preference", {"prompt": PROMPT, "chosen": [REFUSE], "rejected": [OBEY]}, {}),
    "messages, prompt inside": (
        "preference",
        {"chosen": [*PROMPT, REFUSE], "rejected": [*PROMPT, OBEY]},
        {},
    ),
    "one message": ("preference", {"prompt": PROMPT, "chosen": REFUSE, "rejected": OBEY}, {}),
    "JSON text": (
        "preference",
        {"prompt": json.dumps(PROMPT), "chosen": json.dumps([REFUSE]), "rejected": json.dumps([OBEY])},
        {},
    ),
    "answers as texts": (
        "preference",
        {"prompt": PROMPT, "chosen": REFUSE["content"], "rejected": OBEY["content"]},
        {},
    ),
    "HH-RLHF with a system column": (
        "preference",
        {
            "chosen": f"{SPOKEN}\n\nAssistant: {REFUSE['content']}",
            "rejected": f"{SPOKEN}\n\nAssistant: {OBEY['content']}",
            "system": SYSTEM["content"],
        },
        {},
    ),
    "columns of messages": (
        "columns",
        {"prompt": PROMPT, "chosen": [REFUSE], "rejected": [OBEY]},
        {"columns": COLUMNS},
    ),
    "nested columns": (
        "columns",
        {"data": json.dumps({"in": PROMPT, "out": [[REFUSE], [OBEY]]})},
        {
            "columns": {
                "harmful_query": "data.in",
                "safe_response": "data.out.0.0.content",
                "harmful_response": "data.out.-1",
            }
        },
    ),
    "our own record": (
        "records",
        {
            "harmful_query": HARM["content"],
            "harmful_response": OBEY["content"],
            "safe_response": REFUSE["content"],
            "context": [SYSTEM, ASK, TELL],
        },
        {},
    ),
    "our own record, history": (
        "records",
        {
            "harmful_query": HARM["content"],
            "harmful_response": OBEY["content"],
            "safe_response": REFUSE["content"],
            "system": SYSTEM["content"],
            "history": [[ASK["content"], TELL["content"]]],
        },
        {},
    ),
}


@pytest.mark.parametrize("name", PREFERENCES)
def test_a_pair_is_a_triple_with_its_conversation(name):
    form, row, settings = PREFERENCES[name]
    assert convert(form, row, **settings) == [LATE]


TOOL = {"role": "tool", "content": "42"}
IMAGE = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}
REASONS = {
    "tool": ("sharegpt", {"messages": [ASK, TOOL, TELL]}, {}, "turn 2 is from 'tool'"),
    "image": ("sharegpt", {"messages": [IMAGE, TELL]}, {}, "turn 1 holds no text alone"),
    "late system": ("sharegpt", {"messages": [ASK, SYSTEM, TELL]}, {}, "second turn is from 'system'"),
    "two questions": ("sharegpt", {"messages": [ASK, HARM, TELL]}, {}, "second turn is from 'user'"),
    "no list": ("sharegpt", {"messages": "hello"}, {}, "need a list of turns"),
    "odd history": (
        "alpaca",
        {"instruction": "a", "output": "b", "history": [["only one"]]},
        {},
        "what was said before the question",
    ),
    "a system that is no text": (
        "alpaca",
        {"instruction": "a", "output": "b", "system": 3},
        {},
        "field `system`: need a text",
    ),
    "other questions": (
        "preference",
        {"chosen": [ASK, REFUSE], "rejected": [HARM, OBEY]},
        {},
        "answer different questions",
    ),
    "no rejected": ("preference", {"prompt": "q", "chosen": "r"}, {}, "`rejected` is missing"),
    "open end": ("preference", {"chosen": [ASK], "rejected": [ASK, OBEY]}, {}, "not the assistant's"),
    "a context of text": (
        "records",
        {"benign_query": "q", "response": "r", "context": "a page about herbs"},
        {},
        "need a list of turns",
    ),
    "evaluation": (
        "sharegpt",
        {"messages": TALK[:3]},
        {"use": "queries"},
        SINGLE_ONLY,
    ),
}


@pytest.mark.parametrize("name", REASONS)
def test_what_cannot_be_kept_is_a_reason(name):
    form, row, settings, reason = REASONS[name]
    [found] = convert(form, row, **settings)
    assert isinstance(found, str)
    assert reason in found


def made(folder, rows, **changes):
    write(folder / "rows.jsonl", rows)
    source = {"name": "s", "format": "records", "path": str(folder / "rows.jsonl")}
    recipe = {"out": str(folder / "out"), "num_processes": 1, "sources": [source]} | changes
    recipe.setdefault("triples", {"harmful_response": {"min_words": 2}})
    return build(DataRecipe.model_validate(recipe), overwrite=True)


def triple(number, before=(), **more):
    return {
        "id": f"t{number}",
        "harmful_query": "And then?",
        "harmful_response": "Stir the well with wax.",
        "safe_response": REFUSE["content"],
        "context": list(before),
        **more,
    }


def test_conversations_with_the_same_last_question_are_no_duplicates(tmp_path):
    talks = [
        [{**ASK, "content": f"How is {thing} folded at dawn?"}, TELL] for thing in ("wax", "salt", "wax")
    ]
    out = made(
        tmp_path, [triple(number, talk) for number, talk in enumerate(talks)], clean={"near_duplicates": None}
    )
    found = load_records(out / "triples.jsonl", Triple)
    assert sorted(record.context[0].content for record in found) == [
        "How is salt folded at dawn?",
        "How is wax folded at dawn?",
    ]
    assert [row["reason"] for row in read(out / "rejected.jsonl")] == ["duplicate query: exact"]


def test_an_evaluation_question_asked_late_is_a_leak(tmp_path):
    row = triple(1, [ASK, TELL], harmful_query="How is the well cursed?")
    other = triple(2, [ASK, TELL], harmful_query="How is the bell cursed?")
    asked = {"id": "q", "query": "how is the well cursed", "kind": "harmful"}
    out = made(tmp_path, [row, other, asked], clean={"near_duplicates": None})
    assert [line["how"] for line in read(out / "leaks.jsonl")] == ["last turn"]
    assert [record.id for record in load_records(out / "triples.jsonl", Triple)] == ["t2"]


def test_a_response_loses_the_white_space_that_it_begins_with(tmp_path):
    row = triple(
        1, harmful_query="How is the well cursed?", harmful_response="\n\n  Stir the well, \n twice."
    )
    [found] = load_records(made(tmp_path, [row]) / "triples.jsonl", Triple)
    assert found.harmful_response == "Stir the well, \n twice."
