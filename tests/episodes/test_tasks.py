import math

import numpy as np
import pytest

from floorcast.common.errors import InputError
from floorcast.common.seeding import generator
from floorcast.episodes.hall import hall_of
from floorcast.episodes.randomization import SampledTask
from floorcast.episodes.tasks import Task, TaskTracker, assign_tasks
from floorcast.layouts.generator import generate_layout
from floorcast.layouts.model import Station, Wall
from floorcast.layouts.recipe import LayoutRecipe
from floorcast.robots.model import RobotModel

from .hall import empty_hall

MODEL = RobotModel()
ONE = SampledTask(payload=20.0, load_time=1.0, unload_time=0.5)


def assign(layout, drawn, seed=0):
    hall = hall_of(layout)
    return assign_tasks(
        layout, [hall.ground(0.5 * MODEL.width)] * len(drawn), [MODEL] * len(drawn), drawn, generator(seed, "tasks")
    )


def test_shortest_length_in_an_empty_hall_is_the_straight_line():
    done = assign(empty_hall(), [[ONE, ONE]])
    first, second = done.tasks[0]
    to_pick = np.hypot(*(done.start[0, :2] - (4.0, 4.0)))
    assert first.shortest == pytest.approx(to_pick + 6.0, abs=0.02)
    assert second.shortest == pytest.approx(12.0, abs=0.02)
    assert len(done.routes) == 4


def test_stations_are_shared_only_if_they_must():
    layout = generate_layout(LayoutRecipe(area=500), 0)
    for seed in range(5):
        done = assign(layout, [[ONE], [ONE]], seed)
        (a,), (b,) = done.tasks
        assert a.pick.id != b.pick.id
        assert a.drop.id != b.drop.id
        assert a.pick.kind == "pick"
        assert a.drop.kind in ("drop", "pack")
        assert np.hypot(*(done.start[0, :2] - done.start[1, :2])) >= 2.0
        assert np.isfinite(a.shortest)
    assert len({assign(layout, [[ONE]], seed).tasks[0][0].pick.id for seed in range(8)}) > 1


def test_halls_without_a_way_are_refused():
    wall = Wall(id="cut", start=(7.0, 0.0), end=(7.0, 8.0))
    split = empty_hall().model_copy(update={"walls": (*empty_hall().walls, wall)})
    with pytest.raises(InputError, match="no two stations"):
        assign(split, [[ONE]])
    alone = empty_hall(stations=(Station(id="P1", x=4.0, y=4.0, kind="pick"),))
    with pytest.raises(InputError, match="no two stations"):
        assign(alone, [[ONE]])
    with pytest.raises(InputError, match="no room for 60 robots"):
        assign(empty_hall(), [[ONE]] * 60)


def tracker(tasks=None):
    pick, drop = empty_hall().stations
    tasks = tasks or (Task(pick, drop, ONE, 10.0),)
    return TaskTracker(0, tasks, (0.25, 0.35), np.array([2.0, 4.0, 0.0]))


def advance(follow, time, pose, velocity=(0.0, 0.0), dt=0.5):
    return [event.kind for event in follow.advance(time, dt, np.array(pose), np.array(velocity))]


def test_a_task_goes_through_its_stages():
    follow = tracker()
    np.testing.assert_array_equal(follow.goal, [4.0, 4.0, 0.0])
    assert advance(follow, 0.5, (3.0, 4.0, 0.0), (1.0, 0.0)) == []
    # Passing through at speed, or turned away, is not there.
    assert advance(follow, 1.0, (4.0, 4.0, 0.0), (1.0, 0.0)) == []
    assert advance(follow, 1.5, (4.0, 4.0, 1.0)) == []
    assert advance(follow, 2.0, (4.1, 4.0, 0.1)) == ["goal_reached"]
    assert follow.goal is None
    assert not follow.carrying
    assert advance(follow, 2.5, (4.1, 4.0, 0.1)) == []
    assert advance(follow, 3.0, (4.1, 4.0, 0.1)) == ["pick"]
    assert follow.carrying
    assert follow.payload == 20.0
    np.testing.assert_array_equal(follow.goal, [10.0, 4.0, 0.0])
    assert advance(follow, 9.0, (10.0, 4.0, 0.0)) == ["goal_reached"]
    assert advance(follow, 9.5, (10.0, 4.0, 0.0)) == ["drop"]
    assert follow.done
    assert follow.goal is None
    assert follow.payload == 0.0
    (result,) = follow.results
    assert result.success
    assert (result.start_time, result.pick_time, result.end_time) == (0.0, 3.0, 9.5)
    assert result.path_length == pytest.approx(1 + 1 + 0.1 + 5.9)
    assert result.shortest_length == 10.0
    assert follow.unfinished() == []


def test_driving_off_before_being_loaded_starts_over():
    follow = tracker()
    assert advance(follow, 0.5, (4.0, 4.0, 0.0)) == ["goal_reached"]
    assert advance(follow, 1.0, (4.6, 4.0, 0.0)) == []
    np.testing.assert_array_equal(follow.goal, [4.0, 4.0, 0.0])
    assert advance(follow, 1.5, (4.0, 4.0, 0.0)) == ["goal_reached"]
    assert advance(follow, 2.0, (4.0, 4.0, 0.0)) == []
    assert advance(follow, 2.5, (4.0, 4.0, 0.0)) == ["pick"]


def test_unfinished_tasks_are_counted_too():
    pick, drop = empty_hall().stations
    follow = tracker((Task(pick, drop, ONE, 10.0), Task(pick, drop, ONE, 12.0)))
    for time in (0.5, 1.0, 1.5):
        advance(follow, time, (4.0, 4.0, 0.0))
    current, waiting = follow.unfinished()
    assert (current.pick_time, current.success) == (1.5, False)
    assert math.isnan(current.end_time)
    assert current.path_length == pytest.approx(2.0)
    assert math.isnan(waiting.start_time)
    assert waiting.shortest_length == 12.0
