"""From true ranges to what a lidar reports: signal, noise, dropout, mixed pixels, dual returns, strays; compiled.

For each pulse, in this order:

1. **Echoes.** The solid in the middle of the beam gives an echo of amplitude ``a = reflectivity * cos(incidence)``
   (Lambert). At most one second echo comes with it: of the other side of an edge that the footprint straddles (share of
   the footprint = share of the light; the profile of the beam is flat), or of stretch film in front of goods, or of
   what a glossy surface mirrors. Two echoes nearer to each other than ``echo_separation`` melt into one, at their mean
   range weighted by signal (Adams and Probert, *The Interpretation of Phase and Intensity Data from AMCW Light
   Detection Sensors*, 1996, for the weighted mean).
2. **Signal** ``s = a / 0.1 * (range_at_10_percent / range)^2`` (lidar equation of a target that fills the beam:
   Richmond and Cain, *Direct-Detection LADAR Systems*, 2010, section 1.2), times the losses of a dirty window.
3. **Detection** by a threshold in Gaussian noise: probability ``Phi((s - 1) / detection_noise)``. Apart from that a
   pulse is lost with probability ``dropout + grazing_dropout * (1 - cos(incidence))^4``.
4. **Range** ``r + error + sigma * n``, rounded to ``range_resolution``, with ``error = range_bias + drift + ring bias``
   and ``sigma^2 = range_noise^2 + (range_noise_growth * r)^2 + range_noise_weak^2 / s``. Outside
   [range_min, range_max] nothing is reported.
5. **Strays.** Dust reports a short range instead (``p_short`` of Thrun, Burgard and Fox, *Probabilistic Robotics*,
   2005, section 6.3), another lidar any range (``p_rand`` there).

Random numbers are hashed from (stream, sensor, frame, beam), and those of a unit from (stream, sensor): one hash serves
a beam, its bits are split into independent parts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba.np.unsafe.ndarray import to_fixed_tuple
from numpy.typing import NDArray

from ..common.classes import CLASS_IDS, CLASS_NAMES
from ..common.geometry import FloatArray
from ..common.primitives import Primitives
from .borrow import borrowed
from .compiled import compiled, inner, part
from .grid import IntArray
from .intersect import AXIS_BOX, HALF_SPACE, YAW_BOX, interval, reciprocal
from .noise import (
    LIDAR,
    LIDAR_DRIFT,
    LIDAR_FILM,
    LIDAR_UNIT,
    noise_key,
    random_bits,
    standard_normal,
    table_normal,
    uniform,
)
from .raycast import Tables, as_index, trace, world_normal

if TYPE_CHECKING:
    from .config import LidarConfig

REFLECTIVITY, GLOSS, FILM = 0, 1, 2
SURFACE_COLUMNS = 4
"""Columns of ``lidar_surface``; the last is not used yet."""

TARGET, MIXED, WRAPPED, MIRRORED, DUST, CROSSTALK = 1, 2, 4, 8, 16, 32
"""Flags of a beam, added up: its first return is an echo of the target; the pulse met two surfaces at an edge; it met
film before goods; it was mirrored; the return is dust; or another lidar's pulse. 0: nothing came back."""

SECTORS = 36
"""Parts of the window that are dirty or clean, 10 degrees each."""
EDGE_STEPS = 5
"""Halvings in the search for an edge of a solid that is no upright box: the share of a footprint is right to 1/128."""
EDGE_STEP = 0.02
"""Neighbouring beams whose ranges differ by less than this [m] do not make an edge."""
UPRIGHT_LIDAR = 1e-9
"""How far a lidar may lean [rad] for heights along its beams to be compared."""
CLEARANCE = 1e-5
"""How far from the end of a box [m] a beam must pass for sure."""
FRESNEL = 0.04
"""Reflection of a dielectric of refractive index 1.5 (plastics, sealers, varnish) met head on."""
LARGEST_WEAK = 4.0
"""Greatest 1 / signal that counts for noise; weaker pulses are hardly ever detected."""

STRAY_AMPLITUDE = 0.1
"""Amplitude of dust and crosstalk; assumed."""

STRONGEST, FIRST, LAST = 0, 1, 2

BATCH = 128
"""Beams that are reported together. Batches of less than 64 are unrolled before they are vectorised, and then are not.
"""
(
    DISTANCE,
    COSINE,
    AMPLITUDE,
    CLEAR,
    CHANCE,
    RANGE_NOISE,
    THRESHOLD,
    LIGHT_NOISE,
    REPORTED,
    LIGHT,
    ERROR,
    DISTANCE_2,
    AMPLITUDE_2,
    RANGE_NOISE_2,
    THRESHOLD_2,
    LIGHT_NOISE_2,
    REPORTED_2,
    LIGHT_2,
    WORK_FIELDS,
) = range(19)
"""Fields of the working memory of a batch: true range, cosine of incidence, amplitude, transmission of the window,
chance (0 to 1), three standard normal numbers, and the range and intensity that are reported; bias; and of the second
echo range, amplitude, standard normal numbers, and range and intensity of the second return."""
MIRROR_LIFT = 1e-4
"""How far off a mirror the rays from it begin [m]."""

(
    S_MIN,
    S_MAX,
    S_BIAS,
    S_NOISE,
    S_GROWTH,
    S_WEAK,
    S_RESOLUTION,
    S_DROPOUT,
    S_GRAZING,
    S_GAIN,
    S_DETECTION,
    S_DIRTY,
    S_CLEAR,
    S_HALF_H,
    S_HALF_V,
    S_APERTURE,
    S_SEPARATION,
    S_RETURNS,
    S_MODE,
    S_INTENSITY_NOISE,
    S_INTENSITY_STEP,
    S_FALSE,
    S_FALSE_LENGTH,
    S_CROSSTALK,
    S_FILM,
    S_GAP,
    S_HAZE,
    S_GLOSS,
    S_DRIFT,
    S_DRIFT_SCANS,
    S_RING,
    S_FULL_TURN,
    S_STRIDE,
    S_STEPS,
    S_LEVELS,
    S_OFFSET,
    S_COUNT,
) = range(37)
"""Places in the array of settings that the kernels read; see ``lidar_settings``."""

_NEAR_INFRARED: dict[str, tuple[float, float, float, float]] = {
    "person": (0.25, 0.5, 0.0, 0.0),
    "forklift": (0.0, 1.0, 0.5, 0.0),
    "amr": (0.0, 1.0, 0.3, 0.0),
    "pallet": (0.2, 0.6, 0.0, 0.0),
    "small_load_carrier": (0.1, 0.8, 0.3, 0.0),
    "stillage": (0.1, 0.9, 0.5, 1.0),
    "box": (0.15, 0.75, 0.0, 1.0),
    "rack": (0.1, 0.9, 0.5, 0.0),
    "conveyor": (0.05, 0.9, 0.5, 0.0),
    "cone": (0.3, 0.5, 0.2, 0.0),
    "crate": (0.2, 0.6, 0.0, 0.0),
    "floor": (0.0, 1.0, 1.0, 0.0),
    "dock_door": (0.0, 1.0, 0.5, 0.0),
    "sign": (0.1, 0.9, 0.8, 0.0),
}
"""Class -> reflectivity at 905 nm of a black one, what full white adds to it, gloss, and whether film is put around it.
Assumed, so that the classes' usual colours come near the remissions that the operating instructions of SICK's LD-LRS
(8016506/1G07, 2020-11-08, table 3) list: grey cardboard 20 %, soiled fir 40 %, grey PVC 50 %, white plaster 100 %,
shiny steel over 100 %. Dyes of textiles hardly absorb in the near infrared. Other classes: as bright as in the light.
"""

_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
"""Weights of linear red, green and blue in luminance (ITU-R BT.709)."""
_DARKEST = 0.02
"""Reflectivity of black rubber (the same table), the least of all."""


class Echoes(NamedTuple):
    """The echoes of each beam, (beams,) float32 each; the last three of no length if no beam can have a second echo.

    Attributes:
        cosine: of incidence on the solid that the beam points at; -1 if it hits nothing, or starts inside.
        amplitude: of that solid's echo: share * reflectivity * cosine.
        other, beyond: range [m] (inf: none) and amplitude of the second echo.
        mirror: square of the share that is mirrored, where what the mirror shows could matter, and 0 elsewhere.
    """

    cosine: NDArray[np.float32]
    amplitude: NDArray[np.float32]
    other: NDArray[np.float32]
    beyond: NDArray[np.float32]
    mirror: NDArray[np.float32]


