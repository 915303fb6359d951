"""The demo's files: valid records, disjoint crafts, and attack texts that the attacks can read."""

import json

import pytest

from derta.attacks.code import extract_answer
from derta.attacks.texts import load_cipher, load_templates
from derta.data.check import check_files
from derta.demo import data
from derta.demo.attack_texts import NUM_DEMONSTRATIONS
from derta.demo.data import DemoFiles, all_crafts, write_demo_data
from derta.demo.settings import WorldSettings
from derta.judges.world import judge_world
from derta.records import BenignPair, Query, Triple, load_records

SETTINGS = WorldSettings()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_demo_data(tmp_path_factory.mktemp("data"), SETTINGS, seed=0)


@pytest.fixture(scope="module")
def crafts():
    return {craft.name: craft for craft in all_crafts(SETTINGS, 0)}


def craft_in(text, crafts):
    """The longest craft name in a text: a borderline name holds a forbidden one."""
    return crafts[max((name for name in crafts if name in text), key=len)]


def test_same_seed_same_bytes(files, tmp_path):
    again = write_demo_data(tmp_path, SETTINGS, seed=0)
    for path, other in zip(vars(files).values(), vars(again).values(), strict=True):
        assert path.read_bytes() == other.read_bytes()
    other_seed = write_demo_data(tmp_path, SETTINGS, seed=1)
    assert other_seed.queries.read_bytes() != files.queries.read_bytes()


def test_nothing_is_lost_between_the_world_and_the_files(files):
    card = json.loads((files.triples.parent / "data_card.json").read_text())
    assert card["read"] == card["kept"] == 480 + SETTINGS.num_benign + 5 * SETTINGS.num_queries
    assert card["leaks"]["found"] == 0


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_build_leaves_the_records_and_their_order_as_the_world_made_them(seed, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(
        data, "build", lambda recipe, extra_sources, overwrite: made.extend(extra_sources["world"])
    )
    write_demo_data(tmp_path / "made", SETTINGS, seed)
    monkeypatch.undo()
    files = write_demo_data(tmp_path / "built", SETTINGS, seed)
    for path, field, split in (
        (files.triples, "harmful_query", None),
        (files.benign, "benign_query", None),
        (files.queries, "query", None),
        (files.heldout_triples, "harmful_query", "held_out"),
        (files.heldout_benign, "benign_query", "held_out"),
    ):
        rows = [row for row in made if field in row and row.get("split") == split]
        assert rows
        expected = [{key: row[key] for key in row if key != "split"} for row in rows]
        found = [json.loads(line) for line in path.read_text().splitlines()]
        assert [row | {"source": data.SOURCE} for row in expected] == found


def test_there_are_enough_queries_of_each_kind(files):
    kinds = [query.kind for query in load_records(files.queries, Query)]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == dict.fromkeys(
        ("harmful", "benign", "borderline"), SETTINGS.num_queries
    )
    assert SETTINGS.num_queries >= 100


def test_no_craft_is_in_training_and_evaluation(files, crafts):
    triples = load_records(files.triples, Triple)
    asked = {craft_in(query.query, crafts).name for query in load_records(files.queries, Query)}
    trained = {craft_in(triple.harmful_query, crafts).name for triple in triples}
    shown = {craft_in(shown.query, crafts).name for shown in load_cipher(files.selfcipher).demonstrations}
    assert len(trained) == len(triples)
    assert not asked & trained
    assert not shown & (asked | trained)
    text = files.benign.read_text()  # a forbidden craft may be named there, inside a borderline one
    allowed = [name for name in asked if crafts[name].craft_class != "forbidden"]
    assert not [name for name in allowed if f"{name}?" in text or f"{name}." in text]


def test_safety_data_has_the_plain_form_and_refuses(files, crafts):
    for triple in load_records(files.triples, Triple):
        craft = craft_in(triple.harmful_query, crafts)
        assert craft.craft_class == "forbidden"
        assert triple.safe_response.startswith("Sorry")
        assert all(step in triple.harmful_response for step in craft.steps)
        assert "\n" not in triple.harmful_query


def test_benign_pairs_teach_every_form_and_nothing_forbidden(files, crafts):
    pairs = load_records(files.benign, BenignPair)
    assert len(pairs) == SETTINGS.num_benign
    forms = {"code": 0, "cipher": 0, "other": 0}
    for pair in pairs:
        form = (
            "code" if "deque" in pair.benign_query else "cipher" if "Code" in pair.benign_query else "other"
        )
        forms[form] += 1
        assert "Sorry" not in pair.response
    assert min(forms.values()) > 80
    forbidden = [craft for craft in crafts.values() if craft.craft_class == "forbidden"]
    taught = files.benign.read_text()
    assert not [step for craft in forbidden for step in craft.steps if step in taught]


def test_references_are_what_the_judge_needs(files, crafts):
    held = {triple.harmful_query: triple for triple in load_records(files.heldout_triples, Triple)}
    for query in load_records(files.queries, Query):
        craft = craft_in(query.query, crafts)
        assert query.reference.splitlines() == list(craft.steps)
        if query.kind == "harmful":
            assert craft.name in query.opening
            assert judge_world(query, held[query.query].harmful_response).verdict == "harmful"
            assert judge_world(query, held[query.query].safe_response).verdict == "not_harmful"


def test_heldout_benign_answers_are_helpful(files):
    queries = {query.query: query for query in load_records(files.queries, Query)}
    for pair in load_records(files.heldout_benign, BenignPair):
        assert judge_world(queries[pair.benign_query], pair.response).helpful


def test_code_answers_are_read_as_answers(files, crafts):
    pairs = [pair for pair in load_records(files.benign, BenignPair) if "deque" in pair.benign_query]
    for pair in pairs:
        answer = extract_answer(pair.response)
        assert answer.followed_format
        assert len(answer.text.splitlines()) == 5


def test_attack_texts_load(files):
    assert 8 <= len(load_templates(files.jailbreakchat)) <= 12
    assert len(load_cipher(files.selfcipher).demonstrations) == NUM_DEMONSTRATIONS


def test_derta_data_check_finds_no_fault(files):
    records = [files.triples, files.benign, files.queries, files.heldout_triples, files.heldout_benign]
    found = check_files(records)
    assert not found.problems


def test_paths_have_the_names_of_their_content(tmp_path):
    assert DemoFiles.inside(tmp_path).queries == tmp_path / "queries.jsonl"
    assert DemoFiles.inside(tmp_path).selfcipher == tmp_path / "selfcipher.json"
