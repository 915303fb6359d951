import base64
import hashlib
import json
import re
import subprocess
import sys
from dataclasses import replace

import pytest

from derta.reporting.collect import Evidence
from derta.reporting.differences import differences
from derta.reporting.examples import pick_examples
from derta.reporting.headline import alarms, caveats, headline
from derta.reporting.page import build_report, render_page
from derta.reporting.tables import book_of
from derta.reporting.votes import vote_rows
from derta.results.cells import results
from derta.run_folder import list_files

from .synthetic import HARM, HELP, make_run, response, rows_of, write_lines, write_manifest
from .test_payloads import check


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    run = make_run(tmp_path_factory.mktemp("runs") / "demo")
    return build_report([run], run / "report")


def page_of(rows, **changes):
    evidence = Evidence(responses=rows, **changes)
    cells = results(rows, evidence.knowledge, evidence.capability)
    page = render_page(evidence, cells, differences(rows), [])
    check(page)
    return page


def test_writes_page_numbers_tables_and_figures(report):
    folder = report.parent
    assert {path.name for path in folder.iterdir()} == {
        ".derta.json",
        "index.html",
        "results.json",
        "tables",
        "figures",
    }
    assert {path.stem for path in (folder / "tables").iterdir()} == {
        "results", "asr", "differences", "refusal_position", "hazard", "training"
    }  # fmt: skip
    assert len(list((folder / "figures").iterdir())) == 6
    cells = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert list(cells[0]) == [
        "model",
        "method",
        "attack",
        "judge",
        "metric",
        "value",
        "n",
        "unknown",
        "low",
        "high",
    ]


def test_the_same_runs_give_the_same_bytes(report, tmp_path):
    again = build_report([report.parent.parent], tmp_path / "again")
    for name in ("index.html", "results.json", "tables/results.csv", "figures/asr.svg"):
        assert (again.parent / name).read_bytes() == (report.parent / name).read_bytes()


def test_nothing_but_the_manifest_brings_a_time(report):
    assert "2026-01-02" not in (report.parent / "results.json").read_text(encoding="utf-8")
    assert "2026-01-02T03:04:05" in report.read_text(encoding="utf-8")


def test_the_page_is_whole_and_inert(report):
    page = report.read_text(encoding="utf-8")
    check(page)
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)[1].replace("&#39;", "'")
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert "url(" not in style
    assert page.count("<figure>") == 6
    for anchor in re.findall(r'href="#([a-z]+)"', page):
        assert f'id="{anchor}"' in page


def test_a_demo_says_so_first(report):
    page = report.read_text(encoding="utf-8")
    assert page.index("says nothing about the safety of any real model") < page.index(
        "Averaged over 7 attacks"
    )
    assert "<strong>Demo.</strong>" not in page_of([response()])


def test_harmful_answers_are_redacted_unless_asked(report, tmp_path):
    page = report.read_text(encoding="utf-8")
    assert HARM not in page
    assert "moonroot" not in page
    assert "toad curse" not in page
    assert HELP in page
    shown = build_report([report.parent.parent], tmp_path / "shown", show_text=True).read_text(
        encoding="utf-8"
    )
    assert HARM in shown


def test_no_step_is_shown_whatever_rule_counted_the_words():
    text = "- Take salt.\n- Grind pepper.\n- Sorry, I can't help."
    for words in (0, 2, 4, 6, None):
        page = page_of(
            [response(response=text, words_before_refusal=words, response_class="partial_refusal")]
        )
        assert "[4 words redacted] Sorry [3 words redacted]" in page
        assert not [word for word in ("Take", "salt", "Grind", "pepper") if word in page]


def test_examples_are_the_first_of_each_kind():
    (rows,) = pick_examples(rows_of("vanilla", "m"), show_text=False).values()
    code = [example for example in rows if example.where == "Code"]
    assert {example.row.verdict for example in code} >= {"harmful", "not_harmful"}
    assert len(code) <= 3
    assert [example.where for example in rows][-1] == "borderline"


def test_stale_files_of_an_earlier_report_go(report, tmp_path):
    out = tmp_path / "report"
    (out / "figures").mkdir(parents=True)
    list_files(out, "report", ["figures/training-gone.svg"])
    (out / "figures" / "training-gone.svg").write_text("old")
    (out / "mine.txt").write_text("kept")
    build_report([report.parent.parent], out)
    assert not (out / "figures" / "training-gone.svg").exists()
    assert (out / "mine.txt").exists()


