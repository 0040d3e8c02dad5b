import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from itertools import pairwise

import numpy as np
import pytest

from floorcast import assets
from floorcast.common.errors import InputError
from floorcast.validation.report import (
    Estimate,
    GapMetric,
    GapSection,
    ReportData,
    TrajectoryPlot,
    TwinParameter,
    pair_metrics,
    render_report,
    write_report,
)

from .sample import gap, report_data

EVIL = "<script>alert(1)</script>\"'&<img src=x onerror=alert(1)>"
VOID = {"meta", "img", "link", "br", "hr", "input"}


class Page(HTMLParser):
    """Checks that tags are balanced and collects what the tests ask about."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.text = [], [], []
        self.feed(text)
        self.close()
        assert self.open == [], "unclosed tags"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> does not fit"

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.text.append(data)

    @property
    def words(self):
        return re.sub(r"\s+", " ", " ".join(self.text))


@pytest.fixture(scope="module")
def html():
    return render_report(report_data())


def test_verdict_comes_first_in_one_sentence(html):
    words = Page(html).words
    sentence = "The policy navigator keeps all three limits over 16 simulated episodes, each with 95 % confidence."
    assert 0 < words.index("Pass") < words.index(sentence) < words.index("Limits and results")


def test_every_section_is_there(html):
    page = Page(html)
    ids = {attributes.get("id") for _, attributes in page.tags}
    assert {"limits", "plan", "frames", "dataset", "gap", "run"} <= ids
    for fact in ("82.9 to 100 %", "Held-out minute 1", "stays randomized", "floorcast demo --seed 0", "2 911"):
        assert fact in page.words


def test_links_inside_the_page_have_targets(html):
    tags = Page(html).tags
    ids = {attributes["id"] for _, attributes in tags if "id" in attributes}
    assert len(ids) == sum("id" in attributes for _, attributes in tags)
    for name, attributes in tags:
        if name == "a":
            assert attributes["href"][1:] in ids
        if "aria-labelledby" in attributes:
            assert attributes["aria-labelledby"] in ids


def test_nothing_comes_from_outside_and_nothing_runs(html):
    for name, attributes in Page(html).tags:
        assert name not in ("script", "link", "iframe", "object", "embed")
        assert not any(key.startswith("on") for key in attributes)
        assert attributes.get("src", "data:").startswith("data:")
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src 'none'" in html


def test_equal_data_gives_equal_bytes(tmp_path):
    write_report(tmp_path / "a.html", report_data(3))
    write_report(tmp_path / "b.html", report_data(3))
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_all_text_is_escaped():
    base = report_data(1)
    data = replace(
        base,
        title=EVIL,
        subtitle=EVIL,
        subject=EVIL,
        standing_on=EVIL,
        facts=[(EVIL, EVIL)],
        verdict=replace(
            base.verdict,
            gate_file=EVIL,
            description=EVIL,
            rows=(replace(base.verdict.rows[0], label=EVIL, why=EVIL, note=EVIL, unit=EVIL, kind="mean"),),
        ),
        kpis=[replace(base.kpis[3], name=EVIL, unit=EVIL)],
        failures=[replace(base.failures[0], title=EVIL, command=EVIL, detail=EVIL)],
        plan_svg='<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        plan_caption=EVIL,
        frames=[(EVIL, base.frames[0][1])],
        dataset=[(EVIL, EVIL)],
        class_counts={EVIL: 3},
        command=EVIL,
        conditions=[(EVIL, EVIL)],
        warnings=[EVIL],
        gap=GapSection(
            source=EVIL,
            metrics=[
                GapMetric(EVIL, EVIL, Estimate(1, 1, 2), Estimate(2, 1, 3), h, r) for h in (1, 5) for r in (EVIL, "b")
            ],
            trajectories=[TrajectoryPlot(EVIL, np.zeros((3, 2)), caption=EVIL)],
            parameters=[TwinParameter(EVIL, 1.0, unit=EVIL)],
            notes=[EVIL],
        ),
    )
    text = render_report(data)
    page = Page(text)
    assert not any(name == "script" for name, _ in page.tags)
    assert not any("onerror" in attributes for _, attributes in page.tags)
    assert page.words.count("<script>alert(1)</script>") >= 25


def test_a_plan_with_scripts_is_only_ever_a_picture():
    svg = "<svg viewBox='0 0 1 1'><script>alert(1)</script></svg>"
    page = Page(render_report(ReportData(title="t", plan_svg=svg)))
    (source,) = [a["src"] for name, a in page.tags if name == "img"]
    embedded = base64.b64decode(source.removeprefix("data:image/svg+xml;base64,")).decode()
    assert embedded.startswith('<svg xmlns="http://www.w3.org/2000/svg" viewBox=')


def test_pictures_and_charts_have_texts_and_tables_have_heads(html):
    tags = Page(html).tags
    for name, attributes in tags:
        if name == "img":
            assert attributes["alt"]
        if name == "svg":
            assert attributes.get("aria-label") or attributes.get("aria-hidden") == "true"
        if name == "th":
            assert attributes["scope"] in ("col", "row")
    assert sum(name == "table" for name, _ in tags) == sum(name == "caption" for name, _ in tags) == 5
    levels = [int(name[1]) for name, _ in tags if re.fullmatch("h[1-6]", name)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_an_almost_empty_page_has_no_empty_sections():
    page = Page(render_report(ReportData(title="Gap only")))
    assert [name for name, _ in page.tags].count("section") == 0
    page = Page(render_report(ReportData(title="Gap only", gap=gap())))
    assert "Sim-to-real gap" in page.words
    assert "Limits" not in page.words


def test_gap_without_calibration_has_one_column_of_values():
    rows = [{"name": "pos_end_err", "robot": 1, "horizon_s": h, "value": 0.1 * h, "unit": "m"} for h in (1, 5)]
    page = Page(render_report(ReportData(title="t", gap=GapSection(metrics=pair_metrics(rows, [])))))
    assert "Change" not in page.words
    assert "0.500 m" in page.words


def test_pairing_keeps_order_and_one_sided_metrics():
    before = [{"name": "a", "robot": "r", "horizon_s": 1, "value": 2.0, "ci_low": 1.0, "ci_high": 3.0, "unit": "m"}]
    after = [
        {"name": "a", "robot": "r", "horizon_s": 1, "value": 1.0},
        {"name": "b", "robot": None, "value": float("nan")},
    ]
    first, second = pair_metrics(before, after)
    assert (first.before, first.after) == (Estimate(2.0, 1.0, 3.0), Estimate(1.0))
    assert (second.name, second.robot, second.before, second.after) == ("b", "", None, None)


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (Estimate(1.0, 0.9, 1.1), "−50 % clearly better"),
        (Estimate(4.0, 3.9, 4.1), "+100 % clearly worse"),
        (Estimate(1.8, 1.5, 2.1), "−10 % no clear difference"),
        (Estimate(1.8), "−10 % too few windows for an interval"),
    ],
)
def test_a_change_is_called_clear_only_if_intervals_part(after, words):
    metric = GapMetric("pos_end_err", "m", Estimate(2.0, 1.9, 2.1), after, 5.0)
    assert words in Page(render_report(ReportData(title="t", gap=GapSection(metrics=[metric])))).words


def test_a_paired_difference_decides_before_overlapping_intervals():
    rows = [
        {"name": "pos_end_err", "robot": "r", "horizon_s": 5.0, "value": v, "ci_low": 1.0, "ci_high": 3.0}
        for v in (2, 1.9)
    ]
    change = {
        "name": "pos_end_err",
        "robot": "r",
        "horizon_s": 5.0,
        "difference": -0.1,
        "ci_low": -0.15,
        "ci_high": -0.05,
    }
    metrics = pair_metrics(rows[:1], rows[1:], [change])
    assert metrics[0].change == Estimate(-0.1, -0.15, -0.05)
    assert "clearly better" in Page(render_report(ReportData(title="t", gap=GapSection(metrics=metrics)))).words


def test_a_figure_of_all_logs_says_how_many_of_them_have_it():
    rows = [
        {"name": "pos_end_err", "robot": robot, "horizon_s": horizon, "value": 1.0, "unit": "m"}
        for robot, horizon in (
            ("a", 1.0),
            ("b", 1.0),
            ("c", 1.0),
            ("all", 1.0),
            ("a", 30.0),
            ("c", 30.0),
            ("all", 30.0),
        )
    ]
    section = GapSection(metrics=pair_metrics(rows, []))
    words = Page(render_report(ReportData(title="t", gap=section))).words
    assert "Position error after 30 s (all: 2 of 3 logs)" in words
    assert "Position error after 1 s (all)" in words


def test_angles_are_shown_in_degrees():
    metric = GapMetric("yaw_end_err", "rad", Estimate(np.pi / 4), Estimate(np.pi / 180), 5.0, floor=np.pi / 360)
    words = Page(render_report(ReportData(title="t", gap=GapSection(metrics=[metric])))).words
    assert "45 → 1 °" in words
    assert "0.500 °" in words


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (ReportData(title="t", frames=[("p", b"GIF89a")]), "not a PNG"),
        (ReportData(title="t", plan_svg="hello"), "not SVG"),
        (ReportData(title="t", gap=GapSection(trajectories=[TrajectoryPlot("x", np.zeros(4))])), r"shape \(4,\)"),
    ],
)
def test_bad_input_writes_nothing(tmp_path, data, message):
    with pytest.raises(InputError, match=message):
        write_report(tmp_path / "r.html", data)
    assert list(tmp_path.iterdir()) == []


def luminance(color):
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_contrast_meets_wcag_aa(theme):
    css = (files(assets) / "templates" / "report.css").read_text()
    block = re.findall(r":root \{(.*?)\}", css, re.S)[theme]
    color = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))
    pairs = [
        (ink, page) for ink in ("ink", "soft", "accent", "pass", "fail", "before", "after") for page in ("page", "card")
    ]
    pairs += [(f"{tone}", f"{tone}-soft") for tone in ("pass", "fail", "open", "accent")]
    pairs += [(ink, f"{tone}-soft") for tone in ("pass", "fail", "open") for ink in ("ink", "soft")]
    pairs += [("soft", "track"), ("ink", "track")]
    for ink, page in pairs:
        a, b = sorted((luminance(color[ink]), luminance(color[page])))
        assert (b + 0.05) / (a + 0.05) >= 4.5, (ink, page)
