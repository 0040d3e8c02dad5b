import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from floorcast.common.primitives import CAPSULE, PLANE, SPHERE, PrimitiveBuilder
from floorcast.episodes.clearance import clearances, footprints

NOTHING = np.zeros((0, 7))


def distances(pose, static=NOTHING, loose=None, person=None, radius=(), half=(0.45, 0.325)):
    pose = np.asarray(pose, dtype=float)
    steps, robots = pose.shape[:2]
    loose = np.zeros((steps, 0, 7)) if loose is None else np.asarray(loose, dtype=float)
    person = np.zeros((steps, 0, 2)) if person is None else np.asarray(person, dtype=float)
    return clearances(pose, np.tile(half, (robots, 1)), static, loose, person, np.asarray(radius, dtype=float))


def outline_points(outline, n=400):
    x, y, c, s, hx, hy, _ = outline
    t = np.linspace(-1, 1, n)
    local = np.concatenate([[(a * hx, hy), (a * hx, -hy), (hx, a * hy), (-hx, a * hy)] for a in t])
    return np.column_stack([x + c * local[:, 0] - s * local[:, 1], y + s * local[:, 0] + c * local[:, 1]])


def test_known_distances():
    everything, people = distances(
        [[[0.0, 0.0, 0.0]]],
        static=np.array([[2.0, 0.0, 1.0, 0.0, 0.5, 3.0, 0.0]]),
        person=[[[0.0, 1.5]]],
        radius=[0.25],
    )
    # The box's face is at x 1.5, the robot's nose at 0.45; the person's skin at y 1.25, the flank at 0.325.
    assert people[0, 0] == pytest.approx(0.925)
    assert everything[0, 0] == pytest.approx(0.925)
    everything, _ = distances([[[0.0, 0.0, 0.0]]], static=np.array([[2.0, 0.0, 1.0, 0.0, 0.5, 3.0, 0.0]]))
    assert everything[0, 0] == pytest.approx(1.05)


def test_robots_see_each_other_and_nothing_is_infinite():
    everything, people = distances([[[0.0, 0.0, 0.0], [2.0, 0.0, math.pi / 2]]])
    np.testing.assert_allclose(everything[0], 2.0 - 0.45 - 0.325)
    assert np.isinf(people).all()
    assert np.isinf(distances([[[0.0, 0.0, 0.0]]])[0]).all()


def test_crossed_rectangles_touch_although_no_corner_is_inside():
    everything, _ = distances([[[0.0, 0.0, 0.3]]], static=np.array([[0.0, 0.0, 0.0, 1.0, 3.0, 0.05, 0.0]]))
    assert everything[0, 0] == 0.0


@settings(max_examples=60, deadline=None)
@given(
    x=st.floats(-3, 3), y=st.floats(-3, 3), yaw=st.floats(-4, 4), turn=st.floats(-4, 4),
    hx=st.floats(0.05, 2), hy=st.floats(0.05, 2),
)  # fmt: skip
def test_rectangles_against_sampled_outlines(x, y, yaw, turn, hx, hy):
    box = np.array([x, y, math.cos(turn), math.sin(turn), hx, hy, 0.0])
    got = distances([[[0.0, 0.0, yaw]]], static=box[None])[0][0, 0]
    robot = np.array([0.0, 0.0, math.cos(yaw), math.sin(yaw), 0.45, 0.325, 0.0])
    a, b = outline_points(robot), outline_points(box)
    sampled = cKDTree(a).query(b)[0].min()
    if got > 0:
        assert got <= sampled + 1e-9
        assert sampled - got < 0.02
    else:
        # Overlap: some point of the box is in the robot.
        u, v = np.meshgrid(np.linspace(-hx, hx, 200), np.linspace(-hy, hy, 200))
        points = box[:2] + np.stack([box[2] * u - box[3] * v, box[3] * u + box[2] * v], axis=-1)
        along = points @ [robot[2], robot[3]]
        across = points @ [-robot[3], robot[2]]
        assert ((np.abs(along) < 0.47) & (np.abs(across) < 0.345)).any()


def test_near_lists_lose_nothing_on_a_long_way():
    rng = np.random.default_rng(0)
    count = 300
    angle = rng.uniform(0, 6, count)
    static = np.column_stack(
        [
            rng.uniform(0, 60, (count, 2)),
            np.cos(angle),
            np.sin(angle),
            rng.uniform(0.05, 1, (count, 2)),
            np.zeros(count),
        ]
    )
    static = static[np.hypot(static[:, 0] - 30, static[:, 1] - 30) > 16]
    pose = np.column_stack([np.linspace(5, 55, 400), np.linspace(10, 50, 400), np.linspace(0, 9, 400)])
    long_way = distances(pose[:, None], static=static)[0]
    one_by_one = [distances(row[None, None], static=static)[0][0, 0] for row in pose]
    np.testing.assert_array_equal(long_way[:, 0], one_by_one)
    assert long_way.max() > 8


def test_footprints_of_every_kind():
    builder = PrimitiveBuilder()
    builder.box((1.0, 0.5, 0.2), (1.0, 2.0, 0.2), class_name="box", yaw=0.5)
    builder.cylinder(0.3, 1.0, (4.0, 0.0, 1.0), class_name="column")
    builder.add(CAPSULE, (0.2, 0.5), (5.0, 0.0, 0.7), class_name="person")
    builder.add(SPHERE, (0.4,), (6.0, 0.0, 0.4), class_name="crate")
    builder.add(PLANE, (0.0,), (0.0, 0.0, 0.0), class_name="floor")
    builder.box((1.0, 1.0, 0.1), (0.0, 0.0, 3.0), class_name="rack")
    # A roller on its side: axis along x.
    builder.cylinder(
        0.1, 1.0, (8.0, 0.0, 0.1), class_name="conveyor", quaternion=(0, math.sqrt(0.5), 0, math.sqrt(0.5))
    )
    rows = footprints(builder.build(), 0.01, 0.35)
    assert len(rows) == 5
    np.testing.assert_allclose(rows[0], [1.0, 2.0, math.cos(0.5), math.sin(0.5), 1.0, 0.5, 0.0])
    np.testing.assert_allclose(rows[1:4, 6], [0.3, 0.2, 0.4])
    np.testing.assert_allclose(rows[4, 4:], [1.0, 0.1, 0.0], atol=1e-9)
