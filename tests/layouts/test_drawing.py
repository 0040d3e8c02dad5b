import math
import re
from types import SimpleNamespace
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from floorcast.common.errors import InputError
from floorcast.layouts.drawing import PNG_SCALE, draw_plan, plan_svg
from floorcast.layouts.generator import LayoutRecipe, generate_layout
from floorcast.layouts.model import Lane, Layout, Waypoint
from floorcast.layouts.plan import bay_loads, plan_marks
from floorcast.layouts.plan_shapes import STYLES

from .hall import small_hall

SVG = "{http://www.w3.org/2000/svg}"


def shapes(svg, style):
    return [element for element in ElementTree.fromstring(svg).iter() if element.get("class") == f"p-{style}"]


def test_the_svg_holds_one_mark_for_each_thing():
    layout = generate_layout(LayoutRecipe(area=800.0), 1)
    plan = plan_marks(layout)
    titles = [mark.text for mark in plan.marks if mark.kind != "text"]
    for thing in (*layout.racks, *layout.conveyors, *layout.docks, *layout.chargers, *layout.columns, *layout.stations):
        assert sum(title.split(",")[0].endswith(f" {thing.id}") for title in titles) == 1, thing.id
    root = ElementTree.fromstring(plan_svg(layout))
    assert root.find(f"{SVG}title").text == layout.name
    assert "800 m²" in root.find(f"{SVG}desc").text
    width, height = map(float, root.get("viewBox").split()[2:])
    for numbers in (e.get("points") for e in root.iter() if e.get("points")):
        for x, y in (pair.split(",") for pair in numbers.split()):
            assert 0 <= float(x) <= width
            assert 0 <= float(y) <= height


def test_the_plan_is_to_scale_and_north_is_up():
    plan = plan_marks(small_hall())
    (floor,) = [mark for mark in plan.marks if mark.style == "floor"]
    xs, ys = zip(*floor.points, strict=True)
    scale = (max(xs) - min(xs)) / 20.0
    assert (max(ys) - min(ys)) / 12.0 == pytest.approx(scale, abs=0.01)
    (rack,) = [mark for mark in plan.marks if mark.text.startswith("rack R2")]
    x, y = np.mean(rack.points, axis=0)
    assert (x - min(xs)) / scale == pytest.approx(12.0, abs=0.01)
    assert (max(ys) - y) / scale == pytest.approx(9.3, abs=0.01)


def test_a_station_arrow_points_along_its_yaw():
    for yaw, (dx, dy) in ((0.0, (1, 0)), (math.pi / 2, (0, -1)), (math.pi, (-1, 0))):
        station = small_hall().stations[0].model_copy(update={"yaw": yaw})
        layout = small_hall().model_copy(update={"stations": (station,)})
        (mark,) = [mark for mark in plan_marks(layout).marks if mark.text == "pick station S1"]
        tip, tail = np.array(mark.points[0]), np.array(mark.points[2])
        assert (tip - tail) / np.linalg.norm(tip - tail) == pytest.approx([dx, dy], abs=0.02)


def test_paths_people_and_events_are_drawn():
    steps = np.linspace(0, 1, 5000)
    robot = np.stack([2 + 10 * steps, 3 + steps, 0 * steps], axis=-1)
    robot[2000:2100] = np.nan
    person = robot[:500, :2] + 1
    events = [
        SimpleNamespace(kind="collision", position=(5.0, 5.0)),
        SimpleNamespace(kind="near_miss", position=(6.0, 5.0)),
        SimpleNamespace(kind="stuck", position=(7.0, 5.0)),
    ]
    plain = plan_svg(small_hall())
    svg = plan_svg(small_hall(), trajectories=[robot, robot[:1]], people=[person], events=events)
    pieces = [e for e in shapes(svg, "path") if e.find(f"{SVG}title") is not None]
    assert len(pieces) == 3  # the first path is cut in two by the gap, the second is a point
    assert len(shapes(svg, "person_path")) == 2  # the path and the legend
    assert len(shapes(svg, "collision")) == 4  # two strokes each, in the plan and in the legend
    assert len(shapes(svg, "near_miss")) == len(shapes(svg, "event")) == 2
    assert not shapes(plain, "collision")
    assert len(svg) < len(plain) + 6_000  # straight paths need few points


def test_thinned_paths_stay_within_a_pixel_of_the_true_ones():
    angle = np.linspace(0, 6 * math.pi, 4000)
    path = np.stack([10 + 0.25 * angle * np.cos(angle), 6 + 0.25 * angle * np.sin(angle)], axis=-1)
    plan = plan_marks(small_hall(), trajectories=[path])
    (mark,) = [mark for mark in plan.marks if mark.text == "robot 0"]
    (floor,) = [mark for mark in plan.marks if mark.style == "floor"]
    left, bottom = min(x for x, _ in floor.points), max(y for _, y in floor.points)
    scale = (max(x for x, _ in floor.points) - left) / 20.0
    assert 50 < len(mark.points) < 500
    true = np.stack([left + path[:, 0] * scale, bottom - path[:, 1] * scale], axis=-1)
    ends = np.array(mark.points)
    start, step = ends[:-1], np.diff(ends, axis=0)
    offset = true[::7, None] - start[None]
    share = np.clip((offset * step).sum(-1) / (step**2).sum(-1), 0, 1)
    distance = np.linalg.norm(offset - share[..., None] * step, axis=-1).min(axis=1)
    assert distance.max() < 0.6


