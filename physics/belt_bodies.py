"""Conveyors in Bullet, for the time that something may touch the goods on them.

Goods ride in one dimension (``conveyors``) while nothing is near. When a robot that reaches up to them comes near, or a
good that Bullet moves, all goods of that conveyor become Bullet bodies on belts, and ride in one dimension again once
nothing is near any more and they ride freely. People do not bring them in: in this world people touch robots only.

A belt is a body without mass that Bullet moves at its speed (round a bend, about the bend's centre), so that friction
carries what lies on it. It really travels; it is put back before it has gone ``TRAVEL``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..common.geometry import quaternion_from_yaw
from ..layouts.conveyors import Piece, line_length, line_pose, nearest_on_line, wrapped
from ..layouts.geometry import belt_width
from . import bullet
from .bodies import Bodies
from .bullet import pybullet
from .conveyor_network import RIDE
from .conveyors import ConveyorSystem
from .world import World

FloatArray = NDArray[np.float64]

TRAVEL = 0.01
"""Way [m] after which a belt is put back."""
THICKNESS = 0.02
"""Of a belt [m]; below it lies the bed."""
CALM_TIME = 0.5
"""Goods go back to one dimension when nothing has been near them for this time [s]."""
CALM_SLIP = 0.05
"""Goods ride freely below this share of the conveyor's speed in slip, or stand below that speed in m/s."""
DROP = 0.1
"""A good that is this much [m] below the height at which goods ride has fallen off."""
_CHORDS = 16


@dataclass
class _Belt:
    """A moving piece in Bullet: its body, where it belongs, and how fast it moves for 1 m/s of the conveyor."""

    body: int
    place: tuple[float, float, float]
    linear: tuple[float, float]
    turn: float


