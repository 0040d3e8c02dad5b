"""Primitive solids as arrays: the one description of shape that physics, sensors and drawings share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .classes import CLASS_IDS
from .geometry import quaternion_from_yaw

BOX = 0
"""size = half extents x, y, z [m]."""
CYLINDER = 1
"""Axis along local z; size = radius, half length, 0 [m]."""
CAPSULE = 2
"""Axis along local z; size = radius, half length of the cylindrical part, 0 [m]."""
SPHERE = 3
"""size = radius, 0, 0 [m]."""
PLANE = 4
"""Infinite plane through position, normal along local z; size is ignored."""
TRIANGLE = 5
"""A flat, two-sided triangle in the local xy plane, without volume: corners (-a, -h), (a, -h), (b, h) with |b| <= a;
size = a, b, h [m], so position is the centre of the rectangle that holds it. A mesh is many triangles of one id."""


@dataclass(frozen=True)
class Primitives:
    """N solids as arrays of equal length.

    Attributes:
        kind: (N,) uint8, BOX, CYLINDER, CAPSULE, SPHERE, PLANE or TRIANGLE.
        size: (N, 3) float64 [m], meaning by kind.
        position: (N, 3) float64 [m], centre, in the frame of the holder (``map``, or the moving body).
        quaternion: (N, 4) float64, xyzw, unit.
        color: (N, 3) uint8, sRGB.
        class_id: (N,) int32, ``floorcast.common.classes`` ids.
        instance_id: (N,) int32, > 0 for countable objects, 0 for stuff (floor, walls). All primitives of one object
            share one id; two objects never do.
        body: (N,) int32. For static primitives the physics group (a rack row is one group); for moving parts the index
            of the moving body that carries them.
    """

    kind: NDArray[np.uint8]
    size: NDArray[np.float64]
    position: NDArray[np.float64]
    quaternion: NDArray[np.float64]
    color: NDArray[np.uint8]
    class_id: NDArray[np.int32]
    instance_id: NDArray[np.int32]
    body: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.kind)

    def take(self, index: ArrayLike) -> Primitives:
        """Return the primitives that an index array, slice or boolean mask selects."""
        return Primitives(**{field.name: getattr(self, field.name)[index] for field in fields(self)})

    @staticmethod
    def concatenate(parts: Sequence[Primitives]) -> Primitives:
        """Return all primitives of the parts in order."""
        if not parts:
            return PrimitiveBuilder().build()
        return Primitives(
            **{field.name: np.concatenate([getattr(p, field.name) for p in parts]) for field in fields(Primitives)}
        )


class PrimitiveBuilder:
    """Collects solids one by one and turns them into arrays. Building is set-up work, never done per step."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, tuple[float, ...], tuple[float, ...], tuple[float, ...], tuple[int, ...]]] = []
        self._labels: list[tuple[int, int, int]] = []

    def add(
        self,
        kind: int,
        size: Sequence[float],
        position: Sequence[float],
        *,
        class_name: str,
        instance_id: int = 0,
        body: int = 0,
        color: Sequence[int] = (160, 160, 160),
        yaw: float = 0.0,
        quaternion: Sequence[float] | None = None,
    ) -> None:
        """Add a solid; see ``Primitives`` for meanings and units. ``quaternion`` wins over ``yaw``."""
        orientation = quaternion if quaternion is not None else quaternion_from_yaw(yaw)
        full = (*size, 0.0, 0.0)[:3]
        self._rows.append((kind, full, tuple(position), tuple(float(q) for q in orientation), tuple(color)))
        self._labels.append((CLASS_IDS[class_name], instance_id, body))

    def box(self, half_extents: Sequence[float], position: Sequence[float], **options: object) -> None:
        """Add a box; options as in ``add``."""
        self.add(BOX, half_extents, position, **options)  # type: ignore[arg-type]

    def cylinder(self, radius: float, half_length: float, position: Sequence[float], **options: object) -> None:
        """Add a cylinder along local z; options as in ``add``."""
        self.add(CYLINDER, (radius, half_length), position, **options)  # type: ignore[arg-type]

    def build(self) -> Primitives:
        """Return the arrays."""
        n = len(self._rows)
        labels = np.array(self._labels, dtype=np.int32).reshape(n, 3)
        return Primitives(
            kind=np.array([row[0] for row in self._rows], dtype=np.uint8),
            size=np.array([row[1] for row in self._rows], dtype=np.float64).reshape(n, 3),
            position=np.array([row[2] for row in self._rows], dtype=np.float64).reshape(n, 3),
            quaternion=np.array([row[3] for row in self._rows], dtype=np.float64).reshape(n, 4),
            color=np.array([row[4] for row in self._rows], dtype=np.uint8).reshape(n, 3),
            class_id=labels[:, 0].copy(),
            instance_id=labels[:, 1].copy(),
            body=labels[:, 2].copy(),
        )
