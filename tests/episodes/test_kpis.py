from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from floorcast.episodes.kpi_sums import disc_time_to_collision
from floorcast.episodes.kpis import (
    KPI_BETTER,
    KPI_DEFINITIONS,
    KPI_DESCRIPTIONS,
    KPI_KINDS,
    KPI_UNITS,
    KpiSettings,
    episode_kpis,
)
from floorcast.episodes.record import EpisodeRecord, Event, TaskResult

DT = 0.1
DESIGN = [
    "success", "collision", "collision_speed_mps", "contact_impulse_ns", "timeout",
    "time_s", "path_m", "spl", "barn", "min_sep_m",
    "min_sep_person_m", "ttc_min_s", "stop_margin_min_m", "estop_count", "near_miss_count",
    "intrusion_s", "overspeed_s", "jerk_rms", "stuck_s", "energy_wh",
    "tasks_per_h", "on_time_rate", "deadlock_count", "wait_ratio", "utilisation",
    "cost_per_task",
]  # fmt: skip


def task(**changes) -> TaskResult:
    values = {
        "robot": 0,
        "pick_station": "P",
        "drop_station": "D",
        "start_time": 0.0,
        "pick_time": 5.0,
        "end_time": 10.0,
        "path_length": 12.0,
        "shortest_length": 10.0,
        "success": True,
    }
    return TaskResult(**{**values, **changes})


def record(
    speed=None, *, robots: int = 1, people: np.ndarray | None = None, start=None, steps: int = 101, **changes
) -> EpisodeRecord:
    """Robots that drive along x from ``start`` (R, 3) at ``speed`` (T, R)."""
    speed = np.zeros((steps, robots)) if speed is None else np.asarray(speed, dtype=float)
    steps, robots = speed.shape
    start = np.zeros((robots, 3)) if start is None else np.asarray(start, dtype=float)
    travelled = np.concatenate([np.zeros((1, robots)), np.cumsum(speed[:-1], axis=0) * DT])
    pose = np.repeat(start[None], steps, axis=0)
    pose[:, :, 0] += travelled * np.cos(start[:, 2])
    pose[:, :, 1] += travelled * np.sin(start[:, 2])
    people = np.zeros((steps, 0, 3)) if people is None else people
    values = {
        "scenario_hash": "",
        "twin_version": "",
        "policy": "p",
        "seed": 0,
        "index": 0,
        "layout_hash": "",
        "duration": steps * DT,
        "time": np.arange(steps) * DT,
        "pose": pose,
        "velocity": np.stack([speed, np.zeros_like(speed)], axis=-1),
        "command": np.zeros((steps, robots, 2)),
        "goal": np.zeros((steps, robots, 3)),
        "min_clearance": np.full((steps, robots), 1.5),
        "person_distance": np.full((steps, robots), np.inf),
        "person_pose": people,
        "person_velocity": np.zeros((steps, people.shape[1], 2)),
        "robot_radius": np.full(robots, 0.5),
        "person_radius": np.full(people.shape[1], 0.25),
        "energy_wh": np.full(robots, 2.0),
        "tasks": [task()],
    }
    return EpisodeRecord(**{**values, **changes})


def kpis(item: EpisodeRecord, **changes) -> dict[str, float | None]:
    return episode_kpis(item, control_period=DT, settings=KpiSettings(**changes))


def test_every_kpi_of_the_design_is_there_and_documented() -> None:
    values = kpis(record())
    assert list(values) == list(KPI_DEFINITIONS)
    assert set(DESIGN) == set(values)
    for name, item in KPI_DEFINITIONS.items():
        assert item.description
        assert item.formula
        assert item.source
        assert item.unit == KPI_UNITS[name]
        assert item.better == KPI_BETTER[name]
        assert item.kind == KPI_KINDS[name]
        assert item.description == KPI_DESCRIPTIONS[name]
    assert all(value is None or math.isfinite(value) for value in values.values())
    assert {name for name, item in KPI_DEFINITIONS.items() if item.fleet} == {
        "tasks_per_h", "on_time_rate", "deadlock_count", "wait_ratio", "utilisation", "cost_per_task",
    }  # fmt: skip


def test_outcome_of_a_clean_episode() -> None:
    values = kpis(record())
    assert values["success"] == 1
    assert values["collision"] == 0
    assert values["timeout"] == 0
    assert values["collision_speed_mps"] == 0
    assert values["contact_impulse_ns"] == 0
    assert values["min_sep_m"] == 1.5
    assert values["min_sep_person_m"] is None
    assert values["ttc_min_s"] is None
    assert values["stop_margin_min_m"] is None
    assert values["energy_wh"] == 2.0


