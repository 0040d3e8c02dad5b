"""PyBullet: ``rayTestBatch`` and TinyRenderer, with the hall in the form that suits them best (measured).

Each rack row with its goods is one compound body, cylinders are implicit, rigid bodies in maximal coordinates; ray
batches stay below the 16,384 rays at which ``rayTestBatch`` silently returns nothing; of the numbers of threads the
fastest is taken. The rays' ends are laid out as the lists that PyBullet wants. TinyRenderer is asked for shadows, as
ours has them (flat pictures take it about 0.6 of the time); it has one id for a whole compound, so that its ids of
goods cannot be compared, and its depth is half a pixel low.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np

from ...common.geometry import FloatArray, rotation_matrix
from ...common.primitives import BOX, CAPSULE, CYLINDER, PLANE, SPHERE, Primitives
from .hall import BenchHall
from .peer import Peer, PeerPicture, PeerUnavailable, RayFan, View, scratch_file

RAY_CHUNK = 8192
"""``rayTestBatch`` returns ``()`` for exactly 16,384 rays and refuses more."""


class PyBulletPeer(Peer):
    """The benchmark's hall in a PyBullet client of its own; use as a context manager."""

    name: ClassVar[str] = "pybullet"
    scan_label: ClassVar[str | None] = "PyBullet rayTestBatch"
    picture_label: ClassVar[str | None] = "PyBullet TinyRenderer"

    def __init__(self, hall: BenchHall, cores: int = 1) -> None:
        try:
            import pybullet
        except (ImportError, OSError) as error:
            raise PeerUnavailable(f"PyBullet cannot be loaded: {error}") from error
        super().__init__(hall, cores)
        self.bullet: Any = pybullet
        self.threads = 1
        self.movers: list[int] = []
        with quiet_standard_output():
            self.client = int(pybullet.connect(pybullet.DIRECT))
            if self.client < 0:
                raise PeerUnavailable("PyBullet could not open a physics client")
            self._fill()

    def close(self) -> None:
        """Disconnect."""
        if self.client >= 0:
            self.bullet.disconnect(physicsClientId=self.client)
            self.client = -1

    def update(self, poses: FloatArray) -> None:
        """See ``Peer.update``."""
        for body, pose in zip(self.movers, poses.tolist(), strict=False):
            self._place(body, pose)

    def lay_out(self, fans: list[RayFan]) -> tuple[list[Any], list[Any], FloatArray]:
        """See ``Peer.lay_out``."""
        starts, ends, reach = [], [], []
        for fan in fans:
            starts += np.broadcast_to(fan.origin, fan.direction.shape).tolist()
            ends += (fan.origin + fan.reach * fan.direction).tolist()
            reach.append(np.full(len(fan.direction), fan.reach))
        return starts, ends, np.concatenate(reach)

    def cast(self, rays: tuple[list[Any], list[Any], FloatArray]) -> tuple[list[Any], FloatArray]:
        """See ``Peer.cast``: ``rayTestBatch`` in chunks that it can answer."""
        starts, ends, reach = rays
        found: list[Any] = []
        for k in range(0, len(starts), RAY_CHUNK):
            found.extend(
                self.bullet.rayTestBatch(
                    starts[k : k + RAY_CHUNK],
                    ends[k : k + RAY_CHUNK],
                    numThreads=self.threads,
                    physicsClientId=self.client,
                )
            )
        return found, reach

    def ranges(self, answer: tuple[list[Any], FloatArray]) -> FloatArray:
        """See ``Peer.ranges``."""
        rows, reach = answer
        fraction = np.array([row[2] for row in rows])
        hit = np.array([row[0] for row in rows]) >= 0
        return np.where(hit, fraction * reach, np.inf)

    def tune(self, work: Callable[[FloatArray], None]) -> None:
        """Choose the fastest number of threads; 0 lets PyBullet decide."""
        spent = {}
        for threads in (1,) if self.cores == 1 else (1, 0, self.cores):
            self.threads = threads
            seconds = []
            for poses in self.hall.poses[:3]:
                start = time.perf_counter()
                work(poses)
                seconds.append(time.perf_counter() - start)
            spent[threads] = min(seconds)
        self.threads = min(spent, key=lambda threads: spent[threads])
        self.note = f"numThreads={self.threads}"

    def aim(self, view: View) -> dict[str, Any]:
        """See ``Peer.aim``."""
        config, rotation, near, far = view.config, view.rotation, view.config.near, view.config.far
        eye, ahead, up = view.position, view.position + rotation[:, 2], -rotation[:, 1]
        fov = 2.0 * np.degrees(np.arctan(0.5 * config.height / config.focal))
        self.note = "renderer of one thread"
        return {
            "width": config.width,
            "height": config.height,
            "viewMatrix": self.bullet.computeViewMatrix(eye.tolist(), ahead.tolist(), up.tolist()),
            "projectionMatrix": self.bullet.computeProjectionMatrixFOV(fov, config.width / config.height, near, far),
            "lightDirection": (-np.asarray(view.lighting.direction)).tolist(),
            "shadow": 1,
            "renderer": self.bullet.ER_TINY_RENDERER,
            "physicsClientId": self.client,
            "planes": (near, far),
        }

    def picture(self, aimed: dict[str, Any]) -> tuple[Any, tuple[float, float]]:
        """See ``Peer.picture``."""
        options = dict(aimed)
        planes = options.pop("planes")
        return self.bullet.getCameraImage(**options), planes

    def show(self, taken: tuple[Any, tuple[float, float]]) -> PeerPicture:
        """See ``Peer.show``."""
        (width, height, rgb, buffer, _), (near, far) = taken
        value = np.reshape(np.asarray(buffer, dtype=np.float64), (height, width))
        depth = far * near / (far - (far - near) * value)
        color = np.reshape(np.asarray(rgb, dtype=np.uint8), (height, width, 4))[..., :3]
        return PeerPicture(color, np.where(value < 1.0, depth, np.inf), None)

    def _fill(self) -> None:
        static = self.hall.solids.static
        plane = self.bullet.createCollisionShape(self.bullet.GEOM_PLANE, physicsClientId=self.client)
        self.bullet.createMultiBody(0, plane, physicsClientId=self.client)
        # What TinyRenderer shows of the floor: a thin slab just below the plane.
        slab = self.bullet.createVisualShape(
            self.bullet.GEOM_BOX, halfExtents=[200, 200, 0.005], rgbaColor=[0.66, 0.66, 0.64, 1],
            physicsClientId=self.client,
        )  # fmt: skip
        self.bullet.createMultiBody(
            0, baseVisualShapeIndex=slab, basePosition=[0, 0, -0.005], physicsClientId=self.client
        )
        for group in range(1, int(static.body.max()) + 1):
            self._load(static.take((static.body == group) & (static.kind != PLANE)))
        loose = self.hall.solids.loose
        for body, pose in enumerate(self.hall.solids.loose_pose.tolist()):
            self._place(self._load(loose.take(loose.body == body)), pose)
        parts = self.hall.parts
        self.movers = [self._load(parts.take(parts.body == body)) for body in range(int(parts.body.max()) + 1)]

    def _place(self, body: int, pose: list[float]) -> None:
        self.bullet.resetBasePositionAndOrientation(body, pose[:3], pose[3:], physicsClientId=self.client)

    def _load(self, solids: Primitives) -> int:
        # A URDF link takes a compound of any size; ``createCollisionShapeArray`` drops all after the 16th child.
        with scratch_file(compound_urdf(solids), ".urdf") as path:
            return int(
                self.bullet.loadURDF(
                    path,
                    useFixedBase=True,
                    useMaximalCoordinates=True,
                    flags=self.bullet.URDF_USE_IMPLICIT_CYLINDER,
                    physicsClientId=self.client,
                )
            )


