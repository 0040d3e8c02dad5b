"""SDF worlds and models (1.4 to 1.10) of Gazebo and Ignition: their collision shapes, as walls and obstacles.

Files are read from one folder alone: that of the world, or the one above it if the folder ``models`` is there. A robot
is kept out by collision shapes, so these are taken; visuals give the colours. All stands still.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from ...common.errors import InputError
from ...common.geometry import quaternion_from_rpy, rotation_matrix
from ...common.mesh import TriangleMesh, clean_mesh, load_mesh
from ..model import MAX_LENGTH
from . import sdf_hall
from .boxes import OrientedBox, mesh_boxes
from .files import MAX_BYTES, read_bytes, read_xml, within
from .report import Imported, Leftovers
from .sdf_hall import Color, Lamp, Solid

Floats = NDArray[np.float64]

MAX_MODELS = 5_000
"""Models in a world, those in other models counted."""
MAX_NESTING = 16
"""Models within each other."""
MAX_FILES = 2_000
MAX_READ = 4 * MAX_BYTES
"""Files read for one world, and bytes of them in all."""
MAX_DESCRIPTIONS = MAX_BYTES // 4
"""Bytes of all models' SDF files."""
MAX_SOLIDS = 100_000
MAX_PARTS = 3_000_000
"""Elements looked at, those of a model that is included ten times ten times."""
MAX_LAMPS = 1_000
MAX_CHAIN = 50
"""Frames told relative to each other in turn."""
MAX_TRIANGLES = 5_000_000
"""Of all meshes of a world."""
MAX_PIXELS = 64_000_000

_SETTINGS = {
    "plugin": "plugin",
    "sensor": "sensor",
    "joint": "joint",
    "gripper": "gripper",
    "actor": "actor, which moves",
    "state": "state of a running simulation",
    "physics": "physics setting",
    "gravity": "physics setting",
    "magnetic_field": "physics setting",
    "atmosphere": "physics setting",
    "wind": "physics setting",
    "surface": "friction or contact setting",
    "gui": "setting of the view",
    "scene": "setting of the view",
    "audio": "setting of the view",
    "spherical_coordinates": "place on the globe",
    "road": "road",
    "population": "population of models",
    "particle_emitter": "particle emitter",
    "projector": "projector",
    "audio_source": "source of sound",
    "battery": "battery",
}
"""Why what is not read has no place in a layout, by element."""


class _LeftOut(Exception):
    """One thing that cannot be used: the reason, and what it is."""

    def __init__(self, reason: str, thing: str = "") -> None:
        super().__init__(reason)
        self.reason, self.thing = reason, thing


def import_layout(path: str | Path, level: str | None = None) -> Imported:
    """Read an SDF file.

    Args:
        path: the file; its models are looked for in ``models`` beside it or one folder up, and beside it.
        level: name of the world to take, where the file has several; None: the first.

    Returns:
        The layout: the ground is its floor at z = 0, thin upright boxes are its walls, all other collision shapes its
        obstacles. Its hall is the rectangle around them.

    Raises:
        InputError: the file is no SDF, is too large, or has nothing that stands on a floor.
    """
    path = Path(path)
    reader = _Reader(path)
    root = read_xml(path)
    if root.tag != "sdf":
        raise InputError(f"the root element is <{root.tag[:40]}>, not <sdf>", where=str(path), mend="give an SDF file")
    worlds = root.findall("world")
    names = [world.get("name", "") for world in worlds]
    if level is not None and level not in names:
        raise InputError(
            f"there is no world {level!r}", where=str(path), mend=f"one of {', '.join(names) or 'none'}"[:500]
        )
    world = worlds[names.index(level) if level is not None else 0] if worlds else root
    for name in names[1:] if level is None else [name for name in names if name != level]:
        reader.leftovers.add("further world in the file", name)
    reader.read_world(world)
    # Gazebo calls every world "default" unless told otherwise.
    called = world.get("name", "")
    found = sdf_hall.build(
        reader.solids,
        reader.lamps,
        reader.grounds,
        leftovers=reader.leftovers,
        name=called if called not in ("", "default") else path.stem,
        file=path.name,
    )
    read = {**reader.count, "walls": len(found.walls), "obstacles": len(found.obstacles)}
    return Imported(found, read, reader.leftovers)


