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
   Errors that neighbours share (``neighbour_errors``) come on top of ``error``.
5. **Strays.** Dust reports a short range instead (``p_short`` of Thrun, Burgard and Fox, *Probabilistic Robotics*,
   2005, section 6.3), another lidar any range (``p_rand`` there).

Random numbers are hashed from (stream, sensor, frame, beam), and those of a unit from (stream, sensor): one hash serves
a beam, its bits are split into independent parts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba.np.unsafe.ndarray import to_fixed_tuple
from numpy.typing import NDArray

from ..common.classes import CLASS_IDS, CLASS_NAMES
from ..common.geometry import FloatArray
from ..common.primitives import Primitives
from .borrow import borrowed
from .compiled import compiled, inner, part
from .grid import IntArray
from .lanes import (
    LANES,
    absolute,
    any_lane,
    first_bit,
    flag_bits,
    floor,
    gather_rows,
    greater,
    lane,
    lane_numbers,
    lesser,
    load,
    low_half,
    root,
    select,
    single,
    spread,
    spread_row,
    store,
    store_bytes,
    to_float,
)
from .lidar_edges import Footprint, mix_edges
from .lidar_solids import (
    KIND,
    MIRROR,
    OTHER,
    REFLECTION,
    WRAP,
    Rays,
    Singles,
    face_lanes,
    face_others,
    incidence,
    load_origin,
    load_ray,
    local_rays,
    place_rays,
    put_solid,
)
from .noise import (
    LIDAR,
    LIDAR_DRIFT,
    LIDAR_FILM,
    LIDAR_RUNS,
    LIDAR_UNIT,
    noise_key,
    normal_lanes,
    random_bits,
    random_lanes,
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
film before goods; what a mirror shows may come back too; the return is dust; or another lidar's pulse. 0: nothing came
back."""

SECTORS = 36
"""Parts of the window that are dirty or clean, 10 degrees each."""
FRESNEL = 0.04
"""Reflection of a dielectric of refractive index 1.5 (plastics, sealers, varnish) met head on."""
LARGEST_WEAK = 4.0
"""Greatest 1 / signal that counts for noise; weaker pulses are hardly ever detected."""

STRAY_AMPLITUDE = 0.1
"""Amplitude of dust and crosstalk; assumed."""

STRONGEST, FIRST, LAST = 0, 1, 2
SHORT, LONG = 1, 2
"""Kinds of runs of outliers; 0 is none."""

CHANCES = 1 << 28
"""Steps of the number that decides on dropout and strays."""
ROUNDING = 1e-5
"""Share by which bounds are wider than they need be, for rounding."""
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
    S_SHARED,
    S_SHARED_GROWTH,
    S_SHARED_KEPT,
    S_OUT_SHORT,
    S_OUT_LONG,
    S_RUN_ENDS,
    S_OUT_LEAST,
    S_SHORT_SIZE,
    S_SHORT_POWER,
    S_LONG_SIZE,
    S_LONG_POWER,
    S_EDGE_SHIFT,
    S_EDGE_MIXED,
    S_CLUTTER,
    S_CLUTTER_ENDS,
    S_COUNT,
) = range(52)
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
    """The echoes of each beam, (beams,) float32, with room for a vector beyond them; other to reach are of no length
    where no beam can have a second echo.

    Attributes:
        cosine: of incidence on the solid that the beam points at; -1 if it hits nothing, or starts inside.
        amplitude: of that solid's echo: share * reflectivity * cosine.
        other, beyond: range [m] (inf: none) and amplitude of the second echo.
        mirror: square of the share that is mirrored, where what the mirror shows could matter, and 0 elsewhere.
        reach: longest way [m] on which what the mirror shows can be detected.
        kind: int32, flags of what the echoes are of.
    """

    cosine: NDArray[np.float32]
    amplitude: NDArray[np.float32]
    other: NDArray[np.float32]
    beyond: NDArray[np.float32]
    mirror: NDArray[np.float32]
    reach: NDArray[np.float32]
    kind: IntArray


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
    s[S_SHARED], s[S_SHARED_GROWTH] = config.shared_noise, config.shared_noise_growth
    s[S_SHARED_KEPT] = np.exp(-spacing / config.shared_angle)
    s[S_OUT_SHORT], s[S_OUT_LONG], s[S_OUT_LEAST] = config.outlier_short, config.outlier_long, config.outlier_least
    s[S_RUN_ENDS] = 1.0 / max(1.0, config.outlier_angle / spacing)
    s[S_SHORT_SIZE], s[S_SHORT_POWER] = config.outlier_short_size, 1.0 / config.outlier_short_shape
    s[S_CLUTTER], s[S_CLUTTER_ENDS] = config.clutter_share, 1.0 / max(1.0, config.clutter_angle / spacing)
    s[S_EDGE_SHIFT], s[S_EDGE_MIXED] = config.edge_shift / spacing, config.edge_mixed
    s[S_LONG_SIZE], s[S_LONG_POWER] = config.outlier_long_size, 1.0 / config.outlier_long_shape
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


@inner
def know_solids(
    tables: Tables,
    surface: NDArray[np.float32],
    instance_id: IntArray,
    settings: FloatArray,
    film_key: np.uint64,
    origin: FloatArray,
    count: int,
    row: IntArray,
    seen: NDArray[np.uint8],
    solids: Singles,
) -> None:
    """Write those solids into the table of solids (P, LANES) that are hit and not ``seen`` (P,) before.

    Args:
        tables to settings: as in ``measure_scan``. film_key: hashed to tell which goods are wrapped.
        origin: (3,) first of the lidar [m]. row: rows of ``count`` beams, and below 0 in a vector beyond them.
    """
    for at in range(0, count, LANES):
        p, after = load(row, at), load(row, at + 1)
        # The last of equal neighbours stands for all.
        bits = flag_bits(((p < after) | (p > after)) & (p >= 0))
        while bits != 0:
            q = as_index(row[at + first_bit(bits)])
            bits &= bits - 1
            if seen[q] == 0:
                seen[q] = 1
                wrapped = (
                    settings[S_FILM] > 0.0
                    and surface[q, FILM] > 0.0
                    and uniform(film_key, instance_id[q]) < settings[S_FILM]
                )
                put_solid(
                    tables, q, origin[0], origin[1], origin[2], float(surface[q, REFLECTIVITY]),
                    settings[S_GLOSS] * float(surface[q, GLOSS]), 1.0 if wrapped else 0.0, solids,
                )  # fmt: skip


@inner
def meet_surfaces(
    tables: Tables,
    solids: Singles,
    rays: Rays,
    settings: FloatArray,
    quantiles: NDArray[np.float32],
    key: np.uint64,
    origin: FloatArray,
    beams: int,
    truth: Singles,
    row: IntArray,
    echoes: Echoes,
) -> None:
    """Write cosines and amplitudes of the echoes, which hold the beams' own shares of their footprints before.

    Wrapped goods get stretch film in front of them: the film's two surfaces reflect 2 F / (1 + F) of the light away (F:
    Fresnel's reflection); a diffuse share ``film_haze`` comes back; the rest passes, out and back. Beams with an edge
    in them are left alone, and so are the wrapped ones by gloss.

    From the echoes of glossy solids the mirrored share is taken. What a glossy solid mirrors goes out and back the same
    way: it is weakened by the square of the mirror's reflection. That is written (``mirror``) where it could matter:
    where it could be stronger than the direct echo, or (two returns, or the last one) where it reaches 2 % of a white
    target's; and where the pulse, whose noise is known beforehand, is not lost. ``reach`` tells how far it is worth
    looking. Arrays, ``quantiles`` and ``key`` as in ``find_echoes``.
    """
    s: tuple[Any, ...] = to_fixed_tuple(settings.astype(np.float32), S_COUNT)  # type: ignore[call-arg]
    noise_is_on = any_noise(settings)
    weak = settings[S_RETURNS] > 1.0 or settings[S_MODE] == LAST
    film, gloss = settings[S_FILM] > 0.0, settings[S_GLOSS] > 0.0
    gap, haze, zero, one = single(settings[S_GAP]), single(settings[S_HAZE]), single(0.0), single(1.0)
    scratch = np.empty(7 * LANES, np.float32)
    # Of a lidar that stands still, all beams are one ring.
    columns = rays.columns if rays.moves else beams
    for start in range(0, beams, columns):
        for column in range(0, columns, LANES):
            b = start + column
            p, t = load(row, b), load(truth, b)
            here, hit = as_index(lane(p, 0)), (p >= 0) & (t > zero)
            if any_lane((p < here) | (p > here)):
                solid = gather_rows(solids, greater(p, 0))
            else:
                solid = spread_row(solids, max(here, 0))
            x, y, z = load_origin(rays, column)
            dx, dy, dz = load_ray(rays, b)
            face = face_lanes(solid, x, y, z, dx, dy, dz, t)
            others = hit & (solid[KIND] == single(OTHER))
            if any_lane(others):
                face = face_others(tables, others, row, b, origin, x, y, z, dx, dy, dz, t, face, scratch)
            # Beams of the next ring are not met from these origins.
            ours = lane_numbers() < columns - column
            before = load(echoes.amplitude, b)
            amplitude = select(hit, before * solid[REFLECTION] * face, zero)
            store(echoes.cosine, b, select(hit, face, single(-1.0)))
            if film or gloss:
                kinds = load(echoes.kind, b)
                plain = hit & ours & (kinds == TARGET)
                away = one - face
                fresnel = single(FRESNEL) + single(1.0 - FRESNEL) * (away * away * (away * away) * away)
            if film:
                wrapped = plain & (solid[WRAP] > zero)
                if any_lane(wrapped):
                    passed = (one - single(2.0) * fresnel / (one + fresnel)) * (one - haze)
                    amplitude = select(wrapped, amplitude * passed * passed, amplitude)
                    ahead = greater(t - gap / greater(face, single(0.1)), single(1e-3))
                    store(echoes.other, b, select(wrapped, ahead, load(echoes.other, b)))
                    store(echoes.beyond, b, select(wrapped, haze * face, load(echoes.beyond, b)))
                    store(echoes.kind, b, select(wrapped, TARGET | WRAPPED, kinds))
                    fresnel = select(wrapped, zero, fresnel)
            if gloss:
                share = select(plain, solid[MIRROR] * fresnel, zero)
                amplitude = amplitude * (one - share)
                square = share * share
                least = spread(single(0.02)) if weak else amplitude
                shown = (square > zero) & (square >= least)
                reach = spread(s[S_MAX])
                if noise_is_on and any_lane(shown):
                    bits = random_lanes(key, np.uint64(b))
                    shown = shown & is_kept(low_half(bits >> np.uint64(36)), face, s)
                    bits = random_lanes(key, np.uint64(beams + b))
                    reach = mirror_reach(square, t, bits, quantiles, s)
                store(echoes.mirror, b, select(shown & (reach > t), square, zero))
                store(echoes.reach, b, reach)
            store(echoes.amplitude, b, select(ours, amplitude, before))


@part
def is_kept(chance: Any, cosine: Any, s: tuple[Any, ...]) -> Any:
    """Tell which pulses do not drop out, by their chances, int32 from 0 to ``CHANCES`` - 1; ``s``: settings."""
    away = (single(1.0) - cosine) * (single(1.0) - cosine)
    return to_float(chance) * single(1.0 / CHANCES) >= s[S_DROPOUT] + s[S_GRAZING] * (away * away)


@part
def mirror_reach(square: Any, distance: Any, bits: Any, quantiles: NDArray[np.float32], s: tuple[Any, ...]) -> Any:
    """Return the longest way [m] on which what mirrors show can be detected, or melt into the mirror's own echo.

    Args:
        square: of the share that is mirrored: amplitude of a white surface met head on. distance: to the mirror [m].
        bits: those that decide on the detection of the second echo. s: settings.
    """
    reach = spread(s[S_MAX])
    if s[S_GAIN] > 0.0:
        least = single(1.0) + s[S_DETECTION] * normal_lanes(bits, np.uint64(1), quantiles)
        far = root(square * s[S_GAIN] / greater(least, single(1e-6))) * single(1.0 + ROUNDING)
        reach = lesser(reach, greater(far, (distance + s[S_SEPARATION]) * single(1.0 + ROUNDING)))
    return reach


@inner
def trace_mirrors(
    tables: Tables,
    surface: NDArray[np.float32],
    exclude: int,
    origins: FloatArray,
    rays: Rays,
    beams: int,
    truth: Singles,
    row: IntArray,
    echoes: Echoes,
) -> None:
    """Add what is seen in mirrors, beam by beam with a ray, where ``meet_surfaces`` found that it could matter."""
    tables = borrowed(tables)
    shape, hot, kind, solid = tables.shape, tables.hot, tables.kind, tables.solid
    visited = np.zeros(tables.shape.size, np.int32)
    direction = rays.direction
    for b in range(beams):
        if not echoes.mirror[b] > 0.0:
            continue
        p, t, k = as_index(row[b]), float(truth[b]), b % rays.columns if rays.moves else 0
        dx, dy, dz = float(direction[0, b]), float(direction[1, b]), float(direction[2, b])
        x, y, z = origins[k, 0] + t * dx, origins[k, 1] + t * dy, origins[k, 2] + t * dz
        nx, ny, nz, _, _, _ = world_normal(kind[p], solid, p, x, y, z)
        along = nx * dx + ny * dy + nz * dz
        lift = -MIRROR_LIFT if along > 0.0 else MIRROR_LIFT
        rx, ry, rz = dx - 2.0 * along * nx, dy - 2.0 * along * ny, dz - 2.0 * along * nz
        x, y, z = x + lift * nx, y + lift * ny, z + lift * nz
        s, q = trace(tables, visited, b + 1, x, y, z, rx, ry, rz, 0.0, echoes.reach[b] - t, exclude, False)
        if q >= 0 and s > 0.0:
            c = incidence(shape, kind, hot, solid, q, x + s * rx, y + s * ry, z + s * rz, rx, ry, rz)
            echoes.other[b], echoes.beyond[b] = t + s, echoes.mirror[b] * surface[q, REFLECTIVITY] * c
            echoes.kind[b] = TARGET | MIRRORED


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
    gain = settings[S_GAIN]
    weakness = distance * distance / (amplitude * clear * gain if gain > 0.0 else 1.0)  # 1 / signal
    weakness = weakness if gain > 0.0 else 0.0
    weak = settings[S_WEAK] * settings[S_WEAK] * (weakness if weakness < LARGEST_WEAK else LARGEST_WEAK)
    growth = settings[S_GROWTH] * distance
    sigma = np.sqrt(settings[S_NOISE] * settings[S_NOISE] + growth * growth + weak)
    measured = distance + error + sigma * table_normal(bits, 0, quantiles)
    if settings[S_RESOLUTION] > 0.0:
        measured = np.floor(measured * settings[S_STEPS] + 0.5) * settings[S_RESOLUTION]
    detected = weakness * (1.0 + settings[S_DETECTION] * table_normal(bits, 1, quantiles)) <= 1.0
    return measured if detected & (measured >= settings[S_MIN]) & (measured <= settings[S_MAX]) else np.inf


@part
def sense_lanes(
    amplitude: Any, distance: Any, clear: Any, error: Any, noise: Any, threshold: Any, s: tuple[Any, ...]
) -> Any:
    """As ``sense``, for a vector of beams with their numbers from the standard normal distribution; ``s``: settings."""
    weakness = spread(single(0.0))
    if s[S_GAIN] > 0.0:
        weakness = distance * distance / (amplitude * clear * s[S_GAIN])
    growth = s[S_GROWTH] * distance
    weak = s[S_WEAK] * s[S_WEAK] * lesser(weakness, single(LARGEST_WEAK))
    measured = distance + error + root(s[S_NOISE] * s[S_NOISE] + growth * growth + weak) * noise
    if s[S_RESOLUTION] > 0.0:
        measured = floor(measured * s[S_STEPS] + single(0.5)) * s[S_RESOLUTION]
    detected = weakness * (single(1.0) + s[S_DETECTION] * threshold) <= single(1.0)
    return select(detected & (measured >= s[S_MIN]) & (measured <= s[S_MAX]), measured, single(np.inf))


@part
def sense_intensity(
    amplitude: float, clear: float, bits: np.uint64, quantiles: NDArray[np.float32], settings: FloatArray
) -> float:
    """Return the intensity, 0 to 1, that is reported for one echo; part 2 of the bits is used."""
    value = amplitude * clear * (1.0 + settings[S_INTENSITY_NOISE] * table_normal(bits, 2, quantiles))
    if settings[S_INTENSITY_STEP] > 0.0:
        value = np.floor(value * settings[S_LEVELS] + 0.5) * settings[S_INTENSITY_STEP]
    return min(max(value, 0.0), 1.0)


@part
def intensity_lanes(amplitude: Any, clear: Any, noise: Any, back: Any, s: tuple[Any, ...]) -> Any:
    """As ``sense_intensity``, for a vector of beams; 0 where ``back`` says that none comes back."""
    value = amplitude * clear * (single(1.0) + s[S_INTENSITY_NOISE] * noise)
    if s[S_INTENSITY_STEP] > 0.0:
        value = floor(value * s[S_LEVELS] + single(0.5)) * s[S_INTENSITY_STEP]
    return select(back, lesser(greater(value, single(0.0)), single(1.0)), single(0.0))


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
    runs: np.uint64,
    bias: float,
    columns: int,
    truth: Singles,
    row: IntArray,
    echoes: Echoes,
    ranges: Singles,
    intensity: Singles,
    second_ranges: Singles,
    second_intensity: Singles,
    flags: NDArray[np.uint8],
) -> None:
    """Detect, disturb and report the echoes of every beam: vectors of beams, then those with a stray, one by one.

    Args:
        key, unit, runs: of noise, of the scan's, of the unit's and of what neighbours share. bias: of all ranges [m].
        truth, row: as in ``find_echoes``.
        others: as in ``measure_scan``.
    """
    quantiles, truth, echoes, flags = borrowed(quantiles), borrowed(truth), borrowed(echoes), borrowed(flags)
    ranges, intensity = borrowed(ranges), borrowed(intensity)
    second_ranges, second_intensity = borrowed(second_ranges), borrowed(second_intensity)
    # As a tuple, what the loop needs of it stays in registers.
    s: tuple[Any, ...] = to_fixed_tuple(settings.astype(np.float32), S_COUNT)  # type: ignore[call-arg]
    beams, rings = ranges.size, ranges.size // columns
    noise_is_on, several, two = any_noise(settings), echoes.other.size > 0, second_ranges.size > 0
    strays = settings[S_FALSE] + settings[S_CROSSTALK]
    limit = int(np.ceil((1.0 - strays) * CHANCES)) if strays > 0.0 else CHANCES
    window, errors = clean_window(settings, unit, columns), np.empty(rings)
    shared = neighbour_errors(settings, quantiles, runs, columns, beams, truth, row)
    stray, strayed = np.empty(beams + LANES if strays > 0.0 else 0, np.int32), 0
    tail, tail_flags = np.empty(LANES, np.float32), np.empty(LANES, np.uint8)
    zero, infinite = spread(single(0.0)), single(np.inf)
    for ring in range(rings):
        errors[ring] = bias
        if settings[S_RING] > 0.0:
            errors[ring] += settings[S_RING] * standard_normal(unit, 1 + ring)
        whole = spread(single(errors[ring]))
        for column in range(0, columns, LANES):
            b = ring * columns + column
            error = with_shared(whole, shared, b)
            t, own, cosine = load(truth, b), load(echoes.amplitude, b), load(echoes.cosine, b)
            kind, clear = load(echoes.kind, b), load(window, column)
            noise, threshold, grain, met = zero, zero, zero, cosine >= single(0.0)
            if noise_is_on:
                bits = random_lanes(key, np.uint64(b))
                chance = low_half(bits >> np.uint64(36))
                met = met & is_kept(chance, cosine, s)
                noise, threshold, grain = draw_lanes(bits, quantiles, s)
                if strays > 0.0:
                    astray = flag_bits((chance >= limit) & (lane_numbers() < columns - column))
                    while astray != 0:
                        stray[strayed] = b + first_bit(astray)
                        astray &= astray - 1
                        strayed += 1
            double = kind > TARGET
            if several and any_lane(double):
                bits = random_lanes(key, np.uint64(beams + b))
                noise_2, threshold_2, grain_2 = draw_lanes(bits, quantiles, s) if noise_is_on else (zero, zero, zero)
                beyond = select(double, load(echoes.beyond, b), zero)
                first, strength, second, strength_2 = return_lanes(
                    t, own, load(echoes.other, b), beyond, clear, error, noise, threshold, noise_2, threshold_2, s
                )
                if two:
                    second = select(met, second, infinite)
                    back = second < infinite
                    put_lanes(second, second_ranges, b, tail)
                    put_lanes(intensity_lanes(strength_2, clear, grain_2, back, s), second_intensity, b, tail)
            else:
                first, strength = sense_lanes(own, t, clear, error, noise, threshold, s), own
                if two:
                    put_lanes(zero + infinite, second_ranges, b, tail)
                    put_lanes(zero, second_intensity, b, tail)
            first = select(met, first, infinite)
            back = first < infinite
            put_lanes(first, ranges, b, tail)
            put_lanes(intensity_lanes(strength, clear, grain, back, s), intensity, b, tail)
            kind = select(back, kind, 0)
            if b + LANES <= beams:
                store_bytes(flags, b, kind)
            else:
                store_bytes(tail_flags, 0, kind)
                flags[b:] = tail_flags[: beams - b]
    for k in range(strayed):
        b = as_index(stray[k])
        ring = b // columns
        own_error = errors[ring] + shared_error(shared, b)
        report_beam(
            settings, quantiles, key, own_error, float(window[b - ring * columns]), b, truth, echoes, ranges,
            intensity, second_ranges, second_intensity, flags,
        )  # fmt: skip


@inner
def neighbour_errors(
    settings: FloatArray,
    quantiles: NDArray[np.float32],
    key: np.uint64,
    columns: int,
    beams: int,
    truth: Singles,
    row: IntArray,
) -> Singles:
    """Return the errors [m] that neighbouring beams share: (beams,) float32 with room for a vector beyond them.

    Of no length where the lidar has none.

    Along each solid of a ring two first-order autoregressions, one driving the other: smooth, of unit variance from the
    solid's first beam on, and of the correlation k^n (1 + n (1 - k^2) / (1 + k^2)) at a lag of n beams, which for many
    beams is Matern's of order 3/2 (Stein, *Interpolation of Spatial Data*, 1999, section 2.7). To it are added runs
    that a Markov chain of two states begins and ends (Gilbert, *Capacity of a Burst-Noise Channel*, 1960), as often as
    the share of outliers at the beam's own range asks for. A ring's ends are not joined.

    Args:
        key: of what neighbours share. columns: beams of a ring. truth, row: as in ``find_echoes``.
    """
    edges = settings[S_EDGE_SHIFT] + settings[S_EDGE_MIXED] > 0.0
    outliers = settings[S_OUT_SHORT] + settings[S_OUT_LONG] > 0.0
    if not (edges or outliers or settings[S_SHARED] + settings[S_SHARED_GROWTH] > 0.0):
        return np.empty(0, np.float32)
    out = np.zeros(beams + LANES, np.float32)
    if edges:
        for start in range(0, beams, columns):
            shift_edges(settings, key, start, start + columns, beams, truth, row, out)
    kept = settings[S_SHARED_KEPT]
    fresh, driven = np.sqrt(1.0 - kept * kept), (1.0 - kept * kept) / np.sqrt(1.0 + kept * kept)
    with_drive = 1.0 / np.sqrt(1.0 + kept * kept)
    drive, value, run, size, cluttered = 0.0, 0.0, 0, 0.0, True
    for b in range(beams):
        bits = random_bits(key, b)
        normal = float(table_normal(bits, 0, quantiles))
        chance = float(np.int64(bits >> np.uint64(36))) / CHANCES
        t = float(truth[b])
        first = b % columns == 0
        if first or row[b] != row[b - 1]:
            drive = normal
            value = with_drive * (drive + kept * float(table_normal(bits, 1, quantiles)))
        else:
            drive = kept * drive + fresh * normal
            value = kept * value + driven * drive
        if settings[S_CLUTTER] > 0.0:
            cluttered = is_cluttered(settings, cluttered, first, uniform(key, 6 * beams + b))
        if not 0.0 < t < np.inf:
            run = 0 if first else run
            continue
        before = 0 if first else run
        run = next_run(settings, before, cluttered, t, chance, first)
        if before == 0:
            size = weibull(settings, run, key, beams + b)
        growth, own = settings[S_SHARED_GROWTH] * t, float(out[b])
        if run == SHORT:
            own = t * (np.exp(-(settings[S_OUT_LEAST] / t + size)) - 1.0)
        elif run == LONG:
            own = settings[S_OUT_LEAST] + size
        out[b] = own + np.sqrt(settings[S_SHARED] * settings[S_SHARED] + growth * growth) * value
    return out


@part
def is_cluttered(settings: FloatArray, before: bool, first: bool, chance: float) -> bool:
    """Return whether a beam looks into a cluttered sector.

    Args:
        before: whether the beam before did. first: whether there is none before. chance: uniform, 0 to 1.
    """
    share = settings[S_CLUTTER]
    if first:
        return chance < share
    if before:
        return chance >= settings[S_CLUTTER_ENDS]
    return chance < share / (1.0 - share) * settings[S_CLUTTER_ENDS]


@inner
def shift_edges(
    settings: FloatArray, key: np.uint64, start: int, end: int, beams: int, truth: Singles, row: IntArray, out: Singles
) -> None:
    """Write the errors [m] of beams near edges of the ring from beam ``start`` to ``end`` - 1; see ``edge_shift``.

    Args:
        key: of what neighbours share. beams: of all rings. truth, row: as in ``find_echoes``. out: (beams,) or more.
    """
    least, scale = settings[S_OUT_LEAST], settings[S_EDGE_SHIFT]
    for b in range(start, end - 1):
        left, right = float(truth[b]), float(truth[b + 1])
        if not (0.0 < left < np.inf and 0.0 < right < np.inf and is_edge(left, right, row[b], row[b + 1], least)):
            continue
        u = uniform(key, 4 * beams + b)
        side = 1 if u < 0.5 else -1
        moved = int(-np.log(2.0 * u if u < 0.5 else 2.0 - 2.0 * u) * scale + 0.5)
        seen, at = (left, b + 1) if side > 0 else (right, b)
        last = at
        # What lies behind another edge is not hidden by this one.
        while (
            moved > 0
            and start <= at < end
            and 0.0 < float(truth[at]) < np.inf
            and not is_edge(float(truth[last]), float(truth[at]), row[last], row[at], least)
        ):
            out[at] = seen - float(truth[at])
            last = at
            at += side
            moved -= 1
        v = uniform(key, 5 * beams + b)
        if v < settings[S_EDGE_MIXED] and start <= at < end and 0.0 < float(truth[at]) < np.inf:
            out[at] = left + v / settings[S_EDGE_MIXED] * (right - left) - float(truth[at])


@part
def is_edge(left: float, right: float, own: int, other: int, least: float) -> bool:
    """Return whether there is an edge between neighbouring beams: one solid each, ``least`` [m] apart at least.

    A slanted wall's ranges differ as much from beam to beam, without an edge.
    """
    return own != other and abs(right - left) > least


@part
def with_shared(error: Any, shared: Singles, b: int) -> Any:
    """Return the errors [m] of a vector of beams from beam b on, with what they share added, if there is any."""
    if shared.size > 0:
        return error + load(shared, b)
    return error


@part
def shared_error(shared: Singles, b: int) -> float:
    """Return the error [m] that beam b shares with its neighbours, 0 if there is none."""
    return float(shared[b]) if shared.size > 0 else 0.0


@part
def next_run(settings: FloatArray, before: int, cluttered: bool, distance: float, chance: float, first: bool) -> int:
    """Return the kind of run of outliers at a beam (0: none), after that at the beam ``before``; see ``begun_run``."""
    if before != 0:
        return 0 if chance < settings[S_RUN_ENDS] else before
    return begun_run(settings, distance, chance, first) if cluttered else 0


@part
def begun_run(settings: FloatArray, distance: float, chance: float, first: bool) -> int:
    """Return the kind of run of outliers that begins at a beam (0: none).

    Args:
        distance: true range [m]. chance: uniform, 0 to 1. first: whether the beam is its ring's first, which may lie
            anywhere in a run.
    """
    short = 1.0 - np.exp(-settings[S_OUT_SHORT] * distance)
    share = short + settings[S_OUT_LONG]
    if settings[S_CLUTTER] > 0.0:
        share /= settings[S_CLUTTER]
    share = min(share, 0.9)
    begins = share if first else min(1.0, share / (1.0 - share) * settings[S_RUN_ENDS])
    if chance >= begins:
        return 0
    return SHORT if chance * (short + settings[S_OUT_LONG]) < begins * short else LONG


@part
def weibull(settings: FloatArray, run: int, key: np.uint64, element: int) -> float:
    """Return a number from the Weibull distribution of a kind of run, by inversion; 0 for none."""
    if run == 0:
        return 0.0
    scale = settings[S_SHORT_SIZE] if run == SHORT else settings[S_LONG_SIZE]
    power = settings[S_SHORT_POWER] if run == SHORT else settings[S_LONG_POWER]
    return float(scale * (-np.log(uniform(key, element))) ** power)


@part
def any_noise(settings: FloatArray) -> bool:
    """Tell whether any random number has an effect."""
    ranges = settings[S_NOISE] + settings[S_GROWTH] + settings[S_WEAK] + settings[S_GAIN] + settings[S_INTENSITY_NOISE]
    return ranges + settings[S_DROPOUT] + settings[S_GRAZING] + settings[S_FALSE] + settings[S_CROSSTALK] > 0.0


@part
def draw_lanes(bits: Any, quantiles: NDArray[np.float32], s: tuple[Any, ...]) -> tuple[Any, Any, Any]:
    """Return numbers from the standard normal distribution for range, threshold and intensity; 0 without effect."""
    noise, threshold, grain = spread(single(0.0)), spread(single(0.0)), spread(single(0.0))
    if s[S_NOISE] + s[S_GROWTH] + s[S_WEAK] > 0.0:
        noise = normal_lanes(bits, np.uint64(0), quantiles)
    if s[S_GAIN] > 0.0:
        threshold = normal_lanes(bits, np.uint64(1), quantiles)
    if s[S_INTENSITY_NOISE] > 0.0:
        grain = normal_lanes(bits, np.uint64(2), quantiles)
    return noise, threshold, grain


@part
def put_lanes(values: Any, out: Singles, at: int, tail: Singles) -> None:
    """Write values from element ``at`` on as far as ``out`` goes; ``tail`` (LANES,) is scratch."""
    if at + LANES <= out.size:
        store(out, at, values)
    else:
        store(tail, 0, values)
        out[at:] = tail[: out.size - at]


@inner
def report_beam(
    settings: FloatArray,
    quantiles: NDArray[np.float32],
    key: np.uint64,
    error: float,
    clear: float,
    b: int,
    truth: Singles,
    echoes: Echoes,
    ranges: NDArray[np.float32],
    intensity: NDArray[np.float32],
    second_ranges: NDArray[np.float32],
    second_intensity: NDArray[np.float32],
    flags: NDArray[np.uint8],
) -> None:
    """As ``report_returns``, for beam b; ``error`` is its ring's, ``clear`` its window's."""
    beams, strays, kind = ranges.size, settings[S_FALSE] + settings[S_CROSSTALK], np.uint8(echoes.kind[b])
    bits = random_bits(key, b)
    more = random_bits(key, beams + b)
    chance = float(np.int64(bits >> np.uint64(36))) / CHANCES
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
    """Return what of the light passes the window at each column, out and back: (columns,) float32, with room for a
    vector beyond them."""
    window = np.ones(columns + LANES, np.float32)
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
    signal, signal_2 = own / (t * t), beyond / (other * other)
    if abs(other - t) < settings[S_SEPARATION]:
        # One echo: the mean range, weighted by signal.
        total = signal + signal_2
        t = (signal * t + signal_2 * other) / (total if total > 1e-300 else 1e-300)
        own, other = own + beyond, np.inf
    first = sense(own, t, clear, error, bits, quantiles, settings)
    second = sense(beyond, other, clear, error, more, quantiles, settings) if other < np.inf else np.inf
    if prefer_second(settings[S_MODE], first, signal, second, signal_2):
        return second, beyond, first, own
    return first, own, second, beyond if other < np.inf else 0.0


@part
def return_lanes(
    t: Any,
    own: Any,
    other: Any,
    beyond: Any,
    clear: Any,
    error: Any,
    noise: Any,
    threshold: Any,
    noise_2: Any,
    threshold_2: Any,
    s: tuple[Any, ...],
) -> tuple[Any, Any, Any, Any]:
    """As ``two_returns``, for a vector of beams with their numbers from the standard normal distribution."""
    infinite = single(np.inf)
    signal, signal_2 = own / (t * t), beyond / (other * other)
    melted = absolute(other - t) < s[S_SEPARATION]
    mean = (signal * t + signal_2 * other) / greater(signal + signal_2, single(1e-30))
    t, own, other = select(melted, mean, t), select(melted, own + beyond, own), select(melted, infinite, other)
    first = sense_lanes(own, t, clear, error, noise, threshold, s)
    second = sense_lanes(beyond, other, clear, error, noise_2, threshold_2, s)
    second = select(other < infinite, second, infinite)
    lost = first >= infinite
    if s[S_MODE] == STRONGEST:
        swap = (second < infinite) & (lost | (signal_2 > signal))
    elif s[S_MODE] == FIRST:
        swap = second < first
    else:
        swap = (second < infinite) & (lost | (second >= first))
    return (
        select(swap, second, first),
        select(swap, beyond, own),
        select(swap, first, second),
        select(swap, own, select(other < infinite, beyond, single(0.0))),
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
    beams = row.size
    ranges_met, rows = np.empty(beams + LANES, np.float32), np.full(beams + LANES, -1, np.int32)
    ranges_met[:beams], rows[:beams] = truth, row
    rays = place_rays(local_rays(directions), origins, rotations, columns)
    solids, seen = np.empty((tables.shape.size, LANES), np.float32), np.zeros(tables.shape.size, np.uint8)
    film_key = noise_key(stream, LIDAR_FILM, np.uint64(0), np.uint64(0))
    key = noise_key(stream, LIDAR, sensor, frame)
    echoes = find_echoes(
        tables, surface, instance_id, settings, quantiles, key, film_key, origins, rays, beams, ranges_met, rows, seen,
        solids,
    )  # fmt: skip
    if settings[S_GLOSS] > 0.0:
        trace_mirrors(tables, surface, as_index(exclude), origins, rays, beams, ranges_met, rows, echoes)
    report_scan(
        settings, quantiles, stream, sensor, frame, columns, ranges_met, rows, echoes, ranges, intensity, second_ranges,
        second_intensity, flags,
    )  # fmt: skip


@inner
def find_echoes(
    tables: Tables,
    surface: NDArray[np.float32],
    instance_id: IntArray,
    settings: FloatArray,
    quantiles: NDArray[np.float32],
    key: np.uint64,
    film_key: np.uint64,
    origins: FloatArray,
    rays: Rays,
    beams: int,
    truth: Singles,
    row: IntArray,
    seen: NDArray[np.uint8],
    solids: Singles,
) -> Echoes:
    """Return the echoes of every beam, but for what is seen in mirrors.

    Args:
        tables to quantiles, and origins: as in ``measure_scan``. key: of the scan's noise. film_key: as in
            ``know_solids``.
        rays: of the lidar. beams: how many.
        truth, row: as in ``measure_scan``, with room for a vector beyond them; there, ``row`` is below 0.
        seen: (P,) zeros, written: 1 for solids that are hit; solids: (P, LANES), written: table of those.
    """
    edges = settings[S_HALF_H] + settings[S_HALF_V] > 0.0
    room = beams + LANES
    several = room if edges or settings[S_FILM] + settings[S_GLOSS] > 0.0 else 0
    mirrored = room if settings[S_GLOSS] > 0.0 else 0
    echoes = Echoes(
        np.empty(room, np.float32),
        np.ones(room, np.float32),
        np.full(several, np.inf, np.float32),
        np.zeros(several, np.float32),
        np.zeros(mirrored, np.float32),
        np.empty(mirrored, np.float32),
        np.full(room, TARGET, np.int32),
    )
    know_solids(tables, surface, instance_id, settings, film_key, origins[0], beams, row, seen, solids)
    if edges:
        mix_edges(
            tables,
            solids,
            rays,
            origins[0],
            Footprint(settings[S_HALF_H], settings[S_HALF_V], 0.5 * settings[S_APERTURE]),
            int(settings[S_STRIDE]),
            settings[S_FULL_TURN] > 0.0,
            settings[S_MAX],
            beams,
            truth,
            row,
            echoes.amplitude,
            echoes.other,
            echoes.beyond,
            echoes.kind,
            TARGET,
            TARGET | MIXED,
        )
    meet_surfaces(tables, solids, rays, settings, quantiles, key, origins[0], beams, truth, row, echoes)
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
    row: IntArray,
    echoes: Echoes,
    ranges: NDArray[np.float32],
    intensity: NDArray[np.float32],
    second_ranges: NDArray[np.float32],
    second_intensity: NDArray[np.float32],
    flags: NDArray[np.uint8],
) -> None:
    """Turn echoes into what is reported; arguments as in ``measure_scan`` and ``find_echoes``."""
    bias = settings[S_BIAS]
    if settings[S_DRIFT] > 0.0:
        bias += settings[S_DRIFT] * slow_drift(stream, sensor, frame, settings[S_DRIFT_SCANS])
    report_returns(
        settings,
        quantiles,
        noise_key(stream, LIDAR, sensor, frame),
        noise_key(stream, LIDAR_UNIT, sensor, np.uint64(0)),
        noise_key(stream, LIDAR_RUNS, sensor, frame),
        bias,
        columns,
        truth,
        row,
        echoes,
        ranges,
        intensity,
        second_ranges,
        second_intensity,
        flags,
    )
