"""Nothing that a model, a data file or a name holds may act in the page, a figure, a CSV file or the terminal."""

import csv
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from rich.console import Console

from derta.reporting.collect import Evidence, TrainLog
from derta.reporting.differences import differences
from derta.reporting.figures.draw import draw_figures
from derta.reporting.page import render_page
from derta.reporting.tables import csv_tables, csv_text
from derta.reporting.terminal import print_table
from derta.results.cells import results
from derta.results.measured import Capability, Hazard, Knowledge
from derta.visible import visible

from .payloads import ACTIVE, PAYLOADS
from .synthetic import response

_TAGS = """html head meta title style body a header p h1 section ul li nav main h2 h3 div table caption thead tbody tr
    th td span strong b wbr code details summary article dl dt dd footer figure figcaption
    svg g path use text rect defs clippath desc"""
_ATTRIBUTES = """lang charset http-equiv content name href class id aria-label aria-labelledby aria-hidden role
    tabindex scope open viewbox d x y width height transform clip-path fill stroke fill-opacity stroke-opacity opacity
    stroke-width stroke-dasharray stroke-dashoffset stroke-linecap stroke-linejoin font-size font-weight font-style
    font-family text-anchor version"""
TAGS, ATTRIBUTES = frozenset(_TAGS.split()), frozenset(_ATTRIBUTES.split())


class Dom(HTMLParser):
    """Collects what a parser sees: elements, attributes, text."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.faults, self.text, self.ids = [], [], []

    def handle_starttag(self, tag, attrs):
        if tag not in TAGS:
            self.faults.append(f"<{tag}>")
        for key, value in attrs:
            if key not in ATTRIBUTES or (key == "href" and not (value or "").startswith("#")):
                self.faults.append(f"<{tag} {key}={value!r}>")
            if key == "id":
                self.ids.append(value)

    def handle_data(self, data):
        self.text.append(data)

    def handle_comment(self, data):
        self.faults.append(f"comment {data!r}")

    def handle_pi(self, data):
        self.faults.append(f"instruction {data!r}")

    unknown_decl = handle_pi


def check(page):
    dom = Dom()
    dom.feed(page)
    dom.close()
    assert dom.faults == []
    assert len(dom.ids) == len(set(dom.ids))
    # whatever a parser makes of it: each `<` opens a tag on the list
    opened = {name.lower() for name in re.findall(r"<[/!]?([^\s>/]*)", page)}
    assert opened <= TAGS | {"doctype"}
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]", page)
    return "".join(dom.text)


def evidence_of(text):
    """The payload in every place that a file lets it into."""
    rows = [
        response(model=text, method=text, attack=text, judge=text, query_id=text, query=text, category=text,
                 response=text, reason=text, verdict="harmful", stop_reason=text),
        response(model=text, method=text, judge=text, kind="benign", query_id=text, query=text, response=text),
        response(model=text, method="vanilla", judge=text, attack=text, query_id=text),
        response(model=text, method=text, judge=text, attack="prefill", attack_params={"depth": 20, text: text}),
    ]  # fmt: skip
    manifest = {"kind": text, "created": text, "config": {"seed": text, text: text}, "code": {"derta": text},
                "libraries": {text: text}, "inputs": {text: text}, "device": text}  # fmt: skip
    return Evidence(
        responses=rows,
        hazards=[Hazard(model=text, method=text, kind="harmful", position=[0, 1], mean=[1, 1], low=[1, 1],
                        high=[1, 1], n=[1, 1])],
        knowledge=[Knowledge(model=text, method=text, value=0.1, n=1, low=None, high=None, base_value=0.9)],
        capability=[Capability(model=text, method=text, task=text, value=0.5, n=2)],
        train_logs=[TrainLog(text, [{"step": 1.0, "loss": 1.0}])],
        manifests=[(text, manifest)],
    )  # fmt: skip


def test_there_are_enough_payloads():
    assert len(set(PAYLOADS)) >= 100


@pytest.mark.parametrize("show_text", [False, True])
def test_no_payload_is_active_in_the_page(show_text):
    for payload in PAYLOADS:
        evidence = evidence_of(payload)
        cells = results(evidence.responses, evidence.knowledge, evidence.capability)
        found = differences(evidence.responses)
        text = check(render_page(evidence, cells, found, [], show_text=show_text))
        assert visible(payload) in text  # shown as it is, escaped once


def test_no_payload_is_active_in_an_inlined_figure():
    for start in range(0, len(ACTIVE), 12):
        rows = []
        for index, payload in enumerate(ACTIVE[start : start + 12]):
            rows += [
                replace(row, model=payload, method=f"m{index}") for row in evidence_of(payload).responses[:2]
            ]
        logs = [TrainLog(ACTIVE[start], [{"step": 1.0, "loss": 1.0}])]
        evidence = Evidence(responses=rows, train_logs=logs)
        cells = results(rows)
        check(render_page(evidence, cells, [], draw_figures(evidence, cells)))


def test_no_payload_is_a_formula_in_a_csv_file():
    for payload in PAYLOADS:
        evidence = evidence_of(payload)
        cells = results(evidence.responses, evidence.knowledge, evidence.capability)
        for rows in csv_tables(evidence, cells, differences(evidence.responses)).values():
            for row in csv.reader(io.StringIO(csv_text(rows))):
                for cell in row:
                    is_number = re.fullmatch(r"-?[0-9.]+(e-?[0-9]+)?", cell)
                    assert is_number or not cell.lstrip().startswith(("=", "+", "-", "@")), cell
                    assert "\x1b" not in cell


def test_no_payload_reaches_the_terminal():
    for payload in PAYLOADS:
        console = Console(file=io.StringIO(), width=160, force_terminal=True, color_system="truecolor")
        evidence = evidence_of(payload)
        print_table(results(evidence.responses), console)
        printed = console.file.getvalue()
        own = re.sub(r"\x1b\[[0-9;]*m", "", printed)  # rich's own colours
        assert "\x1b" not in own
        assert "\x07" not in own
        assert not re.search(r"[\x80-\x9f\u202a-\u202e]", own)