@dataclass
class _Scope:
    """A world or model whose parts name each other: what stands in it, and where it is told from."""

    element: Element
    folder: Path
    files: tuple[Path, ...]
    name: str
    resolving: set[str] = field(default_factory=set)
    frames: dict[str, Element] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for child in self.element:
            if child.tag in ("link", "frame", "model", "include"):
                name = child.get("name") or (child.findtext("name") or "" if child.tag == "include" else "")
                self.frames.setdefault(name, child)

    def pose(self, element: Element, default: Floats | None = None) -> Floats:
        """Return the pose (4, 4) of an element in this scope's frame; ``default``: of the frame it stands in."""
        given = element.find("pose")
        matrix = np.eye(4) if given is None else _matrix(given)
        # "frame" is what 1.4 to 1.6 call "relative_to".
        base = "" if given is None else (given.get("relative_to") or given.get("frame") or "")
        if base:
            return self.frame(base) @ matrix
        if default is None and element.tag == "frame" and element.get("attached_to"):
            default = self.frame(element.get("attached_to", ""))
        return matrix if default is None else default @ matrix

    def frame(self, name: str) -> Floats:
        """Return the pose (4, 4) of a named frame of this scope in it."""
        if name in ("__model__", "__root__") or (name == "world" and self.element.tag != "model"):
            return np.eye(4)
        if name in self.resolving or len(self.resolving) >= MAX_CHAIN:
            raise _LeftOut("pose relative to itself, or to too many frames in turn", f"{self.name}: {name}")
        if name not in self.frames:
            raise _LeftOut("pose relative to a frame that is not known", f"{self.name}: {name}")
        self.resolving.add(name)
        try:
            return self.pose(self.frames[name])
        finally:
            self.resolving.discard(name)


