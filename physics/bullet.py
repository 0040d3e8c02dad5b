"""PyBullet, wrapped thinly: clients that are reused, and shapes made from ``Primitives``."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from math import atan2
from typing import Any

import numpy as np

from ..common.errors import FloorcastError
from ..common.geometry import rotation_matrix
from ..common.primitives import BOX, CAPSULE, CYLINDER, SPHERE, Primitives


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Close the process's standard error for a moment: PyBullet writes its build date there from C."""
    try:
        number = sys.__stderr__.fileno() if sys.__stderr__ is not None else -1
        kept = os.dup(number)
    except (OSError, ValueError):
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), number)
        yield
    finally:
        os.dup2(kept, number)
        os.close(kept)


with _quiet_stderr():
    import pybullet

# Collision filter groups.
STATIC, ROBOT, PERSON, GOODS, FLOOR = 1, 2, 4, 8, 16
MASKS = {
    STATIC: ROBOT | GOODS,
    ROBOT: STATIC | ROBOT | PERSON | GOODS,
    PERSON: ROBOT,
    GOODS: STATIC | ROBOT | GOODS | FLOOR,
    FLOOR: GOODS,
}
"""What each group touches. Robots do not touch the floor: the drive model stands for their wheels."""

MAX_ARRAY_CHILDREN = 16
"""``createCollisionShapeArray`` drops further children without a word."""
MAX_COMPOUND_CHILDREN = 1000
"""Children of one compound body; a URDF link takes that many."""

_idle_clients: list[int] = []
_idle_owner = os.getpid()


def acquire_client() -> int:
    """Return the id of an empty DIRECT client: a released one, or a new one (28 MB each, never given back).

    Raises:
        FloorcastError: PyBullet opens no further client (its limit is about a thousand).
    """
    global _idle_owner
    if os.getpid() != _idle_owner:
        # A forked child shares no Bullet state that is safe to use with its parent.
        _idle_clients.clear()
        _idle_owner = os.getpid()
    if _idle_clients:
        return _idle_clients.pop()
    client = int(pybullet.connect(pybullet.DIRECT))
    if client < 0:
        raise FloorcastError("PyBullet could not open a physics client")
    return client


def release_client(client: int) -> None:
    """Empty a client and keep it for the next world."""
    if os.getpid() == _idle_owner:
        pybullet.resetSimulation(physicsClientId=client)
        _idle_clients.append(client)


def set_filter(client: int, body: int, group: int, *, touches: bool = True) -> None:
    """Put a body into a collision group; a body that does not touch is passed through by everything."""
    # A mask of 0 alone is not enough: PyBullet lets two bodies touch if either's mask has the other's group.
    kept, mask = (group, MASKS[group]) if touches else (0, 0)
    pybullet.setCollisionFilterGroupMask(body, -1, kept, mask, physicsClientId=client)


def load_static(client: int, solids: Primitives, friction: float) -> list[int]:
    """Load solids (frame ``map``) as few motionless compound bodies and return their ids.

    A compound of many children comes in as one URDF link; only that way does PyBullet take more than 16 children. Rigid
    bodies ("maximal coordinates") cost a twentieth of reduced-coordinate ones per step. Cylinders are true cylinders,
    not 32-sided hulls with a margin around them.
    """
    bodies, every = [], np.arange(len(solids))
    for start in range(0, len(solids), MAX_COMPOUND_CHILDREN):
        body = _load_compound(client, solids.take(every[start : start + MAX_COMPOUND_CHILDREN]), 0.0)
        pybullet.changeDynamics(body, -1, lateralFriction=friction, physicsClientId=client)
        set_filter(client, body, STATIC)
        bodies.append(body)
    return bodies


def _load_compound(client: int, solids: Primitives, mass: float) -> int:
    """Load solids as one body whose frame is theirs; it stands still for ever if its mass [kg] is 0."""
    handle, path = tempfile.mkstemp(suffix=".urdf", prefix="floorcast_")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(_compound_urdf(solids, mass))
        return int(
            pybullet.loadURDF(
                path,
                useFixedBase=mass == 0.0,
                useMaximalCoordinates=True,
                flags=pybullet.URDF_IGNORE_VISUAL_SHAPES | pybullet.URDF_USE_IMPLICIT_CYLINDER,
                physicsClientId=client,
            )
        )
    finally:
        os.unlink(path)