class BeltBodies:
    """The conveyors of a world in Bullet.

    Args:
        system: the conveyors. world: reset, with its robots; its loose goods are those of the system, in its order.
        always: leave all goods to Bullet all the time, as a reference for the one-dimensional model.
    """

    def __init__(self, system: ConveyorSystem, world: World, *, always: bool = False) -> None:
        self._system, self._world, self._always = system, world, always
        self._belts: dict[int, list[_Belt]] = {}
        self._active: dict[int, float] = {}
        self._held: dict[int, list[float]] = {}
        self._steps = 0
        count = len(world.loose_pose())
        self._rise = np.array([world.standing_pose(k, 0.0, 0.0, 0.0)[2] for k in range(count)])
        self._reach = np.hypot(system.size[:, 0], system.size[:, 1]) * 0.5
        world.before_step = self._before_step

    @property
    def active(self) -> list[str]:
        """Ids of the conveyors whose goods are in Bullet now."""
        return [self._system.network.conveyors[b].id for b in sorted(self._active)]

    # -- between physics steps ---------------------------------------------------------------------------------------

    def update(self, robots: FloatArray, margin: float) -> None:
        """Look who is near, read Bullet, and place all goods that ride; call it whenever both have moved on.

        Args:
            robots: (R, 3) poses x, y [m], yaw [rad]. margin: [m] within which something is near: above the way that
                it can make until the next call.
        """
        self._read()
        goods, place = self._system.places()
        near = self._near(robots, goods, place, margin)
        if self._always:
            near = {self._system.number_of(k) for k in goods}
        for b in near:
            self._active[b] = self._world.time
        for b in [b for b in sorted(self._active) if b not in near]:
            if self._world.time - self._active[b] > CALM_TIME and self._calm(b):
                del self._active[b]
        for k in self._system.loosened():
            if self._system.number_of(k) not in self._active:
                self._system.tighten(k)
        loose, moving = set(self._system.loosened()), set(self._world.moving_goods())
        self._place([(k, row) for row, k in enumerate(goods) if k not in loose], place)
        for k in goods:
            b = self._system.number_of(k)
            if b not in self._active:
                continue
            if k not in loose:
                if not self._on_transfer(k, b):
                    self._let_go(k, b)
            elif k not in moving and self._system.drive_speed(b) > 0.0:
                # It has fallen asleep, and a belt that begins to move wakes nothing.
                self._world.let_go(k, (0.0, 0.0, 0.0))
        loose = set(self._system.loosened())
        pose = self._world.loose_pose()
        held = [k for k in self._system.held() if k in loose]
        self._held = {k: self._held.get(k, pose[k].tolist()) for k in held}

    def fall(self, k: int, conveyor: str) -> None:
        """Leave good k to Bullet for good: it goes over the end of a conveyor, as fast as that one runs."""
        if self._world.guided(k):
            b = self._system.network.index[conveyor]
            pieces, speed = self._system.network.pieces[b], self._system.drive_speed(b)
            yaw = line_pose(pieces, line_length(pieces))[2]
            self._world.let_go(k, (speed * math.cos(yaw), speed * math.sin(yaw), 0.0))

    def _place(self, riding: Sequence[tuple[int, int]], place: FloatArray) -> None:
        """Put the goods that ride, with their rows in ``place`` (n, 4), where they are."""
        goods, rows = [k for k, _ in riding], [row for _, row in riding]
        where = place[rows]
        pose = np.zeros((len(goods), 7))
        pose[:, :2], pose[:, 2] = where[:, :2], where[:, 3] + self._rise[goods]
        pose[:, 3:] = quaternion_from_yaw(where[:, 2])
        for row, k in enumerate(goods):
            if not self._world.guided(k):
                self._world.guide_good(k, pose[row])
        if goods:
            self._world.move_guided(goods, pose)

    def _near(self, robots: FloatArray, goods: Sequence[int], place: FloatArray, margin: float) -> set[int]:
        """Return the conveyors whose goods something is near that reaches up to them."""
        world, found = self._world, set()
        tall = world.robot_top > place[:, 3].min(initial=math.inf)
        others = [k for k in world.moving_goods() if self._system.number_of(k) < 0]
        if not goods or not (tall.any() or others):
            return set()
        pose = world.loose_pose()
        for row, k in enumerate(goods):
            x, y, _, z = place[row].tolist()
            reach = self._reach[k] + margin
            away = np.hypot(robots[:, 0] - x, robots[:, 1] - y) - world.robot_radius
            close = bool(((away < reach) & (world.robot_top > z)).any())
            for m in others:
                close = close or (
                    math.hypot(pose[m, 0] - x, pose[m, 1] - y) < reach + self._reach[m] and pose[m, 2] > z - 0.2
                )
            if close:
                found.add(self._system.number_of(k))
        return found

    def _let_go(self, k: int, b: int) -> None:
        s, speed = self._system.state(k)
        pieces = self._system.network.pieces[b]
        yaw = line_pose(pieces, s)[2]
        turn = speed * _curvature(pieces, s)
        self._system.loosen(k)
        if k not in self._system.stuck():
            self._world.let_go(k, (speed * math.cos(yaw), speed * math.sin(yaw), turn))
        else:
            self._world.let_go(k, (0.0, 0.0, 0.0))

    def _read(self) -> None:
        """Tell the system where Bullet has taken the goods."""
        pose = self._world.loose_pose()
        for k in self._system.loosened():
            b = self._system.number_of(k)
            _x, _y, z = pose[k, :3].tolist()
            if z - self._rise[k] < self._system.network.surface[b] - DROP:
                self._system.lose(k)
                continue
            self._follow(k, b, pose[k])
            if self._on_transfer(k, b):
                self._system.tighten(k)
            elif self._system.state(k)[0] < line_length(self._system.network.pieces[b]):
                continue
            elif self._system.pass_on(k):
                b = self._system.number_of(k)
                self._active.setdefault(b, self._world.time)
                self._follow(k, b, pose[k])

    def _on_transfer(self, k: int, b: int) -> bool:
        """Return whether good k is on the powered transfer that takes it round a corner, which Bullet has not."""
        beyond = self._system.state(k)[0] >= line_length(self._system.network.pieces[b])
        return beyond and self._system.turns_aside(k)

    def _follow(self, k: int, b: int, pose: FloatArray) -> None:
        pieces = self._system.network.pieces[b]
        x, y, qz, qw = pose[0], pose[1], pose[5], pose[6]
        s, _ = nearest_on_line(pieces, x, y, 1.0, 1.0)
        px, py, yaw = line_pose(pieces, s)
        offset = math.cos(yaw) * (y - py) - math.sin(yaw) * (x - px)
        vx, vy = self._world.good_velocity(k)
        along = math.cos(yaw) * vx + math.sin(yaw) * vy
        self._system.follow(k, s, along, offset, wrapped(2.0 * math.atan2(qz, qw) - yaw))

    def _calm(self, b: int) -> bool:
        """Return whether all goods of conveyor b ride freely."""
        pose, network = self._world.loose_pose(), self._system.network
        for k in self._system.goods_on(b):
            if k not in self._system.loosened():
                continue
            qx, qy = pose[k, 3:5].tolist()
            speed = self._system.state(k)[1]
            belt = self._system.drive_speed(b)
            rides = abs(speed - belt) <= CALM_SLIP * belt or speed <= CALM_SLIP
            level = abs(pose[k, 2] - self._rise[k] - network.surface[b]) < 5.0 * RIDE
            if qx * qx + qy * qy > 1e-4 or not rides or not level:
                return False
        return True

    # -- within them -------------------------------------------------------------------------------------------------

    def _before_step(self, bodies: Bodies) -> None:
        """Keep the belts of active conveyors moving."""
        step = self._world.settings.step_time
        for b in sorted(self._active):
            if b not in self._belts:
                self._belts[b] = self._create(b, bodies)
            speed = self._system.drive_speed(b)
            # One that stands is held at each step: it would run on at its last speed.
            if speed <= 0.0 or self._steps % max(1, math.floor(TRAVEL / (speed * step))) == 0:
                for belt in self._belts[b]:
                    _drive(bodies.client, belt, speed)
        for b in sorted(self._belts.keys() - self._active.keys()):
            for belt in self._belts.pop(b):
                bodies.static.discard(belt.body)
                del bodies.label[belt.body]
                pybullet.removeBody(belt.body, physicsClientId=bodies.client)
        for k, pose in self._held.items():
            # Those behind would push it on, little by little, were it not put back.
            if k in bodies.good:
                pybullet.resetBasePositionAndOrientation(bodies.good[k], pose[:3], pose[3:], bodies.client)
                pybullet.resetBaseVelocity(bodies.good[k], (0.0,) * 3, (0.0,) * 3, bodies.client)
        self._steps += 1

    def _create(self, b: int, bodies: Bodies) -> list[_Belt]:
        network, settings = self._system.network, self._world.settings
        conveyor, pieces = network.conveyors[b], network.pieces[b]
        top, width = float(network.surface[b]), belt_width(conveyor)
        friction = self._system.friction(b, settings.gravity) / settings.goods_friction
        belts = [_create_piece(bodies.client, piece, width, top) for piece in pieces]
        for belt in belts:
            bullet.set_filter(bodies.client, belt.body, bullet.STATIC)
            pybullet.changeDynamics(belt.body, -1, lateralFriction=friction, physicsClientId=bodies.client)
            bodies.label[belt.body] = ("conveyor", conveyor.id)
            bodies.static.add(belt.body)
            _drive(bodies.client, belt, self._system.drive_speed(b))
        return belts


