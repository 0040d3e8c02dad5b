import re
from dataclasses import replace

import numpy as np
import pytest

from floorcast.common.errors import InputError
from floorcast.validation.gap_page import Block, GapPage, Histogram, MapPicture, Split, render_gap_page, write_gap_page
from floorcast.validation.gap_plots import Bars, histogram, map_picture, share_bar, timeline

from .gap_sample import gap_page
from .test_report import EVIL, Page
from .test_report_browser import browser, show

__all__ = ["browser"]


@pytest.fixture(scope="module")
def html():
    return render_gap_page(gap_page())


def test_the_answer_comes_before_the_remedies_and_those_before_the_figures(html):
    words = Page(html).words
    places = [words.index(text) for text in ("stands 0.14 m", "Use the calibrated twin", "Gains", "Held-out minute 1")]
    assert places == sorted(places)
    for fact in ("31 %", "22 to 40 %", "this log cannot tell how much", "stays randomized", "0.0040 m", "± 0.0100"):
        assert fact in words


def test_links_and_headings_are_sound_and_nothing_comes_from_outside(html):
    tags = Page(html).tags
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    for name, attributes in tags:
        assert name not in ("script", "link", "iframe", "object", "embed")
        assert not any(key.startswith("on") for key in attributes)
        assert attributes.get("src", "data:").startswith("data:")
        if name == "a":
            assert attributes["href"][1:] in ids
        if name == "svg":
            assert attributes.get("aria-label") or attributes.get("aria-hidden") == "true"
    assert sum(name == "table" for name, _ in tags) == sum(name == "caption" for name, _ in tags)
    assert "default-src 'none'" in html
    assert "url(" not in html


def test_hostile_names_are_text():
    page = gap_page(EVIL)
    page = replace(
        page,
        answers=[EVIL],
        facts=[(EVIL, EVIL)],
        findings=[EVIL],
        missing=[(EVIL, EVIL)],
        warnings=[EVIL],
        splits=[Split(EVIL, EVIL, [replace(page.splits[0].shares[0], name=EVIL, meaning=EVIL)], EVIL)],
        lidar=replace(page.lidar, lead=EVIL, notes=[EVIL], maps=[replace(page.lidar.maps[0], title=EVIL)]),
        tasks=Block(lead=EVIL, histograms=[Histogram(EVIL, EVIL, [(EVIL, EVIL, np.zeros(3))], 0, 1, EVIL)]),
        conditions=[(EVIL, EVIL)],
    )
    text = Page(render_gap_page(page))
    assert not any(name == "script" for name, _ in text.tags)
    assert not any("onerror" in attributes for _, attributes in text.tags)
    assert text.words.count("<script>alert(1)</script>") >= 25


def test_equal_data_gives_equal_bytes(tmp_path):
    for name in ("a.html", "b.html"):
        write_gap_page(tmp_path / name, gap_page())
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_a_section_without_data_is_left_out():
    page = Page(render_gap_page(GapPage(title="Nothing measured", missing=[("Lidar", "the log has no scans")])))
    ids = {attributes.get("id") for name, attributes in page.tags if name == "section"}
    assert ids == {"log", "words"}


def test_the_shares_of_a_bar_have_their_lengths():
    bar = share_bar([("dynamics", 0.5), ("scene", 0.25), ("sensor", -0.1), ("unexplained", 0.25)], alt="x")
    widths = [float(width) for width in re.findall(r'kind-\w+" x="[\d.]+" y="0" width="([\d.]+)"', bar)]
    assert widths == pytest.approx([300 - 1.5, 150 - 1.5, 150 - 1.5])


def test_a_histogram_draws_every_bin_to_scale():
    chart = histogram(np.array([0.0, 1.0, 2.0]), [Bars("a", "s-after", np.array([0.25, 0.75]))], unit="m", alt="x")
    path = re.search(r'class="s-after" d="M([^"]+)"', chart).group(1)
    heights = [float(point.split()[1]) for point in path.split("L")]
    low, quarter, most = heights[0], heights[1], heights[3]
    assert (low - quarter) / (low - most) == pytest.approx(1 / 3, abs=0.01)


def test_a_map_keeps_its_proportions_and_thins_its_points():
    walls = np.array([[0.0, 0.0, 30.0, 10.0]])
    points = {"match": np.random.default_rng(0).random((50_000, 2)) * (30, 10)}
    picture = map_picture(walls, points, alt="x")
    x1, y1, x2, y2 = map(float, re.search(r'class="wall" d="M([\d.]+) ([\d.]+)L([\d.]+) ([\d.]+)"', picture).groups())
    assert (x2 - x1) / (y1 - y2) == pytest.approx(3.0, rel=0.01)
    assert picture.count("h0") <= 6_000


def test_a_course_breaks_where_nothing_is_known():
    values = np.array([1.0, np.nan, 1.0, 2.0])
    chart = timeline(np.arange(4.0), values, (0.5, 1.5), alarm_at=3.0, unit="m", alt="x")
    assert re.search(r'class="s-after" d="([^"]+)"', chart).group(1).count("M") == 2
    assert 'class="alarm"' in chart


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (Block(maps=[MapPicture("hall", np.zeros((3, 2)), {})]), r"\(3, 2\)"),
        (Block(histograms=[Histogram("e", "m", [], 1.0, 1.0)]), "no width"),
    ],
)
def test_bad_pictures_write_nothing(tmp_path, block, message):
    with pytest.raises(InputError, match=message):
        write_gap_page(tmp_path / "p.html", GapPage(title="t", lidar=block))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390, 320])
def test_the_page_opens_without_errors_and_fits_the_screen(browser, tmp_path, width):
    write_gap_page(tmp_path / "gap.html", gap_page())
    show(browser, (tmp_path / "gap.html").as_uri(), width, "dark")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    text = browser.execute_script("return document.body.innerText")
    for words in ("In short", "What to fix first", "Use the calibrated twin", "Where the gap comes from"):
        assert words in text
    sizes = browser.execute_script(
        "return [...document.querySelectorAll('svg.chart, svg.share')].map(s => s.getBoundingClientRect().width)"
    )
    assert len(sizes) == 9
    assert min(sizes) > 200