def compound_urdf(solids: Primitives) -> str:
    """Return a URDF of one motionless link with all solids, as visuals and as collision shapes."""
    lines = ['<robot name="group"><link name="base"><inertial><mass value="0"/>']
    lines.append('<inertia ixx="0" ixy="0" ixz="0" iyy="0" iyz="0" izz="0"/></inertial>')
    rotation = rotation_matrix(solids.quaternion)
    rows = zip(solids.kind.tolist(), solids.size.tolist(), solids.position.tolist(), rotation, strict=True)
    for row, (kind, size, position, turn) in enumerate(rows):
        if kind not in (BOX, CYLINDER, CAPSULE, SPHERE):
            raise ValueError("a plane or a triangle cannot be part of a compound")
        roll, pitch = np.arctan2(turn[2, 1], turn[2, 2]), np.arcsin(-turn[2, 0].clip(-1, 1))
        yaw = float(np.arctan2(turn[1, 0], turn[0, 0]))
        shape = {
            BOX: f'<box size="{2 * size[0]!r} {2 * size[1]!r} {2 * size[2]!r}"/>',
            CYLINDER: f'<cylinder radius="{size[0]!r}" length="{2 * size[1]!r}"/>',
            CAPSULE: f'<capsule radius="{size[0]!r}" length="{2 * size[1]!r}"/>',
            SPHERE: f'<sphere radius="{size[0]!r}"/>',
        }[kind]
        red, green, blue = (solids.color[row] / 255.0).round(4).tolist()
        origin = f'<origin xyz="{position[0]!r} {position[1]!r} {position[2]!r}" rpy="{roll!s} {pitch!s} {yaw!s}"/>'
        lines.append(f"<collision>{origin}<geometry>{shape}</geometry></collision>")
        lines.append(f'<visual>{origin}<geometry>{shape}</geometry><material name="m{row}">')
        lines.append(f'<color rgba="{red} {green} {blue} 1"/></material></visual>')
    lines.append("</link></robot>")
    return "\n".join(lines)


@contextmanager
def quiet_standard_output() -> Iterator[None]:
    """Keep PyBullet's own printing (it writes to file descriptor 1) off the terminal."""
    saved = os.dup(1)
    empty = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(empty, 1)
        yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)
        os.close(empty)
