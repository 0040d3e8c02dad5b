"""Compiled parts of the map from a log: normals of scans, cells of points, growing and fitting of line segments.

A surface is met from one side: every point carries a normal that looks back to the sensor, and points whose normals
differ by more than about 45 degrees never share a segment. So the two faces of a thin wall stay apart.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...common.geometry import FloatArray
from ...common.kernels import compiled

SIDES = 8
"""Directions that normals are sorted into."""
NORMAL_REACH = 0.35
"""Neighbours of a beam up to this far from it [m] tell its surface's normal."""
NORMAL_BEAMS = 12
"""... and up to this many beams away on either side."""
JUMP = 0.1
"""A surface ends where neighbouring beams differ by more than this [m] and ``JUMP_SLOPE`` times their spacing."""
JUMP_SLOPE = 3.0
FACING = 0.6
"""Least cosine between a line's normal and the middle of the side that its cell was sorted into."""
BRIDGE = 2
"""Cells by which a segment may jump over empty ones while it grows."""


@compiled
def scan_points(
    ranges: NDArray[np.float32], angles: FloatArray, poses: FloatArray, reach: float
) -> tuple[FloatArray, NDArray[np.int64]]:
    """Return the points of all scans in ``map`` with normals that look to the sensor.

    Args:
        ranges: (S, B) [m]; what is not finite or above ``reach`` gives no point. angles: (B,) [rad].
        poses: (S, 3) of the laser in ``map``. reach: [m].

    Returns:
        (N, 4) x, y [m], cosine and sine of the normal, and (N,) the beam's number s * B + b.
    """
    count, beams = ranges.shape
    cos, sin = np.cos(angles), np.sin(angles)
    step = abs(angles[1] - angles[0]) if beams > 1 else 0.01
    out = np.empty((count * beams, 4))
    beam = np.empty(count * beams, np.int64)
    x, y = np.empty(beams), np.empty(beams)
    n = 0
    for s in range(count):
        c, d = np.cos(poses[s, 2]), np.sin(poses[s, 2])
        for b in range(beams):
            r = ranges[s, b]
            x[b], y[b] = r * cos[b], r * sin[b]
        for b in range(beams):
            r = ranges[s, b]
            if not (r > 0.0 and r <= reach):
                continue
            m, sx, sy, sxx, sxy, syy = 1.0, 0.0, 0.0, 0.0, 0.0, 0.0
            for way in (-1, 1):
                last = b
                for k in range(1, NORMAL_BEAMS + 1):
                    j = b + way * k
                    if j < 0 or j >= beams or not (ranges[s, j] > 0.0 and ranges[s, j] <= reach):
                        break
                    if abs(ranges[s, j] - ranges[s, last]) > JUMP + JUMP_SLOPE * step * ranges[s, j]:
                        break
                    dx, dy = x[j] - x[b], y[j] - y[b]
                    if k > 1 and dx * dx + dy * dy > NORMAL_REACH * NORMAL_REACH:
                        break
                    m += 1.0
                    sx += dx
                    sy += dy
                    sxx += dx * dx
                    sxy += dx * dy
                    syy += dy * dy
                    last = j
            nx, ny = -cos[b], -sin[b]
            if m >= 3.0:
                a, e, f = sxx - sx * sx / m, sxy - sx * sy / m, syy - sy * sy / m
                turn = 0.5 * np.arctan2(2.0 * e, a - f)
                tx, ty = np.cos(turn), np.sin(turn)
                across = nx * -ty + ny * tx
                sign = 1.0 if across >= 0.0 else -1.0
                nx, ny = -ty * sign, tx * sign
            out[n, 0] = poses[s, 0] + c * x[b] - d * y[b]
            out[n, 1] = poses[s, 1] + d * x[b] + c * y[b]
            out[n, 2], out[n, 3] = c * nx - d * ny, d * nx + c * ny
            beam[n] = s * beams + b
            n += 1
    return out[:n].copy(), beam[:n].copy()


@compiled
def cell_keys(points: FloatArray, origin: FloatArray, cell: float, width: int) -> NDArray[np.int64]:
    """Return the (N,) number of each point's cell and side: ``((iy * width) + ix) * SIDES + side``."""
    keys = np.empty(len(points), np.int64)
    for i in range(len(points)):
        ix = int(np.floor((points[i, 0] - origin[0]) / cell))
        iy = int(np.floor((points[i, 1] - origin[1]) / cell))
        side = int(np.floor(np.arctan2(points[i, 3], points[i, 2]) / (2.0 * np.pi) * SIDES + 0.5)) % SIDES
        keys[i] = (iy * width + ix) * SIDES + side
    return keys


