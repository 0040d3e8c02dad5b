"""How the coordinates of a level of an Open-RMF building become metres, x to the right or east, y up or north."""

from __future__ import annotations

import cmath
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...common.errors import InputError
from .report import Leftovers
from .rmf_values import Floats, edges, entries, number, points, word

SYSTEMS = ("reference_image", "cartesian_meters", "wgs84", "web_mercator")
FALLBACK_SCALE = 0.05
"""Metres of a pixel where no measurement tells: what the traffic editor itself takes."""
PLAUSIBLE = 1e-4, 10.0
"""Metres of a pixel that a measurement may tell."""
DISAGREEMENT = 0.05
"""Measurements that differ from their mean by more than this part of it are told."""
EQUATOR = 6378137.0
"""Radius of the equator in WGS 84 [m]."""
ECCENTRICITY_2 = 0.00669437999014
"""Square of the eccentricity of WGS 84."""


@dataclass(frozen=True)
class Frame:
    """How a level's coordinates become metres.

    Attributes:
        system: one of SYSTEMS.
        turn: rotation and scale [m per unit], as a complex number.
        offset: where the source's origin comes to lie [m], likewise.
        origin: longitude and latitude [degrees] of the middle, where the system is one of those of the globe.
    """

    system: str
    turn: complex = 1.0
    offset: complex = 0.0
    origin: tuple[float, float] | None = None

    @property
    def mirrored(self) -> bool:
        """Whether the source's y axis points down."""
        return self.system == "reference_image"

    @property
    def note(self) -> str:
        """What the source's unit is, where it is not the file's own."""
        if self.origin is None:
            return ""
        return f" (metres east and north of {self.origin[0]:.7f} E, {self.origin[1]:.7f} N, WGS 84)"

    def metres(self, source: Floats) -> Floats:
        """Return x, y (N, 2) [m] of source points (N, 2).

        On the globe they are laid on the plane that touches it at the middle: 300 m away from there that is right to
        some centimetres, at latitudes up to 60 degrees.
        """
        if self.origin is not None:
            return _on_plane(_longitude_latitude(self.system, source), self.origin)
        laid = self.turn * _complex(source, self.mirrored) + self.offset
        return np.stack([laid.real, laid.imag], axis=-1)


def level_frame(building: Mapping[Any, Any], levels: Mapping[str, Any], name: str, leftovers: Leftovers) -> Frame:
    """Return the frame of a level.

    Pixels are scaled by the mean of the measurements of the building's reference level. Every other level is laid on
    that one by the fiducials that both have (least squares), and by its own measurements if it has not two of them in
    common. Where nothing tells the scale, FALLBACK_SCALE is taken, and ``leftovers`` says so.

    Raises:
        InputError: the building's coordinate system is not known.
    """
    system = word(building.get("coordinate_system")) or SYSTEMS[0]
    if system not in SYSTEMS:
        raise InputError(
            f"the coordinate system {system[:80]!r} is not known",
            where="coordinate_system",
            mend=f"one of {', '.join(SYSTEMS)}",
        )
    if system == "cartesian_meters":
        return Frame(system)
    if system != "reference_image":
        return Frame(
            system, origin=_middle(_longitude_latitude(system, points(entries(levels[name], "vertices", leftovers))))
        )
    reference = word(building.get("reference_level_name"))
    reference = reference if isinstance(levels.get(reference), dict) else next(iter(levels))
    if name == reference or not isinstance(levels[reference], dict):
        return Frame(system, _measured(levels[name], leftovers) or _fallback(leftovers))
    laid = _laid_on(levels[reference], levels[name])
    if laid is None:
        leftovers.add("level without two fiducials in common with the reference level: laid by itself", name)
        return Frame(system, _measured(levels[name], leftovers) or _fallback(leftovers))
    turn, offset = laid
    scale = _measured(levels[reference], leftovers)
    if scale is None:
        own = _measured(levels[name], leftovers)
        scale = own / abs(turn) if own is not None else _fallback(leftovers)
    return Frame(system, scale * turn, scale * offset)


def _fallback(leftovers: Leftovers) -> float:
    leftovers.add(f"scale, which no measurement tells: {FALLBACK_SCALE} m for a pixel is a guess, and so are all sizes")
    return FALLBACK_SCALE


