"""Robot shapes from URDF files: one body, visual boxes, cylinders and spheres."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from .. import assets
from ..common.config import read_text
from ..common.errors import InputError
from ..common.geometry import quaternion_from_rpy, rotation_matrix
from ..common.primitives import BOX, CYLINDER, SPHERE, PrimitiveBuilder, Primitives

FloatArray = NDArray[np.float64]

DEFAULT_COLOR = (90, 96, 104)


def load_shape(name_or_path: str | Path, class_name: str = "amr") -> Primitives:
    """Read the shape of a robot.

    Every joint is taken at its zero position. Visual elements are read; a link without them gives its collision ones.

    Args:
        name_or_path: a file in ``assets/robots``, a path to a URDF, or one to a mapping of a URDF (``robots.mapping``).
        class_name: what the solids are called, see ``common.classes``.

    Returns:
        The solids in ``base_link`` (the URDF's root link, on the floor), body 0, instance 0.

    Raises:
        InputError: the file is missing or no URDF, a geometry is a mesh, or the joints are no tree.
    """
    if Path(name_or_path).suffix in (".yaml", ".yml"):
        from .mapping import load_mapped  # It reads URDFs with the functions below.

        return load_mapped(name_or_path).shape(class_name)
    source, text = _read(name_or_path)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise InputError("a URDF with document type or entity declarations is refused", where=source)
    try:
        robot = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise InputError(f"not valid XML: {error}", where=source, mend="correct the URDF") from error
    if robot.tag != "robot":
        raise InputError(f"the root element is <{robot.tag}>, expected <robot>", where=source)
    links = {link.get("name", ""): link for link in robot.findall("link")}
    materials = {m.get("name", ""): m for m in robot.findall("material")}
    frames = link_frames(robot, links, source)
    builder = PrimitiveBuilder()
    for name, (position, rotation) in frames.items():
        link = links[name]
        elements = link.findall("visual") or link.findall("collision")
        for element in elements:
            _add_solid(builder, element, position, rotation, materials, f"{source}, link '{name}'", class_name)
    shape = builder.build()
    if not len(shape):
        raise InputError("the robot has no visual or collision geometry", where=source)
    return shape


def _read(name_or_path: str | Path) -> tuple[str, str]:
    path = Path(name_or_path)
    if path.name == str(name_or_path):
        bundled = resources.files(assets) / "robots" / path.name
        if bundled.is_file():
            return f"assets/robots/{path.name}", bundled.read_text(encoding="utf-8")
    if path.exists():
        return str(path), read_text(path)
    raise InputError(
        f"there is no robot shape '{name_or_path}'",
        mend="give a file in assets/robots ('amr.urdf') or a path to a URDF",
    )


def link_frames(
    robot: ElementTree.Element, links: dict[str, ElementTree.Element], source: str
) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Return position (3,) and rotation (3, 3) of every link in the root link, joints at zero.

    Raises:
        InputError: the joints are no tree of the links.
    """
    children: dict[str, list[tuple[str, FloatArray, FloatArray]]] = {}
    has_parent = set()
    for joint in robot.findall("joint"):
        parent, child = joint.find("parent"), joint.find("child")
        names = [item.get("link", "") if item is not None else "" for item in (parent, child)]
        if any(name not in links for name in names):
            raise InputError(f"joint '{joint.get('name')}' names a link that is not there", where=source)
        if names[1] in has_parent:
            raise InputError(f"link '{names[1]}' has two parents", where=source)
        has_parent.add(names[1])
        children.setdefault(names[0], []).append((names[1], *origin_of(joint, source)))
    roots = [name for name in links if name not in has_parent]
    if len(roots) != 1:
        raise InputError(f"a robot has one root link; found {roots}", where=source)
    frames = {roots[0]: (np.zeros(3), np.eye(3))}
    stack = [roots[0]]
    while stack:
        parent_name = stack.pop()
        base_position, base_rotation = frames[parent_name]
        for child_name, position, rotation in children.get(parent_name, []):
            frames[child_name] = (base_position + base_rotation @ position, base_rotation @ rotation)
            stack.append(child_name)
    return {name: frames[name] for name in links if name in frames}


def origin_of(element: ElementTree.Element, source: str) -> tuple[FloatArray, FloatArray]:
    """Return position (3,) [m] and rotation (3, 3) that an element's ``origin`` gives."""
    origin = element.find("origin")
    if origin is None:
        return np.zeros(3), np.eye(3)
    xyz = numbers(origin.get("xyz", "0 0 0"), 3, source)
    roll, pitch, yaw = numbers(origin.get("rpy", "0 0 0"), 3, source)
    return np.array(xyz), rotation_matrix(quaternion_from_rpy(roll, pitch, yaw))


def _add_solid(
    builder: PrimitiveBuilder,
    element: ElementTree.Element,
    position: FloatArray,
    rotation: FloatArray,
    materials: dict[str, ElementTree.Element],
    source: str,
    class_name: str,
) -> None:
    geometry = element.find("geometry")
    solid = geometry[0] if geometry is not None and len(geometry) else None
    if solid is None or solid.tag not in ("box", "cylinder", "sphere"):
        found = "nothing" if solid is None else f"<{solid.tag}>"
        raise InputError(f"a geometry is {found}; boxes, cylinders and spheres are read", where=source)
    local_position, local_rotation = origin_of(element, source)
    centre = position + rotation @ local_position
    quaternion = quaternion_of(rotation @ local_rotation)
    if solid.tag == "box":
        kind, size = BOX, [0.5 * v for v in numbers(solid.get("size", ""), 3, source)]
    elif solid.tag == "cylinder":
        kind = CYLINDER
        size = [numbers(solid.get("radius", ""), 1, source)[0], 0.5 * numbers(solid.get("length", ""), 1, source)[0]]
    else:
        kind, size = SPHERE, numbers(solid.get("radius", ""), 1, source)
    if min(size) <= 0:
        raise InputError(f"a <{solid.tag}> has a size that is not above zero", where=source)
    color = color_of(element, materials, source)
    builder.add(kind, size, centre.tolist(), class_name=class_name, color=color, quaternion=quaternion.tolist())


def color_of(
    element: ElementTree.Element, materials: dict[str, ElementTree.Element], source: str
) -> tuple[int, int, int]:
    """Return the colour of a visual element, sRGB."""
    material = element.find("material")
    if material is None:
        return DEFAULT_COLOR
    color = material.find("color")
    if color is None:
        named = materials.get(material.get("name", ""))
        color = named.find("color") if named is not None else None
    if color is None:
        return DEFAULT_COLOR
    red, green, blue, _ = numbers(color.get("rgba", ""), 4, source)
    return (_byte(red), _byte(green), _byte(blue))


def _byte(value: float) -> int:
    return round(255 * min(max(value, 0.0), 1.0))


def numbers(text: str, count: int, source: str) -> list[float]:
    """Return the ``count`` finite numbers that a text holds; raises InputError otherwise."""
    try:
        values = [float(part) for part in text.split()]
    except ValueError:
        values = []
    if len(values) != count or not np.isfinite(values).all():
        raise InputError(f"'{text}' is not {count} numbers", where=source)
    return values


def quaternion_of(matrix: FloatArray) -> FloatArray:
    """Return the unit quaternion xyzw of a rotation matrix, by the largest of its four squares (Shepperd's method)."""
    m = matrix
    squares = np.array(
        [
            1 + m[0, 0] - m[1, 1] - m[2, 2],
            1 - m[0, 0] + m[1, 1] - m[2, 2],
            1 - m[0, 0] - m[1, 1] + m[2, 2],
            1 + m[0, 0] + m[1, 1] + m[2, 2],
        ]
    )
    columns = np.array(
        [
            [squares[0], m[1, 0] + m[0, 1], m[0, 2] + m[2, 0], m[2, 1] - m[1, 2]],
            [m[1, 0] + m[0, 1], squares[1], m[2, 1] + m[1, 2], m[0, 2] - m[2, 0]],
            [m[0, 2] + m[2, 0], m[2, 1] + m[1, 2], squares[2], m[1, 0] - m[0, 1]],
            [m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], squares[3]],
        ]
    )
    best = columns[int(np.argmax(squares))]
    return best / np.linalg.norm(best)
