"""Goods that are handled: placed, hidden, carried by robots and released. State and shapes; ``World`` does the rest.

A carried good is part of its robot: it moves with ``base_link``, and its bounding box in Bullet takes blows for the
robot, so that a pallet on forks meets racks. It rides without play: it neither slides nor topples on board.

What a robot *holds* is what it carries and what it holds out besides its own shape (a fork carriage). All of it goes up
and down with one *hold height*: 0 unless the robot has forks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from math import cos, sin

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..common.classes import class_name
from ..common.errors import InputError
from ..common.geometry import quaternion_from_yaw, quaternion_multiply, rotation_matrix
from ..common.primitives import PrimitiveBuilder, Primitives
from ..layouts.geometry import LayoutSolids, layout_solids
from ..layouts.model import Good, Layout
from . import bullet

FloatArray = NDArray[np.float64]

HIDDEN_POSE = (-1000.0, -1000.0, -1000.0, 0.0, 0.0, 0.0, 1.0)
"""Where goods wait that are out of the world: far from everything, and under a floor through which nothing sees."""
HIDDEN_BELOW = -500.0
"""Goods that start lower than this [m] are hidden from the start."""
FAR_FOOTPRINT = (1e9, 1e9, 1.0, 0.0, 0.0, 0.0)
"""The footprint of goods that nothing may meet as goods: hidden ones, and carried ones, which are part of a robot."""
RESTING_GAP = 0.03
"""Goods whose underside is this near [m] to another's top rest on it."""


def checked_pose(pose: ArrayLike, what: str) -> FloatArray:
    """Return a pose (7,) x, y, z [m], quaternion xyzw with the quaternion brought to unit length.

    Raises:
        InputError: wrong shape, a value that is not finite, or a quaternion that is not of unit length within 1 %.
    """
    value = np.array(pose, dtype=np.float64)
    if value.shape != (7,) or not np.isfinite(value).all():
        raise InputError(f"{what} is {value.tolist()}", mend="give x, y, z [m] and a quaternion xyzw, all finite")
    norm = float(np.linalg.norm(value[3:]))
    if abs(norm - 1.0) > 0.01:
        raise InputError(f"{what} has a quaternion of length {norm:.3f}", mend="give one of length 1")
    value[3:] /= norm
    return value


def on_board(base: Sequence[float], offset: FloatArray) -> FloatArray:
    """Return the pose (7,) in ``map`` of something at ``offset`` (7,) in ``base_link`` at x, y [m], yaw [rad]."""
    x, y, yaw = base
    c, s = cos(yaw), sin(yaw)
    pose = np.empty(7)
    pose[0] = x + c * offset[0] - s * offset[1]
    pose[1] = y + s * offset[0] + c * offset[1]
    pose[2] = offset[2]
    pose[3:] = quaternion_multiply(quaternion_from_yaw(yaw), offset[3:])
    return pose


def offset_of(base: Sequence[float], pose: FloatArray) -> FloatArray:
    """Return the offset (7,) in ``base_link`` at x, y [m], yaw [rad] of a pose (7,) in ``map``: undoes ``on_board``."""
    x, y, yaw = base
    c, s = cos(yaw), sin(yaw)
    offset = np.empty(7)
    offset[0] = c * (pose[0] - x) + s * (pose[1] - y)
    offset[1] = c * (pose[1] - y) - s * (pose[0] - x)
    offset[2] = pose[2]
    offset[3:] = quaternion_multiply(quaternion_from_yaw(-yaw), pose[3:])
    return offset


