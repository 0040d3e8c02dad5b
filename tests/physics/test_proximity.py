"""Plan-view distances against brute force and against PyBullet's own closest points."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from floorcast.common.geometry import quaternion_from_rpy
from floorcast.common.primitives import BOX, CAPSULE, CYLINDER, PLANE, SPHERE, PrimitiveBuilder
from floorcast.physics import bullet, proximity
from floorcast.physics.bullet import pybullet

coordinate = st.floats(-3, 3)
extent = st.floats(0.05, 1.5)


def footprint_box(x, y, yaw, hx, hy):
    builder = PrimitiveBuilder()
    builder.box((hx, hy, 0.5), (x, y, 0.5), class_name="rack", yaw=yaw)
    return proximity.footprints(builder.build())


@settings(max_examples=60, deadline=None)
@given(coordinate, coordinate, coordinate, extent, extent, coordinate, coordinate)
def test_distance_to_a_box_is_the_nearest_of_its_points(x, y, yaw, hx, hy, px, py):
    table = footprint_box(x, y, yaw, hx, hy)
    u, w = np.meshgrid(np.linspace(-hx, hx, 201), np.linspace(-hy, hy, 201))
    points_x = x + u * np.cos(yaw) - w * np.sin(yaw)
    points_y = y + u * np.sin(yaw) + w * np.cos(yaw)
    nearest = np.hypot(points_x - px, points_y - py).min()
    assert proximity.distance(table, 0, px, py) == pytest.approx(nearest, abs=0.012)
    assert proximity.distance(table, 0, px, py) <= nearest + 1e-9


@settings(max_examples=60, deadline=None)
@given(coordinate, coordinate, coordinate, extent, extent, coordinate, extent, extent, st.booleans())
def test_overlap_agrees_with_bullet(x, y, yaw, hx, hy, own_yaw, half_length, half_width, is_round):
    builder = PrimitiveBuilder()
    if is_round:
        builder.cylinder(hx, 0.5, (x, y, 0.5), class_name="column")
    else:
        builder.box((hx, hy, 0.5), (x, y, 0.5), class_name="rack", yaw=yaw)
    own = PrimitiveBuilder()
    own.box((half_length, half_width, 0.5), (0.3, -0.2, 0.5), class_name="amr", yaw=own_yaw)
    client = bullet.acquire_client()
    try:
        bodies = [bullet.create_body(client, solids.build(), 1.0, (0, 0, 0), (0, 0, 0, 1)) for solids in (builder, own)]
        closest = pybullet.getClosestPoints(*bodies, 10.0, physicsClientId=client)
        gap = min(point[8] for point in closest)
    finally:
        bullet.release_client(client)
    table = proximity.footprints(builder.build())
    found = proximity.overlaps(table, 0.3, -0.2, own_yaw, half_length, half_width)
    # Bullet's distances between convex shapes carry a collision margin of up to a millimetre or two.
    if abs(gap) > 5e-3:
        assert (len(found) == 1) == (gap < 0)


def test_heights_and_footprints_by_kind():
    tilted = quaternion_from_rpy(np.pi / 2, 0, 0)
    builder = PrimitiveBuilder()
    builder.add(BOX, (1, 0.5, 0.2), (0, 0, 1), class_name="rack")
    builder.add(CYLINDER, (0.3, 1.0), (0, 0, 1), class_name="column")
    builder.add(CYLINDER, (0.3, 1.0), (0, 0, 1), class_name="conveyor", quaternion=tilted)
    builder.add(CAPSULE, (0.25, 0.5), (0, 0, 1), class_name="person")
    builder.add(SPHERE, (0.4,), (0, 0, 1), class_name="crate")
    builder.add(PLANE, (0,), (0, 0, 0), class_name="floor")
    solids = builder.build()
    low, high = proximity.heights(solids)
    assert low == pytest.approx([0.8, 0.0, 0.7, 0.25, 0.6, 0.0])
    assert high == pytest.approx([1.2, 2.0, 1.3, 1.75, 1.4, 0.0])
    table = proximity.footprints(solids)
    assert table[0, 4:] == pytest.approx([1, 0.5])
    assert table[1, 4:] == pytest.approx([0.3, -1])
    assert table[2, 4:] == pytest.approx([np.hypot(0.3, 1.0), -1]), "tilted ones have a bounding circle"
    assert table[3, 4:] == pytest.approx([0.25, -1])
    assert table[4, 4:] == pytest.approx([0.4, -1])
    assert proximity.touchable(solids, 0.65).tolist() == [False, True, False, True, True, False]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_free_time_is_never_too_long(seed):
    """Whatever moves at most as fast as told stays clear of everything for the time that was promised."""
    rng = np.random.default_rng(seed)
    builder = PrimitiveBuilder()
    for _ in range(30):
        place = (*rng.uniform(-10, 10, 2), 0.5)
        builder.box((*rng.uniform(0.1, 1, 2), 0.5), place, class_name="rack", yaw=rng.uniform(-3, 3))
    above = rng.random(30) < 0.3
    static = np.column_stack([proximity.footprints(builder.build()), np.where(above, 1.5, 0.0)])
    x, y = rng.uniform(-10, 10, (2, 5))
    radius, speed = np.full(5, 0.56), rng.uniform(0.2, 2, 5)
    people = np.column_stack([rng.uniform(-10, 10, (3, 2)), rng.normal(0, 1, (3, 2))])
    neighbours, anchors = np.zeros((5, 31), dtype=np.int32), np.zeros((5, 4))
    anchors[:, 3] = 1.0
    goods = footprint_box(0, 0, 0.3, 0.2, 0.3)
    arguments = (radius, static, neighbours, anchors)
    time = proximity.free_time(x, y, speed, *arguments, people, 0.25, goods, 0.06)
    low = np.flatnonzero(~above)
    gap = min(min(proximity.distance(static, k, x[i], y[i]) for k in low) - 0.56 for i in range(5))
    if gap < 0.06:
        assert time <= 0
    # What is above the robots is not in their way.
    robots = min(np.hypot(x[i] - x[j], y[i] - y[j]) - 1.12 for i in range(5) for j in range(i))
    others = np.hypot(x[:, None] - people[:, 0], y[:, None] - people[:, 1]).min() - 0.81
    if min(gap, robots, others, np.hypot(x, y).min() - 1.0) > 0.06:
        assert time > 0
    if time <= 0:
        return
    heading = rng.uniform(-np.pi, np.pi, 5)
    x_then, y_then = x + speed * time * 0.999 * np.cos(heading), y + speed * time * 0.999 * np.sin(heading)
    walkers = people.copy()
    walkers[:, :2] += people[:, 2:] * time * 0.999
    assert proximity.free_time(x_then, y_then, speed, *arguments, walkers, 0.25, goods, 0.06) > 0


def test_steps_of_a_free_time():
    assert proximity.whole_steps(1e-9, 0.01, 100) == 1, "one step is always free when the time is above zero"
    assert proximity.whole_steps(0.055, 0.01, 100) == 5
    assert proximity.whole_steps(np.inf, 0.01, 100) == 100
