"""Conveyors in layouts: what old files mean, centre lines, joints, checks, shapes and plans."""

import math

import numpy as np
import pytest

from floorcast.common.config import config_hash
from floorcast.layouts.conveyors import (
    conveyor_joints,
    conveyor_pieces,
    line_length,
    line_pose,
    nearest_on_line,
)
from floorcast.layouts.geometry import layout_solids
from floorcast.layouts.model import Conveyor, Layout, Station
from floorcast.layouts.plan import plan_marks
from floorcast.layouts.validation import check_layout


def hall(*conveyors, stations=()):
    return Layout(name="h", length=20.0, width=12.0, conveyors=conveyors, stations=stations)


def belt(name="A", start=(2.0, 3.0), end=(8.0, 3.0), **more):
    return Conveyor(id=name, start=start, end=end, **more)


def round_the_corner(**more):
    return belt(end=(8.0, 8.0), bends=({"x": 8.0, "y": 3.0, "radius": 2.0},), **more)


def test_a_conveyor_that_says_nothing_new_is_written_and_hashed_as_before():
    plain = Layout(name="h", length=20.0, width=12.0, conveyors=(belt(),))
    dumped = plain.model_dump(mode="json")["conveyors"][0]
    assert list(dumped) == ["id", "start", "end", "width", "height", "speed"]
    said = belt(kind="belt", merge="zipper", friction=0.5, at_end="hold")
    assert config_hash(said) == config_hash(belt())
    assert config_hash(belt(friction=0.4)) != config_hash(belt())


def test_layouts_with_conveyors_come_back_from_yaml_as_they_were(tmp_path):
    full = round_the_corner(
        kind="roller",
        next="B",
        divert={"to": "C", "rule": "share", "share": 0.3},
        induct="S",
        merge="priority",
        priority=2,
        zone_length=1.0,
        eyes=({"id": "E", "at": 1.5},),
        friction=0.3,
        guide_height=0.1,
    )
    layout = hall(full, stations=(Station(id="S", x=1.0, y=3.0),))
    layout.save(tmp_path / "hall.yaml")
    assert Layout.load(tmp_path / "hall.yaml") == layout


def test_a_bend_is_an_arc_between_its_legs():
    pieces = conveyor_pieces(round_the_corner())
    assert [piece.length for piece in pieces] == pytest.approx([4.0, math.pi, 3.0])
    assert [piece.curvature for piece in pieces] == pytest.approx([0.0, 0.5, 0.0])
    for s in np.linspace(4.0, 4.0 + math.pi, 7):
        x, y, yaw = line_pose(pieces, s)
        assert math.hypot(x - 6.0, y - 5.0) == pytest.approx(2.0)
        assert yaw == pytest.approx((s - 4.0) / 2.0)
    assert line_pose(pieces, line_length(pieces))[:2] == pytest.approx((8.0, 8.0))


@pytest.mark.parametrize("turn", [1, -1])
def test_the_nearest_place_of_a_line_is_found_again_from_beside_it(turn):
    pieces = conveyor_pieces(belt(end=(8.0, 3.0 + 5 * turn), bends=({"x": 8.0, "y": 3.0, "radius": 1.5},)))
    for s in np.linspace(0.1, line_length(pieces) - 0.1, 23):
        x, y, yaw = line_pose(pieces, s)
        for offset in (-0.4, 0.0, 0.3):
            found, away = nearest_on_line(pieces, x - offset * math.sin(yaw), y + offset * math.cos(yaw))
            assert (found, away) == pytest.approx((s, abs(offset)), abs=1e-9)


def test_joints_say_where_goods_enter_and_how_they_turn():
    layout = hall(
        belt("A", next="B", divert={"to": "C"}),
        belt("B", start=(8.0, 3.0), end=(12.0, 3.0)),
        belt("C", start=(8.0, 3.3), end=(8.0, 7.7), next="D"),
        belt("D", start=(6.0, 8.0), end=(12.0, 8.0)),
    )
    inline, aside, merge = conveyor_joints(layout)
    assert (inline.entry, inline.transfer, inline.angle) == pytest.approx((0.0, 0.0, 0.0))
    assert (aside.entry, aside.transfer, aside.angle) == pytest.approx((-0.3, 0.0, math.pi / 2))
    assert (merge.entry, merge.transfer, merge.angle) == pytest.approx((2.0, 0.3, -math.pi / 2))
    assert check_layout(layout) == []


def test_valid_networks_pass():
    station = Station(id="S", x=13.0, y=3.0)
    assert check_layout(hall(belt(next="S"), stations=(Station(id="S", x=9.0, y=3.0),))) == []
    assert check_layout(hall(round_the_corner(), stations=(station,))) == []


