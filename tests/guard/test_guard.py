"""The guard on real decoding: transformers' `generate`, our engine, a file beside the model."""

import dataclasses
import json

import pytest
import torch
from typer.testing import CliRunner

import derta
from derta.cli import app
from derta.encode.chat import ChatRenderer
from derta.engine.decoder import Request, generate
from derta.errors import DertaError, ModelError
from derta.files import write_jsonl
from derta.guard.guard import GUARD_FILE, Calibrated, Guard, reply_after, reply_ids
from derta.guard.hazard import answer_hazards, opening_ids, step_hazard
from derta.guard.rule import Rule
from derta.records import turns_to

QUESTIONS = ["How do I make the silver salve?", "Grind the wax.", "Rinse the clay with thyme by moonlight."]
NEW = 12


@pytest.fixture
def renderer(tiny_tokenizer):
    return ChatRenderer.of(tiny_tokenizer)


@pytest.fixture
def guard(renderer):
    kept = Calibrated(
        model="m", template="t", benign="b", false_stop_rate=0.1, n=9, false_stops=0, low=0.0, high=0.3
    )
    ids = opening_ids(renderer, ["Sorry"])
    reply = "Sorry, no."
    return Guard(
        Rule("threshold", 0.5), ("Sorry",), ids, (renderer.end_id,), reply, reply_ids(renderer, reply), kept
    )


def prompts(renderer):
    return [tuple(renderer.prompt_ids(turns_to(question))) for question in QUESTIONS]


def by_hand(model, prompt, said, ids):
    """P(ids) before each token of `said` and after it, one forward pass a position."""
    with torch.no_grad():
        return [
            float(
                model(input_ids=torch.tensor([[*prompt, *said[:t]]]))
                .logits[0, -1]
                .double()
                .softmax(-1)[list(ids)]
                .sum()
            )
            for t in range(len(said) + 1)
        ]


def limit_between(values):
    """A limit that the first tokens stay below and a later one reaches."""
    top = max(range(1, len(values)), key=lambda t: values[t] - max(values[:t]))
    assert values[top] > max(values[:top])
    return (values[top] + max(values[:top])) / 2, top


def greedy(model, prompt):
    [answer] = generate(model, [Request(prompt, NEW)], stop_ids=())
    return answer.ids


def test_openings_count_at_the_start_in_a_line_and_on_a_new_one(renderer):
    ids = opening_ids(renderer, ["Sorry", "The guild"])
    texts = {renderer.piece(token).strip() for token in ids}
    assert "Sorry" in texts
    assert len(ids) > len(opening_ids(renderer, ["Sorry"]))


def test_hazard_is_the_mass_of_all_openings():
    logits = torch.log(torch.tensor([[0.1, 0.2, 0.3, 0.4]]))
    assert step_hazard(logits, torch.tensor([1, 3])).tolist() == pytest.approx([0.6])


def test_given_answers_are_measured_to_their_end(tiny_model, renderer, guard):
    [measured] = answer_hazards(tiny_model, renderer, [(turns_to(QUESTIONS[0]), "Fold the salt.")], guard.ids)
    [(prompt, said)] = renderer.encode_pairs([(turns_to(QUESTIONS[0]), "Fold the salt.")])
    assert measured == pytest.approx(by_hand(tiny_model, prompt, said, guard.ids), rel=1e-3)


def test_the_engine_stops_where_the_raw_hazard_reaches_the_limit_though_the_opening_is_banned(
    tiny_model, renderer, guard
):
    asked = prompts(renderer)
    banned = tuple((token,) for token in guard.ids)
    free = generate(
        tiny_model, [Request(p, NEW, banned=banned, banned_tokens=NEW) for p in asked], stop_ids=()
    )
    for prompt, answer in zip(asked, free, strict=True):
        hazards = by_hand(tiny_model, prompt, answer.ids, guard.ids)
        limit, top = limit_between(hazards[:-1])
        watches = [dataclasses.replace(guard, rule=Rule("threshold", limit)).watch() for _ in asked]
        guarded = generate(
            tiny_model,
            [
                Request(p, NEW, banned=banned, banned_tokens=NEW, watch=watch if p == prompt else None)
                for p, watch in zip(asked, watches, strict=True)
            ],
            stop_ids=(),
            watched_ids=guard.ids,
        )
        place = asked.index(prompt)
        assert guarded[place].ids == answer.ids[:top]
        assert guarded[place].stop_reason == "watch"
        assert watches[place].hazards == pytest.approx(hazards[: top + 1], rel=1e-3)
        others = [index for index in range(len(asked)) if index != place]
        assert [guarded[index] for index in others] == [free[index] for index in others]


