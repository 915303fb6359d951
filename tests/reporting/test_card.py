"""The data card on the page: found where the runs' data lie, checked, escaped, and compared with what was used."""

import json

import pytest

from data.guild_rows import pairs, queries, triples
from derta.data.build import build
from derta.data.recipe import DataRecipe
from derta.errors import DataError
from derta.reporting.card import SHOWN_COUNTS, card_view, counted
from derta.reporting.collect import Evidence, collect
from derta.reporting.page import build_report, render_page

from .payloads import PAYLOADS
from .synthetic import make_run, response, write_lines
from .test_payloads import check

TRIPLES = triples(6)


def build_data(folder):
    source = {"name": "guild", "format": "world", "licence": "our own"}
    recipe = DataRecipe.model_validate({"out": str(folder), "num_processes": 1, "sources": [source]})
    leak = {"id": "leak", "benign_query": queries(1)[0]["query"], "response": "STEP ONE"}
    build(recipe, extra_sources={"world": [*TRIPLES, *pairs(5), *queries(4), leak]})
    return folder


def say_used(run, path, digest):
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["inputs"] = {str(path): digest}
    (run / "manifest.json").write_text(json.dumps(manifest))


def section_of(page):
    assert page.count('<section id="data"') == 1
    return page.split('<section id="data"')[1].split("</section>")[0]


def test_the_page_shows_the_card_of_the_runs_data_folder(tmp_path):
    run = make_run(tmp_path / "demo")
    build_data(run / "data")
    page = build_report([run], run / "report").read_text(encoding="utf-8")
    check(page)
    section = section_of(page)
    assert "16 items read: 15 kept, 1 rejected." in section
    assert "evaluation questions: 1, dropped" in section
    assert "our own" in section
    assert "leak: exact match with an evaluation question 1" in section
    for name, count in {"triples": 6, "benign": 5, "queries": 4}.items():
        assert f'{name}.jsonl</th><td class="num">{count}</td>' in section
    assert "guild_0 2, guild_1 2, guild_2 2" in section
    card = json.loads((run / "data" / "data_card.json").read_text())
    assert card["hashes"]["triples.jsonl"][:12] in section
    assert 'href="#data"' in page
    assert TRIPLES[0]["harmful_query"] not in section


def test_without_a_card_there_is_no_section(tmp_path):
    run = make_run(tmp_path / "demo")
    page = build_report([run], run / "report").read_text(encoding="utf-8")
    assert 'id="data"' not in page
    assert 'href="#data"' not in page


def test_a_card_beside_the_manifests_inputs_is_found_once_and_compared_with_them(tmp_path):
    data, runs = build_data(tmp_path / "data"), [make_run(tmp_path / name) for name in ("a", "b")]
    for run in runs:
        (run / "responses.jsonl").unlink()
    digest = json.loads((data / "data_card.json").read_text())["hashes"]["queries.jsonl"]
    for run in runs:
        say_used(run, data / "queries.jsonl", digest)
    (card,) = collect(runs).cards
    assert [file["name"] for file in card_view(card)["files"] if file["changed"]] == []
    say_used(runs[0], data / "queries.jsonl", "ab" * 32)
    (card,) = collect(runs).cards
    assert [file["name"] for file in card_view(card)["files"] if file["changed"]] == ["queries.jsonl"]


def test_kept_leaks_are_told_beside_the_rates(tmp_path):
    data = build_data(tmp_path / "run" / "data")
    card = json.loads((data / "data_card.json").read_text())
    card["leaks"]["action"] = "keep"
    (data / "data_card.json").write_text(json.dumps(card))
    write_lines(tmp_path / "run" / "responses.jsonl", [response()])
    page = build_report([tmp_path / "run"], tmp_path / "out").read_text(encoding="utf-8")
    assert "not those of unseen questions" in section_of(page)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"read": "16"}, "field `read`"),
        ({"files": {"triples.jsonl": {"rows": -1}}}, "field `files.triples.jsonl.rows`"),
        ({"leaks": None}, "field `leaks`"),
    ],
)
def test_a_damaged_card_is_named(tmp_path, change, message):
    data = build_data(tmp_path / "run" / "data")
    write_lines(tmp_path / "run" / "responses.jsonl", [response()])
    card = json.loads((data / "data_card.json").read_text())
    (data / "data_card.json").write_text(json.dumps(card | change))
    with pytest.raises(DataError, match=r"data_card\.json: ") as error:
        collect([tmp_path / "run"])
    assert message in str(error.value)
    (data / "data_card.json").write_text('{"read": ')
    with pytest.raises(DataError, match="build the data again"):
        collect([tmp_path / "run"])


def test_nothing_in_a_card_is_active_in_the_page(tmp_path):
    run = tmp_path / "run"
    write_lines(run / "responses.jsonl", [response()])
    (run / "data").mkdir()
    for payload in PAYLOADS[::3]:
        source = {"name": payload, "format": payload, "licence": payload, "read": 1, "kept": 1, "rejected": 0}
        file = {"rows": 1, "by_source": {payload: 1}, "by_kind": {}, "by_category": {payload: 1}}
        card = {
            "sources": [source | {"reasons": {payload: 1}}], "read": 1, "kept": 1, "rejected": 0,
            "leaks": {"found": 1, "action": payload}, "files": {payload: file}, "hashes": {payload: payload},
        }  # fmt: skip
        (run / "data" / "data_card.json").write_text(json.dumps(card))
        found = collect([run])
        page = render_page(Evidence(cards=found.cards), [], [], [])
        check(page)
        assert section_of(page)


def test_many_categories_are_cut_and_none_is_lost():
    counts = {f"guild_{i:03}": i + 1 for i in range(100)}
    shown = counted(counts)
    assert len(shown) == SHOWN_COUNTS + 1
    assert shown[0] == ("guild_099", 100)
    assert sum(n for _, n in shown) == sum(counts.values())