class Cargo:
    """Which loose goods are hidden, and what robots hold.

    Attributes:
        hidden: goods that are out of the world.
        rides: robot and offset (7,) in ``base_link`` at hold height 0 by carried good, in the order of taking up.
        parts: solids in ``base_link`` at hold height 0 that a robot holds out besides its own shape, by robot; those of
            body 0 go up and down with the hold height and touch things, those of body 1 go half as far and touch
            nothing.
        height: hold height [m] by robot; 0 where there is none.
    """

    def __init__(self, solids: Sequence[Primitives]) -> None:
        boxes = [bullet.bounding_box(part) for part in solids]
        self._centre = np.array([centre for centre, _ in boxes]).reshape(-1, 3)
        self._half = np.array([half for _, half in boxes]).reshape(-1, 3)
        self._class = [class_name(int(part.class_id[0])) for part in solids]
        self.hidden: set[int] = set()
        self.rides: dict[int, tuple[int, FloatArray]] = {}
        self.parts: dict[int, Primitives] = {}
        self.height: dict[int, float] = {}

    def clear(self, start: FloatArray) -> None:
        """Go back to the start, where goods have the poses (L, 7) and hold heights are 0; parts stay."""
        self.hidden = set(np.flatnonzero(start[:, 2] < HIDDEN_BELOW).tolist())
        self.rides.clear()
        self.height.clear()

    def carried_by(self, robot: int) -> list[int]:
        """Return the goods on a robot, in the order in which they were taken up."""
        return [k for k, (carrier, _) in self.rides.items() if carrier == robot]

    def move(self, loose_pose: FloatArray, robot_pose: FloatArray) -> None:
        """Write the poses of carried goods into (L, 7), from the robots' poses (R, 3) x, y [m], yaw [rad]."""
        for k, (robot, offset) in self.rides.items():
            loose_pose[k] = on_board(robot_pose[robot].tolist(), offset)
            loose_pose[k, 2] += self.height.get(robot, 0.0)

    def part_poses(self, robot_pose: FloatArray) -> FloatArray:
        """Return the poses (2 H, 7) in ``map`` of what H robots hold out, by robot: bodies 0 and 1 of each."""
        poses = np.zeros((2 * len(self.parts), 7))
        for n, robot in enumerate(sorted(self.parts)):
            x, y, yaw = robot_pose[robot].tolist()
            poses[2 * n : 2 * n + 2, :2] = x, y
            poses[2 * n : 2 * n + 2, 2] = self.height.get(robot, 0.0) * np.array([1.0, 0.5])
            poses[2 * n : 2 * n + 2, 3:] = quaternion_from_yaw(yaw)
        return poses

    def take(self, k: int, robot: int, offset: FloatArray) -> bool:
        """Let good k ride on a robot at ``offset`` (7,) in ``base_link`` now; returns whether that is a change."""
        held = offset - np.array([0.0, 0.0, self.height.get(robot, 0.0), 0.0, 0.0, 0.0, 0.0])
        known = self.rides.get(k)
        self.rides[k] = (robot, held)
        return known is None or known[0] != robot or not np.array_equal(known[1], held)

    def drop(self, k: int) -> int:
        """Let good k ride no longer; returns the robot that carried it."""
        return self.rides.pop(k)[0]

    def held(self, robot: int) -> Primitives | None:
        """Return what a robot holds, in ``base_link`` at hold height 0: a box for each good, one if they are many."""
        goods = self.carried_by(robot)
        part = self.parts.get(robot)
        part = part.take(part.body == 0) if part is not None else None
        if not goods:
            return part
        boxes = PrimitiveBuilder()
        for k in goods:
            offset = self.rides[k][1]
            centre = offset[:3] + rotation_matrix(offset[3:]) @ self._centre[k]
            boxes.box(self._half[k], centre.tolist(), class_name=self._class[k], quaternion=offset[3:].tolist())
        load = boxes.build()
        if len(load) + (len(part) if part is not None else 0) > bullet.MAX_ARRAY_CHILDREN:
            whole = PrimitiveBuilder()
            centre, half = bullet.bounding_box(load)
            whole.box(half, centre.tolist(), class_name=self._class[goods[0]])
            load = whole.build()
        return load if part is None else Primitives.concatenate([part, load])

    def heights(self, k: int, pose: FloatArray) -> tuple[float, float]:
        """Return the lowest and the highest z [m] of good k's bounding box at a pose (7,)."""
        rotation = rotation_matrix(pose[3:])
        middle = float(pose[2] + rotation[2] @ self._centre[k])
        reach = float(np.abs(rotation[2]) @ self._half[k])
        return middle - reach, middle + reach


def with_spares(solids: LayoutSolids, goods: Sequence[Good]) -> LayoutSolids:
    """Return a layout's solids with further loose goods that are hidden from the start, ready to be placed.

    Args:
        solids: of the hall.
        goods: the spare goods; their poses and racks are not used. Their loose indices follow those of the layout's
            loose goods in this order, and their instance ids begin at ``solids.next_instance_id``.

    Raises:
        InputError: an id is taken.
    """
    taken = set(solids.object_id.values())
    for good in goods:
        if good.id in taken:
            raise InputError(f"the spare good '{good.id}' has the id of something in the hall", mend="rename it")
        taken.add(good.id)
    free = [good.model_copy(update={"x": 0.0, "y": 0.0, "z": 0.0, "rack": None}) for good in goods]
    extra = layout_solids(Layout(name="spares", length=1.0, width=1.0, goods=tuple(free)))
    count, first = len(solids.loose_pose), solids.next_instance_id - 1
    loose = dataclasses.replace(
        extra.loose,
        body=(extra.loose.body + count).astype(np.int32),
        instance_id=(extra.loose.instance_id + first).astype(np.int32),
    )
    return dataclasses.replace(
        solids,
        loose=Primitives.concatenate([solids.loose, loose]),
        loose_pose=np.concatenate([solids.loose_pose, np.tile(HIDDEN_POSE, (len(goods), 1))]),
        loose_mass=np.concatenate([solids.loose_mass, extra.loose_mass]),
        loose_id=(*solids.loose_id, *extra.loose_id),
        object_id={**solids.object_id, **{key + first: name for key, name in extra.object_id.items()}},
        next_instance_id=solids.next_instance_id + len(goods),
    )