def test_any_contact_is_a_failure_even_if_the_task_is_done() -> None:
    events = [
        Event(1.0, "collision", 0, "rack", "R1", value=0.4, impulse=30.0),
        Event(2.0, "collision", 0, "person", "0", value=0.2, impulse=90.0),
        Event(3.0, "near_miss", 0),
        Event(3.5, "near_miss", 0),
        Event(4.0, "estop", 0),
    ]
    values = kpis(record(events=events))
    assert values["success"] == 0
    assert values["collision"] == 1
    assert values["collision_speed_mps"] == 0.4
    assert values["contact_impulse_ns"] == 90.0
    assert values["near_miss_count"] == 2
    assert values["estop_count"] == 1


def test_unfinished_task_is_a_timeout_unless_something_was_hit() -> None:
    late = task(end_time=math.nan, success=False)
    values = kpis(record(tasks=[task(), late]))
    assert (values["success"], values["timeout"]) == (0, 1)
    assert values["time_s"] == pytest.approx(10.1)
    hit = [Event(1.0, "collision", 0, "rack")]
    assert kpis(record(tasks=[late], events=hit))["timeout"] == 0
    assert kpis(record(events=[Event(9.0, "timeout", 0)]))["timeout"] == 1


def test_spl_barn_and_on_time_by_hand() -> None:
    tasks = [
        task(),  # l 10, p 12, AT 10, OT 5
        task(path_length=9.0, end_time=4.0),  # shorter than the shortest: ratio 1; faster than 2 OT: clipped
        task(end_time=100.0),  # slower than 8 OT: clipped; late
        task(success=False, end_time=math.nan),
    ]
    values = kpis(record(tasks=tasks))
    assert values["spl"] == pytest.approx((10 / 12 + 1 + 10 / 12 + 0) / 4)
    assert values["barn"] == pytest.approx((5 / 10 + 5 / 10 + 5 / 40 + 0) / 4)
    assert values["on_time_rate"] == pytest.approx(2 / 4)
    older = kpis(record(tasks=tasks), barn_low=4.0)
    assert older["barn"] == pytest.approx((5 / 20 + 5 / 20 + 5 / 40 + 0) / 4)


def test_task_that_needs_no_way_is_perfect() -> None:
    values = kpis(record(tasks=[task(path_length=0.0, shortest_length=0.0, end_time=1.0)]))
    assert values["spl"] == 1.0
    assert values["barn"] == 0.5


def test_path_time_and_fleet_numbers_by_hand() -> None:
    speed = np.full((101, 2), 1.0)
    speed[:, 1] = 0.0
    goal = np.zeros((101, 2, 3))
    goal[50:, 0] = np.nan
    item = record(speed, goal=goal, start=[[0, 0, 0], [0, 9, 0]], energy_wh=np.array([3.0, 1.0]))
    values = kpis(item)
    assert values["path_m"] == pytest.approx(10.0)
    assert values["energy_wh"] == pytest.approx(4.0)
    assert values["utilisation"] == pytest.approx((50 + 101) / 202)
    assert values["wait_ratio"] == pytest.approx(101 / 151)
    assert values["tasks_per_h"] == pytest.approx(3600 / 10.0)
    assert values["cost_per_task"] == pytest.approx(2 * 10 / 3600 * 4.0 + 4.0 / 1000 * 0.25)


def test_no_tasks_and_no_steps_give_none_not_an_error() -> None:
    values = kpis(record(tasks=[]))
    assert values["success"] == 1
    assert values["spl"] is None
    assert values["cost_per_task"] is None
    empty = kpis(record(np.zeros((0, 1)), tasks=[]))
    assert empty["path_m"] == 0
    assert empty["jerk_rms"] is None
    assert empty["wait_ratio"] is None
    with pytest.raises(ValueError, match="control_period"):
        episode_kpis(record(), control_period=0.0)


def test_intrusion_and_overspeed_count_robot_seconds() -> None:
    speed = np.full((100, 1), 0.5)
    speed[:10] = 2.2
    distance = np.full((100, 1), np.inf)
    distance[20:35] = 0.4  # intrusion, and too fast there
    distance[40:45] = 0.47  # near, but not an intrusion; too fast
    values = kpis(record(speed, person_distance=distance))
    assert values["intrusion_s"] == pytest.approx(1.5)
    assert values["overspeed_s"] == pytest.approx(1.0 + 1.5 + 0.5)
    assert values["min_sep_person_m"] == pytest.approx(0.4)


def test_stop_margin_is_the_worst_moment_of_driving() -> None:
    speed = np.array([[0.0], [1.0], [2.0], [0.0]])
    distance = np.array([[0.0], [1.0], [4.0], [0.1]])
    values = kpis(record(speed, person_distance=distance), reaction_time=0.2, deceleration=1.0, stop_reserve=0.1)
    at_one = 1.0 - (1.0 * 0.2 + 0.5 + 0.1)
    at_two = 4.0 - (2.0 * 0.2 + 2.0 + 0.1)
    assert values["stop_margin_min_m"] == pytest.approx(min(at_one, at_two))