def create_body(
    client: int,
    solids: Primitives,
    mass: float,
    position: Any,
    quaternion: Any,
    *,
    shapes: dict[bytes, int] | None = None,
) -> int:
    """Create a rigid body from up to 16 solids in the frame of its centre of mass; more become one bounding box.

    ``shapes`` keeps collision shapes for later bodies of the very same solids: removing a body gives its shape's memory
    (some 9 kB) back only when the client is emptied.
    """
    key = b"".join(array.tobytes() for array in (solids.kind, solids.size, solids.position, solids.quaternion))
    shape = shapes.get(key) if shapes is not None else None
    if shape is None:
        shape = _collision_shape(client, solids)
        if shapes is not None:
            shapes[key] = shape
    return int(
        pybullet.createMultiBody(
            mass,
            shape,
            basePosition=[float(v) for v in position],
            baseOrientation=[float(v) for v in quaternion],
            useMaximalCoordinates=True,
            physicsClientId=client,
        )
    )


def create_robot(client: int, solids: Primitives, position: Any) -> int:
    """Create a rigid body of 1 kg from up to 1,000 solids in the frame of its centre of mass, each as it is."""
    if len(solids) <= MAX_ARRAY_CHILDREN:
        return create_body(client, solids, 1.0, position, (0.0, 0.0, 0.0, 1.0))
    body = _load_compound(client, solids, 1.0)
    place = [float(v) for v in position]
    pybullet.resetBasePositionAndOrientation(body, place, [0.0, 0.0, 0.0, 1.0], physicsClientId=client)
    return body


def _collision_shape(client: int, solids: Primitives) -> int:
    if len(solids) > MAX_ARRAY_CHILDREN:
        centre, half = bounding_box(solids)
        shape = pybullet.createCollisionShapeArray(
            shapeTypes=[pybullet.GEOM_BOX],
            halfExtents=[half.tolist()],
            collisionFramePositions=[centre.tolist()],
            physicsClientId=client,
        )
        return int(shape)
    kinds = {
        BOX: pybullet.GEOM_BOX,
        CYLINDER: pybullet.GEOM_CYLINDER,
        CAPSULE: pybullet.GEOM_CAPSULE,
        SPHERE: pybullet.GEOM_SPHERE,
    }
    shape = pybullet.createCollisionShapeArray(
        shapeTypes=[kinds[int(kind)] for kind in solids.kind],
        halfExtents=solids.size.tolist(),
        radii=solids.size[:, 0].tolist(),
        lengths=(2.0 * solids.size[:, 1]).tolist(),
        collisionFramePositions=solids.position.tolist(),
        collisionFrameOrientations=solids.quaternion.tolist(),
        physicsClientId=client,
    )
    return int(shape)


def bounding_box(solids: Primitives) -> tuple[Any, Any]:
    """Return centre (3,) and half extents (3,) [m] of the axis-aligned box around solids in their common frame."""
    rotation = np.abs(rotation_matrix(solids.quaternion))
    size = solids.size
    half = np.where(
        (solids.kind == BOX)[:, None],
        size,
        np.column_stack(
            [size[:, 0], size[:, 0], np.where(solids.kind == CAPSULE, size[:, 1] + size[:, 0], size[:, 1])]
        ),
    )
    half = np.where((solids.kind == SPHERE)[:, None], size[:, :1], half)
    extent = np.einsum("nij,nj->ni", rotation, half)
    low, high = (solids.position - extent).min(axis=0), (solids.position + extent).max(axis=0)
    return 0.5 * (low + high), 0.5 * (high - low)


def _compound_urdf(solids: Primitives, mass: float) -> str:
    # One element a line: the reader of PyBullet cuts lines at 1,024 characters.
    lines = [
        f'<robot name="group"><link name="base"><inertial><mass value="{mass!r}"/>',
        f'<inertia ixx="{mass!r}" ixy="0" ixz="0" iyy="{mass!r}" iyz="0" izz="{mass!r}"/></inertial>',
    ]
    for kind, size, position, q in zip(
        solids.kind.tolist(), solids.size.tolist(), solids.position.tolist(), solids.quaternion.tolist(), strict=True
    ):
        upright = q[0] == 0.0 and q[1] == 0.0
        rpy = (0.0, 0.0, 2.0 * atan2(q[2], q[3])) if upright else pybullet.getEulerFromQuaternion(q)
        if kind == BOX:
            geometry = f'<box size="{2 * size[0]!r} {2 * size[1]!r} {2 * size[2]!r}"/>'
        elif kind == SPHERE:
            geometry = f'<sphere radius="{size[0]!r}"/>'
        else:
            name = "cylinder" if kind == CYLINDER else "capsule"
            geometry = f'<{name} radius="{size[0]!r}" length="{2 * size[1]!r}"/>'
        lines.append(
            f'<collision><origin xyz="{position[0]!r} {position[1]!r} {position[2]!r}" '
            f'rpy="{rpy[0]!r} {rpy[1]!r} {rpy[2]!r}"/>\n<geometry>{geometry}</geometry></collision>'
        )
    lines.append("</link></robot>")
    return "\n".join(lines)