@pytest.mark.parametrize("path", [np.zeros(3), np.zeros((4, 1))])
def test_a_path_of_the_wrong_shape_is_an_error(path):
    with pytest.raises(ValueError, match="path must be"):
        plan_svg(small_hall(), trajectories=[path])


def test_all_nan_and_empty_paths_draw_nothing():
    svg = plan_svg(small_hall(), trajectories=[np.full((5, 2), np.nan), np.zeros((0, 2))])
    assert not [e for e in shapes(svg, "path") if e.find(f"{SVG}title") is not None]


def test_names_cannot_break_out_of_the_svg(tmp_path):
    layout = small_hall().model_copy(update={"name": 'a<b & $x$ "c" </svg><script>'})
    root = ElementTree.fromstring(plan_svg(layout))
    assert root.find(f"{SVG}title").text == layout.name
    assert not list(root.iter(f"{SVG}script"))
    draw_plan(layout, tmp_path / "odd.png")


def test_the_png_shows_things_where_they_are(tmp_path):
    layout = small_hall()
    draw_plan(layout, tmp_path / "plan.PNG")
    draw_plan(layout, tmp_path / "again.png")
    assert (tmp_path / "plan.PNG").read_bytes() == (tmp_path / "again.png").read_bytes()
    image = cv2.imread(str(tmp_path / "plan.PNG"))[..., ::-1]
    plan = plan_marks(layout)
    assert image.shape[:2] == pytest.approx((plan.height * PNG_SCALE, plan.width * PNG_SCALE), abs=2)
    for title, style in (("dock door D1", "dock"), ("charger E1", "charger"), ("column P1", "column")):
        (mark,) = [mark for mark in plan.marks if mark.text == title]
        x, y = np.mean(mark.points, axis=0) * PNG_SCALE
        color = STYLES[style].fill[0]
        assert image[int(y), int(x)].tolist() == [int(color[i : i + 2], 16) for i in (1, 3, 5)]


def test_both_formats_are_written_whole_and_others_refused(tmp_path):
    draw_plan(small_hall(), tmp_path / "new" / "plan.svg")
    assert (tmp_path / "new" / "plan.svg").read_text().rstrip().endswith("</svg>")
    assert [entry.name for entry in (tmp_path / "new").iterdir()] == ["plan.svg"]
    for name in ("plan.jpg", "plan"):
        with pytest.raises(InputError, match="floor plan"):
            draw_plan(small_hall(), tmp_path / name)


def test_dark_pages_recolour_every_style_in_use():
    svg = plan_svg(small_hall())
    used = set(re.findall(r'class="p-(\w+)"', svg))
    dark = svg[svg.index("prefers-color-scheme") :]
    assert used == set(re.findall(r'data-theme="dark"\] \.floor-plan \.p-(\w+)', dark))
    assert used <= set(STYLES)


def test_an_empty_hall_can_be_drawn(tmp_path):
    draw_plan(Layout(length=0.5, width=300.0), tmp_path / "thin.png")
    ElementTree.fromstring(plan_svg(Layout(length=300.0, width=0.5)))


def test_bay_loads_tell_full_bays_from_empty_ones():
    loads = bay_loads(small_hall())
    assert loads["R1"][1] > 0.1
    assert loads["R1"][[0, 2]].tolist() == [0.0, 0.0]
    assert not loads["R2"].any()


def test_lanes_join_their_waypoints_and_arrows_point_the_one_way(monkeypatch):
    points = (Waypoint(id="N1", x=2.0, y=2.0), Waypoint(id="N2", x=2.0, y=9.0, name="gate"))
    lanes = (Lane(id="L1", start="N1", end="N2", one_way=True, max_speed=1.5), Lane(id="L2", start="N2", end="N1"))
    lost = Lane(id="L3", start="N1", end="N9")
    layout = small_hall().model_copy(update={"waypoints": points, "lanes": (*lanes, lost)})
    marks = {mark.text: mark for mark in plan_marks(layout).marks if mark.kind != "text" and mark.text}
    marks = {text: mark for text, mark in marks.items() if mark.style in ("lane", "waypoint")}
    assert set(marks) == {"lane L1, 1.5 m/s", "lane L2", "waypoint N1", "waypoint N2, gate"}
    assert marks["lane L1, 1.5 m/s"].points == (*marks["waypoint N1"].points, *marks["waypoint N2, gate"].points)
    arrow, _ = [mark for mark in plan_marks(layout).marks if mark.style == "lane_arrow"]
    # Northwards, which is up.
    assert arrow.points[0][1] < arrow.points[2][1]
    assert arrow.points[0][0] == pytest.approx(arrow.points[2][0], abs=0.02)
    monkeypatch.setattr("floorcast.layouts.plan.ROUTE_LIMIT", 1)
    words = [mark.text for mark in plan_marks(layout).marks]
    assert "3 lanes, not drawn" in words
    assert "2 waypoints, not drawn" in words
    assert "lane L2" not in words


def test_a_long_title_stays_on_the_page():
    for length in (20, 70, 128):
        plan = plan_marks(small_hall().model_copy(update={"name": "W" * length}))
        (title,) = [mark for mark in plan.marks if mark.style == "title"]
        assert 11.0 <= title.size <= 18.0
        assert title.points[0][0] + 0.62 * title.size * len(title.text) <= plan.width
        assert title.text.endswith("…") == (len(title.text) < length)
