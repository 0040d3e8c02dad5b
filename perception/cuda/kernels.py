"""The kernels: one thread places a body, scans a beam or renders a pixel.

A picture (a scan is one, of beams by rings) is cut into tiles, one for each block; within it 32 neighbouring threads, a
warp, cover 8 x 4 pixels or 32 beams in a row (``tile_shape``). Neighbours walk through nearly the same cells and test
the same solids, so that their loads coincide and their branches seldom part. All sensors of all worlds are one launch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda

from ..intersect import pack_solid
from ..lidar_signal import (
    S_BIAS,
    S_CLEAR,
    S_CROSSTALK,
    S_DIRTY,
    S_DRIFT,
    S_DRIFT_SCANS,
    S_DROPOUT,
    S_FALSE,
    S_FILM,
    S_GAP,
    S_GRAZING,
    S_HAZE,
    S_MAX,
    S_RING,
    SECTORS,
    STRAY_AMPLITUDE,
    dropout_probability,
    schlick,
    sense,
    sense_intensity,
    slow_drift,
    stray_range,
    two_returns,
)
from ..noise import LIDAR, LIDAR_FILM, LIDAR_UNIT, noise_key, random_bits, standard_normal, uniform
from ..raycast import world_normal
from .rays import info_row, walk
from .tables import CLASS, INSTANCE, KIND, LEAVE, WorldTables
from .translate import Real, device

LOOK_REFLECTIVITY, LOOK_FILM = 5, 6
"""Columns of the table of looks: reflectivity for the lidar's light, and whether film may be around the solid."""
FAR_AWAY = 1e9
"""Where a body without a usable pose is [m]: no sensor sees it."""
HUGE_LENGTH = 1e6
"""Poses beyond this [m] are not usable."""


def tile_shape(rows: int, columns: int, threads: int = 128) -> tuple[int, int]:
    """Return columns and rows of a block's tile for pictures of a size: a warp is 8 x 4, or a row of 32.

    Args:
        rows, columns: of the picture. threads: of a block, a multiple of 32.
    """
    if rows < 4 or columns < 8:
        return threads, 1
    return 8, threads // 8


def place_bodies(
    tables: WorldTables,
    kind: Any,
    size: Any,
    position: Any,
    axes: Any,
    worlds: Any,
    pose: Any,
) -> None:
    """Place body b of world ``worlds[k]``, thread by thread: its parts' rows and its box. In 64 bits throughout.

    Args:
        tables: written. kind, size, position, axes: see ``tables.Parts``.
        worlds: (K,) int32. pose: (K, B, 7) x, y, z [m] and quaternion xyzw. A body whose pose is not finite, or whose
            quaternion is not of unit length (within 1 %), is seen by no sensor.
    """
    i = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x  # type: ignore[operator]
    bodies, parts = pose.shape[1], kind.shape[0]
    if i >= pose.shape[0] * bodies:
        return
    k, b = i // bodies, i % bodies
    world = worlds[k]
    hot, solid = cuda.local.array(8, np.float64), cuda.local.array(16, np.float64)
    turn, local = cuda.local.array((3, 3), np.float64), cuda.local.array((3, 3), np.float64)
    center = cuda.local.array(3, np.float64)
    box = cuda.local.array(6, np.float64)
    for j in range(3):
        box[j], box[3 + j] = FAR_AWAY, -FAR_AWAY
    usable = fill_turn(pose, k, b, turn)
    for m in range(tables.body_first[b], tables.body_first[b + 1]):
        part = tables.body_parts[m]
        p = tables.static[0] + world * parts + part
        for r in range(3):
            center[r] = pose[k, b, r]
            for c in range(3):
                center[r] += turn[r, c] * position[part, c]
                local[r, c] = (
                    turn[r, 0] * axes[part, 0, c] + turn[r, 1] * axes[part, 1, c] + turn[r, 2] * axes[part, 2, c]
                )
        code, ex, ey, ez = pack_solid(kind[part], size[part], center, local, hot, solid)
        tables.shape[p] = code
        for j in range(8):
            tables.hot[p, j] = hot[j]
        for j in range(15):
            tables.solid[p, j] = solid[j]
        box[0], box[3] = min(box[0], center[0] - ex), max(box[3], center[0] + ex)
        box[1], box[4] = min(box[1], center[1] - ey), max(box[4], center[1] + ey)
        box[2], box[5] = min(box[2], center[2] - ez), max(box[5], center[2] + ez)
    row = world * bodies + b
    for j in range(3):
        tables.body_box[row, j] = box[j] - LEAVE if usable else FAR_AWAY
        tables.body_box[row, 3 + j] = box[3 + j] + LEAVE if usable else FAR_AWAY


