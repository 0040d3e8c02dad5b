"""Grids of the MovingAI benchmarks and the League of Robot Runners (``.map``): one character for each cell.

``.`` and ``G`` are floor; ``@``, ``O``, ``T`` and ``W`` stand in the way (out of bounds, trees, water). ``S`` is
swamp, which is passable. In a file with ``E`` it is the League's: ``E`` are the places where goods come from, which
become stations to pick from, and ``S`` the many places beside shelves that they go to, which become waypoints.

The files do not tell the size of a cell.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...common.config import parse_model
from ...common.errors import InputError
from ..model import MAX_LENGTH, Layout
from .files import read_bytes
from .names import label
from .rectangles import merged_rectangles, require_size, row_blocks, walls_of
from .report import Imported, Leftovers

CELL_SIZE = 1.0
"""Edge of a cell [m] where none is given: about the place that a robot under a shelf takes in a warehouse."""
OBSTACLES = "@OTW"
KNOWN = ".GSE" + OBSTACLES
MAX_HEADER = 4096
MAX_STATIONS = 20_000
MAX_WAYPOINTS = 500_000

Cells = NDArray[np.uint8]


def import_layout(path: str | Path, level: str | None = None, *, cell_size: float = CELL_SIZE) -> Imported:
    """Read a grid: obstacles as walls that cover exactly their cells, in a hall as large as the grid.

    ``source`` maps (column, row) of the file, counted from the upper left corner of the upper left cell, to ``map``.

    Args:
        path: the file. level: such files have none. cell_size: edge of a cell [m].

    Raises:
        InputError: the file is no such grid; says where.
    """
    path = Path(path)
    if level is not None:
        raise InputError("a grid has no levels", where=f"{path}, --level {level}", mend="leave --level out")
    if not (math.isfinite(cell_size) and 0.01 <= cell_size <= 100.0):
        raise InputError(f"a cell of {cell_size} m", where="--cell-size", mend="give 0.01 to 100 m")
    cells = _read_cells(path)
    rows, columns = cells.shape
    if max(rows, columns) * cell_size > MAX_LENGTH:
        message = f"{columns} x {rows} cells of {cell_size:g} m are more than the {MAX_LENGTH:g} m of a hall"
        raise InputError(message, where=str(path), mend="give smaller cells (--cell-size)")
    leftovers = Leftovers()
    counts = {mark: int(np.count_nonzero(cells == ord(mark))) for mark in KNOWN}
    stations: list[dict[str, Any]] = []
    waypoints: list[dict[str, Any]] = []
    if counts["E"]:
        stations = [
            {"id": f"E_{column}_{row}", **_centre(row, column, rows, cell_size), "kind": "pick"}
            for row, column in _places(cells, "E", MAX_STATIONS)
        ]
        waypoints = [
            {"id": f"S_{column}_{row}", **_centre(row, column, rows, cell_size), "name": "S"}
            for row, column in _places(cells, "S", MAX_WAYPOINTS)
        ]
        leftovers.add("mark E beyond the stations that a layout holds", count=counts["E"] - len(stations))
        leftovers.add("mark S beyond the waypoints that a layout holds", count=counts["S"] - len(waypoints))
    else:
        leftovers.add("swamp cell S, taken for floor", count=counts["S"])
    leftovers.add("water cell W, taken for an obstacle", count=counts["W"])
    occupied = _among(cells, OBSTACLES)
    walls = walls_of(merged_rectangles(occupied, str(path)), rows, cell_size)
    layout = parse_model(
        {
            "name": label(path.stem, 128) or "grid",
            "length": round(columns * cell_size, 9),
            "width": round(rows * cell_size, 9),
            "walls": walls,
            "stations": stations,
            "waypoints": waypoints,
            "source": {
                "file": label(path.name),
                "format": "grid",
                "y": round(rows * cell_size, 9),
                "scale": cell_size,
                "mirrored": True,
            },
        },
        Layout,
        source=str(path),
    )
    read = {
        "cells": rows * columns,
        "occupied cells": int(np.count_nonzero(occupied)),
        "walls": len(walls),
        "stations": len(stations),
        "waypoints": len(waypoints),
    }
    return Imported(layout, read, leftovers)


def _centre(row: int, column: int, rows: int, cell_size: float) -> dict[str, float]:
    return {"x": round((column + 0.5) * cell_size, 9), "y": round((rows - row - 0.5) * cell_size, 9)}


def _places(cells: Cells, mark: str, limit: int) -> list[tuple[int, int]]:
    """Return row and column of the first cells that hold a mark."""
    places: list[tuple[int, int]] = []
    for row in range(len(cells)):
        places += [(row, column) for column in np.flatnonzero(cells[row] == ord(mark)).tolist()]
        if len(places) >= limit:
            break
    return places[:limit]


def _among(cells: Cells, marks: str) -> NDArray[np.bool_]:
    """Return (H, W) bool: whether each cell is one of some marks."""
    found = np.empty(cells.shape, dtype=np.bool_)
    for rows in row_blocks(*cells.shape):
        found[rows] = np.isin(cells[rows], np.frombuffer(marks.encode(), dtype=np.uint8))
    return found


def _read_cells(path: Path) -> Cells:
    """Return the characters of a grid (H, W); every cell is one of ``KNOWN``."""
    data = read_bytes(path)
    rows, columns, header_lines, start = _read_header(data, path)
    body = data[start:].replace(b"\r\n", b"\n").rstrip(b"\r\n \t")
    # Sizes are compared before anything is made of the lines: a file may be nothing but line ends.
    lines = body.count(b"\n") + 1 if body else 0
    if lines != rows:
        raise InputError(
            f"the header says {rows} rows and {lines} follow it",
            where=f"{path}, line {header_lines}",
            mend="correct height, or complete the file",
        )
    ends = np.append(np.flatnonzero(np.frombuffer(body, dtype=np.uint8) == ord("\n")), len(body))
    lengths = np.diff(ends, prepend=-1) - 1
    wrong = np.flatnonzero(lengths != columns)
    if len(wrong):
        raise InputError(
            f"the row has {lengths[wrong[0]]} cells and the header says width {columns}",
            where=f"{path}, line {header_lines + 1 + int(wrong[0])}",
            mend="correct width, or the row",
        )
    cells = np.frombuffer(body + b"\n", dtype=np.uint8).reshape(rows, columns + 1)[:, :columns]
    strange = ~_among(cells, KNOWN)
    if strange.any():
        row, column = divmod(int(strange.argmax()), columns)
        raise InputError(
            f"{chr(cells[row, column])!r} is no cell of such a grid",
            where=f"{path}, line {header_lines + 1 + row}, column {column + 1}",
            mend=f"use one of {' '.join(KNOWN)}",
        )
    return cells


def _read_header(data: bytes, path: Path) -> tuple[int, int, int, int]:
    """Return height, width, the lines of the header and where the first row begins."""
    sizes: dict[str, int] = {}
    start = number = 0
    while start < len(data):
        end = data.find(b"\n", start, start + MAX_HEADER)
        if end < 0 or end > MAX_HEADER:
            break
        words = data[start:end].decode("ascii", "replace").split()
        number, start = number + 1, end + 1
        where = f"{path}, line {number}"
        if words == ["map"]:
            missing = [key for key in ("height", "width") if key not in sizes]
            if missing:
                raise InputError(f"the header does not say {' and '.join(missing)}", where=where, mend="add it")
            require_size(sizes["height"], sizes["width"], str(path))
            return sizes["height"], sizes["width"], number, start
        if len(words) == 2 and words[0] in ("height", "width"):
            if not (words[1].isdecimal() and len(words[1]) <= 12):
                raise InputError(f"{words[0]} is {words[1][:40]!r}, no count of cells", where=where, mend="correct it")
            sizes[words[0]] = int(words[1])
        elif words and words[0] != "type":
            break
    raise InputError(
        "the file does not begin as a grid does",
        where=str(path),
        mend="begin with the lines 'type octile', 'height H', 'width W', 'map'",
    )
