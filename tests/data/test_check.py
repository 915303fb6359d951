"""`derta data check`: ten faults named by file and line, and what is odd."""

import json

from typer.testing import CliRunner

from derta.data.check import check_files
from derta.data.commands import app

from .guild_rows import pairs, queries, triples, write

FAULTS = {
    2: (b'{"id": "x2", "harmful_query": "q', "invalid JSON"),
    3: (b'{"id": "x3", "harmful_query": "q", "safe_response": "r"}', "field `harmful_response` is missing"),
    4: (
        b'{"id": "x4", "harmful_query": "q", "safe_response": "", "harmful_response": "h"}',
        "`safe_response` is empty",
    ),
    5: (
        b'{"id": "x5", "harmful_query": 7, "safe_response": "r", "harmful_response": "h"}',
        "need a string, found a number",
    ),
    6: (json.dumps(triples(1)[0]).encode(), "duplicate id 't0' (first on line 1)"),
    7: (b'\xef\xbb\xbf{"id": "x7"}', "byte-order mark"),
    8: (json.dumps(triples(9)[8]).encode() + b"\r", "CRLF"),
    9: (
        b'{"id": "x9", "harmful_query": "a\\ud83d", "safe_response": "r", "harmful_response": "h"}',
        "lone surrogate",
    ),
    10: (b'{"id": "x10\x00"}', "NUL byte"),
    11: (b'{"id": "' + b"a" * 50_000_000 + b'"}', "line of 50,000,010 bytes"),
}


def faulty_file(folder):
    lines = [json.dumps(triples(1)[0]).encode(), *(FAULTS[number][0] for number in sorted(FAULTS))]
    path = folder / "triples.jsonl"
    path.write_bytes(b"\n".join([*lines, json.dumps(triples(13)[12]).encode()]) + b"\n")
    return path


def test_ten_faults_are_named_by_line_and_the_good_lines_are_counted(tmp_path):
    path = faulty_file(tmp_path)
    found = check_files([path])
    assert [problem.line for problem in found.problems] == sorted(FAULTS)
    for problem in found.problems:
        assert FAULTS[problem.line][1] in problem.reason
        assert str(problem).startswith(f"{path}:{problem.line}: ")
    assert found.counts == {path: 2}


def test_the_command_prints_them_and_exits_with_1(tmp_path):
    result = CliRunner().invoke(app, ["check", str(faulty_file(tmp_path))])
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert len([line for line in result.stdout.splitlines() if "triples.jsonl:" in line]) == 10


def test_good_files_of_all_kinds_pass(tmp_path):
    files = [
        write(tmp_path / "t.jsonl", triples(20)),
        write(tmp_path / "b.jsonl", pairs(20)),
        write(tmp_path / "q.jsonl", queries(20)),
    ]
    found = check_files(files)
    assert (found.problems, found.warnings, sum(found.counts.values())) == ([], [], 60)
    assert CliRunner().invoke(app, ["check", *map(str, files)]).exit_code == 0


def test_what_cannot_be_opened_or_told_is_a_problem_and_no_traceback(tmp_path):
    (tmp_path / "odd.jsonl").write_text('{"colour": "red"}\n')
    (tmp_path / "empty.jsonl").write_text("")
    found = check_files([tmp_path / "none.jsonl", tmp_path / "odd.jsonl", tmp_path / "empty.jsonl", tmp_path])
    reasons = {problem.path.name: problem.reason for problem in found.problems}
    assert "can't be read" in reasons["none.jsonl"]
    assert {problem.line for problem in found.problems} == {1}
    assert set(reasons) == {"none.jsonl", "odd.jsonl", "empty.jsonl", tmp_path.name}


def test_few_openings_are_a_warning_with_its_remedy(tmp_path):
    rows = [{**row, "safe_response": "I can't help with that craft."} for row in triples(4)]
    (warning,) = check_files([write(tmp_path / "t.jsonl", rows)]).warnings
    assert 'only 0% of 4 safe responses begin with "Sorry"' in warning
    assert "normalise_opening" in warning
    assert check_files([tmp_path / "t.jsonl"], opening="I").warnings == []


def test_oddities_are_listed_by_line(tmp_path):
    rows = triples(4)
    rows[1]["safe_response"] = "Sorry state of affairs, this goat."
    rows[2]["harmful_response"] = "STEP ONE stir. But I can't help with the rest."
    rows[3]["harmful_response"] = "STEP"
    warnings = "\n".join(check_files([write(tmp_path / "t.jsonl", rows)]).warnings)
    assert "no refusal by the rules: line 2" in warnings
    assert "refusal inside: line 3" in warnings
    assert "less than 3 words: line 4" in warnings


def test_queries_that_files_share_are_named_even_in_other_dress(tmp_path):
    rows = pairs(5)
    asked = [{"id": "q", "query": rows[3]["benign_query"].upper() + "!", "kind": "benign"}]
    files = [
        write(tmp_path / "b.jsonl", [*rows, {**rows[0], "id": "again"}]),
        write(tmp_path / "q.jsonl", asked),
    ]
    found = check_files(files)
    assert found.problems == []
    assert any("b.jsonl: query that an earlier line has: line 6" in warning for warning in found.warnings)
    assert any("training and evaluation share it: line 1" in warning for warning in found.warnings)


def test_a_built_folder_stands_for_its_files(tmp_path):
    write(tmp_path / "triples.jsonl", triples(2))
    write(tmp_path / "rejected.jsonl", [{"why": "not a record of ours"}])
    assert len(check_files([tmp_path]).problems) == 1
    (tmp_path / "data_card.json").write_text('{"files": {"triples.jsonl": {}}}')
    found = check_files([tmp_path])
    assert (list(found.counts), found.problems) == ([tmp_path / "triples.jsonl"], [])