@device
def fill_turn(pose: Any, k: Any, b: Any, turn: Any) -> Any:
    """Fill a rotation matrix (3, 3) from pose (k, b); return whether the pose is usable."""
    x, y, z, w = (
        np.float64(pose[k, b, 3]),
        np.float64(pose[k, b, 4]),
        np.float64(pose[k, b, 5]),
        np.float64(pose[k, b, 6]),
    )
    square = x * x + y * y + z * z + w * w
    far = max(max(abs(pose[k, b, 0]), abs(pose[k, b, 1])), abs(pose[k, b, 2]))
    total = pose[k, b, 0] + pose[k, b, 1] + pose[k, b, 2]
    scale = 2.0 / square if square > 0.0 else 0.0
    turn[0, 0], turn[0, 1], turn[0, 2] = 1 - scale * (y * y + z * z), scale * (x * y - z * w), scale * (x * z + y * w)
    turn[1, 0], turn[1, 1], turn[1, 2] = scale * (x * y + z * w), 1 - scale * (x * x + z * z), scale * (y * z - x * w)
    turn[2, 0], turn[2, 1], turn[2, 2] = scale * (x * z - y * w), scale * (y * z + x * w), 1 - scale * (x * x + y * y)
    return abs(square - 1.0) < 0.02 and far < HUGE_LENGTH and total == total


@device
def usable_sensor(position: Any, rotation: Any, s: Any) -> Any:
    """Return whether the pose of sensor s, (N, 3) and (N, 3, 3), is finite and its matrix's columns of unit length."""
    far = max(max(abs(position[s, 0]), abs(position[s, 1])), abs(position[s, 2]))
    total = position[s, 0] + position[s, 1] + position[s, 2]
    worst = far - far
    for j in range(3):
        square = rotation[s, 0, j] ** 2 + rotation[s, 1, j] ** 2 + rotation[s, 2, j] ** 2
        total += square
        worst = max(worst, abs(square - 1.0))
    return far < HUGE_LENGTH and worst < 1e-2 and total == total


def scan_beams(
    tables: WorldTables,
    directions: Any,
    settings: Any,
    quantiles: Any,
    columns: Any,
    position: Any,
    rotation: Any,
    exclude: Any,
    stream: Any,
    sensors: Any,
    frame: Any,
    truth: Any,
    ranges: Any,
    intensity: Any,
    instance: Any,
    semantic: Any,
) -> None:
    """Scan with all S lidars of all W worlds; see ``lidar.Lidar`` and ``lidar_signal`` for the measured signal.

    Args:
        tables: the worlds. directions: (3, N) unit vectors in ``laser``, ring by ring.
        settings: of ``lidar_signal.lidar_settings``. quantiles: ``noise.QUANTILES``. columns: beams of a ring.
        position: (W * S, 3), rotation: (W * S, 3, 3), exclude: (W * S,) int32.
        stream, frame: (W,) uint64. sensors: (S,) uint64.
        truth, ranges, intensity: (W * S, N) float32; instance, semantic: (W * S, N) int32; written. A lidar whose pose
            is not usable sees nothing.
    """
    rows = directions.shape[1] // columns
    across = (columns + cuda.blockDim.x - 1) // cuda.blockDim.x
    down = (rows + cuda.blockDim.y - 1) // cuda.blockDim.y
    s = cuda.blockIdx.x // (across * down)
    tile = cuda.blockIdx.x - s * across * down
    row = tile // across * cuda.blockDim.y + cuda.threadIdx.y
    column = tile % across * cuda.blockDim.x + cuda.threadIdx.x
    if row >= rows or column >= columns or s >= position.shape[0]:
        return
    b = row * columns + column
    world = s // sensors.shape[0]
    sensor = sensors[s - world * sensors.shape[0]]
    truth[s, b], ranges[s, b], intensity[s, b] = np.inf, np.inf, 0.0
    instance[s, b], semantic[s, b] = 0, 0
    if not usable_sensor(position, rotation, s):
        return
    x, y, z = directions[0, b], directions[1, b], directions[2, b]
    dx = Real(rotation[s, 0, 0]) * x + Real(rotation[s, 0, 1]) * y + Real(rotation[s, 0, 2]) * z
    dy = Real(rotation[s, 1, 0]) * x + Real(rotation[s, 1, 1]) * y + Real(rotation[s, 1, 2]) * z
    dz = Real(rotation[s, 2, 0]) * x + Real(rotation[s, 2, 1]) * y + Real(rotation[s, 2, 2]) * z
    ox, oy, oz = Real(position[s, 0]), Real(position[s, 1]), Real(position[s, 2])
    t, p = walk(tables, world, ox, oy, oz, dx, dy, dz, Real(0.0), settings[S_MAX], exclude[s], False)
    cosine, own, info = Real(-1.0), Real(0.0), np.int64(-1)
    if p >= 0:
        info = np.int64(info_row(tables, world, p))
        truth[s, b], instance[s, b], semantic[s, b] = t, tables.info[info, INSTANCE], tables.info[info, CLASS]
        if t > 0.0:
            nx, ny, nz, _, _, _ = world_normal(
                tables.info[info, KIND], tables.solid, p, ox + t * dx, oy + t * dy, oz + t * dz
            )
            cosine = min(Real(1.0), abs(nx * dx + ny * dy + nz * dz))
            own = cosine * Real(tables.look[info, LOOK_REFLECTIVITY])
    first, strength, clear, bits = measured_return(
        tables,
        settings,
        quantiles,
        stream[world],
        sensor,
        frame[world],
        rows * columns,
        columns,
        b,
        info,
        t,
        cosine,
        own,
    )
    if first < np.inf:
        ranges[s, b] = first
        intensity[s, b] = sense_intensity(strength, clear, bits, quantiles, settings)


