"""Long robots at stations: where they stand, the curves they come and leave by, and whole errands of every kind."""

from __future__ import annotations

import numpy as np
import pytest

from floorcast.episodes.hall import hall_of
from floorcast.episodes.loop import run_episode
from floorcast.episodes.scenario import Scenario, load_scenario
from floorcast.episodes.tasks import ROOM, SHORT_OF, standing_place
from floorcast.layouts.generator import generate_layout
from floorcast.layouts.recipe import LayoutRecipe
from floorcast.policies.approach import Approach
from floorcast.policies.planner import navigation_map
from floorcast.policies.registry import load_policy
from floorcast.robots.load import load_robot

LAYOUT = generate_layout(LayoutRecipe(area=600, aisle_width=4.2, cross_aisle_width=4.2, loose_goods=0), 3)
TRUCK = load_robot("forklift")


@pytest.fixture(scope="module")
def ground():
    return hall_of(LAYOUT).ground(0.5 * TRUCK.width)


def places(ground):
    """Every station with where the truck stands at it; one beside a column has no place for it."""
    found = [(station, standing_place(station, ground, TRUCK)) for station in LAYOUT.stations]
    usable = [(station, place) for station, place in found if place is not None]
    assert len(usable) >= len(found) - 1
    return usable


def test_short_robots_stand_right_at_their_stations(ground):
    for station in LAYOUT.stations:
        assert standing_place(station, ground, load_robot("amr_100")) is station


def test_a_truck_stops_short_of_what_its_nose_would_run_into(ground):
    moved = 0
    for station, place in places(ground):
        back = np.array([station.x - place.x, station.y - place.y])
        along = back @ (np.cos(station.yaw), np.sin(station.yaw))
        assert np.hypot(*back) == pytest.approx(along, abs=1e-9)
        assert 0.0 <= along <= SHORT_OF
        assert place.yaw == station.yaw
        gap = Approach(navigation_map(LAYOUT), TRUCK).gap(np.array([[place.x, place.y, place.yaw]]))[0]
        assert gap > ROOM - 0.15, "of one cell of the grid"
        moved += along > 0
    assert moved, "some stations must face a wall or a conveyor for this to mean anything"


def test_curves_lead_from_room_to_turn_into_the_station_and_out(ground):
    nav = navigation_map(LAYOUT)
    approach = Approach(nav, TRUCK)
    tight = 0
    for _, place in places(ground):
        goal = np.array([place.x, place.y, place.yaw])
        if approach.turns_at(goal):
            continue
        tight += 1
        stage, path = approach.into(goal)
        assert approach.turns_at(stage)
        assert path.points[-1] == pytest.approx(goal[:2], abs=1e-9)
        assert path.points[0] == pytest.approx(stage[:2])
        step = np.diff(path.points, axis=0)
        heading = np.arctan2(step[:, 1], step[:, 0])
        assert np.cos(heading[[0, -1]] - goal[2]) == pytest.approx(1.0, abs=1e-2)
        poses = np.column_stack([path.points[:-1], heading])
        assert approach.gap(poses).min() > 0.08
        assert np.diff(path.arc) == pytest.approx(np.hypot(*step.T))
        out = approach.out_of(goal)
        assert out is None or approach.turns_at(np.array([*out.points[-1], goal[2]]))
    assert tight


def test_ends_that_would_swing_into_a_rack_are_noticed(ground):
    approach = Approach(navigation_map(LAYOUT), TRUCK)
    station = next(
        s for s in LAYOUT.stations if not approach.turns_at(np.array([s.x, s.y, s.yaw])) and s.kind == "pick"
    )
    place = standing_place(station, ground, TRUCK)
    pose = np.array([place.x, place.y, place.yaw])
    assert approach.keeps_clear(pose, 0.3, 0.0)
    assert not (approach.keeps_clear(pose, 0.0, 0.8) and approach.keeps_clear(pose, 0.0, -0.8))
    assert Approach(navigation_map(LAYOUT), load_robot("amr_100")).keeps_clear(pose, 0.0, 0.8)


@pytest.mark.slow
@pytest.mark.parametrize(("robot", "aisle"), [("forklift", 4.0), ("mecanum", 2.8)])
def test_the_navigator_does_errands_with_robots_of_every_kind(robot, aisle):
    """In clear halls whose aisles are as wide as the robot needs them."""
    data = load_scenario("nominal").model_dump(mode="json")
    data["duration"] = 150.0
    data["robots"]["model"] = robot
    data["robots"]["count"] = {"distribution": "constant", "value": 1, "unit": "1"}
    data["people"]["count"] = {"distribution": "constant", "value": 0, "unit": "1"}
    vary = data["layout"]["vary"]
    vary["aisle_width"] = {"distribution": "uniform", "low": aisle, "high": aisle + 0.4, "unit": "m"}
    vary["area"] = {"distribution": "uniform", "low": 500, "high": 700, "unit": "m2"}
    vary["loose_goods"] = {"distribution": "constant", "value": 0, "unit": "1"}
    data["layout"]["recipe"]["cross_aisle_width"] = aisle
    scenario = Scenario.model_validate(data)
    record = run_episode(scenario, load_policy("navigator"), policy_name="navigator", seed=1, index=3)
    assert record.kpis["success"] == 1.0
    assert not [event for event in record.events if event.kind == "collision"]