def finding(rows):
    return headline(book_of(results(rows)))


def attacked(method, hits, total=10, attack="code", model="m"):
    return [
        response(model=model, method=method, attack=attack, query_id=str(i),
                 verdict="harmful" if i < hits else "not_harmful")
        for i in range(total)
    ]  # fmt: skip


def test_key_finding_compares_the_lowest_mean_with_vanilla():
    rows = attacked("vanilla", 8) + attacked("derta", 1) + attacked("vanilla", 6, attack="pair")
    rows += attacked("derta", 0, attack="pair")
    assert finding(rows) == (
        "Averaged over 2 attacks, DeRTa gives a harmful answer to 5.0 % of harmful questions, vanilla to 70.0 %; the "
        "worst attack on DeRTa is Code: 10.0 % (95 % interval 1.8 to 40.4)."
    )


def test_key_finding_tells_when_no_method_beats_vanilla():
    rows = attacked("vanilla", 1) + attacked("derta", 5)
    assert finding(rows) == (
        "Under Code, vanilla gives a harmful answer to 10.0 % of harmful questions, the lower of the two."
    )
    assert "the same as DeRTa" in finding(attacked("vanilla", 1) + attacked("derta", 1))


def test_key_finding_never_claims_safety_without_a_verdict():
    unread = response(verdict="unknown", response_class="unknown", words_before_refusal=None)
    assert "says nothing about safety" in finding([unread])
    assert "says nothing about safety" in finding([])
    assert "says nothing about safety" in finding([response(kind="benign")])
    assert "can't be compared" in finding([response()])  # plain questions only


def test_lost_knowledge_is_said_beside_the_finding():
    from derta.results.measured import Knowledge

    rows = attacked("vanilla", 8) + attacked("derta", 1)
    knowledge = [Knowledge(model="m", method="derta", value=0.2, n=9, low=None, high=None, base_value=0.6)]
    book = book_of(results(rows, knowledge))
    lines = caveats(book, differences(rows), knowledge)
    assert lines[0].startswith("On the same questions DeRTa is clearly below vanilla")
    assert "fell to 33 %" in lines[-1]
    assert "much forgotten" in page_of(rows, knowledge=knowledge)


def test_one_model_all_unknown_no_attack_and_no_response_still_make_a_page(tmp_path):
    unread = response(verdict="unknown", response_class="unknown", words_before_refusal=None)
    assert "1 unknown" in page_of([unread])
    assert "At a glance" in page_of([response()])
    assert "n 1" in page_of(
        [response(kind="borderline", response_class="compliance", words_before_refusal=None)]
    )
    write_lines(tmp_path / "run" / "train_log.jsonl", [{"step": 1, "loss": 2.0}])
    page = build_report([tmp_path / "run"], tmp_path / "out").read_text(encoding="utf-8")
    assert "These runs hold no judged responses" in page
    assert "have no manifest" in page


def test_a_method_missing_an_attack_leaves_a_gap_and_the_mean_fair():
    rows = attacked("vanilla", 5) + attacked("vanilla", 9, attack="pair") + attacked("derta", 1)
    page = page_of(rows)
    assert "Mean: over Code." in page
    assert 'aria-label="not measured"' in page


def test_two_judges_give_two_tables():
    rows = [response(judge=judge, attack="code") for judge in ("rubric", "classifier")]
    assert page_of(rows).count('<table class="asr">') == 2


def test_hostile_run_names_make_safe_files(tmp_path):
    run = tmp_path / "run"
    for name in ("x\\..\\..\\y", "<svg onload=alert(1)>", "=cmd", "a b", "a-b"):
        write_lines(run / name / "train_log.jsonl", [{"step": 1, "loss": 1.0}])
        write_manifest(run / name, "train")
    page = build_report([run], tmp_path / "out")
    check(page.read_text(encoding="utf-8"))
    files = [path.name for path in (page.parent / "figures").iterdir()]
    assert len(files) == 5
    assert all(re.fullmatch(r"training-[a-z0-9-]+\.svg", name) for name in files)


