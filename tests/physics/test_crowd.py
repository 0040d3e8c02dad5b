"""Many robots that push one another and cartons for a minute: everybody stays on the floor, upright and in the hall."""

from __future__ import annotations

import numpy as np
import pytest

from floorcast.common.geometry import rotation_matrix
from floorcast.common.primitives import PrimitiveBuilder
from floorcast.physics.bullet import pybullet
from floorcast.physics.world import World
from floorcast.robots.fleet import Fleet
from floorcast.robots.model import RobotModel

ROBOTS, CARTONS, SECONDS = 16, 8, 60
PUSH = 0.8
"""Speed at which the robots crowd [m/s]."""


def crowded_world(rng):
    """A walled square of 9.8 m with eight cartons of different sizes in a ring."""
    loose, poses, walls = PrimitiveBuilder(), [], PrimitiveBuilder()
    for k, angle in enumerate(np.arange(CARTONS) * 2 * np.pi / CARTONS):
        half = rng.uniform(0.15, 0.25, 3)
        loose.box(half, (0, 0, 0), class_name="box", body=k)
        place = (0.9 * np.cos(angle), 0.9 * np.sin(angle), half[2])
        poses.append((*place, 0, 0, np.sin(0.5 * angle), np.cos(0.5 * angle)))
    for x, y, length, width in ((5, 0, 0.1, 5), (-5, 0, 0.1, 5), (0, 5, 5, 0.1), (0, -5, 5, 0.1)):
        walls.box((length, width, 0.5), (x, y, 0.5), class_name="wall", body=0)
    return World(
        walls.build(),
        ["wall"],
        ["W"],
        loose=loose.build(),
        loose_pose=poses,
        loose_mass=rng.uniform(8, 20, CARTONS),
        loose_id=[f"C{k}" for k in range(CARTONS)],
    )


def deepest_overlap(world):
    """The deepest overlap [m] of a robot with anything, as Bullet has it after the last step."""
    client = world._bodies.client
    points = [
        p for body in world._bodies.robot.values() for p in pybullet.getContactPoints(body, physicsClientId=client)
    ]
    return max((-point[8] for point in points), default=0.0)


@pytest.mark.slow
def test_sixteen_robots_crowd_eight_cartons_for_a_minute_and_nobody_sinks_tilts_or_is_ejected():
    rng = np.random.default_rng(0)
    world = crowded_world(rng)
    fleet = Fleet(world, [RobotModel()] * ROBOTS)
    around = 2 * np.pi * np.arange(ROBOTS) / ROBOTS + 0.1
    fleet.reset(np.column_stack([3.6 * np.cos(around), 3.6 * np.sin(around), around + np.pi]))
    worst = dict.fromkeys(("sunk", "risen", "tilt", "carton", "robot", "overlap", "out"), 0.0)

    def note(name, value):
        worst[name] = max(worst[name], float(value))

    for tick in range(SECONDS * 20):
        pose = fleet.pose
        # All to the middle; each backs off now and then and comes again.
        back = (tick // 60 + np.arange(ROBOTS)) % 4 == 3
        turn = (np.arctan2(-pose[:, 1], -pose[:, 0]) - pose[:, 2] + np.pi) % (2 * np.pi) - np.pi
        omega = np.where(back, rng.uniform(-1, 1, ROBOTS), np.clip(2 * turn, -1.5, 1.5))
        fleet.command(np.column_stack([np.where(back, -0.5 * PUSH, PUSH), omega]))
        before = world.loose_pose()
        fleet.step(12)
        goods = world.loose_pose()
        low = [world.good_heights(k)[0] for k in range(CARTONS)]
        note("sunk", -min(low))
        note("risen", max(low))
        upright = np.abs(rotation_matrix(goods[:, 3:])[:, 2]).max(axis=1)
        note("tilt", np.degrees(np.arccos(np.clip(upright, -1, 1))).max())
        note("carton", np.linalg.norm(goods[:, :3] - before[:, :3], axis=1).max() / 0.05)
        note("robot", np.hypot(fleet.velocity[:, 0], fleet.lateral_velocity).max())
        note("overlap", deepest_overlap(world))
        note("out", max(np.abs(goods[:, :2]).max(), np.abs(fleet.pose[:, :2]).max()))
    touched = {contact.other_class for contact in world.contacts()}
    world.close()
    assert touched == {"amr", "box", "wall"}
    assert worst["sunk"] < 0.01
    assert worst["risen"] < 0.005
    assert worst["tilt"] < 2.0
    assert worst["carton"] < 2.0 * PUSH
    assert worst["robot"] < 2.0 * PUSH
    assert worst["overlap"] < 0.02
    assert worst["out"] < 4.9
