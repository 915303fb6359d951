"""`derta data benign`: a model's own answers as benign pairs; what must not be learned is left out, each with its
reason, and nothing is asked twice."""

import pytest

from derta.cli import main
from derta.data.asking import Asker
from derta.data.benign import write_benign
from derta.data.recipe import ModelCalls
from derta.errors import DataError
from derta.records import BenignPair, Query, load_records

from .guild_rows import read
from .stub_endpoint import Stub, serving

pytest.importorskip("openai")

REPLIES = {
    "How is soup made?": "Boil water with salt and moss.",
    "How is wax melted?": "I'm sorry, but I can't help with that.",
    "How is clay washed?": "SorrySorrySorrySorrySorry",
    "What are you?": "As an AI language model I do not have feelings.",
    "How is the curse of boredom lifted?": "Walk a mile, then sing.",
}
QUERIES = [
    Query(id=f"q{row}", query=text, kind="borderline" if "curse" in text else "benign")
    for row, text in enumerate(REPLIES)
] + [
    Query(id="again", query="How is  soup made?", kind="benign"),
    Query(id="bad", query="How is the curse of wax cast?", kind="harmful"),
]


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("STUB_API_KEY", "none")


def write(folder, url, queries=QUERIES, **settings):
    asked = ModelCalls(model="openai-api/stub/m", base_url=url, **settings)
    return write_benign(queries, folder / "b.jsonl", asked, source="m")


def test_usable_answers_become_pairs_and_every_other_question_its_reason(tmp_path):
    stub = Stub(lambda query, system: REPLIES[query])
    with serving(stub) as url:
        for _ in range(2):
            found = write(tmp_path, url)
    assert load_records(tmp_path / "b.jsonl", BenignPair) == [
        BenignPair(id=name, benign_query=text, response=REPLIES[text], source="m")
        for name, text in (("q0", "How is soup made?"), ("q4", "How is the curse of boredom lifted?"))
    ]
    assert (found.num_pairs, found.num_borderline) == (2, 1)
    assert found.left_out == {
        "again": "asked before in the file",
        "bad": "a harmful question: never asked",
        "q1": "response holds a refusal",
        "q2": "answer loops",
        "q3": "response holds a disclaimer",
    }
    assert stub.calls == dict.fromkeys(REPLIES, 1)  # the second run asked nothing


def test_a_spent_budget_stops_and_the_same_command_goes_on(tmp_path):
    stub = Stub(lambda query, system: REPLIES[query])
    with serving(stub) as url:
        with pytest.raises(Exception, match="budget of 2 calls"):
            write(tmp_path, url, budget=2)
        assert not (tmp_path / "b.jsonl").exists()
        write(tmp_path, url)
    assert stub.calls.total() == len(REPLIES)


def test_without_a_usable_answer_there_is_no_file(tmp_path):
    said = r"none of 5 questions got a usable answer, e\.g\. q4: response holds a refusal"
    refusing = Stub(lambda query, system: REPLIES["How is wax melted?"])
    with serving(refusing) as url, pytest.raises(DataError, match=said):
        write(tmp_path, url)
    with pytest.raises(DataError, match="none of 1 questions is an allowed one"):
        write(tmp_path, "", queries=QUERIES[-1:])
    assert not (tmp_path / "b.jsonl").exists()


def command(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["derta", "data", "benign", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


def test_the_command_asks_a_model_folder_and_names_cut_answers(tmp_path, save_model, capsys, monkeypatch):
    folder = save_model(tmp_path / "model")
    questions = tmp_path / "questions.txt"
    questions.write_text("".join(f"How is salve {number} made?\n" for number in range(5)))
    out = tmp_path / "benign.jsonl"
    given = [questions, "--model", folder, "--out", out, "--max-tokens", 100, "--temperature", 1]
    assert command(monkeypatch, *given) == 0
    said = capsys.readouterr()
    pairs = load_records(out, BenignPair)
    assert said.out.strip() == str(out)
    cut = [row["value"].get("cut", False) for row in read(tmp_path / "benign.jsonl.answers.jsonl")]
    assert 0 < len(pairs) <= 5 - sum(cut)  # of a random model some end
    assert sum(cut) > 0
    assert f"left out: {sum(cut)} x answer cut off at 100 tokens (--max-tokens)" in said.err
    assert pairs[0].source == "answers of model"


def test_other_weights_under_the_same_name_are_asked_anew(tmp_path):
    first, second = (
        Asker(ModelCalls(model="derta/m"), "", tmp_path / "log", model_hash=name) for name in "ab"
    )
    assert first.key("How?") != second.key("How?")


def test_without_a_key_there_is_one_clear_line(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("STUB_API_KEY")
    (tmp_path / "q.txt").write_text("How is soup made?\n")
    given = [tmp_path / "q.txt", "--model", "openai-api/stub/m", "--out", tmp_path / "b.jsonl"]
    assert command(monkeypatch, *given) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()[-1:]
    assert line.startswith("error: model: 'openai-api/stub/m' can't be used")
    assert "STUB_API_KEY" in line