@compiled
def cell_moments(points: FloatArray, row: NDArray[np.int64], count: int) -> FloatArray:
    """Return by cell (count, 8): number, sums of x, y, xx, xy, yy about the cell's first point, that point's x and y.

    Sums about a near point keep millimetres in maps of kilometres.
    """
    out = np.zeros((count, 8))
    for i in range(len(points)):
        k = row[i]
        if out[k, 0] == 0.0:
            out[k, 6], out[k, 7] = points[i, 0], points[i, 1]
        x, y = points[i, 0] - out[k, 6], points[i, 1] - out[k, 7]
        out[k, 0] += 1.0
        out[k, 1] += x
        out[k, 2] += y
        out[k, 3] += x * x
        out[k, 4] += x * y
        out[k, 5] += y * y
    return out


@compiled
def _add(total: FloatArray, cell: FloatArray, ox: float, oy: float) -> None:
    """Add a cell's moments to ``total`` (6,): number and sums about (ox, oy)."""
    n, x, y = cell[0], cell[6] - ox, cell[7] - oy
    total[0] += n
    total[1] += cell[1] + n * x
    total[2] += cell[2] + n * y
    total[3] += cell[3] + 2.0 * x * cell[1] + n * x * x
    total[4] += cell[4] + x * cell[2] + y * cell[1] + n * x * y
    total[5] += cell[5] + 2.0 * y * cell[2] + n * y * y


@compiled
def _line(total: FloatArray) -> tuple[float, float, float, float, float, float]:
    """Return middle (x, y), direction (x, y), and variances along and across of moments (6,)."""
    n = total[0]
    mx, my = total[1] / n, total[2] / n
    a, e, f = total[3] / n - mx * mx, total[4] / n - mx * my, total[5] / n - my * my
    turn = 0.5 * np.arctan2(2.0 * e, a - f)
    spread = np.sqrt((0.5 * (a - f)) ** 2 + e * e)
    middle = 0.5 * (a + f)
    return mx, my, np.cos(turn), np.sin(turn), middle + spread, max(middle - spread, 0.0)


@compiled
def _find(keys: NDArray[np.int64], key: int) -> int:
    """Return the row of a key in the sorted keys, or -1."""
    low, high = 0, len(keys)
    while low < high:
        half = (low + high) // 2
        if keys[half] < key:
            low = half + 1
        else:
            high = half
    return low if low < len(keys) and keys[low] == key else -1


@compiled
def _pool(
    keys: NDArray[np.int64], moments: FloatArray, label: NDArray[np.int64], seed: int, width: int, pool: FloatArray
) -> None:
    """Fill ``pool`` (6,) with the free cells around a seed that face about its way; sums about the seed's point."""
    pool[:] = 0.0
    place, side = keys[seed] // SIDES, keys[seed] % SIDES
    ix, iy = place % width, place // width
    for dy in range(-1, 2):
        for dx in range(-1, 2):
            for ds in range(-1, 2):
                k = _find(keys, ((iy + dy) * width + ix + dx) * SIDES + (side + ds) % SIDES)
                if k >= 0 and label[k] < 0:
                    _add(pool, moments[k], moments[seed, 6], moments[seed, 7])


@compiled
def _neighbours(
    keys: NDArray[np.int64], label: NDArray[np.int64], tried: NDArray[np.int64], here: int, width: int, turn: int,
    queue: NDArray[np.int64], tail: int,
) -> int:  # fmt: skip
    """Append to the queue the free cells near ``here`` that were not yet tried in this turn; return its new end."""
    place, side = keys[here] // SIDES, keys[here] % SIDES
    ix, iy = place % width, place // width
    for dy in range(-BRIDGE, BRIDGE + 1):
        for dx in range(-BRIDGE, BRIDGE + 1):
            for ds in range(-1, 2):
                k = _find(keys, ((iy + dy) * width + ix + dx) * SIDES + (side + ds) % SIDES)
                if k >= 0 and label[k] < 0 and tried[k] != turn:
                    tried[k] = turn
                    queue[tail] = k
                    tail += 1
    return tail


