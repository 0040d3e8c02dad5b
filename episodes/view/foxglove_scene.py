"""Parts of Foxglove's messages as plain dictionaries: stamps, poses, and solids as scene entities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...common.geometry import quaternion_multiply, rotation_matrix
from ...common.primitives import BOX, CAPSULE, CYLINDER, SPHERE, TRIANGLE, Primitives
from ..routes import FloatArray

Message = dict[str, Any]
UPRIGHT = (0.0, 0.0, 0.0, 1.0)
LISTS = ("arrows", "cubes", "spheres", "cylinders", "lines", "triangles", "texts", "models", "metadata")


def stamp(time: float) -> Message:
    """Return a time [s] as whole seconds and nanoseconds."""
    whole = round(time * 1e9)
    return {"sec": whole // 1_000_000_000, "nsec": whole % 1_000_000_000}


def point(values: Sequence[float] | FloatArray) -> Message:
    """Return a point or a size (3,) [m], to a tenth of a millimetre."""
    return {axis: round(float(value), 4) for axis, value in zip("xyz", values, strict=True)}


def quaternion(values: Sequence[float] | FloatArray) -> Message:
    """Return a quaternion xyzw."""
    return {axis: round(float(value), 7) for axis, value in zip("xyzw", values, strict=True)}


def pose(position: Sequence[float] | FloatArray, rotation: Sequence[float] | FloatArray = UPRIGHT) -> Message:
    """Return a pose: position [m] and quaternion xyzw."""
    return {"position": point(position), "orientation": quaternion(rotation)}


def color(rgb: Sequence[int]) -> Message:
    """Return an sRGB colour."""
    return {**{name: round(int(value) / 255, 3) for name, value in zip("rgb", rgb, strict=True)}, "a": 1.0}


def deletion(name: str, time: float) -> Message:
    """Return what takes an entity away."""
    return {"timestamp": stamp(time), "type": 0, "id": name}


def entity(
    name: str,
    frame: str,
    time: float,
    *,
    solids: Primitives | None = None,
    at: FloatArray | None = None,
    cubes: Sequence[Message] = (),
    text: Message | None = None,
    top: float = 0.0,
) -> Message:
    """Return a ``foxglove.SceneEntity`` that stays until it is replaced or deleted, fixed to its frame.

    Args:
        name: unique among the entities of a topic.
        frame: that poses are given in.
        solids: to show; planes are left out, for they have no end.
        at: (7,) where the frame of the solids is in ``frame``; the same if None.
        cubes: ready-made ones.
        text: ``text`` and ``color`` of a label that floats above ``top`` [m].
    """
    shown: Message = {
        "timestamp": stamp(time),
        "frame_id": frame,
        "id": name,
        "lifetime": {"sec": 0, "nsec": 0},
        "frame_locked": True,
        **{kind: [] for kind in LISTS},
    }
    shown["cubes"] += cubes
    for index in range(0 if solids is None else len(solids)):
        assert solids is not None
        _add_solid(shown, solids, index, at)
    if text is not None:
        label = {"pose": pose((0.0, 0.0, top + 0.6)), "billboard": True, "font_size": 0.35, "scale_invariant": False}
        shown["texts"].append({**label, **text})
    return shown


def _add_solid(shown: Message, solids: Primitives, index: int, at: FloatArray | None) -> None:
    position, rotation = solids.position[index], solids.quaternion[index]
    if at is not None:
        position = at[:3] + rotation_matrix(at[3:]) @ position
        rotation = quaternion_multiply(at[3:], rotation)
    a, b, c = solids.size[index].tolist()
    paint, kind = color(solids.color[index]), int(solids.kind[index])
    if kind == BOX:
        shown["cubes"].append({"pose": pose(position, rotation), "size": point((2 * a, 2 * b, 2 * c)), "color": paint})
    elif kind in (CYLINDER, CAPSULE):
        round_part = {"pose": pose(position, rotation), "size": point((2 * a, 2 * a, 2 * b))}
        shown["cylinders"].append({**round_part, "bottom_scale": 1.0, "top_scale": 1.0, "color": paint})
    if kind in (SPHERE, CAPSULE):
        up = rotation_matrix(rotation) @ np.array([0.0, 0.0, b if kind == CAPSULE else 0.0])
        for end in (position - up, position + up)[: 2 if kind == CAPSULE else 1]:
            shown["spheres"].append({"pose": pose(end), "size": point((2 * a, 2 * a, 2 * a)), "color": paint})
    if kind == TRIANGLE:
        corners = [point((-a, -b, 0.0)), point((a, -b, 0.0)), point((c, b, 0.0))]
        flat = {"pose": pose(position, rotation), "points": corners, "color": paint, "colors": [], "indices": []}
        shown["triangles"].append(flat)