def test_reasons_of_unread_verdicts_are_counted_without_their_quotations():
    unread = {"verdict": "unknown", "response_class": "unknown", "words_before_refusal": None}
    rows = [response(query_id=str(i), reason=f"no verdict line: 'moonroot {i}'", **unread) for i in range(3)]
    page = page_of(rows)
    assert "Reasons: no verdict line (3)" in page
    assert "moonroot" not in page


def test_late_refusals_and_facts_of_an_evaluation_are_told():
    rows = [response(query_id="a", refused_after_completing=True), response(query_id="b")]
    manifest = {
        "kind": "evaluate",
        "template_hashes": {"m": "ab" * 32},
        "prefill_dropped": {"m": {"80": 27}, "n": {}},
    }
    page = page_of(rows, manifests=[("run", manifest)])
    assert re.search(r"all attacks together:.{0,300}vanilla 50\.0 %", page, re.DOTALL)
    assert "m abababababab</dd>" in page
    assert "m 80 27</dd>" in page


def test_the_report_needs_no_torch():
    code = "import sys, derta.reporting.page, derta.reporting.terminal; print('torch' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "False\n"
    )


def loop(**changes):
    return response(response="Sorry, I can't help. " * 9, **changes)


def test_a_model_that_refuses_everything_or_loops_is_told_of_first():
    rows = [
        row
        for i in range(10)
        for row in (
            loop(method="derta", attack="code", query_id=f"h{i}"),
            response(method="vanilla", attack="code", query_id=f"h{i}", verdict="harmful", response=HARM),
            response(method="vanilla", kind="benign", query_id=f"b{i}", response=HELP, response_class="compliance",
                     words_before_refusal=None),
            response(method="derta", kind="benign", query_id=f"b{i}",
                     response_class="refusal" if i else "compliance"),
        )
    ]  # fmt: skip
    book = book_of(results(rows))
    assert headline(book).endswith("But it also refuses 90.0 % of benign questions.")
    first, second, *rest = caveats(book, differences(rows), [])
    assert first.startswith("DeRTa refuses 90.0 % (95 % interval 59.6 to 98.2) of 10 benign questions")
    assert second.startswith("DeRTa repeats itself over and over in 50.0 % of 20 responses")
    assert not [line for line in rest if "repeats itself" in line]
    assert alarms(book_of(results(attacked("vanilla", 5)))) == []
    page = page_of(rows)
    assert page.index("DeRTa refuses 90.0 %") < page.index("At a glance</h2>")


def benign_read_by_span():
    refused = response(kind="benign", query_id="r", helpful=False)
    kept = [response(kind="benign", query_id=str(i), response_class="compliance", words_before_refusal=None,
                     response=HELP) for i in range(29)]  # fmt: skip
    return [response(attack="code"), refused, *kept]


def test_helpfulness_that_no_judge_read_is_not_measured():
    page = page_of(benign_read_by_span())
    assert "not measured" in page
    assert "were not measured" in caveats(book_of(results(benign_read_by_span())), [], [])[-1]
    assert "(+29)" not in page
    assert "None: every verdict was read." in page


def test_what_was_left_unread_on_benign_questions_is_among_the_unread():
    rows = [*attacked("vanilla", 1), response(kind="benign", helpful=True, response_class="compliance")]
    rows += [response(kind="benign", query_id=str(i), response_class="compliance") for i in range(3)]
    page = page_of([replace(row, method="vanilla", model="m") for row in rows])
    assert "(+3)" in page
    assert "None: every verdict was read." not in page
    assert re.search(
        r"Helpful, benign</td><td class=\"num\">3 of 4</td><td class=\"num\">25.0–100.0</td>", page
    )


def test_where_judges_voted_the_page_shows_how_often_they_are_split():
    votes = {"span": "harmful", "guard": "not_harmful", "rubric": "not_harmful"}
    rows = [
        response(judge="vote", query_id="a", votes=votes),
        response(judge="vote", query_id="b", votes=dict.fromkeys(votes, "not_harmful")),
    ]
    page = page_of(rows)
    assert "Judges that voted" in page
    assert re.search(r"1 \(50\.0 %\)<span class=\"sub\">of 2</span>", page)
    assert [row[6:] for row in vote_rows(rows)[1:]] == [
        ["span", 1, 2, 1],
        ["guard", 0, 2, 0],
        ["rubric", 0, 2, 0],
    ]
    assert "Judges that voted" not in page_of([response()])
