"""Occupancy maps of ROS ``map_server`` (and Nav2): a YAML file that names a PGM or PNG picture.

Cells are judged as those programs judge them. Occupied cells become walls; what is not known is no wall. The hall is
the rectangle around all that is known.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ...common.config import load_model, parse_model
from ...common.errors import InputError
from ..model import MAX_LENGTH, Layout
from .files import within
from .names import label
from .pictures import Picture, read_picture
from .rectangles import merged_rectangles, row_blocks, walls_of
from .report import Imported, Leftovers

UNKNOWN, FREE, GRADED, OCCUPIED = 0, 1, 2, 3
"""What is known of a cell; GRADED: it may be occupied, with less than the threshold (modes scale and raw)."""

Share = Annotated[float, Field(ge=0, le=1)]
Metres = Annotated[float, Field(ge=-1e7, le=1e7)]
States = NDArray[np.uint8]


class MapFile(BaseModel):
    """The YAML file of a map. Keys beyond these are counted and left out."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False, frozen=True)

    image: Annotated[str, Field(min_length=1, max_length=1024)]
    resolution: Annotated[float, Field(ge=0.001, le=100)]
    """Edge of a cell [m]."""
    origin: tuple[Metres, Metres, Metres]
    """Pose x, y [m], yaw [rad] of the picture's lower left corner in the map's frame."""
    negate: bool = False
    occupied_thresh: Share
    free_thresh: Share
    mode: Literal["trinary", "scale", "raw"] = "trinary"


def import_layout(path: str | Path, level: str | None = None) -> Imported:
    """Read an occupancy map.

    ``source`` maps points [m] of the map's own frame, in which robots report their poses, to ``map``.

    Args:
        path: the YAML file; its picture lies in the same folder or below. level: such maps have none.

    Raises:
        InputError: the map cannot be used; says what and where.
    """
    path = Path(path)
    if level is not None:
        raise InputError("a map has no levels", where=f"{path}, --level {level}", mend="leave --level out")
    given = load_model(path, MapFile)
    if given.free_thresh > given.occupied_thresh:
        message = f"free_thresh {given.free_thresh:g} is above occupied_thresh {given.occupied_thresh:g}"
        raise InputError(message, where=str(path), mend="exchange them")
    picture = read_picture(within(path.parent, given.image, f"{path}, image"))
    states = cell_states(picture, given)
    known = states != UNKNOWN
    rows, columns = np.flatnonzero(known.any(axis=1)), np.flatnonzero(known.any(axis=0))
    if not len(rows):
        raise InputError(
            "no cell of the map is known to be free or occupied",
            where=f"{path}, image {given.image}",
            mend="correct occupied_thresh, free_thresh, mode or negate",
        )
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    cell, all_rows = given.resolution, len(states)
    if max(bottom - top, right - left) * cell > MAX_LENGTH:
        message = f"the known part of the map is {(right - left) * cell:g} x {(bottom - top) * cell:g} m"
        raise InputError(message, where=f"{path}, resolution", mend=f"correct it: a hall has {MAX_LENGTH:g} m at most")
    inside = states[top:bottom, left:right]
    counts = {state: int(np.count_nonzero(inside == state)) for state in (UNKNOWN, FREE, GRADED, OCCUPIED)}
    walls = walls_of(merged_rectangles(inside == OCCUPIED, str(path)), bottom - top, cell)
    leftovers = Leftovers()
    leftovers.add("unknown cell within the hall, where a layout has open floor", count=counts[UNKNOWN])
    leftovers.add("cell that may be occupied, with less than occupied_thresh, taken for floor", count=counts[GRADED])
    for key in sorted(given.model_extra or {}):
        leftovers.add("key of the map's file", str(key))
    # A map point p lies at R(-yaw) (p - origin) from the picture's corner, and that corner before the hall's.
    x, y, yaw = given.origin
    cos, sin = float(np.cos(-yaw)), float(np.sin(-yaw))
    layout = parse_model(
        {
            "name": label(path.stem, 128) or "map",
            "length": round((right - left) * cell, 9),
            "width": round((bottom - top) * cell, 9),
            "walls": walls,
            "source": {
                "file": label(path.name),
                "format": "map_server",
                "name": label(given.image),
                "x": round(-(cos * x - sin * y) - left * cell, 9),
                "y": round(-(sin * x + cos * y) - (all_rows - bottom) * cell, 9),
                "yaw": float(np.remainder(-yaw + np.pi, 2 * np.pi) - np.pi) if yaw else 0.0,
            },
        },
        Layout,
        source=str(path),
    )
    read = {
        "cells": states.size,
        "cells of the hall": inside.size,
        "occupied cells": counts[OCCUPIED],
        "free cells": counts[FREE],
        "walls": len(walls),
    }
    return Imported(layout, read, leftovers)


def cell_states(picture: Picture, given: MapFile) -> States:
    """Return what the map's file makes of a picture, (H, W) uint8 of UNKNOWN, FREE, GRADED and OCCUPIED.

    As map_server and Nav2 do: dark is occupied unless ``negate``. Colours are averaged, in mode trinary with alpha; in
    mode scale, cells that are not opaque are unknown; in mode raw a pixel is the percentage itself, above 100 unknown.
    """
    height, width = picture.values.shape[:2]
    states = np.empty((height, width), dtype=np.uint8)
    for rows in row_blocks(height, width):
        values = picture.values[rows]
        opaque: NDArray[np.bool_] | None = None
        if values.ndim == 2:
            shade = values / picture.white
        else:
            alpha = values.shape[2] == 4
            if alpha and given.mode == "scale":
                opaque = values[..., 3] == picture.white
            colours = values if alpha and given.mode == "trinary" else values[..., :3]
            shade = colours.mean(axis=-1) / picture.white
        occupancy = shade if given.negate else 1.0 - shade
        if given.mode == "raw":
            occupancy = np.rint(shade * 255.0) / 100.0
        between = UNKNOWN if given.mode == "trinary" else GRADED
        block = np.full(occupancy.shape, between, dtype=np.uint8)
        block[occupancy < given.free_thresh] = FREE
        block[occupancy > given.occupied_thresh] = OCCUPIED
        if given.mode == "raw":
            block[occupancy > 1.0] = UNKNOWN
        if opaque is not None:
            block[~opaque] = UNKNOWN
        states[rows] = block
    return states
