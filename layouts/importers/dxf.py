"""DXF drawings: the lines of wall layers become walls. Needs the extra ``dxf``.

A drawing does not say what its lines mean, so layers do: those named after walls (in English, German, French, Spanish,
Italian or Dutch, or as the AIA's ``A-WALL``), or the one that is asked for. Each line is a thin wall of its own:
architects draw both faces of a wall.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

from ...common.errors import InputError
from ..model import MAX_LENGTH, Layout, Point, SourceFrame, Wall
from .files import read_bytes
from .names import Names
from .report import Imported, Leftovers

MARGIN = 0.5
"""The hall reaches this far [m] beyond the walls."""
THICKNESS = 0.05
"""Of the wall that a line becomes [m]."""
SHORTEST = 0.01
"""Lines shorter than this [m] are left out."""
SAGITTA = 0.02
"""Curves become chords that are off by no more than this [m]."""
MOST_LINES = 200_000
DEEPEST = 8
"""Blocks within each other."""
MILLIMETRES_FROM = 2000.0
"""A drawing without a unit is in millimetres if it is larger than this, else in metres."""
WALL_NAMES = re.compile(r"wall|wand|w(ä|ae)nde|mauer|\bmur|muro|pared|parete|muur", re.IGNORECASE)
DRAWN = ("LINE", "LWPOLYLINE", "POLYLINE", "ARC", "CIRCLE", "ELLIPSE", "SPLINE")


def import_layout(path: Path, level: str | None = None) -> Imported:
    """Read a DXF file, ASCII or binary.

    Args:
        path: the file. level: the layer whose lines are walls; None: all layers that are named after walls.

    Raises:
        InputError: ``ezdxf`` is not installed; the file is no DXF; there is no such layer, or none named after walls;
            or what is drawn is larger than any hall.
    """
    document, leftovers = _document(path), Leftovers()
    taken = _Taken(leftovers)
    entities = [*taken.apart(document.modelspace())]
    if taken.too_many:
        raise InputError(
            f"more than {MOST_LINES:,} things are drawn, blocks taken apart",
            where=str(path),
            mend="give a plainer drawing",
        )
    counts = Counter(layer for layer, _ in entities)
    layers = _layers(counts, level, path)
    for layer, count in counts.items():
        if layer not in layers:
            leftovers.counts["line on a layer that is not of walls"] += count
            leftovers.examples.setdefault("line on a layer that is not of walls", []).append(layer[:40])
    scale = _metres(document, entities, leftovers)
    lines = [line for layer, entity in entities if layer in layers for line in _lines(entity, scale, leftovers)]
    if not lines:
        raise InputError(
            "no line of any length is drawn on the wall layers", where=str(path), mend="name another layer"
        )
    xs, ys = zip(*(point for line in lines for point in line), strict=True)
    x, y = MARGIN - min(xs), MARGIN - min(ys)
    length, width = max(xs) + x + MARGIN, max(ys) + y + MARGIN
    if max(length, width) > MAX_LENGTH:
        raise InputError(
            f"what is drawn is {length:,.0f} x {width:,.0f} m",
            where=str(path),
            mend="set the drawing's unit ($INSUNITS)",
        )
    names = Names()
    walls = tuple(
        Wall(id=names(f"wall{k}", "wall"), start=_moved(a, x, y), end=_moved(b, x, y), thickness=THICKNESS)
        for k, (a, b) in enumerate(lines)
    )
    layout = Layout(
        name=path.stem[:128] or "hall",
        length=length,
        width=width,
        walls=walls,
        source=SourceFrame(file=path.name[:256], format="dxf", name=", ".join(layers)[:256], x=x, y=y, scale=scale),
    )
    return Imported(layout, {"entities": len(entities), "layers": len(counts), "lines": len(lines)}, leftovers)


def _document(path: Path) -> Any:
    try:
        from ezdxf import DXFError, recover
    except ImportError as error:
        raise InputError("reading DXF needs ezdxf", where=str(path), mend="pip install 'floorcast[dxf]'") from error
    data = read_bytes(path)
    try:
        document, _ = recover.read(BytesIO(data))
    except (DXFError, OSError, ValueError, IndexError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"no DXF that can be read: {error}", where=str(path), mend="save it again as DXF, 2000 or later"
        ) from error
    return document


class _Taken:
    """Takes blocks apart, up to ``MOST_LINES`` things in all: blocks of blocks can stand for any number."""

    def __init__(self, leftovers: Leftovers) -> None:
        self.leftovers, self.left, self.too_many = leftovers, MOST_LINES, False

    def apart(self, space: Any, layer: str = "0", depth: int = 0) -> Iterator[tuple[str, Any]]:
        """Yield what is drawn with its layer; in a block, layer 0 is that of the insertion."""
        for entity in space:
            self.left -= 1
            if self.left < 0:
                self.too_many = True
                return
            own = str(entity.dxf.layer)
            own = layer if own == "0" and depth > 0 else own
            kind = entity.dxftype()
            if kind in DRAWN:
                yield own, entity
            elif kind != "INSERT":
                self.leftovers.add(f"{kind} has no place in a layout", own)
            elif depth >= DEEPEST:
                self.leftovers.add(f"block inserted more than {DEEPEST} deep", str(entity.dxf.name))
            elif entity.mcount > 1:
                self.leftovers.add("block inserted as an array", str(entity.dxf.name))
            else:
                yield from self.apart(entity.virtual_entities(), own, depth + 1)


def _layers(counts: Counter[str], level: str | None, path: Path) -> list[str]:
    """Return the layers that walls are on."""
    listed = ", ".join(f"{name} ({count})" for name, count in counts.most_common(20)) or "none"
    if level is not None:
        found = [name for name in counts if name.casefold() == level.casefold()]
        if not found:
            raise InputError(f"nothing is drawn on layer {level!r}", where=str(path), mend=f"one of: {listed}")
        return found
    found = [name for name in counts if WALL_NAMES.search(name)]
    if not found:
        raise InputError(
            "no layer is named after walls", where=str(path), mend=f"say --level LAYER; drawn on: {listed}"
        )
    return found


def _metres(document: Any, entities: list[tuple[str, Any]], leftovers: Leftovers) -> float:
    """Return the drawing's unit [m]."""
    from ezdxf import bbox, units
    from ezdxf.enums import InsertUnits

    if document.units != 0:
        return float(units.conversion_factor(document.units, InsertUnits.Meters))
    box = bbox.extents((entity for _, entity in entities), fast=True)
    large = box.has_data and max(box.size.x, box.size.y) > MILLIMETRES_FROM
    leftovers.add(f"drawing without a unit: taken to be in {'millimetres' if large else 'metres'}")
    return 0.001 if large else 1.0


def _lines(entity: Any, scale: float, leftovers: Leftovers) -> Iterator[tuple[Point, Point]]:
    """Yield the straight pieces [m] of what is drawn."""
    from ezdxf.path import make_path

    try:
        points = [(scale * p.x, scale * p.y) for p in make_path(entity).flattening(SAGITTA / scale, segments=4)]
    except (TypeError, ValueError, ArithmeticError) as error:
        leftovers.add(f"{entity.dxftype()} that cannot be drawn: {error}")
        return
    if not all(math.isfinite(value) for point in points for value in point):
        leftovers.add(f"{entity.dxftype()} with a coordinate that is no number")
        return
    for a, b in pairwise(points):
        if math.dist(a, b) < SHORTEST:
            leftovers.add("line shorter than 1 cm")
        else:
            yield a, b


def _moved(point: Point, x: float, y: float) -> Point:
    return point[0] + x, point[1] + y
