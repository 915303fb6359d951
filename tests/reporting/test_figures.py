import re
from xml.etree import ElementTree

import pytest

from derta.reporting.collect import Evidence, collect
from derta.reporting.figures.draw import draw_figures, save_png
from derta.reporting.figures.palette import FURNITURE, MARKER_PATHS, PAPER, SERIES, SLOT_FILLS, styles_of
from derta.reporting.figures.svg import inline_svg
from derta.results.cell import System
from derta.results.cells import results

from .synthetic import make_run, response


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    evidence = collect([make_run(tmp_path_factory.mktemp("runs") / "demo")])
    return evidence, results(evidence.responses)


@pytest.fixture(scope="module")
def drawings(demo):
    return draw_figures(*demo)


def luminance(color):
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(first, second):
    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)


def test_every_file_gives_its_figure(drawings):
    names = [drawing.name for drawing in drawings]
    assert names[:4] == ["asr", "refusal_position", "prefill", "hazard"]
    assert [name.rpartition("-")[0] for name in names[4:]] == [
        "training-demo-train-derta",
        "training-demo-train-vanilla",
    ]


def test_the_same_numbers_give_the_same_bytes(demo, drawings):
    assert [drawing.svg for drawing in draw_figures(*demo)] == [drawing.svg for drawing in drawings]


def test_svg_is_static_titled_and_without_date(drawings):
    for drawing in drawings:
        root = ElementTree.fromstring(drawing.svg)
        assert root.get("role") == "img"
        assert root[0].text == drawing.title
        assert not re.search(
            r"<script|<style|style=|<image|<metadata|http://(?!www\.w3\.org/2000/svg)|\bon\w+=", drawing.svg
        )
        ids = set(re.findall(r' id="([^"]+)"', drawing.svg))
        used = set(re.findall(r'href="#([^"]+)"', drawing.svg)) | set(
            re.findall(r"url\(#([^)]+)\)", drawing.svg)
        )
        assert used <= ids


def test_inlined_figures_follow_the_page_colours(drawings):
    for drawing in drawings:
        inline = inline_svg(drawing.svg)
        colors = set(re.findall(r'(?:fill|stroke)="(#[0-9a-f]{6})"', inline))
        assert colors <= {fill for pair in SLOT_FILLS for fill in pair}
        assert "var(--ink)" in inline


def test_text_of_a_figure_is_text(drawings):
    assert ">JailbreakChat<" in drawings[0].svg
    assert ">DeRTa<" in drawings[0].svg


def test_a_dollar_sign_is_no_formula():
    rows = [response(model="$x^2$ <b>", method=method) for method in ("mine", "vanilla")]
    rows += [response(model="other", method="mine")]
    (asr, _) = draw_figures(Evidence(responses=rows), results(rows))
    assert "$x^2$ &lt;b&gt;" in asr.svg


def test_unread_everywhere_is_said_in_the_figure():
    unread = response(verdict="unknown", response_class="unknown", words_before_refusal=None)
    (asr, _) = draw_figures(Evidence(responses=[unread]), results([unread]))
    assert "no verdict readable" in asr.svg


def test_colours_stand_out_in_light_and_dark():
    for style in SERIES:
        assert contrast(style.tone.light, PAPER.light) >= 3.0, style
        assert contrast(style.tone.dark, PAPER.dark) >= 3.0, style
        assert style.marker in MARKER_PATHS
    for tone in FURNITURE[3:]:  # text colours
        assert contrast(tone.light, PAPER.light) >= 4.5, tone
        assert contrast(tone.dark, PAPER.dark) >= 4.5, tone
    for fill, text in SLOT_FILLS:
        assert contrast(fill, text) >= 4.5


def test_no_two_tones_share_their_light_colour():
    lights = [tone.light for tone in (*FURNITURE, *(style.tone for style in SERIES))]
    assert len(set(lights)) == len(lights)
    assert not set(lights) & {color for pair in SLOT_FILLS for color in pair}


def test_styles_differ_and_known_methods_keep_theirs():
    systems = [System("m", method) for method in ("mine", "derta", "vanilla", "other", "dpo")]
    styles = styles_of(systems)
    assert len(set(styles.values())) == 5
    assert styles[systems[1]] == SERIES[1]
    assert styles[systems[2]] == SERIES[0]
    assert len(styles_of([System(str(i), "derta") for i in range(12)])) == 12


def test_png_on_request(demo, tmp_path):
    first = save_png(demo[1], tmp_path / "asr.png").read_bytes()
    assert first.startswith(b"\x89PNG")
    assert save_png(demo[1], tmp_path / "again.png").read_bytes() == first
