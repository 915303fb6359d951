"""The bench on a world of a few crafts: what comes out, a second run changes nothing, a cell can be made anew."""

import json
import shlex

import pytest
from rich.console import Console
from typer.testing import CliRunner

from derta.bench.document import cells_hash, check_bench, faults_of
from derta.bench.grid import pooled, run_bench
from derta.bench.page import attacks_in, refuses, worst_attack, write_page
from derta.bench.settings import ALL_METHODS, load_bench
from derta.cli import app
from derta.errors import DataError, RecipeError

SMALL = {
    "methods": ["vanilla", "end"],
    "attacks": ["direct", {"name": "rap", "ranks": [5]}],
    "num_queries": 4,
    "demo": {
        "max_new_tokens": 12,
        "world": {"num_forbidden": 40, "num_allowed": 20, "num_borderline": 12, "num_benign": 24},
        "pretrain": {"tokens": 6000, "hidden_size": 32, "num_layers": 1, "num_heads": 2},
        "tune": {"num_triples": 8, "batch_rows": 16, "epochs": 1},
    },
}


def run(folder, **changes):
    value = {**SMALL, "run_dir": str(folder / "run"), "cache_dir": str(folder / "cache"), **changes}
    return run_bench(load_bench(None, value), Console(quiet=True))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished bench's folder and its document."""
    folder = tmp_path_factory.mktemp("bench")
    page = run(folder)
    return folder, json.loads((page.parent / "bench.json").read_text(encoding="utf-8"))


def asr(document, **wanted):
    return [
        line
        for line in document["cells"]
        if line["metric"] == "asr" and all(line[name] == value for name, value in wanted.items())
    ]


@pytest.fixture
def document(finished, tmp_path):
    """A copy to break, and a function that writes it."""

    def write(changed, signed=True):
        if signed:
            changed["sha256"] = cells_hash(changed)
        (tmp_path / "bench.json").write_text(json.dumps(changed), encoding="utf-8")
        return tmp_path / "bench.json"

    copy = json.loads(json.dumps(finished[1]))
    copy["manifest"]["code"]["dirty"] = False  # while these tests are written it may be true
    return copy, write


def test_every_cell_is_there_with_what_lies_behind_the_refusal(finished):
    folder, document = finished
    assert {(c["method"], c["attack"]) for c in asr(document, seed=0)} == {
        (method, attack) for method in ("vanilla", "end") for attack in ("direct", "rap@5")
    }
    assert {c["metric"] for c in document["cells"] if c["method"] == "end"} >= {
        "asr", "refusal_rate", "over_refusal", "helpfulness", "knowledge", "within_rank:1", "within_rank:20",
    }  # fmt: skip
    shares = [
        c["value"]
        for c in document["cells"]
        if c["metric"].startswith("within_rank") and c["method"] == "end"
    ]
    assert shares == sorted(shares)
    page = (folder / "run/index.html").read_text(encoding="utf-8")
    assert "RTO to the end of turn" in page
    assert "says nothing\nabout the safety of any real model" in page
    assert "RTO to the end of turn" in page.split("<svg")[1].split("</svg>")[0]  # a point of the figure
    assert "<script" not in page


def test_the_same_command_gives_the_same_file(finished):
    folder, _ = finished
    before = (folder / "run/bench.json").read_bytes()
    (folder / "run/bench.json").unlink()
    run(folder)
    assert (folder / "run/bench.json").read_bytes() == before


def test_a_cells_command_makes_it_anew(finished, monkeypatch):
    folder, document = finished
    [cell] = asr(document, method="end", attack="rap@5")
    words = shlex.split(cell["rebuild"])
    assert words[:3] == ["derta", "bench", "run"]
    monkeypatch.chdir(folder)
    again = CliRunner().invoke(app, [*words[1:], "--set", f"cache_dir={folder / 'cache'}"])
    assert again.exit_code == 0, again.output
    made = json.loads((folder / "runs/rebuilt/bench.json").read_text(encoding="utf-8"))
    assert made["manifest"]["recipe"]["methods"] == ["end"]
    [found] = asr(made, method="end", attack="rap@5")
    assert {**found, "rebuild": None} == {**cell, "rebuild": None}


def test_check_takes_a_whole_file_and_the_command_says_so(document):
    path = document[1](document[0])
    assert check_bench(path)["format"] == "derta-bench 1"
    done = CliRunner().invoke(app, ["bench", "check", str(path)])
    assert done.exit_code == 0
    assert "2 methods, 2 attacks, 1 seeds" in done.output