class _Reader:
    """Walks through a world and collects its solids and lamps in the world's frame."""

    def __init__(self, path: Path) -> None:
        self.folder = Path(os.path.realpath(path.parent))
        above = self.folder.parent
        self.root = above if not (self.folder / "models").is_dir() and (above / "models").is_dir() else self.folder
        self.path = path
        self.leftovers = Leftovers()
        self.count: Counter[str] = Counter(models=0, links=0, collisions=0, lights=0, files=0)
        self.solids: list[Solid] = []
        self.lamps: list[Lamp] = []
        self.grounds: list[float] = []
        self._models = self._parts = self._described = 0
        self._trees: dict[Path, Element] = {}
        self._bytes = self._triangles = 0
        self._meshes: dict[tuple[Any, ...], tuple[TriangleMesh, list[OrientedBox]] | _LeftOut] = {}
        self._colors: dict[Path, Color | None] = {}
        self._found: dict[tuple[str, Path], Path | _LeftOut] = {}
        self._files: dict[Path, Path] = {}

    def read_world(self, world: Element) -> None:
        """Read all models and lights of a world, or of a file that has models only."""
        scope = _Scope(world, self.folder, (Path(os.path.realpath(self.path)),), world.get("name", ""))
        for child in world:
            if child.tag in ("model", "include"):
                self.count["models"] += 1
            self._child(child, scope, np.eye(4), 0)

    # -- models --------------------------------------------------------------------------------------------------------

    def _child(self, child: Element, scope: _Scope, place: Floats, depth: int) -> None:
        """Read one child of a world or model that lies at ``place`` in the world; what fails is left out."""
        self._step()
        try:
            if child.tag == "model":
                self._model(child, scope, place @ scope.pose(child), depth)
            elif child.tag == "include":
                self._include(child, scope, place, depth)
            elif child.tag == "link":
                self._link(child, scope, place)
            elif child.tag == "light":
                self._light(child, place @ scope.pose(child), scope)
            elif child.tag in _SETTINGS:
                self.leftovers.add(_SETTINGS[child.tag], _named(child, scope))
        except _LeftOut as left:
            self.leftovers.add(left.reason, left.thing or _named(child, scope))
        except OSError as error:
            self.leftovers.add(f"file that cannot be read: {error.strerror}", _named(child, scope))

    def _step(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise InputError(f"more than {MAX_PARTS:,} parts", where=str(self.path), mend="give a smaller world")

    def _model(self, model: Element, outer: _Scope, place: Floats, depth: int, *, static: str | None = None) -> None:
        self._models += 1
        if self._models > MAX_MODELS:
            raise InputError(f"more than {MAX_MODELS} models", where=str(self.path), mend="give a smaller world")
        if depth >= MAX_NESTING:
            raise _LeftOut(f"model within more than {MAX_NESTING} others")
        name = "::".join(part for part in (outer.name if depth else "", model.get("name", "model")) if part)[-200:]
        scope = _Scope(model, outer.folder, outer.files, name)
        told = static if static is not None else model.findtext("static", "0")
        if told.strip() not in ("1", "true") and model.find("link") is not None:
            self.leftovers.add("model that could move, and stands still here", name)
        for child in model:
            self._child(child, scope, place, depth + 1)

    def _include(self, include: Element, scope: _Scope, place: Floats, depth: int) -> None:
        uri = (include.findtext("uri") or "").strip()
        folder = self._find(uri, scope.folder)
        if folder not in self._files:
            self._files[folder] = self._model_file(folder)
        path = self._files[folder]
        if path in scope.files:
            raise _LeftOut("model that includes itself", uri)
        if include.find("placement_frame") is not None:
            raise _LeftOut("model placed by one of its own frames", uri)
        root = self._tree(path, uri)
        inner = root.find("model")
        if inner is None:
            raise _LeftOut("included file without a model", uri)
        for other in root.findall("model")[1:]:
            self.leftovers.add("further model in an included file", other.get("name", ""))
        own = _Scope(root, path.parent, (*scope.files, path), scope.name)
        pose = scope.pose(include) if include.find("pose") is not None else own.pose(inner)
        named = (include.findtext("name") or "").strip()
        if named:
            inner = _renamed(inner, named)
        self._model(inner, own, place @ pose, depth, static=include.findtext("static"))

    def _link(self, link: Element, scope: _Scope, place: Floats) -> None:
        self.count["links"] += 1
        within_model = scope.pose(link)
        collisions = link.findall("collision")
        if not collisions and link.find("visual") is not None:
            self.leftovers.add("visual without a collision shape", _named(link, scope))
        color = self._color(link, scope) if collisions else None
        for child in link:
            self._step()
            try:
                if child.tag == "collision":
                    self.count["collisions"] += 1
                    self._geometry(child, scope, place @ scope.pose(child, within_model), color)
                elif child.tag == "light":
                    self._light(child, place @ scope.pose(child, within_model), scope)
                elif child.tag in _SETTINGS and child.tag != "gravity":
                    self.leftovers.add(_SETTINGS[child.tag], _named(child, scope))
            except _LeftOut as left:
                self.leftovers.add(left.reason, left.thing or _named(child, scope))
            except OSError as error:
                self.leftovers.add(f"file that cannot be read: {error.strerror}", _named(child, scope))

    # -- shapes --------------------------------------------------------------------------------------------------------

    def _geometry(self, collision: Element, scope: _Scope, place: Floats, color: Color | None) -> None:
        """Add the solids of a collision that lies at ``place`` in the world."""
        geometry = collision.find("geometry")
        shape = next(iter(geometry), None) if geometry is not None else None
        if shape is None:
            raise _LeftOut("collision without a shape")
        if collision.find("surface") is not None:
            self.leftovers.add(_SETTINGS["surface"], _named(collision, scope))
        if shape.tag == "mesh":
            self._mesh_solids(shape, scope, place, color)
        elif shape.tag == "plane":
            self._plane(shape, place, scope, color)
        else:
            self._add(_primitive(shape), place, scope, color)

    def _add(self, box: tuple[str, Floats], place: Floats, scope: _Scope, color: Color | None, **mesh: Any) -> None:
        kind, size = box
        if len(self.solids) >= MAX_SOLIDS:
            raise InputError(f"more than {MAX_SOLIDS} solids", where=str(self.path), mend="give a smaller world")
        if not (size > 1e-6).all() or not (size <= MAX_LENGTH).all():
            raise _LeftOut("shape without an extent, or larger than any hall")
        if not (np.abs(place[:3, 3]) <= MAX_LENGTH).all():
            raise _LeftOut("shape farther away than any hall is long")
        self.solids.append(Solid(kind, np.maximum(size, 1e-3), place[:3, 3], place[:3, :3], scope.name, color, **mesh))

    def _plane(self, shape: Element, place: Floats, scope: _Scope, color: Color | None) -> None:
        normal = place[:3, :3] @ _numbers(shape.findtext("normal", "0 0 1"), 3)
        if np.linalg.norm(normal) < 1e-9 or normal[2] < 0.99 * np.linalg.norm(normal):
            raise _LeftOut("plane that is no floor")
        self.grounds.append(float(place[2, 3]))
        self.count["ground planes"] += 1

    def _mesh_solids(self, shape: Element, scope: _Scope, place: Floats, color: Color | None) -> None:
        uri = (shape.findtext("uri") or "").strip()
        path = self._find(uri, scope.folder)
        scale = tuple(_numbers(shape.findtext("scale", "1 1 1"), 3).tolist())
        part = shape.findtext("submesh/name")
        centred = shape.findtext("submesh/center", "0").strip() in ("1", "true")
        key = (path, scale, part, centred)
        if key not in self._meshes:
            try:
                self._meshes[key] = self._mesh(path, np.array(scale), part, centred)
            except _LeftOut as left:
                self._meshes[key] = left
        known = self._meshes[key]
        if isinstance(known, _LeftOut):
            raise _LeftOut(known.reason, known.thing)
        mesh, boxes = known
        for box in boxes:
            at = place @ _transform(box.rotation, box.centre)
            self._add(("box", box.size), at, scope, color, mesh=mesh if box.whole else None, mesh_place=place)

    def _mesh(
        self, path: Path, scale: Floats, part: str | None, centred: bool
    ) -> tuple[TriangleMesh, list[OrientedBox]]:
        if not (np.abs(scale) > 1e-9).all():
            raise _LeftOut("mesh scaled to nothing", path.name)
        self._account(path)
        try:
            mesh = load_mesh(path, part=part, max_bytes=MAX_BYTES)
            self._triangles += len(mesh)
            if self._triangles > MAX_TRIANGLES:
                raise _LeftOut(f"mesh after {MAX_TRIANGLES:,} triangles of others", path.name)
            used = np.unique(mesh.faces)
            low, high = mesh.vertices[used].min(axis=0), mesh.vertices[used].max(axis=0)
            offset = 0.5 * (low + high) if centred else np.zeros(3)
            if not (np.abs(np.stack([low, high]) * scale) <= MAX_LENGTH).all():
                raise _LeftOut("shape without an extent, or larger than any hall", path.name)
            mesh = clean_mesh((mesh.vertices - offset) * scale, mesh.faces, where=str(path))
        except InputError as error:
            raise _LeftOut("mesh that cannot be used", f"{path.name}: {error.what}") from error
        self.count["meshes"] += 1
        return mesh, mesh_boxes(mesh)

    # -- light and colour ----------------------------------------------------------------------------------------------

    def _light(self, light: Element, place: Floats, scope: _Scope) -> None:
        kind = light.get("type", "point")
        if kind not in ("point", "spot"):
            raise _LeftOut("light without a place" if kind == "directional" else "light of an unknown kind")
        diffuse = _numbers(light.findtext("diffuse", "1 1 1 1"), 3) * _number(light.findtext("intensity", "1"))
        fall = [_number(light.findtext(f"attenuation/{name}", default)) for name, default in
                (("constant", "1"), ("linear", "0"), ("quadratic", "0"))]  # fmt: skip
        angle = _number(light.findtext("spot/outer_angle", "1.9")) if kind == "spot" else 3.0
        lit = light.findtext("light_on", "1").strip() not in ("0", "false")
        if len(self.lamps) >= MAX_LAMPS:
            raise _LeftOut(f"light after {MAX_LAMPS:,} others")
        self.count["lights"] += 1
        self.lamps.append(Lamp(place[:3, 3], float(diffuse.mean()), (fall[0], fall[1], fall[2]), angle, lit))

    def _color(self, link: Element, scope: _Scope) -> Color | None:
        """Return the colour of a link's first visual that tells one."""
        for visual in link.findall("visual"):
            told = visual.findtext("material/diffuse") or visual.findtext("material/ambient")
            try:
                if told:
                    red, green, blue = (int(255 * min(max(value, 0.0), 1.0)) for value in _numbers(told, 3).tolist())
                    return red, green, blue
                uri = (visual.findtext("geometry/mesh/uri") or "").strip()
                path = self._find(uri, scope.folder) if uri else None
            except (_LeftOut, OSError):
                continue
            if path is not None:
                if path not in self._colors:
                    self._colors[path] = self._mesh_color(path)
                if self._colors[path] is not None:
                    return self._colors[path]
        return None

    def _mesh_color(self, path: Path) -> Color | None:
        """Return the mean of the diffuse colours and textures that a COLLADA file names; None of other files."""
        if path.suffix.lower() != ".dae":
            return None
        try:
            self._account(path)
            data = read_bytes(path)
        except (InputError, _LeftOut):
            return None
        found = [
            255.0 * np.clip(_numbers(text.decode("ascii", "replace"), 3), 0.0, 1.0)
            for text in re.findall(rb"<diffuse>\s*<color[^>]*>\s*([-+.0-9eE\s]{5,200})</color>", data)[:200]
            if len(text.split()) >= 3
        ]
        for name in sorted(set(re.findall(rb"<init_from>([^<]{1,300})</init_from>", data)))[:50]:
            mean = self._texture_mean(path, name.decode("utf-8", "replace").replace("\\", "/").rsplit("/", 1)[-1])
            found += [] if mean is None else [mean]
        if not found:
            return None
        red, green, blue = (int(value) for value in np.mean(found, axis=0).tolist())
        return red, green, blue

    def _texture_mean(self, mesh: Path, name: str) -> Floats | None:
        """Return the mean colour of a picture in one of the folders that models keep theirs in."""
        from PIL import Image

        model = mesh.parent.parent
        for folder in (mesh.parent, model / "materials" / "textures", model / "textures"):
            try:
                path = within(self.root, os.path.relpath(folder / name, self.root), str(mesh))
                if not path.is_file():
                    continue
                self._account(path)
                with Image.open(path) as picture:
                    if picture.width * picture.height > MAX_PIXELS:
                        return None
                    small = picture.convert("RGB").resize((32, 32), Image.Resampling.BOX)
                return np.asarray(small, dtype=np.float64).reshape(-1, 3).mean(axis=0)
            except (InputError, _LeftOut, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
                continue
        return None

    # -- files ---------------------------------------------------------------------------------------------------------

    def _find(self, uri: str, folder: Path) -> Path:
        """Return the file or folder that a URI names, which lies in the root."""
        key = uri, folder
        if key not in self._found:
            try:
                self._found[key] = self._look_up(uri, folder)
            except _LeftOut as left:
                self._found[key] = left
        found = self._found[key]
        if isinstance(found, _LeftOut):
            raise _LeftOut(found.reason, found.thing)
        return found

    def _look_up(self, uri: str, folder: Path) -> Path:
        scheme, _, rest = uri.partition("://") if "://" in uri else ("", "", uri)
        if scheme not in ("", "model", "file"):
            raise _LeftOut("address that is not in the folder", uri)
        parts = rest.split("/")
        if not rest or rest.startswith(("/", "\\", "~")) or ".." in parts or "\\" in rest or "\0" in rest:
            raise _LeftOut("path that is empty, absolute or leads upwards", uri)
        places = [folder] if scheme == "" else [self.root / "models", self.root, self.folder, folder]
        for place in places:
            try:
                path = within(self.root, os.path.relpath(place / rest, self.root), uri)
            except InputError as error:
                raise _LeftOut("path that leads out of the folder", uri) from error
            if path.is_file() or path.is_dir():
                return path
        raise _LeftOut("file or model that is not in the folder", uri)

    def _model_file(self, path: Path) -> Path:
        """Return the SDF file of a model's folder: the newest that ``model.config`` names, else ``model.sdf``."""
        if not path.is_dir():
            return path
        name = "model.sdf"
        config = self._inside(path, "model.config")
        if config.is_file():
            versions = [
                (tuple(int(n) for n in re.findall(r"\d+", item.get("version", "0"))[:3]), (item.text or "").strip())
                for item in self._tree(config, config.name).findall("sdf")
            ]
            known = [item for item in versions if item[0] <= (1, 12) and item[1]]
            name = max(known)[1] if known else name
        return self._inside(path, name)

    def _inside(self, folder: Path, name: str) -> Path:
        try:
            return within(self.root, os.path.relpath(folder / name, self.root), name)
        except InputError as error:
            raise _LeftOut("path that leads out of the folder", f"{folder.name}/{name}") from error

    def _tree(self, path: Path, uri: str) -> Element:
        if path not in self._trees:
            self._account(path)
            self._described += path.stat().st_size
            if self._described > MAX_DESCRIPTIONS:
                raise _LeftOut(f"model after {MAX_DESCRIPTIONS >> 20} MiB of others", uri)
            try:
                self._trees[path] = read_xml(path)
            except InputError as error:
                raise _LeftOut("file that cannot be read", f"{uri}: {error.what}") from error
        return self._trees[path]

    def _account(self, path: Path) -> None:
        """Count a file that is about to be read; raises once there are too many, or too much in them."""
        self.count["files"] += 1
        try:
            self._bytes += path.stat().st_size
        except OSError as error:
            raise _LeftOut("file that cannot be read", path.name) from error
        if self.count["files"] > MAX_FILES or self._bytes > MAX_READ:
            raise _LeftOut(f"file after {MAX_FILES:,} others, or {MAX_READ >> 20} MiB of them", path.name)


def _primitive(shape: Element) -> tuple[str, Floats]:
    """Return kind and full size (3,) [m] of a box, or of the cylinder or box around another shape."""
    if shape.tag == "box":
        return "box", _numbers(shape.findtext("size", ""), 3)
    if shape.tag == "ellipsoid":
        return "box", 2.0 * _numbers(shape.findtext("radii", ""), 3)
    if shape.tag in ("cylinder", "sphere", "capsule"):
        radius = _number(shape.findtext("radius", ""))
        length = 2.0 * radius if shape.tag == "sphere" else _number(shape.findtext("length", ""))
        length += 2.0 * radius if shape.tag == "capsule" else 0.0
        return "cylinder", np.array([2.0 * radius, 2.0 * radius, length])
    raise _LeftOut(f"shape <{shape.tag[:40]}>")


def _matrix(pose: Element) -> Floats:
    """Return the transform (4, 4) of a <pose>."""
    quaternion = pose.get("rotation_format", "euler_rpy") == "quat_xyzw"
    values = _numbers(pose.text or "0 0 0 0 0 0", 7 if quaternion else 6)
    if quaternion:
        length = float(np.linalg.norm(values[3:]))
        if length < 1e-6:
            raise _LeftOut("number that is missing or not finite")
        return _transform(rotation_matrix(values[3:] / length), values[:3])
    turn = np.radians(values[3:]) if pose.get("degrees", "0") in ("1", "true") else values[3:]
    return _transform(rotation_matrix(quaternion_from_rpy(*turn.tolist())), values[:3])


def _transform(rotation: Floats, position: Floats) -> Floats:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, position
    return matrix


def _numbers(text: str, count: int) -> Floats:
    """Return the first numbers (count,) of a text; raises if they are not there, or not finite."""
    try:
        values = np.array([float(word) for word in text[:2000].split()[:count]])
    except ValueError as error:
        raise _LeftOut("number that is missing or not finite", text[:40]) from error
    if len(values) < count or not np.isfinite(values).all() or not (np.abs(values) < 1e9).all():
        raise _LeftOut("number that is missing or not finite", text[:40])
    return values


def _number(text: str) -> float:
    return float(_numbers(text, 1)[0])


def _named(element: Element, scope: _Scope) -> str:
    name = element.get("name") or element.findtext("name") or element.findtext("uri") or element.tag
    return f"{scope.name}::{name}" if scope.name else name


def _renamed(model: Element, name: str) -> Element:
    """Return a model under another name, with the same children."""
    copy = Element(model.tag, {**model.attrib, "name": name})
    copy.extend(model)
    return copy