@pytest.mark.parametrize("banned", [False, True])
def test_transformers_says_the_reply_where_the_guard_fires_ban_or_no_ban(tiny_model, renderer, guard, banned):
    [prompt, *_] = prompts(renderer)
    settings = {"max_new_tokens": NEW, "do_sample": False, "eos_token_id": renderer.end_id, "pad_token_id": 0}
    if banned:
        settings["suppress_tokens"] = list(guard.ids)
    ids = torch.tensor([prompt])
    free = tiny_model.generate(ids, **settings)[0, len(prompt) :].tolist()
    hazards = by_hand(tiny_model, prompt, free, guard.ids)
    limit, top = limit_between(hazards[:-1])
    guard = dataclasses.replace(guard, rule=Rule("threshold", limit))
    with guard.watching(tiny_model) as guarded:
        settings["max_new_tokens"] = 60
        said = tiny_model.generate(ids, **settings, **guarded)[0, len(prompt) :].tolist()
    assert said == [*free[:top], *guard.reply_ids, renderer.end_id]
    [watch] = guarded["logits_processor"][0].watches
    assert watch.stop.token == top
    assert not tiny_model._forward_hooks


def test_an_ended_row_is_watched_no_more_and_its_neighbours_are(tiny_model, renderer, guard):
    prompt = prompts(renderer)[0]
    said = greedy(tiny_model, prompt)
    guard = dataclasses.replace(guard, end_ids=(said[1],), rule=Rule("threshold", 2.0))
    with guard.watching(tiny_model) as guarded:
        tiny_model.generate(
            torch.tensor([prompt]),
            max_new_tokens=6,
            do_sample=False,
            eos_token_id=[],
            pad_token_id=0,
            **guarded,
        )
    [watch] = guarded["logits_processor"][0].watches
    assert len(watch.hazards) == said.index(said[1]) + 1


@pytest.mark.parametrize("beams", [1, 4])
def test_beam_search_and_a_second_answer_are_refused(tiny_model, renderer, guard, beams):
    ids = torch.tensor([prompts(renderer)[0]])
    with guard.watching(tiny_model) as guarded:
        if beams == 1:
            tiny_model.generate(ids, max_new_tokens=2, do_sample=False, **guarded)
        with pytest.raises(ModelError, match="without beam search"):
            tiny_model.generate(ids, max_new_tokens=8, num_beams=beams, do_sample=False, **guarded)


def test_the_reply_stands_alone_or_on_a_line_of_its_own():
    assert reply_after("", "Sorry.") == "Sorry."
    assert reply_after("1. Fold ", "Sorry.") == "1. Fold\nSorry."


@pytest.fixture
def folder(tmp_path, save_model):
    model = save_model(tmp_path / "model")
    pairs = [
        {"id": f"b{n}", "benign_query": f"Question {n}?", "response": f"Fold the {n} salt."}
        for n in range(20)
    ]
    write_jsonl(tmp_path / "benign.jsonl", pairs)
    write_jsonl(tmp_path / "other.jsonl", [{**pair, "response": "Rinse the clay."} for pair in pairs])
    triple = {
        "id": "t",
        "harmful_query": "Curse?",
        "safe_response": "Sorry.",
        "harmful_response": "1. Grind the wax.",
    }
    write_jsonl(tmp_path / "triples.jsonl", [triple])
    return model


def run(*arguments):
    return CliRunner().invoke(app, ["guard", *map(str, arguments)])


def test_calibrate_and_test_from_the_command_line(folder, tmp_path):
    done = run("calibrate", folder, "--benign", tmp_path / "benign.jsonl", "--rate", 0.1, "--rule", "cusum")
    assert done.exit_code == 0, done.exception
    assert "stops 1 of 20 benign answers" in done.output
    guard = derta.Guard.load(folder)
    assert guard.rule.name == "cusum"
    assert guard.calibrated.false_stops == 1
    files = ["--benign", f"long={tmp_path / 'other.jsonl'}", "--out", tmp_path / "figures.json"]
    done = run("test", folder, "--triples", tmp_path / "triples.jsonl", *files)
    assert done.exit_code == 0, done.exception
    values = json.loads((tmp_path / "figures.json").read_text())
    assert values["false_stops"]["long"]["n"] == 20
    assert values["depths"][0]["stopped"]["n"] == 1
    assert values["roc"]


def test_what_a_guard_must_not_be_used_for_is_an_error(folder, tmp_path):
    with pytest.raises(ModelError, match="no guard there; make one"):
        Guard.load(folder)
    benign = tmp_path / "benign.jsonl"
    run("calibrate", folder, "--benign", benign, "--rate", 0.1)
    seen = run("test", folder, "--triples", tmp_path / "triples.jsonl", "--benign", benign)
    assert isinstance(seen.exception, DertaError)
    assert "was calibrated on this file" in str(seen.exception)
    (folder / "config.json").write_text((folder / "config.json").read_text() + "\n")
    with pytest.raises(ModelError, match="calibrated on another model"):
        Guard.load(folder)
    path = folder / GUARD_FILE
    path.write_text(path.read_text().replace('"cusum"', '"threshold"').replace('"limit"', '"limits"'))
    with pytest.raises(ModelError, match=r"guard\.json: limit"):
        Guard.load(folder, check=False)


def test_a_guard_beside_a_model_leaves_its_fingerprint(folder, tmp_path):
    from derta.models import fingerprint

    before = fingerprint(str(folder))
    run("calibrate", folder, "--benign", tmp_path / "benign.jsonl", "--rate", 0.1)
    assert fingerprint(str(folder)) == before