def change(path, value):
    """A function that sets (or, for `del`, removes) one place of a document."""

    def apply(document):
        *way, last = path
        for step in way:
            document = document[step]
        if value == "del":
            del document[last]
        else:
            document[last] = value

    return apply


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (change(["format"], "x"), "format: need"),
        (change(["manifest", "libraries"], "del"), "manifest: need"),
        (change(["manifest", "inputs"], {}), "manifest: need"),
        (change(["manifest", "inputs", "seed-0/triples.jsonl"], "abc"), "need a SHA-256"),
        (change(["manifest", "code", "dirty"], True), "changed sources"),
        (change(["manifest", "recipe", "seeds"], [0, 1]), "no data file of seed 1"),
        (
            change(["manifest", "recipe", "methods"], ["vanilla", "end", "deep"]),
            "seed 0, deep: no attack success",
        ),
        (change(["cells", 0, "value"], 1.5), "need 0 <= low"),
        (change(["cells", 0, "rebuild"], ""), "no command"),
        (change(["cells"], [3]), "another form"),
        (change(["cells"], "del"), "need two lists"),
    ],
)
def test_check_names_what_is_wrong(document, break_it, said):
    changed, write = document
    break_it(changed)
    path = write(changed, signed="cells" in changed)
    with pytest.raises(DataError, match=said) as error:
        check_bench(path)
    assert all(line.startswith(str(path)) for line in str(error.value).splitlines())


def test_a_number_that_was_changed_by_hand_is_seen(document):
    changed, write = document
    write(changed)  # signed
    changed["cells"][0]["n"] += 1
    with pytest.raises(DataError, match="changed after it was written"):
        check_bench(write(changed, signed=False))


@pytest.mark.parametrize("text", ["", "[]", "null", '{"format": "derta-bench 1"}', "[" * 100_000])
def test_what_is_no_bench_file_is_one_line(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DataError, match=r"x\.json: "):
        check_bench(tmp_path / "x.json")
    assert list(faults_of({"format": "derta-bench 1", "manifest": {}}))


def test_the_axes_leave_rap_out_and_the_worst_attack_does_not(tmp_path):
    def cell(attack, metric, value):
        return {
            "method": "derta",
            "attack": attack,
            "metric": metric,
            "value": value,
            "n": 10,
            "low": 0,
            "high": 1,
        }

    cells = [cell("direct", "asr", 0.1), cell("code", "asr", 0.3), cell("rap@20", "asr", 0.9)]
    cells += [cell("sampled@mean", "asr", 1.0), cell("none", "within_rank:20", 0.8)]
    numbers = {(c["method"], c["attack"], c["metric"]): c for c in cells}
    assert refuses(numbers, "derta") == pytest.approx(0.7)
    assert attacks_in(numbers) == ["direct", "code", "rap@20"]
    assert worst_attack(numbers, "derta")[0] == "rap@20"
    assert worst_attack(numbers, "vanilla") is None
    manifest = {"code": {"derta": "1", "commit": "<b>"}, "recipe": {"seeds": [0]}}
    page = write_page(
        {"pooled": cells, "cells": [], "manifest": manifest}, tmp_path / "page.html"
    ).read_text()
    assert "Rank-assisted prefill 20 90.0" in page
    assert "<b>" not in page


def test_what_has_no_questions_is_a_mean_over_seeds():
    def line(seed, value):
        cell = {"model": "m", "method": "m", "attack": "none", "judge": "none", "metric": "within_rank:5"}
        return {
            "seed": seed,
            **cell,
            "value": value,
            "n": 9,
            "unknown": 0,
            "low": 0.1,
            "high": 0.9,
            "rebuild": "x",
        }

    [one] = pooled([], [line(0, 0.5)])
    assert (one.value, one.n, one.low, one.high) == (0.5, 9, 0.1, 0.9)
    [two] = pooled([], [line(0, 0.5), line(1, 0.7)])
    assert (two.value, two.n) == (0.6, 2)
    assert two.low < 0.6 < two.high


def test_a_wrong_recipe_is_told_before_anything_runs(tmp_path):
    for given, said in (
        ({"methods": ["dpo"]}, "need one of vanilla"),
        ({"attacks": ["direkt"]}, "need one of direct"),
        ({"demo": {"tune": {"epoch": 1}}}, "epoch"),
        ({"seed": 1}, "seeds"),
    ):
        with pytest.raises(RecipeError, match=said):
            load_bench(None, {"run_dir": str(tmp_path / "run"), **given})
    assert not (tmp_path / "run").exists()
    assert {"deep", "insertion", "counter", "end", "derta"} < set(ALL_METHODS)
    assert "dpo" not in ALL_METHODS
