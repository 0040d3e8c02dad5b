"""Obstacles are solid to everything that uses a layout: sensors, robots, grids, checks and drawings."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from floorcast.common.geometry import quaternion_from_rpy, rotation_matrix
from floorcast.common.primitives import BOX, CYLINDER
from floorcast.layouts.footprints import outline
from floorcast.layouts.geometry import layout_solids, obstacle_solid
from floorcast.layouts.model import Layout, Obstacle, Rack
from floorcast.layouts.occupancy import occupancy_grid
from floorcast.layouts.plan import plan_marks
from floorcast.layouts.validation import check_layout

LEANING = Obstacle(id="O1", x=5.0, y=3.0, z=1.0, pitch=0.7, size=(0.1, 1.0, 2.6), part_of="ladder")
"""Leans towards +x; its foot is about 0.84 m before its middle, its head as far behind."""


def hall(*obstacles, **things):
    return Layout(length=10.0, width=6.0, obstacles=obstacles, **things)


def inside(obstacle, count=4000):
    """Points of an obstacle in map, at random."""
    points = np.random.default_rng(1).uniform(-0.5, 0.5, (count, 3))
    if obstacle.shape == "cylinder":
        points = points[np.hypot(points[:, 0], points[:, 1]) < 0.5]
    width = obstacle.size[0 if obstacle.shape == "cylinder" else 1]
    local = points * (obstacle.size[0], width, obstacle.size[2])
    turn = rotation_matrix(quaternion_from_rpy(obstacle.roll, obstacle.pitch, obstacle.yaw))
    return local @ turn.T + (obstacle.x, obstacle.y, obstacle.z)


def test_solids_have_the_pose_and_one_id_for_each_thing():
    parts = [Obstacle(id=f"P{k}", x=1.0 + k, y=1.0, z=0.5, size=(0.2, 0.2, 1.0), part_of="desk") for k in range(3)]
    drum = Obstacle(id="D", x=8.0, y=2.0, z=0.45, size=(0.6, 0.9, 0.9), shape="cylinder", color=(1, 2, 3))
    solids = layout_solids(hall(LEANING, parts[0], drum, *parts[1:]))
    static = solids.static.take(solids.static.class_id != solids.static.class_id[0])
    assert static.kind.tolist() == [BOX, BOX, CYLINDER, BOX, BOX]
    assert static.instance_id.tolist() == [1, 2, 3, 2, 2]
    assert static.body.tolist() == [1, 2, 3, 2, 2]
    assert solids.object_id == {1: "ladder", 2: "desk", 3: "D"}
    assert solids.group_id == ("floor", "ladder", "desk", "D")
    assert static.size[2].tolist() == [0.3, 0.45, 0.0]
    assert static.color[2].tolist() == [1, 2, 3]
    top = rotation_matrix(static.quaternion[0]) @ [0.0, 0.0, 1.0]
    assert top == pytest.approx([math.sin(0.7), 0.0, math.cos(0.7)])


@settings(max_examples=30, deadline=None)
@given(
    st.tuples(*[st.floats(-3.1, 3.1)] * 3),
    st.tuples(*[st.floats(0.05, 2.0)] * 3),
    st.sampled_from(["box", "cylinder"]),
    st.floats(-0.5, 2.0),
)
def test_the_grid_covers_just_what_is_in_the_band(angles, size, shape, z):
    roll, pitch, yaw = angles
    thing = Obstacle(id="O", x=5.0, y=3.0, z=z, roll=roll, pitch=pitch, yaw=yaw, size=size, shape=shape)
    low, high = 0.2, 0.9
    grid = occupancy_grid(hall(thing), 0.1, z_min=low, z_max=high)
    points = inside(thing)
    points = points[(points[:, 2] > low) & (points[:, 2] < high)]
    cells = grid.world_to_cell(points[:, :2])
    assert grid.occupied[cells[:, 0], cells[:, 1]].all()
    # What is covered is no farther from the outline than a cell's own half diagonal.
    rows, columns = np.nonzero(grid.occupied[5:-5, 5:-5])
    if not len(rows):
        return
    kind, half, place, quaternion = obstacle_solid(thing)
    corners = outline(kind, half, place, quaternion, low - 1e-9, high + 1e-9)
    edge = np.roll(corners, -1, axis=0) - corners
    normal = np.stack([edge[:, 1], -edge[:, 0]], axis=-1) / np.linalg.norm(edge, axis=1, keepdims=True)
    centres = np.stack([columns + 0.5, rows + 0.5], axis=-1) * 0.1
    beyond = np.einsum("nki,ki->nk", centres[:, None] - corners, normal).max(axis=1)
    assert (beyond < 0.0708).all()


def test_a_box_upside_down_lies_as_it_is_turned():
    turned = Obstacle(id="O", x=5.0, y=3.0, z=0.5, roll=math.pi, yaw=0.5, size=(3.0, 0.2, 0.4))
    upright = turned.model_copy(update={"roll": 0.0})
    assert (occupancy_grid(hall(turned), 0.05).occupied == occupancy_grid(hall(upright), 0.05).occupied).all()


def test_a_leaning_box_blocks_the_floor_where_it_is_low_and_robots_pass_below_the_rest():
    grid = occupancy_grid(hall(LEANING), 0.05, z_max=0.5)
    _, columns = np.nonzero(grid.occupied[10:-10, 10:-10])
    x = 0.05 * (columns + 0.5)
    assert x.min() == pytest.approx(4.15, abs=0.08)
    assert x.max() == pytest.approx(5.0 - 0.5 * math.tan(0.7) + 0.05 / math.cos(0.7), abs=0.08)
    beam = Obstacle(id="B", x=5.0, y=3.0, z=2.4, size=(4.0, 0.3, 0.3))
    assert not occupancy_grid(hall(beam), 0.05).occupied[10:-10, 10:-10].any()


def test_checks_find_double_ids_and_what_is_outside_but_let_obstacles_overlap():
    box = Obstacle(id="A", x=5.0, y=3.0, z=0.5, size=(1.0, 1.0, 1.0))
    near = box.model_copy(update={"id": "B", "x": 5.4})
    assert check_layout(hall(box, near, LEANING)) == []
    assert [p.field for p in check_layout(hall(box, box))] == ["obstacles[1].id"]
    (outside,) = check_layout(hall(box, LEANING.model_copy(update={"x": 9.3})))
    assert outside.field == "obstacles[1]"
    assert "0.18 m outside" in outside.message
    (high,) = check_layout(hall(box.model_copy(update={"z": 7.0})))
    assert "reaches 7.5 m" in high.message
    (through,) = check_layout(hall(LEANING, box, racks=(Rack(id="R", x=6.0, y=3.0, bays=1),)))
    assert through.field == "obstacles[1]"
    assert "overlaps racks[0] 'R'" in through.message


def test_the_plan_shows_what_is_in_the_way_and_only_outlines_what_is_above():
    beam = Obstacle(id="B", x=5.0, y=3.0, z=2.4, size=(4.0, 0.3, 0.3))
    marks = [mark for mark in plan_marks(hall(LEANING, beam)).marks if mark.text.startswith("obstacle ")]
    assert [(mark.kind, mark.style) for mark in marks] == [("polygon", "obstacle"), ("line", "overhead")]
    assert marks[0].text == "obstacle ladder"


@pytest.mark.parametrize(
    ("obstacle", "front"),
    [
        (Obstacle(id="O", x=3.5, y=0.1, z=0.5, yaw=0.0, size=(1.0, 2.0, 1.0)), 3.0),
        # A cylinder's second size is not used.
        (Obstacle(id="O", x=3.5, y=0.0, z=0.5, size=(1.0, 0.1, 1.0), shape="cylinder"), 3.0),
        # Its foot is at x = 3, its head beyond: at 0.2 m it is met 0.2 tan(0.7) later.
        (Obstacle(id="O", x=3.0 + math.tan(0.7), y=0.0, z=1.0, pitch=0.7, size=(0.002, 2.0, 3.0)), None),
    ],
)
def test_a_lidar_sees_it_and_a_robot_cannot_drive_through_it(obstacle, front):
    from floorcast.perception.config import LidarConfig
    from floorcast.perception.lidar import Lidar
    from floorcast.perception.scene import Scene, empty_primitives
    from floorcast.physics.world import World
    from floorcast.robots.fleet import Fleet
    from floorcast.robots.model import RobotModel

    solids = layout_solids(hall(obstacle))
    quiet = LidarConfig(beams=8, range_noise=0.0, dropout=0.0, grazing_dropout=0.0)
    scene = Scene(solids.static, empty_primitives(), 0)
    _, truth = Lidar(quiet).scan(scene, (1.0, 0.0, 0.2), np.eye(3), stream=1, sensor=0, frame=0)
    ahead = front if front is not None else 3.0 + 0.2 * math.tan(0.7) - 0.001 / math.cos(0.7)
    assert truth.ranges[0, 4] == pytest.approx(ahead - 1.0, abs=1e-4)
    assert truth.instance_id[0, 4] == 1
    world = World.from_solids(solids)
    try:
        fleet = Fleet(world, [RobotModel()])
        fleet.reset([[1.0, 0.0, 0.0]])
        fleet.command([[1.0, 0.0]])
        fleet.step(5 * 240)
        assert 1.5 < fleet.pose[0, 0] < 2.75
        assert world.contacts()[0].other_id == "O"
    finally:
        world.close()