def lidar_surface(primitives: Primitives) -> NDArray[np.float32]:
    """Return what a lidar's light (905 nm) meets on each of P solids: (P, 4) float32.

    Columns: reflectivity (0.02 to 1), gloss (0 matt to 1: share of Fresnel's reflection that stays a mirror), whether
    the solid is of a kind that is wrapped in film (0 or 1), and one not used. By class and colour; see
    ``_NEAR_INFRARED`` for the assumptions.
    """
    by_class = np.tile([0.0, 1.0, 0.0, 0.0], (len(CLASS_NAMES) + 1, 1))
    for name, row in _NEAR_INFRARED.items():
        by_class[CLASS_IDS[name]] = row
    known = (primitives.class_id > 0) & (primitives.class_id <= len(CLASS_NAMES))
    rows = by_class[np.where(known, primitives.class_id, 0)]
    srgb = primitives.color / 255.0
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    surface = np.zeros((len(primitives), SURFACE_COLUMNS), np.float32)
    surface[:, REFLECTIVITY] = np.clip(rows[:, 0] + rows[:, 1] * (linear @ _LUMINANCE), _DARKEST, 1.0)
    surface[:, GLOSS], surface[:, FILM] = rows[:, 2], rows[:, 3]
    return surface


def lidar_settings(config: LidarConfig) -> FloatArray:
    """Return the settings of a lidar as the kernels read them: (S_COUNT,) float64."""
    s = np.zeros(S_COUNT)
    s[S_MIN], s[S_MAX], s[S_BIAS] = config.range_min, config.range_max, config.range_bias
    s[S_NOISE], s[S_GROWTH], s[S_WEAK] = config.range_noise, config.range_noise_growth, config.range_noise_weak
    s[S_RESOLUTION], s[S_DROPOUT], s[S_GRAZING] = config.range_resolution, config.dropout, config.grazing_dropout
    s[S_GAIN], s[S_DETECTION] = 10.0 * config.range_at_10_percent**2, config.detection_noise
    s[S_DIRTY], s[S_CLEAR] = config.dirty_sectors, 1.0 - config.dirt_loss
    several = len(config.elevations) > 1
    s[S_HALF_H] = 0.5 * config.divergence_horizontal
    s[S_HALF_V] = 0.5 * config.divergence_vertical if several else 0.0
    s[S_APERTURE], s[S_SEPARATION] = config.aperture, config.echo_separation
    s[S_RETURNS] = config.returns
    s[S_STEPS] = 1.0 / config.range_resolution if config.range_resolution > 0 else 0.0
    s[S_LEVELS] = 1.0 / config.intensity_resolution if config.intensity_resolution > 0 else 0.0
    s[S_MODE] = {"strongest": STRONGEST, "first": FIRST, "last": LAST}[config.return_mode]
    s[S_INTENSITY_NOISE], s[S_INTENSITY_STEP] = config.intensity_noise, config.intensity_resolution
    s[S_FALSE], s[S_FALSE_LENGTH], s[S_CROSSTALK] = config.false_echoes, config.false_echo_length, config.crosstalk
    s[S_FILM], s[S_GAP], s[S_HAZE], s[S_GLOSS] = config.film_share, config.film_gap, config.film_haze, config.gloss
    s[S_DRIFT], s[S_DRIFT_SCANS] = config.range_drift, config.range_drift_time * config.rate
    s[S_RING], s[S_OFFSET] = config.ring_bias, config.angle_offset
    full_turn = abs(config.angle_max - config.angle_min - 2.0 * np.pi) < 1e-9
    s[S_FULL_TURN] = full_turn
    # Edges are looked for between a beam and the first one that lies outside its footprint.
    spacing = (config.angle_max - config.angle_min) / max(1, config.beams - (0 if full_turn else 1))
    s[S_STRIDE] = min(max(1.0, np.ceil(s[S_HALF_H] / spacing)), config.beams)
    return s


def beam_times(config: LidarConfig) -> FloatArray:
    """Return when each azimuth is shot (B,) [s], from the start of the scan on."""
    times = np.linspace(0.0, config.sweep_time, config.beams) if config.beams > 1 else np.zeros(1)
    return times[::-1].copy() if config.clockwise else times


@compiled
def unit_angle(offset: float, stream: np.uint64, sensor: np.uint64) -> float:
    """Return by how much a unit is turned about its z axis against its reported angles [rad], constant for the unit.

    Args:
        offset: standard deviation [rad]. stream, sensor: words (``noise.as_word``) that it is hashed from.
    """
    return offset * standard_normal(noise_key(stream, LIDAR_UNIT, sensor, np.uint64(0)), 0)


@inner
def turn_unit(angle: float, rotation: FloatArray) -> None:
    """Turn the pose (3, 3) of a unit about its z axis [rad]."""
    c, s = np.cos(angle), np.sin(angle)
    for i in range(3):
        x, y = rotation[i, 0], rotation[i, 1]
        rotation[i, 0], rotation[i, 1] = c * x + s * y, c * y - s * x


@part
def slow_drift(stream: np.uint64, sensor: np.uint64, frame: np.uint64, scans: float) -> float:
    """Return the slowly wandering bias of a scan, in standard deviations.

    Two independent normal numbers, mixed as cosine and sine of the way between two knots ``scans`` scans apart: of
    unit variance at every scan, continuous, and independent over two knots and more.
    """
    place = np.float64(frame) / scans
    knot = np.floor(place)
    angle = 0.5 * np.pi * (place - knot)
    before = standard_normal(noise_key(stream, LIDAR_DRIFT, sensor, np.uint64(knot)), 0)
    after = standard_normal(noise_key(stream, LIDAR_DRIFT, sensor, np.uint64(knot + 1.0)), 0)
    return before * np.cos(angle) + after * np.sin(angle)


@part
def schlick(cosine: float) -> float:
    """Return Fresnel's reflection of a dielectric surface by Schlick's approximation (1994)."""
    away = 1.0 - cosine
    square = away * away
    return FRESNEL + (1.0 - FRESNEL) * square * square * away


@part
def dropout_probability(base: float, grazing: float, cosine: float) -> float:
    """Return the chance that a beam is lost, given the cosine of its incidence angle (1 = head on)."""
    away = 1.0 - cosine
    return base + grazing * away * away * away * away


@part
def incidence(
    shape: NDArray[np.uint8],
    kind: NDArray[np.uint8],
    hot: FloatArray,
    solid: FloatArray,
    p: int,
    x: float,
    y: float,
    z: float,
    dx: float,
    dy: float,
    dz: float,
) -> float:
    """Return the cosine (0 to 1) between a ray and the normal of solid p where they meet (x, y, z) [m].

    The first four are tables of the scene. Upright boxes and planes, which most are, take a shorter way.
    """
    code = shape[p]
    if code == AXIS_BOX:
        gx = max(hot[p, 0] - x, x - hot[p, 3])
        gy = max(hot[p, 1] - y, y - hot[p, 4])
        gz = max(hot[p, 2] - z, z - hot[p, 5])
        side = dx if gx >= gy else dy
        return min(1.0, abs(side if max(gx, gy) >= gz else dz))
    if code == YAW_BOX:
        c, s = hot[p, 6], hot[p, 7]
        px, py = x - hot[p, 0], y - hot[p, 1]
        gx, gy = abs(c * px + s * py) - hot[p, 3], abs(c * py - s * px) - hot[p, 4]
        gz = abs(z - hot[p, 2]) - hot[p, 5]
        side = c * dx + s * dy if gx >= gy else c * dy - s * dx
        return min(1.0, abs(side if max(gx, gy) >= gz else dz))
    if code == HALF_SPACE:
        return min(1.0, abs(hot[p, 0] * dx + hot[p, 1] * dy + hot[p, 2] * dz))
    nx, ny, nz, _, _, _ = world_normal(kind[p], solid, p, x, y, z)
    return min(1.0, abs(nx * dx + ny * dy + nz * dz))


@inner
def meet_surfaces(
    tables: Tables,
    surface: NDArray[np.float32],
    origins: FloatArray,
    rotations: FloatArray,
    directions: FloatArray,
    columns: int,
    truth: NDArray[np.float32],
    row: IntArray,
    cosine: NDArray[np.float32],
    amplitude: NDArray[np.float32],
) -> None:
    """Write the cosine of incidence of each beam (-1: it hits nothing, or starts inside) and its echo's amplitude.

    Arrays as in ``measure_scan``; the last two are (beams,). Neighbouring beams that hit the same solid go together.
    """
    tables, rays, surface = borrowed(tables), borrowed(directions.reshape(-1)), borrowed(surface)
    origins, rotations, truth, row = borrowed(origins), borrowed(rotations), borrowed(truth), borrowed(row)
    cosine, amplitude = borrowed(cosine), borrowed(amplitude)
    beams, moves = row.size, origins.shape[0] > 1
    end = 0
    while end < beams:
        first, p = end, as_index(row[end])
        end += 1
        while end < beams and row[end] == p and not moves:
            end += 1
        if p < 0:
            for i in range(np.uint64(first), np.uint64(end)):
                cosine[i], amplitude[i] = -1.0, 0.0
        else:
            k = first % columns if moves else 0
            meet_solid(tables, surface, p, origins, rotations, k, rays, truth, first, end, cosine, amplitude)


