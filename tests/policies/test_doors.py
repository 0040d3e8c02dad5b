"""Ways through doors that leave a robot 7 cm on either side."""

from __future__ import annotations

import math

import numpy as np
import pytest

from floorcast.layouts.model import Layout, SourceFrame, Station, Wall
from floorcast.policies.planner import PlannerSettings, navigation_map, plan_path
from floorcast.robots.model import RobotModel
from floorcast.validation.drive import drive_between_stations

ROBOT = RobotModel()


def slanted_door(gap: float, tilt: float, *, imported: bool = True) -> Layout:
    """Two rooms parted by a slanted wall with a door; the way to it comes from the side."""
    ex, ey = math.sin(-tilt), math.cos(-tilt)
    points = [(6.0 + s * ex, 4.0 + s * ey) for s in (-4.2, -0.5 * gap, 0.5 * gap, 4.2)]
    walls = tuple(Wall(id=f"W{i}", start=points[i], end=points[i + 1], thickness=0.1, height=2.5) for i in (0, 2))
    stations = (Station(id="a", x=2.5, y=6.5), Station(id="b", kind="drop", x=9.5, y=6.5))
    source = SourceFrame(file="site", format="test") if imported else None
    return Layout(length=12.0, width=8.0, height=3.0, walls=walls, stations=stations, source=source)


@pytest.mark.parametrize("tilt", [0.0, 0.35, -0.6])
def test_way_leads_straight_through_the_middle_of_a_tight_door(tilt: float) -> None:
    nav = navigation_map(slanted_door(0.79, tilt))
    assert nav.sharp
    settings = PlannerSettings.for_robot(ROBOT.length, ROBOT.width, sharp=True)
    path = plan_path(nav, np.array([2.5, 6.5]), np.array([9.5, 6.5]), settings)
    assert path is not None
    through = np.array([math.cos(tilt), -math.sin(tilt)]) * (1.0, -1.0)
    local = path.points - (6.0, 4.0)
    along, beside = local @ through, local @ np.array([-through[1], through[0]])
    near = np.abs(along) < 0.6
    assert np.count_nonzero(near) > 8
    assert np.max(np.abs(beside[near])) < 0.05
    heading = np.diff(path.points, axis=0)[near[1:] & near[:-1]]
    assert np.max(np.abs(np.arctan2(heading @ np.array([-through[1], through[0]]), heading @ through))) < 0.12


def test_doors_one_close_behind_the_other_still_give_a_way() -> None:
    walls = [
        Wall(id=f"W{k}{side}", start=(x, low), end=(x, high), thickness=0.1, height=2.5)
        for k, x in enumerate((4.0, 5.0, 6.4, 9.0))
        for side, low, high in (("a", 0.0, 3.6 + 0.3 * (k % 2)), ("b", 4.4 + 0.3 * (k % 2), 8.0))
    ]
    layout = slanted_door(0.79, 0.0).model_copy(update={"walls": tuple(walls)})
    settings = PlannerSettings.for_robot(ROBOT.length, ROBOT.width, sharp=True)
    nav = navigation_map(layout)
    for start, goal in (((2.0, 4.0), (10.5, 4.0)), ((10.5, 6.5), (2.0, 1.5)), ((4.5, 4.2), (10.5, 4.0))):
        path = plan_path(nav, np.array(start), np.array(goal), settings)
        assert path is not None
        assert np.allclose(path.points[0], start)
        assert np.allclose(path.points[-1], goal)
        assert np.max(np.hypot(*np.diff(path.points, axis=0).T)) < 0.25
        assert path.length < 2.0 * math.dist(start, goal)


def test_generated_halls_are_measured_as_ever() -> None:
    nav = navigation_map(slanted_door(0.79, 0.35, imported=False))
    assert not nav.sharp
    settings = PlannerSettings.for_robot(ROBOT.length, ROBOT.width)
    assert plan_path(nav, np.array([2.5, 6.5]), np.array([9.5, 6.5]), settings) is None


@pytest.mark.slow
def test_robot_drives_through_a_tight_door() -> None:
    drives = drive_between_stations(slanted_door(0.79, 0.35), episodes=2, seed=0)
    assert all(drive.success for drive in drives)
    assert {drive.pick for drive in drives} == {"a"}
    assert all(drive.length < 2.0 * drive.shortest for drive in drives)