def _create_piece(client: int, piece: Piece, width: float, top: float) -> _Belt:
    """Create the belt of a piece, its upper side at ``top`` [m]."""
    half_width, half = 0.5 * width, 0.5 * THICKNESS
    if not piece.curvature:
        x, y, yaw = piece.pose(0.5 * piece.length)
        body = _body(
            client, [(0.5 * piece.length, half_width, half)], [(0.0, 0.0, 0.0)], [0.0], (x, y, top - half), yaw
        )
        return _Belt(body, (x, y, yaw), (math.cos(yaw), math.sin(yaw)), 0.0)
    radius, side = 1.0 / abs(piece.curvature), math.copysign(1.0, piece.curvature)
    x = piece.x - side * radius * math.sin(piece.yaw)
    y = piece.y + side * radius * math.cos(piece.yaw)
    angle = piece.length / radius
    count = min(_CHORDS, math.ceil(angle / 0.1))
    middle = [side * angle * (number + 0.5) / count for number in range(count)]
    # About the bend's centre, x along the motion at the piece's start.
    at = [(radius * math.sin(abs(a)), -side * radius * math.cos(a), 0.0) for a in middle]
    box = ((radius + half_width) * math.tan(0.5 * angle / count), half_width, half)
    body = _body(client, [box] * count, at, middle, (x, y, top - half), piece.yaw)
    return _Belt(body, (x, y, piece.yaw), (0.0, 0.0), side / radius)


def _body(
    client: int,
    half: Sequence[tuple[float, float, float]],
    at: Sequence[tuple[float, float, float]],
    yaw: Sequence[float],
    place: tuple[float, float, float],
    turned: float,
) -> int:
    """Create a body without mass, in reduced coordinates: only such a one keeps a velocity that it is given."""
    shape = pybullet.createCollisionShapeArray(
        shapeTypes=[pybullet.GEOM_BOX] * len(half),
        halfExtents=[list(h) for h in half],
        collisionFramePositions=[list(a) for a in at],
        collisionFrameOrientations=[quaternion_from_yaw(y).tolist() for y in yaw],
        physicsClientId=client,
    )
    orientation = quaternion_from_yaw(turned).tolist()
    return int(
        pybullet.createMultiBody(
            0, shape, basePosition=list(place), baseOrientation=orientation, physicsClientId=client
        )
    )


def _drive(client: int, belt: _Belt, speed: float) -> None:
    """Put a belt back to its place and let it move at the conveyor's speed [m/s]."""
    x, y, yaw = belt.place
    z = pybullet.getBasePositionAndOrientation(belt.body, physicsClientId=client)[0][2]
    orientation = quaternion_from_yaw(yaw).tolist()
    pybullet.resetBasePositionAndOrientation(belt.body, [x, y, z], orientation, physicsClientId=client)
    linear = (speed * belt.linear[0], speed * belt.linear[1], 0.0)
    pybullet.resetBaseVelocity(belt.body, linear, (0.0, 0.0, speed * belt.turn), client)


def _curvature(pieces: Sequence[Piece], s: float) -> float:
    """Return the curvature [1/m] of a centre line at s [m]."""
    for piece in pieces[:-1]:
        if s <= piece.length:
            return piece.curvature
        s -= piece.length
    return pieces[-1].curvature