@part
def meet_solid(
    tables: Tables,
    surface: NDArray[np.float32],
    p: int,
    origins: FloatArray,
    rotations: FloatArray,
    k: int,
    rays: FloatArray,
    truth: NDArray[np.float32],
    first: int,
    end: int,
    cosine: NDArray[np.float32],
    amplitude: NDArray[np.float32],
) -> None:
    """As ``meet_surfaces``, for beams first to end - 1, that all hit solid p from pose k.

    A few beams after them may be written too, with what is not theirs: whole vectors are faster than single beams.
    """
    shape, hot, code = tables.shape, tables.hot, tables.shape[p]
    reflectivity = float(surface[p, REFLECTIVITY])
    ox, oy, oz = origins[k, 0], origins[k, 1], origins[k, 2]
    r = turn_of(rotations, k)
    start, three, one, two = np.uint64(first), np.uint64(3), np.uint64(1), np.uint64(2)
    if code <= YAW_BOX:
        count = np.uint64(min((end - first + 7) // 8 * 8, truth.size - first) if end - first > 1 else 1)
        c, s = (1.0, 0.0) if code == AXIS_BOX else (hot[p, 6], hot[p, 7])
        hx, hy, hz, x, y, z = hot[p, 3], hot[p, 4], hot[p, 5], ox - hot[p, 0], oy - hot[p, 1], oz - hot[p, 2]
        if code == AXIS_BOX:
            hx, hy, hz = 0.5 * (hx - hot[p, 0]), 0.5 * (hy - hot[p, 1]), 0.5 * (hz - hot[p, 2])
            x, y, z = x - hx, y - hy, z - hz
        x, y = c * x + s * y, c * y - s * x
        # From the lidar's frame to the box's.
        m0, m1, m2 = c * r[0] + s * r[3], c * r[1] + s * r[4], c * r[2] + s * r[5]
        m3, m4, m5 = c * r[3] - s * r[0], c * r[4] - s * r[1], c * r[5] - s * r[2]
        for i in range(count):
            b = start + i
            u, v, w, t = rays[three * b], rays[three * b + one], rays[three * b + two], float(truth[b])
            dx, dy, dz = m0 * u + m1 * v + m2 * w, m3 * u + m4 * v + m5 * w, r[6] * u + r[7] * v + r[8] * w
            gx, gy, gz = abs(x + t * dx) - hx, abs(y + t * dy) - hy, abs(z + t * dz) - hz
            side = abs(dx) if gx >= gy else abs(dy)
            face = side if (gx if gx >= gy else gy) >= gz else abs(dz)
            face = face if face < 1.0 else 1.0
            cosine[b] = face if t > 0.0 else -1.0
            amplitude[b] = face * reflectivity if t > 0.0 else 0.0
    elif code == HALF_SPACE:
        n0, n1, n2 = hot[p, 0], hot[p, 1], hot[p, 2]
        m0, m1, m2 = (
            n0 * r[0] + n1 * r[3] + n2 * r[6],
            n0 * r[1] + n1 * r[4] + n2 * r[7],
            n0 * r[2] + n1 * r[5] + n2 * r[8],
        )
        for i in range(np.uint64(end - first)):
            b = start + i
            face = abs(m0 * rays[three * b] + m1 * rays[three * b + one] + m2 * rays[three * b + two])
            face = face if face < 1.0 else 1.0
            cosine[b] = face if truth[b] > 0.0 else -1.0
            amplitude[b] = face * reflectivity if truth[b] > 0.0 else 0.0
    else:
        for i in range(np.uint64(end - first)):
            b = start + i
            u, v, w, t = rays[three * b], rays[three * b + one], rays[three * b + two], float(truth[b])
            dx, dy, dz = r[0] * u + r[1] * v + r[2] * w, r[3] * u + r[4] * v + r[5] * w, r[6] * u + r[7] * v + r[8] * w
            face = incidence(
                shape, tables.kind, hot, tables.solid, p, ox + t * dx, oy + t * dy, oz + t * dz, dx, dy, dz
            )
            cosine[b] = face if t > 0.0 else -1.0
            amplitude[b] = face * reflectivity if t > 0.0 else 0.0


@part
def turn_of(rotations: FloatArray, k: int) -> tuple[float, ...]:
    """Return rotation k as nine numbers, row by row: kernels keep them in registers."""
    return (
        rotations[k, 0, 0],
        rotations[k, 0, 1],
        rotations[k, 0, 2],
        rotations[k, 1, 0],
        rotations[k, 1, 1],
        rotations[k, 1, 2],
        rotations[k, 2, 0],
        rotations[k, 2, 1],
        rotations[k, 2, 2],
    )


@part
def edge_share(
    tables: Tables,
    near: int,
    other: int,
    own_near: bool,
    ox: float,
    oy: float,
    oz: float,
    dx: float,
    dy: float,
    dz: float,
    ex: float,
    ey: float,
    ez: float,
) -> tuple[float, float, float]:
    """Find the edge of a solid in one half of a beam's footprint.

    Args:
        tables: the scene. near: the nearer of the two solids, whose edge it is. other: the neighbouring beam's solid,
            or -1. own_near: whether the beam's own solid is the nearer one.
        ox, oy, oz: origin [m]. dx, dy, dz: unit direction of the beam. ex, ey, ez: from there to the footprint's rim.

    Returns:
        Share of the whole footprint beyond the edge (0 if there is none), the range [m] of the other solid in the
        middle of that part (inf if it is not met there), and where that is: from 0, the beam's middle, to 1, the rim.
    """
    shape, hot, solid = tables.shape, tables.hot, tables.solid
    if shape[near] == HALF_SPACE:
        slope = hot[near, 0] * dx + hot[near, 1] * dy + hot[near, 2] * dz
        if (slope < 0.0) == (slope + hot[near, 0] * ex + hot[near, 1] * ey + hot[near, 2] * ez < 0.0):
            return 0.0, np.inf, 0.0
    edge, steps = -1.0, EDGE_STEPS + 1
    if shape[near] <= YAW_BOX:
        edge = box_edge(shape[near], hot, near, own_near, ox, oy, oz, dx, dy, dz, ex, ey, ez)
        if edge >= 1.0:
            return 0.0, np.inf, 0.0
        steps = 0 if edge >= 0.0 else steps
    low, high, u, t = 0.0, 1.0, 1.0, np.inf
    if edge >= 0.0:
        low, high = edge, edge
    for k in range(steps + 1):
        last = k == steps
        if last and other < 0:
            break
        u = 0.5 * (1.0 + high) if last else (1.0 if k == 0 else 0.5 * (low + high))
        q = other if last else near
        x, y, z = dx + u * ex, dy + u * ey, dz + u * ez
        enter, leave = interval(
            shape[q],
            hot,
            solid,
            q,
            ox,
            oy,
            oz,
            x,
            y,
            z,
            reciprocal(x),
            reciprocal(y),
            reciprocal(z),
        )
        hit = enter <= leave and leave > 0.0
        if last:
            t = max(enter, 0.0) if hit else np.inf
        elif k == 0:
            if hit == own_near:
                return 0.0, np.inf, 0.0
        elif hit == own_near:
            low = u
        else:
            high = u
    return 0.5 * (1.0 - 0.5 * (low + high)), t, 0.5 * (1.0 + high)


@part
def box_edge(
    shape: int,
    hot: FloatArray,
    p: int,
    own: bool,
    ox: float,
    oy: float,
    oz: float,
    dx: float,
    dy: float,
    dz: float,
    ex: float,
    ey: float,
    ez: float,
) -> float:
    """Return where the edge of an upright box p lies between direction d (0) and d + e (1); 1: nowhere, -1: unknown.

    A ray enters the box where it has passed the nearer plane of all three axes, and leaves it at the first of the
    farther planes. It misses if it passes some axis' nearer plane after another's farther one; times the two
    components of the direction, that is linear in the direction, so the edge is known in closed form. It is unknown
    where a component changes its sign.

    Args:
        shape, hot: of the scene's tables. own: whether d meets the box and d + e does not, or the other way round.
        ox to ez: origin [m], direction d, and step e.
    """
    if shape == AXIS_BOX:
        hx, hy, hz = 0.5 * (hot[p, 3] - hot[p, 0]), 0.5 * (hot[p, 4] - hot[p, 1]), 0.5 * (hot[p, 5] - hot[p, 2])
        lx, ly, lz = ox - hot[p, 0] - hx, oy - hot[p, 1] - hy, oz - hot[p, 2] - hz
    else:
        hx, hy, hz, c, s = hot[p, 3], hot[p, 4], hot[p, 5], hot[p, 6], hot[p, 7]
        x, y, lz = ox - hot[p, 0], oy - hot[p, 1], oz - hot[p, 2]
        lx, ly = c * x + s * y, c * y - s * x
        dx, dy = c * dx + s * dy, c * dy - s * dx
        ex, ey = c * ex + s * ey, c * ey - s * ex
    # Mirrored so that the ray goes up along all axes.
    lx, ex, dx = (lx if dx > 0.0 else -lx), (ex if dx > 0.0 else -ex), abs(dx)
    ly, ey, dy = (ly if dy > 0.0 else -ly), (ey if dy > 0.0 else -ey), abs(dy)
    lz, ez, dz = (lz if dz > 0.0 else -lz), (ez if dz > 0.0 else -ez), abs(dz)
    fx, fy, fz = dx + ex, dy + ey, dz + ez
    if min(fx, min(fy, fz)) < 0.0:
        return -1.0
    nx, ny, nz, mx, my, mz = -hx - lx, -hy - ly, -hz - lz, hx - lx, hy - ly, hz - lz
    # How far the ray is from meeting the box, by each pair of axes: positive if it misses.
    a0, a1 = nx * dy - my * dx, nx * fy - my * fx
    b0, b1 = ny * dx - mx * dy, ny * fx - mx * fy
    c0, c1 = nx * dz - mz * dx, nx * fz - mz * fx
    d0, d1 = nz * dx - mx * dz, nz * fx - mx * fz
    e0, e1 = ny * dz - mz * dy, ny * fz - mz * fy
    f0, f1 = nz * dy - my * dz, nz * fy - my * fz
    misses = max(max(max(a1, b1), max(c1, d1)), max(e1, f1)) > 0.0
    missed = max(max(max(a0, b0), max(c0, d0)), max(e0, f0)) > 0.0
    if misses != own or missed == own:
        return 1.0
    if own:
        away = max(max(passing(a1, a0), passing(b1, b0)), max(passing(c1, c0), passing(d1, d0)))
        return 1.0 - max(away, max(passing(e1, e0), passing(f1, f0)))
    away = max(max(passing(a0, a1), passing(b0, b1)), max(passing(c0, c1), passing(d0, d1)))
    return max(away, max(passing(e0, e1), passing(f0, f1)))


@part
def passing(out: float, within: float) -> float:
    """Return where a linear function passes zero, as a share of the way from ``out`` to ``within``; 0 if out <= 0."""
    inside = within if within < 0.0 else 0.0
    return out / (out - inside) if out > 0.0 else 0.0


@part
def is_clear(
    shape: NDArray[np.uint8],
    hot: FloatArray,
    row: IntArray,
    truth: NDArray[np.float32],
    directions: FloatArray,
    b: int,
    n: int,
    up: bool,
    half: float,
    z: float,
) -> bool:
    """Tell, for a level lidar, whether there is surely no edge in the upper or lower half of the footprint of beam b.

    Both beams and the rim between them go over the same line on the ground, so that heights above it decide. An upright
    box that b hits is hit by the rim too if that passes the point of the hit between the box's ends; one that n hits is
    missed by the rim if that stays above or below it as far as the box may reach.

    Args:
        n: the beam above (``up``) or below. half: angle of half the footprint [rad]. z: height of the lidar [m].
        others: as in ``mix_edges``.
    """
    t, flat = float(truth[b]), np.sqrt(1.0 - directions[b, 2] * directions[b, 2])
    near = as_index(row[b]) if t < truth[n] else as_index(row[n])
    if shape[near] > YAW_BOX or half > 0.09 * flat:
        return False
    low, high = hot[near, 2], hot[near, 5]
    across = hot[near, 3] - hot[near, 0] + hot[near, 4] - hot[near, 1]
    if shape[near] == YAW_BOX:
        low, high, across = low - high, low + high, 2.0 * (hot[near, 3] + hot[near, 4])
    # 1 / (1 - 0.09) < 1.1: so much farther than in proportion to the angle lies the rim, at most.
    if t < truth[n]:
        here, rise = z + t * directions[b, 2], 1.1 * t * half / flat
        return here + rise < high - CLEARANCE if up else here - rise > low + CLEARANCE
    slope = directions[b, 2] / flat
    ahead = float(truth[n]) * np.sqrt(1.0 - directions[n, 2] * directions[n, 2])
    entry = z + truth[n] * directions[n, 2]
    back = 0.0 if low + CLEARANCE < entry < high - CLEARANCE else across
    rise = 1.1 * (ahead + across) * half / (flat * flat)
    first, last = z + (ahead - back) * slope, z + (ahead + across) * slope
    return (
        min(first, last) - (0.0 if up else rise) > high + CLEARANCE
        or max(first, last) + (rise if up else 0.0) < low - CLEARANCE
    )


@part
def neighbour(side: int, column: int, b: int, columns: int, beams: int, full_turn: bool, stride: int) -> int:
    """Return the beam ``stride`` to the right (0) or left (1), or below (2) or above (3) beam b; -1 at a margin."""
    if side < 2:
        there = column - stride if side == 0 else column + stride
        if 0 <= there < columns:
            return b - column + there
        return b - column + there % columns if full_turn else -1
    n = b - columns if side == 2 else b + columns
    return n if n < beams else -1


@inner
def mix_edges(
    tables: Tables,
    surface: NDArray[np.float32],
    settings: FloatArray,
    origins: FloatArray,
    rotations: FloatArray,
    directions: FloatArray,
    columns: int,
    truth: NDArray[np.float32],
    row: IntArray,
    echoes: Echoes,
    kinds: NDArray[np.uint8],
) -> None:
    """Find the beams whose footprints straddle an edge; write the share's loss of amplitude, and the second echo.

    An edge lies between a beam and the next one outside its footprint, if they hit different solids. Of up to four
    edges about a beam the one with the greatest share counts. Only those solids are looked at.
    Arrays as in ``measure_scan``; kinds: (beams,) uint8.
    """
    tables = borrowed(tables)
    shape, kind, hot, solid = tables.shape, tables.kind, tables.hot, tables.solid
    rotations, directions = borrowed(rotations), borrowed(directions)
    beams, step = directions.shape[0], (1 if origins.shape[0] > 1 else 0)
    full_turn, stride = settings[S_FULL_TURN] > 0.0, int(settings[S_STRIDE])
    marked = np.zeros(beams, np.uint8)
    mark_edges(truth, row, columns, stride, full_turn, settings[S_HALF_H] > 0.0, settings[S_HALF_V] > 0.0, marked)
    for b in range(beams):
        sides = marked[b]
        if sides == 0 or echoes.cosine[b] < 0.0:
            continue
        column = b % columns
        k = column * step
        best, t_best, q_best = 0.0, np.inf, as_index(-1)
        cx, cy, cz = 0.0, 0.0, 0.0
        spread = 0.5 * settings[S_APERTURE] / truth[b]
        lx, ly, lz = directions[b, 0], directions[b, 1], directions[b, 2]
        flat = np.sqrt(lx * lx + ly * ly)
        dx, dy, dz = turned(rotations, k, lx, ly, lz)
        upright = abs(rotations[k, 2, 0]) + abs(rotations[k, 2, 1]) < UPRIGHT_LIDAR
        for side in range(4):
            if (sides >> side) & 1 == 0:
                continue
            n = neighbour(side, column, b, columns, beams, full_turn, stride)
            half = spread + (settings[S_HALF_H] if side < 2 else settings[S_HALF_V])
            compare = upright and side > 1
            if compare and is_clear(shape, hot, row, truth, directions, b, n, side == 3, half, origins[k, 2]):
                continue
            move = (-half if side in (0, 2) else half) / flat
            upward = side > 1
            ex, ey, ez = turned(
                rotations,
                k,
                move * (-lz * lx if upward else -ly),
                move * (-lz * ly if upward else lx),
                move * flat * flat if upward else 0.0,
            )
            own_near, q = truth[b] < truth[n], as_index(row[n])
            near = as_index(row[b]) if own_near else q
            share, t, u = edge_share(
                tables, near, q, own_near, origins[k, 0], origins[k, 1], origins[k, 2], dx, dy, dz, ex, ey, ez,
            )  # fmt: skip
            if share > best:
                best, t_best, q_best = share, (t if t < np.inf else float(truth[n])), q
                cx, cy, cz = dx + u * ex, dy + u * ey, dz + u * ez
        if best > 0.0:
            echoes.amplitude[b] *= 1.0 - best
            if q_best >= 0 and t_best <= settings[S_MAX]:
                x, y, z = origins[k, 0] + t_best * cx, origins[k, 1] + t_best * cy, origins[k, 2] + t_best * cz
                c = incidence(shape, kind, hot, solid, q_best, x, y, z, cx, cy, cz)
                echoes.other[b], echoes.beyond[b] = t_best, best * surface[q_best, REFLECTIVITY] * c
                kinds[b] = TARGET | MIXED


@part
def mark_edges(
    truth: NDArray[np.float32],
    row: IntArray,
    columns: int,
    stride: int,
    full_turn: bool,
    horizontal: bool,
    vertical: bool,
    marked: NDArray[np.uint8],
) -> None:
    """Add 2^side to ``marked`` (beams,) where the neighbour on a side has another solid at another range."""
    beams, step = row.size, np.float32(EDGE_STEP)
    one, ahead = np.uint8(1), np.uint64(stride)
    differs = np.empty(columns, np.uint8)
    if horizontal:
        for first in range(0, beams, columns):
            rows, ranges, marks = (
                row[first : first + columns],
                truth[first : first + columns],
                marked[first : first + columns],
            )
            # Each in a loop of its own, or they are not vectorised.
            pairs = np.uint64(max(columns - stride, 0))
            for k in range(pairs):
                differs[k] = (rows[k] != rows[k + ahead]) & (abs(ranges[k] - ranges[k + ahead]) >= step)
            for k in range(pairs):
                marks[k] |= differs[k] << one
            for k in range(pairs):
                marks[k + ahead] |= differs[k]
            for i in range(stride if full_turn else 0):
                j = (i - stride) % columns
                if rows[i] != rows[j] and abs(ranges[i] - ranges[j]) >= step:
                    marks[i] |= np.uint8(1)
                    marks[j] |= np.uint8(2)
    if vertical:
        count = beams - columns
        below, above, near, far = row[:count], row[columns:], truth[:count], truth[columns:]
        upper = marked[columns:]
        for i in range(count):
            edge = np.uint8((below[i] != above[i]) & (abs(near[i] - far[i]) >= step))
            upper[i] |= edge << np.uint8(2)
        for i in range(count):
            edge = np.uint8((below[i] != above[i]) & (abs(near[i] - far[i]) >= step))
            marked[i] |= edge << np.uint8(3)


@part
def turned(rotations: FloatArray, k: int, x: float, y: float, z: float) -> tuple[float, float, float]:
    """Return a vector of the lidar's frame in ``map``."""
    return (
        rotations[k, 0, 0] * x + rotations[k, 0, 1] * y + rotations[k, 0, 2] * z,
        rotations[k, 1, 0] * x + rotations[k, 1, 1] * y + rotations[k, 1, 2] * z,
        rotations[k, 2, 0] * x + rotations[k, 2, 1] * y + rotations[k, 2, 2] * z,
    )


@inner
def coat_surfaces(
    surface: NDArray[np.float32],
    instance_id: IntArray,
    settings: FloatArray,
    film_key: np.uint64,
    truth: NDArray[np.float32],
    row: IntArray,
    echoes: Echoes,
    kinds: NDArray[np.uint8],
) -> None:
    """Put stretch film in front of wrapped goods, and take the mirrored share from the echoes of glossy solids.

    The film's two surfaces reflect 2 F / (1 + F) of the light away (F: Fresnel's reflection); a diffuse share
    ``film_haze`` comes back; the rest passes, out and back. Beams with an edge in them are left alone, and so are the
    wrapped ones by gloss.

    What a glossy solid mirrors goes out and back the same way: it is weakened by the square of the mirror's reflection.
    That is written (``mirror``) where it could matter: where it could be stronger than the direct echo, or (two
    returns, or the last one) where it reaches 2 % of a white target's.
    """
    cosine, amplitude, mirror = echoes.cosine, echoes.amplitude, echoes.mirror
    weak = settings[S_RETURNS] > 1.0 or settings[S_MODE] == LAST
    beams, b = row.size, 0
    while b < beams:
        p, first = as_index(row[b]), np.uint64(b)
        while b < beams and row[b] == p:
            b += 1
        if p < 0:
            continue
        gloss = settings[S_GLOSS] * float(surface[p, GLOSS])
        can_be_wrapped = settings[S_FILM] > 0.0 and surface[p, FILM] > 0.0
        if can_be_wrapped and uniform(film_key, instance_id[p]) < settings[S_FILM]:
            wrap_film(settings, first, np.uint64(b), truth, echoes, kinds)
        if gloss > 0.0:
            for i in range(np.uint64(b) - first):
                c = float(cosine[first + i])
                share = gloss * schlick(c) if (kinds[first + i] == TARGET) & (c >= 0.0) else 0.0
                left = float(amplitude[first + i]) * (1.0 - share)
                amplitude[first + i] = left
                square = share * share
                mirror[first + i] = square if square >= (0.02 if weak else left) else 0.0


@part
def wrap_film(
    settings: FloatArray,
    first: np.uint64,
    end: np.uint64,
    truth: NDArray[np.float32],
    echoes: Echoes,
    kinds: NDArray[np.uint8],
) -> None:
    """Put film in front of what beams first to end - 1 hit; see ``coat_surfaces``."""
    gap, haze = settings[S_GAP], settings[S_HAZE]
    for i in range(first, end):
        c = float(echoes.cosine[i])
        if c < 0.0 or kinds[i] != TARGET:
            continue
        fresnel = schlick(c)
        passed = (1.0 - 2.0 * fresnel / (1.0 + fresnel)) * (1.0 - haze)
        echoes.amplitude[i] *= passed * passed
        echoes.other[i], echoes.beyond[i] = max(1e-3, truth[i] - gap / max(c, 0.1)), haze * c
        kinds[i] = TARGET | WRAPPED


@inner
def trace_mirrors(
    tables: Tables,
    surface: NDArray[np.float32],
    settings: FloatArray,
    exclude: int,
    origins: FloatArray,
    rotations: FloatArray,
    directions: FloatArray,
    columns: int,
    truth: NDArray[np.float32],
    row: IntArray,
    echoes: Echoes,
    kinds: NDArray[np.uint8],
) -> None:
    """Add what is seen in mirrors, beam by beam with a ray, where ``coat_surfaces`` found that it could matter."""
    tables = borrowed(tables)
    shape, hot, kind, solid = tables.shape, tables.hot, tables.kind, tables.solid
    visited = np.zeros(tables.shape.size, np.int32)
    step = 1 if origins.shape[0] > 1 else 0
    for b in range(len(truth)):
        if not echoes.mirror[b] > 0.0:
            continue
        p, t, k = as_index(row[b]), float(truth[b]), (b % columns) * step
        dx, dy, dz = turned(rotations, k, directions[b, 0], directions[b, 1], directions[b, 2])
        x, y, z = origins[k, 0] + t * dx, origins[k, 1] + t * dy, origins[k, 2] + t * dz
        nx, ny, nz, _, _, _ = world_normal(kind[p], solid, p, x, y, z)
        along = nx * dx + ny * dy + nz * dz
        lift = -MIRROR_LIFT if along > 0.0 else MIRROR_LIFT
        rx, ry, rz = dx - 2.0 * along * nx, dy - 2.0 * along * ny, dz - 2.0 * along * nz
        x, y, z = x + lift * nx, y + lift * ny, z + lift * nz
        s, q = trace(tables, visited, b + 1, x, y, z, rx, ry, rz, 0.0, settings[S_MAX] - t, exclude, False)
        if q >= 0 and s > 0.0:
            c = incidence(shape, kind, hot, solid, q, x + s * rx, y + s * ry, z + s * rz, rx, ry, rz)
            echoes.other[b], echoes.beyond[b] = t + s, echoes.mirror[b] * surface[q, REFLECTIVITY] * c
            kinds[b] = TARGET | MIRRORED


@part
def sense(
    amplitude: float,
    distance: float,
    clear: float,
    error: float,
    bits: np.uint64,
    quantiles: NDArray[np.float32],
    settings: FloatArray,
) -> float:
    """Return the range [m] that is reported for one echo, inf if none is.

    Args:
        amplitude: share * reflectivity * cosine. distance: true range [m]. clear: transmission of the window, both
            ways. error: bias [m]. bits: random bits; parts 0 and 1 are used. quantiles: ``noise.QUANTILES``.
    """
    noise, threshold = table_normal(bits, 0, quantiles), table_normal(bits, 1, quantiles)
    return sensed_range(amplitude, distance, clear, error, noise, threshold, settings)


@part
def sensed_range(
    amplitude: float,
    distance: float,
    clear: float,
    error: float,
    noise: float,
    threshold: float,
    settings: FloatArray,
) -> float:
    """As ``sense``, with its two numbers from the standard normal distribution. Without branches: it is vectorised."""
    gain = settings[S_GAIN]
    weakness = distance * distance / (amplitude * clear * gain if gain > 0.0 else 1.0)  # 1 / signal
    weakness = weakness if gain > 0.0 else 0.0
    weak = settings[S_WEAK] * settings[S_WEAK] * (weakness if weakness < LARGEST_WEAK else LARGEST_WEAK)
    growth = settings[S_GROWTH] * distance
    sigma = np.sqrt(settings[S_NOISE] * settings[S_NOISE] + growth * growth + weak)
    measured = distance + error + sigma * noise
    stepped = np.floor(measured * settings[S_STEPS] + 0.5) * settings[S_RESOLUTION]
    measured = stepped if settings[S_RESOLUTION] > 0.0 else measured
    detected = weakness * (1.0 + settings[S_DETECTION] * threshold) <= 1.0
    return measured if detected & (measured >= settings[S_MIN]) & (measured <= settings[S_MAX]) else np.inf


@part
def sense_intensity(
    amplitude: float, clear: float, bits: np.uint64, quantiles: NDArray[np.float32], settings: FloatArray
) -> float:
    """Return the intensity, 0 to 1, that is reported for one echo; part 2 of the bits is used."""
    return sensed_intensity(amplitude, clear, table_normal(bits, 2, quantiles), settings)


@part
def sensed_intensity(amplitude: float, clear: float, noise: float, settings: FloatArray) -> float:
    """As ``sense_intensity``, with its number from the standard normal distribution; without branches."""
    value = amplitude * clear * (1.0 + settings[S_INTENSITY_NOISE] * noise)
    stepped = np.floor(value * settings[S_LEVELS] + 0.5) * settings[S_INTENSITY_STEP]
    value = stepped if settings[S_INTENSITY_STEP] > 0.0 else value
    value = value if value > 0.0 else 0.0
    return value if value < 1.0 else 1.0


@part
def prefer_second(mode: float, first: float, signal: float, second: float, signal_2: float) -> bool:
    """Return whether the second of two echoes is the one to report first, by return mode; lost ones (inf) come last."""
    nearer = (second < first) == (mode == FIRST)
    better = signal_2 > signal if mode == STRONGEST else nearer
    return (second < np.inf) & (better | (first == np.inf))


@part
def stray_range(crosstalk: bool, bits: np.uint64, settings: FloatArray) -> float:
    """Return the range [m] of a stray echo, inf if outside the lidar's limits."""
    low, high = settings[S_MIN], settings[S_MAX]
    u = (np.float64(bits >> np.uint64(11)) + 0.5) * 1.1102230246251565e-16
    if crosstalk:
        return low + u * (high - low)
    distance = low - settings[S_FALSE_LENGTH] * np.log(u)
    return distance if distance <= high else np.inf


@inner
def report_returns(
    settings: FloatArray,
    quantiles: NDArray[np.float32],
    key: np.uint64,
    unit: np.uint64,
    bias: float,
    columns: int,
    truth: NDArray[np.float32],
    echoes: Echoes,
    ranges: NDArray[np.float32],
    intensity: NDArray[np.float32],
    second_ranges: NDArray[np.float32],
    second_intensity: NDArray[np.float32],
    flags: NDArray[np.uint8],
) -> None:
    """Detect, disturb and report the echoes of every beam; ``flags`` holds kinds of echoes and gets those reported.

    First as if every beam had the one echo of what it points at, BATCH beams at a time and without branches; then those
    with a second echo likewise; then those with a stray, one by one.
    """
    quantiles, truth, echoes, flags = borrowed(quantiles), borrowed(truth), borrowed(echoes), borrowed(flags)
    ranges, intensity = borrowed(ranges), borrowed(intensity)
    second_ranges, second_intensity = borrowed(second_ranges), borrowed(second_intensity)
    # As a tuple, what the loops need of it stays in registers.
    settings = to_fixed_tuple(settings, S_COUNT)  # type: ignore[call-arg]
    strays = settings[S_FALSE] + settings[S_CROSSTALK]
    limit = np.uint64(np.ceil((1.0 - strays) * 268435456.0)) if strays > 0.0 else np.uint64(1 << 28)
    several = echoes.other.size > 0
    window = clean_window(settings, unit, columns)
    rings = truth.size // columns
    errors, doubled, strayed = np.empty(rings), 0, 0
    double, elements = np.empty(truth.size if several else 0, np.int32), np.zeros(BATCH, np.uint64)
    stray, kept = np.empty(truth.size if strays > 0.0 else 0, np.int32), np.empty(truth.size, np.uint8)
    work, words = np.ones(WORK_FIELDS * BATCH), np.zeros(BATCH, np.uint64)
    noise_is_on = any_noise(settings)
    for ring in range(rings):
        errors[ring] = bias
        if settings[S_RING] > 0.0:
            errors[ring] += settings[S_RING] * standard_normal(unit, 1 + ring)
        for start in range(0, columns, BATCH):
            first, count = np.uint64(ring * columns + start), np.uint64(min(BATCH, columns - start))
            if noise_is_on:
                draw_numbers(key, first, quantiles, words, work)
            for i in range(count):
                b = first + i
                if (words[i] >> np.uint64(36)) >= limit:
                    stray[strayed], kept[strayed] = b, flags[b]
                    strayed += 1
                elif several:
                    double[doubled] = b
                    doubled += 1 if flags[b] != TARGET else 0
            load_beams(first, np.uint64(start), count, truth, echoes, window, work)
            sense_beams(settings, errors[ring], work)
            store_beams(first, count, work, ranges, intensity, flags)
    second_ranges[:] = np.inf
    second_intensity[:] = 0.0
    for k in range(0, doubled, BATCH):
        count = np.uint64(min(BATCH, doubled - k))
        load_pairs(double[k:], count, columns, truth, echoes, window, errors, work, elements)
        if noise_is_on:
            draw_pairs(key, np.uint64(truth.size), quantiles, elements, words, work)
        sense_pairs(settings, work)
        store_pairs(count, elements, work, ranges, intensity, second_ranges, second_intensity, flags)
    for k in range(strayed):
        b = as_index(stray[k])
        ring = b // columns
        report_beam(
            settings, quantiles, key, errors[ring], float(window[b - ring * columns]), b, kept[k], truth, echoes,
            ranges, intensity, second_ranges, second_intensity, flags,
        )  # fmt: skip


@part
def any_noise(settings: FloatArray) -> bool:
    """Tell whether any random number has an effect."""
    ranges = settings[S_NOISE] + settings[S_GROWTH] + settings[S_WEAK] + settings[S_GAIN] + settings[S_INTENSITY_NOISE]
    return ranges + settings[S_DROPOUT] + settings[S_GRAZING] + settings[S_FALSE] + settings[S_CROSSTALK] > 0.0


@inner
def draw_numbers(
    key: np.uint64, first: np.uint64, quantiles: NDArray[np.float32], words: NDArray[np.uint64], work: FloatArray
) -> None:
    """Write the random bits of BATCH beams from ``first`` on, and what is made of them."""
    batch = np.uint64(BATCH)
    for i in range(batch):
        bits = random_bits(key, first + i)
        words[i] = bits
        work[np.uint64(CHANCE * BATCH) + i] = float(np.int64(bits >> np.uint64(36))) * 3.725290298461914e-09  # 2^-28
    for i in range(batch):
        work[np.uint64(RANGE_NOISE * BATCH) + i] = table_normal(words[i], 0, quantiles)
        work[np.uint64(THRESHOLD * BATCH) + i] = table_normal(words[i], 1, quantiles)
        work[np.uint64(LIGHT_NOISE * BATCH) + i] = table_normal(words[i], 2, quantiles)


@inner
def load_beams(
    first: np.uint64,
    start: np.uint64,
    count: np.uint64,
    truth: NDArray[np.float32],
    echoes: Echoes,
    window: NDArray[np.float32],
    work: FloatArray,
) -> None:
    """Copy ``count`` beams from ``first`` on, and from column ``start`` on, into the working memory."""
    for i in range(count):
        work[np.uint64(DISTANCE * BATCH) + i] = truth[first + i]
        work[np.uint64(COSINE * BATCH) + i] = echoes.cosine[first + i]
    for i in range(count):
        work[np.uint64(AMPLITUDE * BATCH) + i] = echoes.amplitude[first + i]
        work[np.uint64(CLEAR * BATCH) + i] = window[start + i]


@inner
def sense_beams(settings: FloatArray, error: float, work: FloatArray) -> None:
    """Write the range [m], inf for none, and intensity that are reported of BATCH beams in the working memory."""
    for i in range(np.uint64(BATCH)):
        c, amplitude = work[np.uint64(COSINE * BATCH) + i], work[np.uint64(AMPLITUDE * BATCH) + i]
        clear = work[np.uint64(CLEAR * BATCH) + i]
        reported = sensed_range(
            amplitude,
            work[np.uint64(DISTANCE * BATCH) + i],
            clear,
            error,
            work[np.uint64(RANGE_NOISE * BATCH) + i],
            work[np.uint64(THRESHOLD * BATCH) + i],
            settings,
        )
        chance = work[np.uint64(CHANCE * BATCH) + i]
        kept = (c >= 0.0) & (chance >= dropout_probability(settings[S_DROPOUT], settings[S_GRAZING], c))
        reported = reported if kept else np.inf
        light = sensed_intensity(amplitude, clear, work[np.uint64(LIGHT_NOISE * BATCH) + i], settings)
        work[np.uint64(REPORTED * BATCH) + i] = reported
        work[np.uint64(LIGHT * BATCH) + i] = light if reported < np.inf else 0.0


@inner
def store_beams(
    first: np.uint64,
    count: np.uint64,
    work: FloatArray,
    ranges: NDArray[np.float32],
    intensity: NDArray[np.float32],
    flags: NDArray[np.uint8],
) -> None:
    """Write out ``count`` beams from ``first`` on."""
    for i in range(count):
        ranges[first + i] = work[np.uint64(REPORTED * BATCH) + i]
        intensity[first + i] = work[np.uint64(LIGHT * BATCH) + i]
    for i in range(count):
        plain = np.uint8(TARGET if work[np.uint64(REPORTED * BATCH) + i] < np.inf else 0)
        flags[first + i] = plain if flags[first + i] == TARGET else flags[first + i]


@inner
def load_pairs(
    chosen: IntArray,
    count: np.uint64,
    columns: int,
    truth: NDArray[np.float32],
    echoes: Echoes,
    window: NDArray[np.float32],
    errors: FloatArray,
    work: FloatArray,
    elements: NDArray[np.uint64],
) -> None:
    """Copy the first ``count`` of chosen beams, with both echoes, into the working memory; ``elements`` gets which."""
    for i in range(count):
        b = np.uint64(chosen[i])
        ring = np.uint32(b) // np.uint32(columns)
        elements[i] = b
        work[np.uint64(DISTANCE * BATCH) + i] = truth[b]
        work[np.uint64(COSINE * BATCH) + i] = echoes.cosine[b]
        work[np.uint64(AMPLITUDE * BATCH) + i] = echoes.amplitude[b]
        work[np.uint64(CLEAR * BATCH) + i] = window[np.uint32(b) - ring * np.uint32(columns)]
        work[np.uint64(ERROR * BATCH) + i] = errors[ring]
        work[np.uint64(DISTANCE_2 * BATCH) + i] = echoes.other[b]
        work[np.uint64(AMPLITUDE_2 * BATCH) + i] = echoes.beyond[b]


@inner
def draw_pairs(
    key: np.uint64,
    beams: np.uint64,
    quantiles: NDArray[np.float32],
    elements: NDArray[np.uint64],
    words: NDArray[np.uint64],
    work: FloatArray,
) -> None:
    """As ``draw_numbers``, for beams ``elements`` and both of their echoes."""
    batch = np.uint64(BATCH)
    for i in range(batch):
        words[i] = random_bits(key, beams + elements[i])
    for i in range(batch):
        work[np.uint64(RANGE_NOISE_2 * BATCH) + i] = table_normal(words[i], 0, quantiles)
        work[np.uint64(THRESHOLD_2 * BATCH) + i] = table_normal(words[i], 1, quantiles)
        work[np.uint64(LIGHT_NOISE_2 * BATCH) + i] = table_normal(words[i], 2, quantiles)
    for i in range(batch):
        bits = random_bits(key, elements[i])
        words[i] = bits
        work[np.uint64(CHANCE * BATCH) + i] = float(np.int64(bits >> np.uint64(36))) * 3.725290298461914e-09  # 2^-28
    for i in range(batch):
        work[np.uint64(RANGE_NOISE * BATCH) + i] = table_normal(words[i], 0, quantiles)
        work[np.uint64(THRESHOLD * BATCH) + i] = table_normal(words[i], 1, quantiles)
        work[np.uint64(LIGHT_NOISE * BATCH) + i] = table_normal(words[i], 2, quantiles)


@inner
def sense_pairs(settings: FloatArray, work: FloatArray) -> None:
    """As ``sense_beams``, for beams with two echoes."""
    for i in range(np.uint64(BATCH)):
        c, clear = work[np.uint64(COSINE * BATCH) + i], work[np.uint64(CLEAR * BATCH) + i]
        first, strength, second, strength_2 = paired_returns(
            settings,
            work[np.uint64(DISTANCE * BATCH) + i],
            work[np.uint64(AMPLITUDE * BATCH) + i],
            work[np.uint64(DISTANCE_2 * BATCH) + i],
            work[np.uint64(AMPLITUDE_2 * BATCH) + i],
            clear,
            work[np.uint64(ERROR * BATCH) + i],
            work[np.uint64(RANGE_NOISE * BATCH) + i],
            work[np.uint64(THRESHOLD * BATCH) + i],
            work[np.uint64(RANGE_NOISE_2 * BATCH) + i],
            work[np.uint64(THRESHOLD_2 * BATCH) + i],
        )
        chance = work[np.uint64(CHANCE * BATCH) + i]
        kept = (c >= 0.0) & (chance >= dropout_probability(settings[S_DROPOUT], settings[S_GRAZING], c))
        first, second = (first if kept else np.inf), (second if kept else np.inf)
        light = sensed_intensity(strength, clear, work[np.uint64(LIGHT_NOISE * BATCH) + i], settings)
        light_2 = sensed_intensity(strength_2, clear, work[np.uint64(LIGHT_NOISE_2 * BATCH) + i], settings)
        work[np.uint64(REPORTED * BATCH) + i] = first
        work[np.uint64(LIGHT * BATCH) + i] = light if first < np.inf else 0.0
        work[np.uint64(REPORTED_2 * BATCH) + i] = second
        work[np.uint64(LIGHT_2 * BATCH) + i] = light_2 if second < np.inf else 0.0


@inner
def store_pairs(
    count: np.uint64,
    elements: NDArray[np.uint64],
    work: FloatArray,
    ranges: NDArray[np.float32],
    intensity: NDArray[np.float32],
    second_ranges: NDArray[np.float32],
    second_intensity: NDArray[np.float32],
    flags: NDArray[np.uint8],
) -> None:
    """Write out the first ``count`` of the beams ``elements``."""
    for i in range(count):
        b = elements[i]
        ranges[b], intensity[b] = work[np.uint64(REPORTED * BATCH) + i], work[np.uint64(LIGHT * BATCH) + i]
        flags[b] = flags[b] if ranges[b] < np.inf else np.uint8(0)
    for i in range(count if second_ranges.size > 0 else np.uint64(0)):
        b = elements[i]
        second_ranges[b] = work[np.uint64(REPORTED_2 * BATCH) + i]
        second_intensity[b] = work[np.uint64(LIGHT_2 * BATCH) + i]


@inner
def report_beam(
    settings: FloatArray,
    quantiles: NDArray[np.float32],
    key: np.uint64,
    error: float,
    clear: float,
    b: int,
    kind: np.uint8,
    truth: NDArray[np.float32],
    echoes: Echoes,
    ranges: NDArray[np.float32],
    intensity: NDArray[np.float32],
    second_ranges: NDArray[np.float32],
    second_intensity: NDArray[np.float32],
    flags: NDArray[np.uint8],
) -> None:
    """As ``report_returns``, for beam b with echoes of a kind; ``error`` is its ring's, ``clear`` its window's."""
    beams, strays = truth.size, settings[S_FALSE] + settings[S_CROSSTALK]
    bits = random_bits(key, b)
    more = random_bits(key, beams + b)
    chance = float(np.int64(bits >> np.uint64(36))) * 3.725290298461914e-09  # 28 bits, 2^-28
    first, strength, second, strength_2 = np.inf, 0.0, np.inf, 0.0
    c, t = float(echoes.cosine[b]), float(truth[b])
    if c >= 0.0 and chance >= dropout_probability(settings[S_DROPOUT], settings[S_GRAZING], c):
        t_2, a_2 = np.inf, 0.0
        if echoes.other.size > 0:
            t_2, a_2 = float(echoes.other[b]), float(echoes.beyond[b])
        first, strength, second, strength_2 = two_returns(
            settings, quantiles, t, float(echoes.amplitude[b]), t_2, a_2, clear, error, bits, more
        )
    if strays > 0.0 and chance >= 1.0 - strays:
        crosstalk = chance >= 1.0 - settings[S_CROSSTALK]
        stray = stray_range(crosstalk, random_bits(key, 2 * beams + b), settings)
        if crosstalk or stray < min(first, second):
            second, strength_2 = first, strength
            first, strength = stray, STRAY_AMPLITUDE
            kind = np.uint8(CROSSTALK if crosstalk else DUST)
    ranges[b] = first
    back = first < np.inf
    intensity[b] = sense_intensity(strength, clear, bits, quantiles, settings) if back else 0.0
    flags[b] = kind if back else np.uint8(0)
    if second_ranges.size > 0:
        second_ranges[b] = second
        second_intensity[b] = sense_intensity(strength_2, clear, more, quantiles, settings) if second < np.inf else 0.0


@part
def clean_window(settings: FloatArray, unit: np.uint64, columns: int) -> NDArray[np.float32]:
    """Return what of the light passes the window at each column, out and back: (columns,) float32."""
    window = np.ones(columns, np.float32)
    if settings[S_DIRTY] > 0.0:
        for column in range(columns):
            if uniform(unit, 100_000 + column * SECTORS // columns) < settings[S_DIRTY]:
                window[column] = settings[S_CLEAR]
    return window


@part
def two_returns(
    settings: FloatArray,
    quantiles: NDArray[np.float32],
    t: float,
    own: float,
    other: float,
    beyond: float,
    clear: float,
    error: float,
    bits: np.uint64,
    more: np.uint64,
) -> tuple[float, float, float, float]:
    """Return range [m] (inf: none) and amplitude of first and second return of a pulse with one or two echoes.

    Args:
        t, own: range [m] and amplitude of the beam's own echo; other, beyond: of the second one
            (inf and 0: none). clear, error: see
            ``sense``. bits, more: random bits of the two.
    """
    return paired_returns(
        settings, t, own, other, beyond, clear, error, table_normal(bits, 0, quantiles),
        table_normal(bits, 1, quantiles), table_normal(more, 0, quantiles), table_normal(more, 1, quantiles),
    )  # fmt: skip


@part
def paired_returns(
    settings: FloatArray,
    t: float,
    own: float,
    other: float,
    beyond: float,
    clear: float,
    error: float,
    noise: float,
    threshold: float,
    noise_2: float,
    threshold_2: float,
) -> tuple[float, float, float, float]:
    """As ``two_returns``, with the numbers from the standard normal distribution; without branches."""
    signal, signal_2 = own / (t * t), beyond / (other * other)
    # One echo: the mean range, weighted by signal.
    melted = abs(other - t) < settings[S_SEPARATION]
    total = signal + signal_2
    mean = (signal * t + signal_2 * other) / (total if total > 1e-300 else 1e-300)
    t, own, other = (mean if melted else t), (own + beyond if melted else own), (np.inf if melted else other)
    first = sensed_range(own, t, clear, error, noise, threshold, settings)
    second = sensed_range(beyond, other, clear, error, noise_2, threshold_2, settings)
    swap = prefer_second(settings[S_MODE], first, signal, second, signal_2)
    return (
        second if swap else first,
        beyond if swap else own,
        first if swap else second,
        own if swap else (beyond if other < np.inf else 0.0),
    )


@compiled
def measure_scan(
    tables: Tables,
    surface: NDArray[np.float32],
    instance_id: IntArray,
    settings: FloatArray,
    quantiles: NDArray[np.float32],
    stream: np.uint64,
    sensor: np.uint64,
    frame: np.uint64,
    exclude: int,
    origins: FloatArray,
    rotations: FloatArray,
    directions: FloatArray,
    columns: int,
    truth: NDArray[np.float32],
    row: IntArray,
    ranges: NDArray[np.float32],
    intensity: NDArray[np.float32],
    second_ranges: NDArray[np.float32],
    second_intensity: NDArray[np.float32],
    flags: NDArray[np.uint8],
) -> None:
    """Turn the geometry of one scan of one lidar into its measured signal; see the head of this module.

    Args:
        tables: the scene. surface: (P, 4) float32 of ``lidar_surface``. instance_id: (P,) int32.
        settings: of ``lidar_settings``. quantiles: ``noise.QUANTILES``.
        stream, sensor, frame: words (``noise.as_word``) that the noise is hashed from.
        exclude: moving body that carries the lidar and is not seen, or -1.
        origins: (K, 3) [m] and rotations (K, 3, 3): pose of the lidar in ``map``, one (K = 1) or one for each column.
        directions: (beams, 3) float64 unit vectors in the lidar's frame, ring by ring. columns: beams of a ring.
        truth: (beams,) float32 true range [m], inf for nothing. row: (beams,) int32 row of the solid, -1 for nothing.
        ranges, intensity: (beams,) float32, written: first return [m], inf if none, and its intensity, 0 to 1.
        second_ranges, second_intensity: likewise the second return; of no length if the lidar has one return.
        flags: (beams,) uint8, written: see ``TARGET``.
    """
    echoes = find_echoes(
        tables, surface, instance_id, settings, stream, origins, rotations, directions, columns, truth, row, flags
    )
    if settings[S_GLOSS] > 0.0:
        trace_mirrors(
            tables, surface, settings, as_index(exclude), origins, rotations, directions, columns, truth, row, echoes,
            flags,
        )  # fmt: skip
    report_scan(
        settings, quantiles, stream, sensor, frame, columns, truth, echoes, ranges, intensity, second_ranges,
        second_intensity, flags,
    )  # fmt: skip


@inner
def find_echoes(
    tables: Tables,
    surface: NDArray[np.float32],
    instance_id: IntArray,
    settings: FloatArray,
    stream: np.uint64,
    origins: FloatArray,
    rotations: FloatArray,
    directions: FloatArray,
    columns: int,
    truth: NDArray[np.float32],
    row: IntArray,
    kinds: NDArray[np.uint8],
) -> Echoes:
    """Return the echoes of every beam, but for what is seen in mirrors, and write their kinds (beams,) uint8.

    Arguments as in ``measure_scan``.
    """
    beams = row.size
    edges = settings[S_HALF_H] + settings[S_HALF_V] > 0.0
    several = beams if edges or settings[S_FILM] + settings[S_GLOSS] > 0.0 else 0
    mirrored = beams if settings[S_GLOSS] > 0.0 else 0
    echoes = Echoes(
        np.empty(beams, np.float32),
        np.empty(beams, np.float32),
        np.full(several, np.inf, np.float32),
        np.zeros(several, np.float32),
        np.zeros(mirrored, np.float32),
    )
    kinds[:] = TARGET
    meet_surfaces(tables, surface, origins, rotations, directions, columns, truth, row, echoes.cosine, echoes.amplitude)
    if edges:
        mix_edges(tables, surface, settings, origins, rotations, directions, columns, truth, row, echoes, kinds)
    if settings[S_FILM] + settings[S_GLOSS] > 0.0:
        film_key = noise_key(stream, LIDAR_FILM, np.uint64(0), np.uint64(0))
        coat_surfaces(surface, instance_id, settings, film_key, truth, row, echoes, kinds)
    return echoes


@inner
def report_scan(
    settings: FloatArray,
    quantiles: NDArray[np.float32],
    stream: np.uint64,
    sensor: np.uint64,
    frame: np.uint64,
    columns: int,
    truth: NDArray[np.float32],
    echoes: Echoes,
    ranges: NDArray[np.float32],
    intensity: NDArray[np.float32],
    second_ranges: NDArray[np.float32],
    second_intensity: NDArray[np.float32],
    flags: NDArray[np.uint8],
) -> None:
    """Turn echoes into what is reported; arguments as in ``measure_scan``, ``flags`` as in ``report_returns``."""
    bias = settings[S_BIAS]
    if settings[S_DRIFT] > 0.0:
        bias += settings[S_DRIFT] * slow_drift(stream, sensor, frame, settings[S_DRIFT_SCANS])
    report_returns(
        settings,
        quantiles,
        noise_key(stream, LIDAR, sensor, frame),
        noise_key(stream, LIDAR_UNIT, sensor, np.uint64(0)),
        bias,
        columns,
        truth,
        echoes,
        ranges,
        intensity,
        second_ranges,
        second_intensity,
        flags,
    )
