"""Ways that keep to one-way aisles, lanes and speed limits, and ways in halls that are searched by blocks."""

from __future__ import annotations

import math

import numpy as np
import pytest

from floorcast.layouts.generator import LayoutRecipe, generate_layout
from floorcast.layouts.model import Aisle, Lane, Layout, Rack, Waypoint
from floorcast.policies import planner
from floorcast.policies.planner import Path, PlannerSettings, navigation_map, plan_path
from floorcast.policies.pursuit import PursuitSettings, speed_profile
from floorcast.robots.model import RobotModel

ROBOT = RobotModel()
SETTINGS = PlannerSettings.for_robot(ROBOT.length, ROBOT.width)


def loop_hall(*, blocked: bool = False) -> Layout:
    """Two aisles about a rack, driven one way round; the northern one may be walled off by a rack across it."""
    racks = [Rack(id="R1", x=12.0, y=5.0, bays=5, bay_width=2.4, depth=1.2)]
    if blocked:
        racks.append(Rack(id="R2", x=12.0, y=7.8, bays=1, bay_width=1.2, depth=4.4))
    return Layout(
        length=24.0,
        width=10.0,
        racks=tuple(racks),
        aisles=(
            Aisle(id="A1", start=(3.0, 2.2), end=(21.0, 2.2), width=4.4, one_way=True),
            Aisle(id="A2", start=(21.0, 7.8), end=(3.0, 7.8), width=4.4, one_way=True),
            Aisle(id="X1", start=(3.0, 1.0), end=(3.0, 9.0), width=4.0),
            Aisle(id="X2", start=(21.0, 1.0), end=(21.0, 9.0), width=4.0),
        ),
    )


def wrong_metres(path: Path, low: float, high: float) -> float:
    """Metres driven west below y = 5 and east above it, between two x [m]."""
    middle, step = 0.5 * (path.points[1:] + path.points[:-1]), np.diff(path.points, axis=0)
    inside = (middle[:, 0] > low) & (middle[:, 0] < high)
    back = np.where(middle[:, 1] < 5.0, -step[:, 0], step[:, 0])
    return float(np.sum(np.maximum(back, 0.0)[inside]))


def test_way_to_a_place_just_behind_leads_all_the_way_round() -> None:
    nav = navigation_map(loop_hall())
    start, goal = np.array([12.0, 2.2]), np.array([9.0, 2.2])
    path = plan_path(nav, start, goal, SETTINGS)
    assert path is not None
    # Twice the length between the cross aisles, and twice across: a path that cuts corners saves a few metres.
    assert path.length > 28.0
    assert wrong_metres(path, 5.2, 18.8) < 0.05
    free = plan_path(navigation_map(loop_hall().model_copy(update={"aisles": ()})), start, goal, SETTINGS)
    assert free is not None
    assert free.length < 3.2


def test_wrong_way_is_the_last_resort() -> None:
    path = plan_path(navigation_map(loop_hall(blocked=True)), np.array([12.0, 2.2]), np.array([9.0, 2.2]), SETTINGS)
    assert path is not None
    assert path.length < 3.5
    assert path.cost > 500.0


def test_who_drives_one_way_keeps_to_the_middle() -> None:
    path = plan_path(navigation_map(loop_hall()), np.array([5.5, 2.2]), np.array([18.5, 2.2]), SETTINGS)
    assert path is not None
    assert np.max(np.abs(path.points[:, 1] - 2.2)) < 0.2


def test_way_keeps_to_lanes_and_their_speed() -> None:
    corners = {"a": (2.0, 2.0), "b": (10.0, 2.0), "c": (10.0, 10.0)}
    layout = Layout(
        length=12.0,
        width=12.0,
        waypoints=tuple(Waypoint(id=name, x=x, y=y) for name, (x, y) in corners.items()),
        lanes=(Lane(id="ab", start="a", end="b", max_speed=0.3), Lane(id="bc", start="b", end="c", one_way=True)),
    )
    nav = navigation_map(layout)
    there = plan_path(nav, np.array(corners["a"]), np.array(corners["c"]), SETTINGS)
    back = plan_path(nav, np.array(corners["c"]), np.array(corners["a"]), SETTINGS)
    assert there is not None
    assert back is not None
    # On the lanes there; back over the floor beside the second one, which may not be driven that way.
    assert there.length > 14.5
    assert np.all(np.min(np.abs(there.points - (10.0, 2.0)), axis=1) < 0.65)
    second = (back.points[:, 1] > 2.8) & (back.points[:, 1] < 9.2)
    assert np.min(np.abs(back.points[second, 0] - 10.0)) > 0.3
    profile = speed_profile(there, PursuitSettings.for_robot(ROBOT))
    on_first = (there.points[:, 0] < 9.0) & (there.points[:, 1] < 2.3)
    assert np.max(profile[on_first]) <= 0.3 + 1e-6
    assert np.max(profile) > 0.6


@pytest.mark.parametrize("one_way", [True, False])
def test_search_by_blocks_is_hardly_longer_and_finds_all(one_way: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = generate_layout(LayoutRecipe(area=500.0, fill=0.0, one_way=one_way, cross_aisle_width=3.0), 2)
    assert any(aisle.one_way for aisle in layout.aisles) == one_way
    nav = navigation_map(layout)
    ends = [np.array([s.x, s.y]) for s in layout.stations[::2]]
    pairs = [(a, b) for a in ends for b in ends if a is not b]
    exact = [plan_path(nav, a, b, SETTINGS) for a, b in pairs]
    monkeypatch.setattr(planner, "COARSE_CELLS", 0)
    blocks = [plan_path(nav, a, b, SETTINGS) for a, b in pairs]
    ratio = []
    for one, other in zip(exact, blocks, strict=True):
        assert one is not None
        assert other is not None
        assert other.cost >= one.cost * (1 - 1e-5)
        ratio.append(other.cost / one.cost)
    assert np.mean(ratio) < 1.05
    assert math.isfinite(max(ratio))
    assert max(ratio) < 1.6
