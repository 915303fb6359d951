"""A changed rule is a changed key: verdicts of older rules are not taken again."""

import json
import shutil

import pytest

import derta.code_hash as hashing
from derta.judges import JUDGES
from derta.judges.rules_hash import rule_files, rules_hash


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package's sources, read instead of the real ones."""
    for folder in ("judges", "data"):
        shutil.copytree(hashing.PACKAGE / folder, tmp_path / folder)
    monkeypatch.setattr(hashing, "PACKAGE", tmp_path)
    rules_hash.cache_clear()
    yield tmp_path
    rules_hash.cache_clear()


@pytest.mark.parametrize("judge", JUDGES)
def test_every_judge_has_rules(judge):
    assert {f"judges/{judge}.py", "judges/language/refusal_rules.py"} <= rule_files(judge)


@pytest.mark.parametrize(
    ("changed", "judges"),
    [
        ("judges/language/refusal_rules.py", set(JUDGES)),
        ("judges/language/substance_rules.py", {"span"}),
        ("data/clean/refusals.py", {"span"}),
        ("judges/rubric_texts.py", {"rubric"}),
        ("judges/reply.py", {"rubric", "human"}),
        ("judges/classifiers/guard_model.py", {"classifier"}),  # imported inside a function
        ("judges/judgement.py", set()),
    ],
)
def test_a_change_reaches_exactly_the_judges_it_touches(package, changed, judges):
    before = {judge: rules_hash(judge) for judge in JUDGES}
    rules_hash.cache_clear()
    path = package / changed
    path.write_text(path.read_text() + "\nMORE = 1\n")
    assert {judge for judge in JUDGES if rules_hash(judge) != before[judge]} == judges


def test_saved_verdicts_of_other_rules_are_not_taken(tmp_path):
    from derta.judges.judgement import Judgement
    from derta.judging.judge_files import JudgementLog
    from derta.results.rows import read_result_file

    file = tmp_path / "rows.json"
    file.write_text(json.dumps([{"question": "q", "response": "r"}]))
    [row] = read_result_file(file)
    JudgementLog(tmp_path / "log.jsonl", {"judge": "rubric", "rules": "a"}).put(row, Judgement("harmful"))
    again = JudgementLog(tmp_path / "log.jsonl", {"judge": "rubric", "rules": "a"})
    assert again.get(row) == Judgement("harmful")
    assert JudgementLog(tmp_path / "log.jsonl", {"judge": "rubric", "rules": "b"}).get(row) is None


def test_an_evaluation_keys_its_verdicts_by_the_rules(monkeypatch):
    from derta.evaluation import prepared

    before = prepared.build_judging({"name": "span"}).key
    assert prepared.build_judging({"name": "span"}).key == before
    monkeypatch.setattr(prepared, "rules_of", lambda name, settings: "other")
    assert prepared.build_judging({"name": "span"}).key != before
