import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from derta.reporting.terminal import print_table
from derta.results.cells import results

from .synthetic import response, rows_of


def printed(rows, page=None, width=140):
    console = Console(file=io.StringIO(), width=width)
    print_table(results(rows), console, page)
    return console.file.getvalue()


def test_shows_methods_by_attacks_cost_and_path():
    text = printed(rows_of("vanilla", "m") + rows_of("derta", "m"), Path("runs/demo/report/index.html"))
    lines = text.splitlines()
    assert "lower is better" in lines[0]
    assert all(name in text for name in ("Direct", "Code", "PAIR", "Prefill", "mean", "vanilla", "DeRTa"))
    assert any(line.startswith("DeRTa: helpful ") and "over-refusal" in line for line in lines)
    assert lines[-1] == "report: runs/demo/report/index.html"


def test_unread_and_missing_cells_are_told_apart():
    unread = {"verdict": "unknown", "response_class": "unknown", "words_before_refusal": None}
    text = printed(
        [
            response(attack="code", **unread),
            response(attack="code", method="derta"),
            response(attack="code", method="derta", query_id="b", **unread),
            response(attack="pair", method="derta"),
        ]
    )
    code = next(line for line in text.splitlines() if "Code" in line)
    pair = next(line for line in text.splitlines() if "PAIR" in line)
    assert "?" in code
    assert "0.0*" in code
    assert "–" in pair


def test_many_systems_go_down():
    models = [f"m{number}" for number in range(7)]
    text = printed([response(model=model, attack="code") for model in models])
    assert [line.split()[1] for line in text.splitlines() if re.search(r" m\d", line)] == models


def test_the_ablation_s_attack_names_stay_whole_on_eighty_columns():
    methods = ("vanilla", "vanilla_half", "prefix", "rto", "derta")
    rows = [
        response(method=method, attack=attack, query_id=str(number))
        for method in methods
        for attack in ("jailbreakchat", "selfcipher", "completing")
        for number in range(100)
    ]
    text = printed(rows, width=80)
    assert all(name in text for name in ("JailbreakChat", "SelfCipher", "Completing"))


def test_each_rate_has_its_interval_and_n():
    rows = [response(attack="code", query_id=str(number), verdict="harmful") for number in range(10)]
    code = next(line for line in printed(rows).splitlines() if "Code" in line)
    assert re.search(r"100\.0  72–100 .* 10 ", code)


def test_a_search_s_step_zero_is_in_no_mean():
    hit = {"verdict": "harmful"}
    rows = [
        response(attack="autodan"),
        response(attack="autodan@seeds", **hit),
        response(attack="direct", **hit),
    ]
    mean = next(line for line in printed(rows).splitlines() if "mean" in line)
    assert re.search(r" 0\.0 ", mean)


def test_nothing_to_show_prints_nothing():
    assert printed([]) == ""


def test_markup_in_a_name_is_printed_as_it_is():
    rows = [response(method="[red]m[/red]", attack="[bold]a[/bold]")]
    benign = response(kind="benign", method="[red]m[/red]", helpful=True, response_class="compliance")
    text = printed([*rows, benign])
    assert "[red]m[/red]: helpful" in text
    assert "[bold]a[/bold]" in text
    assert sum("[red]m[/red]" in line for line in text.splitlines()) == 2


def test_the_first_lines_warn_and_helpfulness_that_was_not_read_is_not_measured():
    rows = [response(attack="code", response="SorrySorrySorrySorry")]
    rows += [response(kind="benign", query_id=str(i), helpful=False) for i in range(9)]
    rows += [response(kind="benign", query_id="k", response_class="compliance", words_before_refusal=None)]
    lines = printed(rows, width=200).splitlines()
    assert lines[0].startswith("warning: vanilla refuses 90.0 %")
    assert lines[1].startswith("warning: vanilla repeats itself")
    assert lines[-1] == "vanilla: helpful not measured, over-refusal 90.0 % (n 10), loops 9.1 % (n 11)"


@pytest.mark.parametrize("width", [20, 34, 40, 50, 60, 80, 100, 140])
def test_figures_stay_whole_on_every_width(width):
    rows = [
        response(method=method, attack=attack, query_id=str(number),
                 verdict="harmful" if number % 3 else "not_harmful")
        for method in ("vanilla", "prefix", "derta")
        for attack in ("jailbreakchat", "code")
        for number in range(100)
    ]  # fmt: skip
    text = printed(rows, width=width)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    assert sum(line.count("66.0") for line in text.splitlines() if "warning" not in line) == 9
    assert text.count("56–75") + text.count("56.3") >= 6


def test_control_characters_in_names_are_shown_as_text():
    name = "m\x1b[2J\u202e\x07"
    text = printed([response(method=name, attack=name), response(kind="benign", method=name, helpful=True)])
    assert not {"\x1b", "\u202e", "\x07"} & set(text)
    assert "m⟦U+202E⟧⟦U+0007⟧" in text


def test_shallow_prefills_have_rows_behind_the_summary_and_are_in_no_mean():
    rows = [
        response(
            attack="prefill",
            attack_params={"depth": depth},
            verdict="harmful" if depth < 20 else "not_harmful",
        )
        for depth in (0, 5, 20, 40)
    ] + [response(attack="multiturn", attack_params={"mode": "split"})]
    lines = printed(rows).splitlines()
    place = {
        name: next(i for i, line in enumerate(lines) if f" {name} " in line)
        for name in ("Prefill", "Prefill 5")
    }
    assert place["Prefill 5"] == place["Prefill"] + 2
    assert "100.0" in lines[place["Prefill 5"]]
    assert not any("Prefill 20" in line for line in lines)
    assert re.search(r" 0\.0 ", next(line for line in lines if "mean" in line))
    many = printed(
        [
            row
            for number in range(7)
            for row in [response(model=f"m{number}", attack="prefill", attack_params={"depth": 5})]
        ]
    )
    assert "Prefill 5" in many
