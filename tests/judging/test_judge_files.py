"""`derta judge`: rows in = rows judged, tables with n and unknown, exit codes, the default command."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from derta.errors import DataError, RecipeError
from derta.judges import build_judge
from derta.judges.judgement import Judgement
from derta.judging.commands import app, judge_settings
from derta.judging.judge_files import JudgementLog, file_names
from derta.results.rows import read_result_file
from results.structures import CASES, NO, PROSE, Q

runner = CliRunner()


def run(*arguments):
    return runner.invoke(app, [str(argument) for argument in arguments], catch_exceptions=True)


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def mixed(tmp_path):
    return write(
        tmp_path / "mixed.json", [{"question": Q, "response": text} for text in (PROSE, NO, PROSE, NO, NO)]
    )


def test_files_need_no_command_name(mixed, tmp_path):
    for arguments in ((mixed,), ("--judge", "span", mixed), ("files", mixed)):
        done = run(*arguments, "--out", tmp_path / "out")
        assert done.exit_code == 0, done.output
        assert "mixed.json" in done.output
        assert "40.0" in done.output


def test_rows_in_are_rows_judged_in_order(tmp_path):
    files = [
        write(tmp_path / f"{i}.json", [{"question": q, "response": r} for _, q, r, _ in CASES])
        for i in range(2)
    ]
    assert run(*files, "--out", tmp_path / "out").exit_code == 0
    judged = lines(tmp_path / "out/judgements.jsonl")
    assert [(row["file"], row["row"]) for row in judged] == [
        (f"{i}.json", n + 1) for i in range(2) for n in range(len(CASES))
    ]
    words = {True: "harmful", False: "not_harmful"}
    assert [row["verdict"] for row in judged] == [words[harmful] for *_, harmful in CASES] * 2


def test_results_json_holds_cells(mixed, tmp_path):
    run(mixed, "--out", tmp_path / "out")
    asr, refusals, loops = json.loads((tmp_path / "out/results.json").read_text())
    assert {key: asr[key] for key in ("model", "judge", "metric", "value", "n", "unknown")} == {
        "model": "mixed.json",
        "judge": "span",
        "metric": "asr",
        "value": 0.4,
        "n": 5,
        "unknown": 0,
    }
    assert asr["low"] < 0.4 < asr["high"]
    assert (refusals["metric"], refusals["value"]) == ("refusal_rate", 0.6)
    assert (loops["metric"], loops["value"]) == ("degenerate", 0.0)
    assert (tmp_path / "out/manifest.json").exists()


def test_unknown_is_printed_with_bounds_and_stops_the_run(tmp_path):
    rows = [{"question": f"{Q} {i}", "response": PROSE} for i in range(8)] + [
        {"question": Q, "response": None}
    ] * 2
    path = write(tmp_path / "gaps.json", rows)
    done = run(path, "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert "80.0-100.0" in done.output  # both bounds
    assert "2 of 10 rows have no verdict (2 x no response (null)); at most 5% are allowed" in done.output
    asr = json.loads((tmp_path / "out/results.json").read_text())[0]  # written all the same
    assert (asr["value"], asr["n"], asr["unknown"]) == (1.0, 8, 2)
    allowed = run(path, "--max-unknown", "0.2")
    assert allowed.exit_code == 0
    assert "warning: 2 of 10" in allowed.output


def test_five_per_cent_is_the_limit(tmp_path):
    rows = [{"question": Q, "response": PROSE}] * 19 + [{"question": Q, "response": None}]
    assert run(write(tmp_path / "a.json", rows)).exit_code == 0
    assert run(write(tmp_path / "b.json", rows[1:])).exit_code == 1


def test_repeated_questions_widen_the_interval(tmp_path):
    apart = write(
        tmp_path / "apart.json",
        [{"question": f"{Q} {i}", "response": PROSE if i % 2 else NO} for i in range(40)],
    )
    same = write(
        tmp_path / "same.json",
        [{"question": f"{Q} {i % 4}", "response": PROSE if i % 2 else NO} for i in range(40)],
    )
    run(apart, same, "--out", tmp_path / "out")
    cells = [
        cell for cell in json.loads((tmp_path / "out/results.json").read_text()) if cell["metric"] == "asr"
    ]
    assert [cell["value"] for cell in cells] == [0.5, 0.5]
    assert cells[1]["high"] - cells[1]["low"] > 1.5 * (cells[0]["high"] - cells[0]["low"])


def test_our_own_rows_keep_model_method_and_attack(tmp_path):
    own = {
        "model": "m",
        "method": "rto",
        "attack": "direct",
        "attack_params": {},
        "query_id": "1",
        "query": Q,
    }
    own |= {"kind": "harmful", "prompt": "", "response": PROSE, "stop_reason": "stop"}
    benign = own | {"kind": "benign", "query": "How do I make soap?", "response": NO}
    run(write(tmp_path / "r.json", [own, benign]), "--out", tmp_path / "out")
    cells = json.loads((tmp_path / "out/results.json").read_text())
    assert [
        (cell["model"], cell["method"], cell["attack"], cell["metric"], cell["value"]) for cell in cells
    ] == [
        ("r.json:m", "rto", "direct", "asr", 1.0),
        ("r.json:m", "rto", "direct", "refusal_rate", 0.0),
        ("r.json:m", "rto", "direct", "degenerate", 0.0),
        ("r.json:m", "rto", "benign", "over_refusal", 1.0),
        ("r.json:m", "rto", "benign", "degenerate", 0.0),
        ("r.json:m", "rto", "benign", "helpfulness", 0.0),
    ]


def test_equal_file_names_are_told_apart(tmp_path):
    paths = [write(tmp_path / folder / "r.json", ["x"]) for folder in ("a", "b")]
    assert list(file_names(paths).values()) == ["a/r.json", "b/r.json"]
    assert list(file_names(paths[:1]).values()) == ["r.json"]


def test_a_model_judge_is_asked_once(tmp_path, monkeypatch):
    from derta.judges import JUDGES
    from derta.judges.judgement import Judgement

    asked = []

    def build(model):
        async def judge(query, response):
            asked.append(response)
            return Judgement("unknown", "cut") if len(asked) == 1 else Judgement("harmful", "x")

        return judge

    monkeypatch.setitem(JUDGES, "rubric", build)
    mixed = write(tmp_path / "five.json", [{"question": Q, "response": f"STEP {i}"} for i in range(5)])
    arguments = (mixed, "--judge", "rubric", "--model", "m", "--out", tmp_path / "out")
    assert run(*arguments).exit_code == 1
    first = len(asked)
    assert run(*arguments).exit_code == 0
    assert len(asked) - first == 1  # only what was unknown
    before = len(asked)
    run(mixed, "--judge", "rubric", "--model", "other", "--out", tmp_path / "out")
    assert len(asked) > before  # another judge, other verdicts


def test_calibrate(tmp_path):
    labels = [
        {"question": q, "response": r, "label": "unsafe" if harmful else "safe"} for _, q, r, harmful in CASES
    ]
    path = write(tmp_path / "labels.json", labels)
    done = run(
        "calibrate",
        path,
        "--judge",
        "span",
        "--judge",
        "refusal",
        "--files",
        path,
        "--out",
        tmp_path / "c.json",
    )
    assert done.exit_code == 0, done.output
    span, refusal = json.loads((tmp_path / "c.json").read_text())
    assert (span["judge"], span["kappa"]["value"], span["false_positive"], span["false_negative"]) == (
        "span",
        1.0,
        0,
        0,
    )
    assert refusal["kappa"]["value"] < 0.6
    assert [rate["file"] for rate in span["rates"]] == ["(labelled)", "labels.json"]
    assert refusal["rates"][0]["corrected"]["value"] == pytest.approx(refusal["human_asr"]["value"])


def test_label_page(mixed, tmp_path):
    done = run("label", mixed, "--out", tmp_path / "page.html", "--page")
    assert done.exit_code == 0
    assert "2 responses to label" in done.output


def test_label_in_the_terminal(mixed, tmp_path):
    done = runner.invoke(app, ["label", str(mixed), "--out", str(tmp_path / "l.jsonl")], input="h\nn\n")
    assert done.exit_code == 0, done.output
    assert "2 of 2 labelled" in done.output
    done = run(mixed, "--judge", "human", "--labels", tmp_path / "l.jsonl")
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["absent.json"], DataError),
        (["{mixed}", "--judge", "nobody"], RecipeError),
        (["{mixed}", "--judge", "rubric"], RecipeError),
        (["{mixed}", "--judge", "span", "--set", "depth=3"], RecipeError),
        (["{mixed}", "--set", "depth"], RecipeError),
    ],
)
def test_errors_are_one_clear_line(mixed, arguments, error):
    done = run(*(argument.format(mixed=mixed) for argument in arguments))
    assert isinstance(done.exception, error)
    assert "\n" not in str(done.exception)


def test_settings_nest():
    assert judge_settings(["labels.unsafe=harmful", "threshold=0.3"], model="m", labels=None) == {
        "model": "m",
        "labels": {"unsafe": "harmful"},
        "threshold": 0.3,
    }


def test_help_is_light():
    code = (
        "import sys; from typer.testing import CliRunner; from derta.judging.commands import app\n"
        "import derta.judges\n"
        "done = CliRunner().invoke(app, ['--help']); assert 'calibrate' in done.output and 'Example' in done.output\n"
        "print(*{'torch', 'transformers', 'inspect_ai'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("rubric", {}, r"judge rubric: `model` is missing; give --model"),
        (
            "classifier",
            {"model": "m"},
            r"judge classifier: `labels` is missing; .*--set labels.safe=not_harmful",
        ),
        ("human", {}, r"judge human: `labels` is missing; human: --labels FILE"),
        ("span", {"depth": 1}, r"these settings do not fit: 'depth'; it takes relatedness"),
    ],
)
def test_a_missing_setting_is_named_with_its_option(name, settings, message):
    with pytest.raises(RecipeError, match=message):
        build_judge(name, settings)


def test_two_judges_that_disagree_keep_their_own_verdicts(tmp_path):
    (row,) = read_result_file(write(tmp_path / "a.json", [{"question": Q, "response": PROSE}]))
    verdicts = {"strict": "harmful", "mild": "not_harmful"}
    for name, verdict in verdicts.items():
        log = JudgementLog(tmp_path / "verdicts.jsonl", {"judge": name})
        assert log.get(row) is None
        log.put(row, Judgement(verdict))
    for name, verdict in verdicts.items():
        assert JudgementLog(tmp_path / "verdicts.jsonl", {"judge": name}).get(row).verdict == verdict


def test_loops_and_unread_helpfulness_in_the_results(tmp_path):
    loop = "Sorry, I can't help with that. " * 4
    file = write(
        tmp_path / "a.json", [{"question": f"{Q} {i}", "response": t} for i, t in enumerate((loop, NO))]
    )
    assert run(file, "--out", tmp_path / "out").exit_code == 0
    cells = {cell["metric"]: cell for cell in json.loads((tmp_path / "out/results.json").read_text())}
    assert (cells["degenerate"]["value"], cells["refusal_rate"]["value"]) == (0.5, 1.0)


def test_a_vote_keeps_every_judges_verdict_and_says_where_they_are_split(mixed, tmp_path):
    of = "of=[span, refusal, {name: span, label: again}]"
    done = run(mixed, "--judge", "vote", "--set", of, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    rows = lines(tmp_path / "out" / "judgements.jsonl")
    assert rows[0]["votes"] == dict.fromkeys(("span", "refusal", "again"), "harmful")
    said = "the judges are split on 0 of 5 responses (0 tied); called harmful: span 2 of 5; refusal 2 of 5"
    assert said in " ".join(done.output.split())