@compiled
def grow_segments(
    keys: NDArray[np.int64],
    moments: FloatArray,
    order: NDArray[np.int64],
    cell: float,
    width: int,
    tolerance: float,
    least: float,
) -> NDArray[np.int64]:
    """Join cells to straight segments, from the fullest cells on; returns (C,) the segment of each cell, or -1.

    A cell joins if the middle of its points is within ``tolerance`` [m] of the line through all that have joined. A
    seed needs ``least`` points and neighbours that lie on a line with it.
    """
    count = len(keys)
    label = np.full(count, -1, np.int64)
    tried = np.full(count, -1, np.int64)
    queue = np.empty(count, np.int64)
    total, pool = np.zeros(6), np.zeros(6)
    segments = 0
    for o in range(count):
        seed = order[o]
        if label[seed] >= 0 or moments[seed, 0] < least:
            continue
        ox, oy = moments[seed, 6], moments[seed, 7]
        _pool(keys, moments, label, seed, width, pool)
        mx, my, tx, ty, along, across = _line(pool)
        turn = (keys[seed] % SIDES) * 2.0 * np.pi / SIDES
        straight = across <= tolerance * tolerance and along >= max(4.0 * across, (0.4 * cell) ** 2)
        if not straight or abs(-ty * np.cos(turn) + tx * np.sin(turn)) < FACING:
            continue
        total[:] = 0.0
        head, tail = 0, 1
        queue[0], tried[seed] = seed, o
        while head < tail:
            here = queue[head]
            head += 1
            cx = moments[here, 6] + moments[here, 1] / moments[here, 0] - ox
            cy = moments[here, 7] + moments[here, 2] / moments[here, 0] - oy
            if abs(-ty * (cx - mx) + tx * (cy - my)) > tolerance:
                continue
            label[here] = segments
            _add(total, moments[here], ox, oy)
            # The seed's neighbourhood tells the direction until more than it has joined.
            if total[0] > pool[0]:
                mx, my, tx, ty, along, across = _line(total)
            tail = _neighbours(keys, label, tried, here, width, o, queue, tail)
        if total[0] > 0.0:
            segments += 1
    return label


@compiled
def fit_lines(
    points: FloatArray, row: NDArray[np.int64], label: NDArray[np.int64], count: int, scale: float, rounds: int
) -> FloatArray:
    """Fit a line to the points of each segment by iterated weights (Tukey's biweight; Beaton and Tukey 1974).

    Args:
        points: (N, 4). row: (N,) cell of each. label: (C,) segment of each cell, or -1. count: segments M.
        scale: [m]: points farther than 3 of it from the line have no weight. rounds: of weighting.

    Returns:
        (M, 8): a point of the line x, y [m], its direction x, y, its normal's x, y towards the sensors, the sum of
        weights, and the root mean square across [m].
    """
    line = np.zeros((count, 8))
    sums = np.zeros((count, 8))
    anchor = np.full((count, 2), np.nan)
    for turn in range(rounds + 1):
        sums[:] = 0.0
        for i in range(len(points)):
            m = label[row[i]]
            if m < 0:
                continue
            if np.isnan(anchor[m, 0]):
                anchor[m, 0], anchor[m, 1] = points[i, 0], points[i, 1]
            weight = 1.0
            if turn > 0:
                off = (points[i, 0] - line[m, 0]) * line[m, 4] + (points[i, 1] - line[m, 1]) * line[m, 5]
                u = off / (3.0 * scale)
                if abs(u) >= 1.0:
                    continue
                weight = (1.0 - u * u) ** 2
            x, y = points[i, 0] - anchor[m, 0], points[i, 1] - anchor[m, 1]
            sums[m, 0] += weight
            sums[m, 1] += weight * x
            sums[m, 2] += weight * y
            sums[m, 3] += weight * x * x
            sums[m, 4] += weight * x * y
            sums[m, 5] += weight * y * y
            sums[m, 6] += points[i, 2]
            sums[m, 7] += points[i, 3]
        for m in range(count):
            if sums[m, 0] < 2.0:
                line[m, 6] = 0.0
                continue
            mx, my, tx, ty, _, across = _line(sums[m, :6])
            nx, ny = -ty, tx
            if nx * sums[m, 6] + ny * sums[m, 7] < 0.0:
                nx, ny = -nx, -ny
            line[m, 0], line[m, 1] = mx + anchor[m, 0], my + anchor[m, 1]
            # Seen from in front, the start is at the right: direction = normal turned clockwise.
            line[m, 2], line[m, 3] = ny, -nx
            line[m, 4], line[m, 5] = nx, ny
            line[m, 6], line[m, 7] = sums[m, 0], np.sqrt(across)
    return line