@pytest.mark.parametrize(
    ("conveyors", "field", "words"),
    [
        ([belt(next="X")], "conveyors[0].next", "no conveyor or station"),
        ([belt(next="A")], "conveyors[0].next", "feeds itself"),
        ([belt(next="B"), belt("B", (8.5, 3), (12, 3))], "conveyors[0].next", "misses 'B', which it feeds, by 0.50 m"),
        ([belt(next="B"), belt("B", (8, 3), (12, 3), height=0.9)], "conveyors[0].next", "0.15 m above"),
        ([belt(next="B"), belt("B", (12, 3), (8, 3))], "conveyors[0].next", "against its motion"),
        (
            [belt(next="B"), belt("B", (8.3, 3), (8.3, 8), next="C"), belt("C", (8.3, 8.3), (2, 8.3), next="D"),
             belt("D", (1.7, 8.3), (1.7, 3), next="A")],
            "conveyors[3].next", "round and round: A -> B -> C -> D -> A",
        ),
        ([belt(induct="X")], "conveyors[0].induct", "no station"),
        ([belt(induct="FAR")], "conveyors[0].induct", "16.0 m away"),
        ([belt(divert={"to": "FAR"})], "conveyors[0].divert", "no 'next'"),
        ([belt(next="FAR", at_end="fall")], "conveyors[0].at_end", "nothing falls off"),
        ([belt(eyes=({"id": "E", "at": 7.0},))], "conveyors[0].eyes[0].at", "6.00 m long"),
        ([belt(eyes=({"id": "E", "at": 1.0}, {"id": "E", "at": 2.0}))], "conveyors[0].eyes[1].id", "already that"),
        ([belt(zone_length=7.0)], "conveyors[0].zone_length", "only 6.00 m"),
        ([belt(zone_length=0.2, speed=2.0)], "conveyors[0].zone_length", "need 0.41 m to stop"),
        ([belt(end=(8, 8), bends=({"x": 8, "y": 3, "radius": 0.2},))], "conveyors[0].bends[0].radius", "0.6 m wide"),
        ([belt(end=(8, 8), bends=({"x": 8, "y": 3, "radius": 5.5},))], "conveyors[0].bends", "5.50 m of a leg of 5.00"),
        ([belt(end=(3, 3), bends=({"x": 8, "y": 3, "radius": 1.0},))], "conveyors[0].bends[0]", "turns back"),
        ([round_the_corner(speed=4.0)], "conveyors[0].bends[0].radius", "holds goods up to 3.13 m/s"),
        ([belt(), belt("B", (5, 1), (5, 6))], "conveyors[1]", "overlaps"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(conveyors, field, words):
    far = Station(id="FAR", x=18.0, y=3.0)
    problems = check_layout(hall(*conveyors, stations=(far,)))
    assert any(problem.field == field and words in problem.message for problem in problems), problems


def test_a_curved_conveyor_is_solid_all_the_way_round_and_free_inside():
    solids = layout_solids(hall(round_the_corner())).static
    solids = solids.take(solids.kind == 0)
    pieces = conveyor_pieces(round_the_corner())

    def covered(x, y, z):
        local = np.array([x, y, z]) - solids.position
        yaw = 2.0 * np.arctan2(solids.quaternion[:, 2], solids.quaternion[:, 3])
        along = np.cos(yaw) * local[:, 0] + np.sin(yaw) * local[:, 1]
        across = np.cos(yaw) * local[:, 1] - np.sin(yaw) * local[:, 0]
        inside = (abs(along) <= solids.size[:, 0]) & (abs(across) <= solids.size[:, 1])
        return bool((inside & (abs(local[:, 2]) <= solids.size[:, 2])).any())

    for s in np.linspace(0.05, line_length(pieces) - 0.05, 60):
        x, y, yaw = line_pose(pieces, s)
        for offset in (-0.24, 0.0, 0.24):
            assert covered(x - offset * math.sin(yaw), y + offset * math.cos(yaw), 0.7)
        for offset in (-0.275, 0.275):
            assert covered(x - offset * math.sin(yaw), y + offset * math.cos(yaw), 0.745)
        assert not covered(x, y, 0.735)
    assert not covered(6.0, 5.0, 0.7)


def test_rails_are_open_where_goods_come_in_from_the_side():
    layout = hall(belt("A"), belt("S", start=(5.0, 0.5), end=(5.0, 2.7), next="A"))
    solids = layout_solids(layout).static
    top = solids.position[:, 2] + solids.size[:, 2]
    rails = solids.take((top > 0.745) & (solids.position[:, 1] < 2.8) & (solids.size[:, 0] > 0.5))
    rails = rails.take(abs(rails.position[:, 1] - 2.725) < 1e-6)
    low, high = rails.position[:, 0] - rails.size[:, 0], rails.position[:, 0] + rails.size[:, 0]
    assert not ((low < 5.29) & (high > 4.71)).any()
    assert low.min() == pytest.approx(2.0)
    assert high.max() == pytest.approx(8.0)


def test_plans_show_the_flow_and_the_eyes():
    marks = plan_marks(hall(round_the_corner(eyes=({"id": "E1", "at": 2.0},)))).marks
    arrows = [mark for mark in marks if mark.style == "chevron"]
    # One each 0.9 m or so, the last pointing up the page.
    assert len(arrows) == math.floor((7.0 + math.pi) / 0.9)
    (x0, y0), (x1, y1), (x2, y2) = arrows[-1].points
    assert y1 < min(y0, y2)
    assert x1 == pytest.approx(0.5 * (x0 + x2), abs=0.02)
    assert next(mark.text for mark in marks if mark.style == "eye") == "photo-eye E1"
