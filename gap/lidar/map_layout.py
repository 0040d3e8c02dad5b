"""Maps from logs as layouts to drive in, and layouts as maps to judge a log by."""

from __future__ import annotations

import numpy as np

from ...common.errors import InputError
from ...common.geometry import FloatArray, rotation_matrix
from ...common.primitives import BOX, CYLINDER, Primitives
from ...layouts.geometry import layout_solids
from ...layouts.model import Layout, Obstacle, SourceFrame, Wall
from ...layouts.occupancy import loose_in_map
from ..fieldlog import Scans
from .map import THICKNESS, LidarMap
from .matching import Segments

LONG = 0.3
"""Surfaces of at least this length [m] become walls, shorter ones obstacles."""
SHORTEST = 0.02
"""Surfaces are made at least so long [m]: a layout's wall needs two ends."""
BORDER = 1.0
"""Room around the surfaces in the hall [m]."""
HEIGHT = 2.5
"""Height of all surfaces [m]: a planar lidar does not tell it."""
SIDES = 16
"""Faces of a cylinder for scan matching."""
LEVEL = 1e-6
LARGEST = 10_000.0
"""Greatest length or width of a layout [m]."""


def to_layout(lidar_map: LidarMap, name: str, file: str = "") -> Layout:
    """Return a map from a log as a layout to drive in.

    Args:
        lidar_map: from ``build_map``. name: of the hall. file: the log's name, for ``Layout.source``.

    Returns:
        A hall with a ``BORDER`` around all surfaces. It lies in the hall's own frame; ``source`` says where that of the
        log is.

    Raises:
        InputError: surfaces farther apart than a layout may reach.
    """
    segments = lidar_map.segments
    corners = np.concatenate([segments.start, segments.end])
    shift = BORDER - corners.min(axis=0)
    size = np.ceil(np.ptp(corners, axis=0) + 2.0 * BORDER)
    if size.max() > LARGEST:
        raise InputError(
            f"the map is {size.max() / 1000.0:.0f} km across, a hall at most {LARGEST / 1000.0:.0f}",
            where=file or name,
            mend="check the poses for leaps ('floorcast gap inspect')",
        )
    along = segments.end - segments.start
    length = np.hypot(along[:, 0], along[:, 1])
    direction = np.column_stack([segments.normal[:, 1], -segments.normal[:, 0]])
    middle = 0.5 * (segments.start + segments.end) - 0.5 * THICKNESS * segments.normal + shift
    half = 0.5 * np.maximum(length, SHORTEST)[:, None] * direction
    start, end = np.round(middle - half, 4).tolist(), np.round(middle + half, 4).tolist()
    yaw = np.round(np.arctan2(direction[:, 1], direction[:, 0]), 6).tolist()
    place = np.round(middle, 4).tolist()
    walls = [
        Wall(id=f"wall-{m}", start=tuple(start[m]), end=tuple(end[m]), thickness=THICKNESS, height=HEIGHT)
        for m in np.flatnonzero(length >= LONG).tolist()
    ]
    obstacles = [
        Obstacle(
            id=f"thing-{m}", x=place[m][0], y=place[m][1], z=0.5 * HEIGHT, yaw=yaw[m],
            size=(round(max(float(length[m]), SHORTEST), 4), THICKNESS, HEIGHT),
        )
        for m in np.flatnonzero(length < LONG).tolist()
    ]  # fmt: skip
    return Layout(
        name=name, length=float(size[0]), width=float(size[1]), height=HEIGHT + 1.0, walls=tuple(walls),
        obstacles=tuple(obstacles),
        source=SourceFrame(file=file[:256], format="log", name=name[:256], x=float(shift[0]), y=float(shift[1])),
    )  # fmt: skip


def layout_map(layout: Layout, scans: Scans, height: float = 0.2) -> LidarMap:
    """Return a layout as a map to hold scans against; what scans then miss it by is the layout's error.

    Args:
        layout: in the frame of the log's reference poses. scans: give beams and reach. height: of the lidar [m].
    """
    solids = layout_solids(layout)
    static = Primitives.concatenate([solids.static, loose_in_map(solids)])
    return LidarMap(
        static, _faces(static, height), None, scans.angle_min, scans.angle_increment, scans.ranges.shape[1],
        scans.range_max, height=height,
    )  # fmt: skip


def _faces(static: Primitives, height: float) -> Segments:
    """Return the outlines, at a height, of the upright boxes and cylinders that stand there."""
    axis = rotation_matrix(static.quaternion)
    upright = axis[:, 2, 2] > 1.0 - LEVEL
    box, cylinder = static.kind == BOX, static.kind == CYLINDER
    reach = np.where(box, static.size[:, 2], static.size[:, 1])
    there = upright & (np.abs(static.position[:, 2] - height) <= reach)
    corner = np.array([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])
    turn = 2.0 * np.pi * np.arange(SIDES) / SIDES
    # As large as the circle: corners outside it, middles of the faces inside.
    circle = np.column_stack([np.cos(turn), np.sin(turn)]) * 2.0 / (1.0 + np.cos(np.pi / SIDES))
    parts = [
        _outline(static.take(there & box), axis[there & box], corner, static.size[there & box, :2]),
        _outline(
            static.take(there & cylinder),
            axis[there & cylinder],
            0.5 * circle,
            static.size[there & cylinder][:, [0, 0]],
        ),
    ]
    start, end = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
    along = end - start
    length = np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-9)[:, None]
    # Outlines run counter-clockwise, faces clockwise about what they enclose: the normal is outside.
    return Segments(end, start, np.column_stack([along[:, 1], -along[:, 0]]) / length)


def _outline(
    solids: Primitives, axis: FloatArray, corners: FloatArray, size: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return starts and ends (N, 2) of outlines: ``corners`` (C, 2) times ``size`` (P, 2), turned and placed."""
    local = corners[None] * size[:, None]
    placed = np.einsum("pij,pcj->pci", axis[:, :2, :2], local) + solids.position[:, None, :2]
    return placed.reshape(-1, 2), np.roll(placed, -1, axis=1).reshape(-1, 2)