@compiled
def cut_lines(
    points: FloatArray,
    row: NDArray[np.int64],
    label: NDArray[np.int64],
    line: FloatArray,
    bin_length: float,
    gap: float,
    least: float,
    off: float,
) -> FloatArray:
    """Cut lines into stretches where points lie; returns (K, 8): start x, y, end x, y, normal x, y, points, line.

    Args:
        points, row, label, line: as for ``fit_lines``. bin_length: [m] of the histogram along a line. gap: stretches
            farther apart than this [m] are two. least: points that a bin needs. off: points farther from their line
            than this [m] do not count.
    """
    count = len(line)
    low, high = np.full(count, np.inf), np.full(count, -np.inf)
    for i in range(len(points)):
        m = label[row[i]]
        if m < 0:
            continue
        u = (points[i, 0] - line[m, 0]) * line[m, 2] + (points[i, 1] - line[m, 1]) * line[m, 3]
        low[m], high[m] = min(low[m], u), max(high[m], u)
    first = np.zeros(count + 1, np.int64)
    for m in range(count):
        bins = int((high[m] - low[m]) / bin_length) + 1 if high[m] >= low[m] else 0
        first[m + 1] = first[m] + bins
    hits = np.zeros(first[count])
    begin, end = np.full(first[count], np.inf), np.full(first[count], -np.inf)
    for i in range(len(points)):
        m = label[row[i]]
        if m < 0:
            continue
        dx, dy = points[i, 0] - line[m, 0], points[i, 1] - line[m, 1]
        if abs(dx * line[m, 4] + dy * line[m, 5]) > off:
            continue
        u = dx * line[m, 2] + dy * line[m, 3]
        k = first[m] + int((u - low[m]) / bin_length)
        hits[k] += 1.0
        begin[k], end[k] = min(begin[k], u), max(end[k], u)
    out = np.empty((first[count], 8))
    n = 0
    for m in range(count):
        start, last, total = np.nan, np.nan, 0.0
        for k in range(first[m], first[m + 1] + 1):
            full = k < first[m + 1] and hits[k] >= least
            if not np.isnan(start) and (k == first[m + 1] or (full and begin[k] - last > gap)):
                out[n, 0], out[n, 1] = line[m, 0] + start * line[m, 2], line[m, 1] + start * line[m, 3]
                out[n, 2], out[n, 3] = line[m, 0] + last * line[m, 2], line[m, 1] + last * line[m, 3]
                out[n, 4], out[n, 5], out[n, 6], out[n, 7] = line[m, 4], line[m, 5], total, m
                n += 1
                start, total = np.nan, 0.0
            if full:
                if np.isnan(start):
                    start = begin[k]
                last = end[k]
                total += hits[k]
    return out[:n].copy()


@compiled
def loose_chips(
    keys: NDArray[np.int64],
    moments: FloatArray,
    label: NDArray[np.int64],
    cell: float,
    width: int,
    least: float,
    apart: float,
) -> FloatArray:
    """Return the full cells of no segment as short ones, (K, 8) as ``cut_lines``: what is no wall, a chip a cell.

    A cell that a fuller one faces alike and within ``apart`` [m] along the normal is that one's noise, and left out.
    """
    out = np.empty((len(keys), 8))
    total = np.zeros(6)
    n = 0
    for k in range(len(keys)):
        if label[k] >= 0 or moments[k, 0] < least:
            continue
        total[:] = 0.0
        _add(total, moments[k], moments[k, 6], moments[k, 7])
        mx, my, tx, ty, along, across = _line(total)
        side = keys[k] % SIDES
        turn = side * 2.0 * np.pi / SIDES
        nx, ny = np.cos(turn), np.sin(turn)
        if along > 4.0 * across and abs(-ty * nx + tx * ny) > FACING:
            sign = 1.0 if -ty * nx + tx * ny > 0.0 else -1.0
            nx, ny = -ty * sign, tx * sign
        x, y = mx + moments[k, 6], my + moments[k, 7]
        if _outdone(keys, moments, label, k, width, x, y, nx, ny, apart, cell):
            continue
        half = min(max(np.sqrt(3.0 * along), 0.15 * cell), 0.5 * cell)
        out[n, 0], out[n, 1] = x - half * ny, y + half * nx
        out[n, 2], out[n, 3] = x + half * ny, y - half * nx
        out[n, 4], out[n, 5], out[n, 6], out[n, 7] = nx, ny, moments[k, 0], -1.0
        n += 1
    return out[:n].copy()


@compiled
def _outdone(
    keys: NDArray[np.int64], moments: FloatArray, label: NDArray[np.int64], k: int, width: int, x: float, y: float,
    nx: float, ny: float, apart: float, cell: float,
) -> bool:  # fmt: skip
    """Return whether a fuller cell nearby stands for the same surface as cell k with its middle (x, y) and normal."""
    place, side = keys[k] // SIDES, keys[k] % SIDES
    ix, iy = place % width, place // width
    for dy in range(-1, 2):
        for dx in range(-1, 2):
            for ds in range(-2, 3):
                j = _find(keys, ((iy + dy) * width + ix + dx) * SIDES + (side + ds) % SIDES)
                if j < 0 or j == k or moments[j, 0] < moments[k, 0] * (1.0 if label[j] >= 0 else 2.0):
                    continue
                px = moments[j, 6] + moments[j, 1] / moments[j, 0] - x
                py = moments[j, 7] + moments[j, 2] / moments[j, 0] - y
                if abs(nx * px + ny * py) < apart and abs(nx * py - ny * px) < 0.5 * cell:
                    return True
    return False