def _measured(level: dict[Any, Any], leftovers: Leftovers) -> float | None:
    """Return the mean of metres over pixels of a level's measurements, or None; those of no use are counted."""
    source = points(entries(level, "vertices", Leftovers()))
    found: dict[str, float] = {}
    for edge in edges(level, "measurements", "measurement", np.isfinite(source[:, 0]), leftovers):
        pixels, metres = math.dist(source[edge.start], source[edge.end]), number(edge.parameters.get("distance"))
        if metres is not None and pixels > 0 and PLAUSIBLE[0] <= metres / pixels <= PLAUSIBLE[1]:
            found[f"measurement {edge.number}"] = metres / pixels
        else:
            leftovers.add(
                f"measurement that tells no scale from {PLAUSIBLE[0]:g} to {PLAUSIBLE[1]:g} m for a pixel",
                f"measurement {edge.number}",
            )
    if not found:
        return None
    mean = sum(found.values()) / len(found)
    for name, scale in found.items():
        if abs(scale - mean) > DISAGREEMENT * mean:
            leftovers.add(f"measurement more than {DISAGREEMENT:.0%} off their mean, which is used", name)
    return mean


def _laid_on(reference: dict[Any, Any], level: dict[Any, Any]) -> tuple[complex, complex] | None:
    """Return the turn and the offset that lay a level's pixels on those of the reference level, or None."""
    known = _fiducials(reference)
    pairs = [(place, known[name]) for name, place in _fiducials(level).items() if name in known]
    if len(pairs) < 2:
        return None
    here, there = np.array(pairs).T
    spread = here - here.mean()
    size = float((np.abs(spread) ** 2).sum())
    with np.errstate(all="ignore"):
        turn = complex((spread.conj() * (there - there.mean())).sum() / size) if size > 0 else complex(math.nan)
    if not cmath.isfinite(turn) or abs(turn) < 1e-9:
        return None
    return turn, complex(there.mean() - turn * here.mean())


def _fiducials(level: dict[Any, Any]) -> dict[str, complex]:
    """Return a level's fiducials by name, y up; of those with one name, the first."""
    rows = [row for row in entries(level, "fiducials", Leftovers()) if isinstance(row, list) and len(row) > 2]
    found: dict[str, complex] = {}
    for row, place in zip(rows, _complex(points(rows), mirrored=True).tolist(), strict=True):
        if word(row[2]) and cmath.isfinite(place):
            found.setdefault(word(row[2]), place)
    return found


def _complex(source: Floats, mirrored: bool) -> Any:
    return source[:, 0] + (-1j if mirrored else 1j) * source[:, 1]


def _longitude_latitude(system: str, source: Floats) -> Floats:
    """Return longitude and latitude (N, 2) [degrees]; NaN for what is not on the globe.

    ``web_mercator`` is the square of 256 x 256 of map tiles. Files count its rows downwards from its upper edge, as
    numbers below 0 or above 0 depending on their age.
    """
    if system == "wgs84":
        found = source.copy()
    else:
        with np.errstate(all="ignore"):
            north = math.pi * (128.0 - np.abs(source[:, 1])) / 128.0
            found = np.stack([180.0 * (source[:, 0] - 128.0) / 128.0, np.degrees(np.arctan(np.sinh(north)))], axis=-1)
    off = ~((np.abs(found[:, 0]) <= 180.0) & (np.abs(found[:, 1]) < 89.0))
    found[off] = np.nan
    return found


def _middle(places: Floats) -> tuple[float, float]:
    """Return the median of the places that are some, rounded to 1e-7 degrees."""
    known = places[np.isfinite(places[:, 0])]
    if not len(known):
        return 0.0, 0.0
    longitude, latitude = np.median(known, axis=0).tolist()
    return round(longitude, 7), round(latitude, 7)


def _on_plane(places: Floats, origin: tuple[float, float]) -> Floats:
    """Return metres east and north (N, 2) of the origin."""
    latitude = math.radians(origin[1])
    bulge = 1.0 - ECCENTRICITY_2 * math.sin(latitude) ** 2
    east = math.radians(1.0) * EQUATOR / math.sqrt(bulge) * math.cos(latitude)
    north = math.radians(1.0) * EQUATOR * (1.0 - ECCENTRICITY_2) / bulge**1.5
    return (places - origin) * (east, north)