@device
def measured_return(
    tables: WorldTables,
    settings: Any,
    quantiles: Any,
    stream: Any,
    sensor: Any,
    frame: Any,
    beams: Any,
    columns: Any,
    b: Any,
    info: Any,
    t: Any,
    cosine: Any,
    own: Any,
) -> Any:
    """Return the first return of beam b, as ``lidar_signal.report_returns``: range [m] (inf: none), amplitude,
    transmission of the window and random bits.

    Args:
        info: row of the solid that is hit. t: true range [m]. cosine: of the incidence, -1 for a beam without an echo.
            own: amplitude of the echo. Others as in ``scan_beams``.
    """
    unit = noise_key(stream, LIDAR_UNIT, sensor, np.uint64(0))
    bits = random_bits(noise_key(stream, LIDAR, sensor, frame), b)
    chance = Real(np.int64(bits >> np.uint64(36))) * Real(3.725290298461914e-09)
    error = settings[S_BIAS]
    if settings[S_DRIFT] > 0.0:
        error += settings[S_DRIFT] * Real(slow_drift(stream, sensor, frame, np.float64(settings[S_DRIFT_SCANS])))
    if settings[S_RING] > 0.0:
        error += settings[S_RING] * Real(standard_normal(unit, 1 + b // columns))
    clear = Real(1.0)
    if settings[S_DIRTY] > 0.0 and uniform(unit, 100_000 + b % columns * SECTORS // columns) < settings[S_DIRTY]:
        clear = settings[S_CLEAR]
    first, strength = Real(np.inf), Real(0.0)
    if cosine >= 0.0 and chance >= dropout_probability(settings[S_DROPOUT], settings[S_GRAZING], cosine):
        strength = own
        if settings[S_FILM] > 0.0 and wrapped(tables, settings, stream, info):
            fresnel = schlick(cosine)
            passed = (1.0 - 2.0 * fresnel / (1.0 + fresnel)) * (1.0 - settings[S_HAZE])
            film = max(Real(1e-3), t - settings[S_GAP] / max(cosine, Real(0.1)))
            more = random_bits(noise_key(stream, LIDAR, sensor, frame), beams + b)
            haze = settings[S_HAZE] * cosine
            first, strength, _, _ = two_returns(
                settings, quantiles, t, own * passed * passed, film, haze, clear, error, bits, more
            )
        else:
            first = sense(own, t, clear, error, bits, quantiles, settings)
    strays = settings[S_FALSE] + settings[S_CROSSTALK]
    if strays > 0.0 and chance >= 1.0 - strays:
        crosstalk = chance >= 1.0 - settings[S_CROSSTALK]
        stray = stray_range(crosstalk, random_bits(noise_key(stream, LIDAR, sensor, frame), 2 * beams + b), settings)
        if crosstalk or stray < first:
            first, strength = Real(stray), Real(STRAY_AMPLITUDE)
    return first, strength, clear, bits


@device
def wrapped(tables: WorldTables, settings: Any, stream: Any, info: Any) -> Any:
    """Return whether the solid of an ``info`` row is wrapped in film; see ``lidar_signal.wrap_film``."""
    film_key = noise_key(stream, LIDAR_FILM, np.uint64(0), np.uint64(0))
    return tables.look[info, LOOK_FILM] > 0.0 and uniform(film_key, tables.info[info, INSTANCE]) < settings[S_FILM]