def test_jerk_of_a_constant_jerk_ride() -> None:
    t = np.arange(60) * DT
    assert kpis(record((0.5 * 0.7 * t**2)[:, None]))["jerk_rms"] == pytest.approx(0.7, rel=1e-6)
    assert kpis(record((0.3 * t)[:, None]))["jerk_rms"] == pytest.approx(0.0, abs=1e-9)


def test_stuck_needs_a_goal_that_stays_and_no_progress() -> None:
    speed = np.zeros((300, 1))
    assert kpis(record(speed))["stuck_s"] == pytest.approx(20.0)
    goal = np.zeros((300, 1, 3))
    goal[150:, 0, 0] = 5.0
    assert kpis(record(speed, goal=goal))["stuck_s"] == pytest.approx(2 * 5.0, abs=0.11)
    assert kpis(record(speed, goal=np.full((300, 1, 3), np.nan)))["stuck_s"] == 0
    assert kpis(record(np.full((300, 1), 0.05)))["stuck_s"] == 0
    turning = record(speed)
    turning.pose[:, 0, 2] = np.linspace(0, 3.0, 300)
    assert kpis(turning)["stuck_s"] == 0


def test_deadlock_is_two_that_are_stuck_together() -> None:
    near = [[0, 0, 0], [2, 0, math.pi], [9, 0, 0]]
    speed = np.zeros((400, 3))
    assert kpis(record(speed, start=near))["deadlock_count"] == 1
    far = [[0, 0, 0], [5, 0, 0], [9, 0, 0]]
    assert kpis(record(speed, start=far))["deadlock_count"] == 0
    freed = speed.copy()
    freed[150:170, 0] = 0.4
    assert kpis(record(freed, start=near))["deadlock_count"] == 2


def test_time_to_collision_of_robots_and_people_by_hand() -> None:
    speed = np.full((11, 2), 1.0)
    head_on = record(speed, start=[[0, 0, 0], [11, 0, math.pi]])
    # 11 m apart, radii 0.5 + 0.5, closing at 2 m/s; a second later, at the last step, 9 m apart.
    assert kpis(head_on)["ttc_min_s"] == pytest.approx((9.0 - 1.0) / 2.0)
    side_by_side = record(speed, start=[[0, 0, 0], [0, 3, 0]])
    assert kpis(side_by_side)["ttc_min_s"] is None
    people = np.tile(np.array([[[4.0, 0.0, 0.0]]]), (11, 1, 1))
    alone = record(np.full((11, 1), 1.0), people=people)
    assert kpis(alone)["ttc_min_s"] == pytest.approx((3.0 - 0.75) / 1.0)


def test_pair_times_do_not_depend_on_the_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    item = record(rng.uniform(0, 1.5, (50, 3)), start=rng.uniform(0, 8, (3, 3)), people=rng.uniform(0, 8, (50, 2, 3)))
    whole = kpis(item)["ttc_min_s"]
    monkeypatch.setattr("floorcast.episodes.kpi_sums._PAIRS_AT_ONCE", 7)
    assert whole is not None
    assert kpis(item)["ttc_min_s"] == whole


numbers = st.floats(-6, 6, allow_nan=False)


@settings(max_examples=200, deadline=None)
@given(numbers, numbers, st.floats(-2, 2), st.floats(-2, 2), st.floats(0.1, 1.5))
def test_disc_time_agrees_with_a_march_through_time(px: float, py: float, vx: float, vy: float, radius: float) -> None:
    closed = float(disc_time_to_collision([px, py], [vx, vy], radius))
    t = np.linspace(0.0, 30.0, 30_001)
    distance = np.hypot(px + t * vx, py + t * vy)
    if math.hypot(px, py) < radius:
        assert closed == (0.0 if px * vx + py * vy < 0 else math.inf)
    elif closed <= 30.0:
        assert np.all(distance[t < closed - 1e-3] > radius - 1e-6)
        after = np.hypot(px + closed * vx, py + closed * vy)
        assert after == pytest.approx(radius, abs=1e-4)
    else:
        assert distance.min() > radius - 1e-6 or (px * vx + py * vy >= 0)


def test_grazing_and_standing_discs() -> None:
    assert disc_time_to_collision([5.0, 1.0], [-1.0, 0.0], 1.0) == pytest.approx(5.0)
    assert disc_time_to_collision([5.0, 1.0 + 1e-9], [-1.0, 0.0], 1.0) == math.inf
    assert disc_time_to_collision([3.0, 0.0], [0.0, 0.0], 1.0) == math.inf
    many = disc_time_to_collision(np.ones((4, 3, 2)), -np.ones((4, 3, 2)), np.full(3, 0.5))
    assert many.shape == (4, 3)


def test_settings_refuse_what_makes_no_sense() -> None:
    with pytest.raises(ValueError, match="barn_high"):
        KpiSettings(barn_low=9.0)
    with pytest.raises(ValueError, match="deceleration"):
        KpiSettings(deceleration=0.0)
