"""A first mapping of a URDF, guessed from names and joints, and robots written as files of our own."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import quoteattr

import yaml

from ..common.errors import InputError
from ..common.files import write_text_atomic
from ..common.geometry import rotation_matrix
from ..common.primitives import BOX, SPHERE, Primitives
from .mapping import LEVEL, MappedRobot, UrdfRobot, roll_pitch_yaw

_LIDAR = ("lidar", "laser", "scan")
_CAMERA = ("camera", "rgb", "depth")


def guess_mapping(urdf: str | Path) -> str:
    """Return the text of a mapping for a URDF, to be looked through: names are guessed, numbers are not.

    Wheels are continuous joints with a horizontal axis whose name or link says wheel; left and right is what names say,
    and where they do not, what is on +y of the root is left.

    Raises:
        InputError: the file is no URDF that is read here, or has no such wheels on both sides.
    """
    path = Path(urdf)
    robot = UrdfRobot(path, path.parent.resolve(), {})
    wheels, steered = _wheels(robot)
    left, right = _sides(robot, [name for name in wheels if name not in steered])
    if not left or not right:
        raise InputError(
            "no wheels are seen on both sides",
            where=str(path),
            mend=f"name them in a mapping; joints are {', '.join(robot.joints)}"[:500],
        )
    roles: dict[str, object] = {"left": left, "right": right}
    kind = "differential"
    if len(steered) == 1:
        kind = "tricycle"
        ((roles["front"], roles["steering"]),) = steered.items()
    elif len(wheels) == 4 and any("mecanum" in name.lower() for name in (robot.name, *robot.links)):
        kind = "mecanum"
    found: dict[str, object] = {"urdf": path.name, "kind": kind, "wheels": roles}
    casters = [name for name in robot.links if "caster" in name.lower()]
    if casters:
        found["casters"] = casters
    sensors = {}
    for sensor, words in (("lidar", _LIDAR), ("camera", _CAMERA)):
        names = [name for name in robot.links if any(word in name.lower() for word in words)]
        if names:
            # The innermost frame is the sensor's own: its name is the longest.
            sensors[sensor] = max(names, key=len) if sensor == "camera" else names[-1]
    if sensors:
        found["sensors"] = sensors
    packages = sorted(
        {
            mesh.get("filename", "").removeprefix("package://").split("/")[0]
            for link in robot.links.values()
            for mesh in link.iter("mesh")
            if mesh.get("filename", "").startswith("package://")
        }
    )
    if packages:
        found["packages"] = dict.fromkeys(packages, ".")
    head = f"# Guessed from {path.name}: look through every name before you use it.\n"
    return head + yaml.safe_dump(found, sort_keys=False)


def _sides(robot: UrdfRobot, wheels: list[str]) -> tuple[list[str], list[str]]:
    """Return the wheel joints on the left and on the right."""
    if not wheels:
        return [], []
    place = {name: robot.frames[robot.child(robot.joints[name])][0] for name in wheels}
    axis = robot.axis(robot.joints[wheels[0]])
    middle = sum(float(at @ axis) for at in place.values()) / len(place)
    one = [name for name in wheels if float(place[name] @ axis) > middle + 0.01]
    other = [name for name in wheels if float(place[name] @ axis) < middle - 0.01]
    if any("right" in name.lower() for name in one) or any("left" in name.lower() for name in other):
        return other, one
    named = any("left" in name.lower() for name in one) or any("right" in name.lower() for name in other)
    if not named and one and other and place[one[0]][1] < place[other[0]][1]:
        return other, one
    return one, other


def _wheels(robot: UrdfRobot) -> tuple[list[str], dict[str, str]]:
    """Return the wheel joints, and the joint that steers it by joint of a steered wheel."""
    wheels: list[str] = []
    steering: dict[str, str] = {}
    for name, joint in robot.joints.items():
        child = robot.child(joint)
        words = f"{name} {child}".lower()
        if joint.get("type") not in ("continuous", "revolute") or "caster" in words:
            continue
        upright = abs(float(robot.axis(joint)[2]))
        if upright <= LEVEL and "wheel" in words:
            wheels.append(name)
        elif abs(upright - 1.0) <= LEVEL:
            steering[child] = name
    parents = {name: robot.joints[name].find("parent") for name in wheels}
    links = {name: parent.get("link", "") for name, parent in parents.items() if parent is not None}
    return wheels, {name: steering[link] for name, link in links.items() if link in steering}


def save_mapped(robot: MappedRobot, out: str | Path) -> Path:
    """Write a mapped robot as files that stand alone: the fields of its model, and its shape as a URDF beside them.

    Args:
        robot: see ``mapping.load_mapped``. out: the YAML file; the shape has the same name and the ending ``.urdf``.

    Returns:
        The path of the shape.
    """
    out = Path(out)
    shape = out.with_suffix(".urdf")
    write_text_atomic(shape, shape_urdf(robot.model.name, robot.shape(robot.model.class_name)))
    model = robot.model.model_copy(update={"shape": shape.name})
    write_text_atomic(out, yaml.safe_dump(model.model_dump(mode="json"), sort_keys=False))
    return shape


def shape_urdf(name: str, solids: Primitives) -> str:
    """Return solids (boxes, cylinders, spheres) as the text of a URDF with one link."""
    lines = ['<?xml version="1.0"?>', f"<robot name={quoteattr(name)}>", '  <link name="base_link">']
    for kind, size, position, quaternion, color in zip(
        solids.kind, solids.size, solids.position, solids.quaternion, solids.color, strict=True
    ):
        roll, pitch, yaw = roll_pitch_yaw(rotation_matrix(quaternion))
        if kind == BOX:
            geometry = f'<box size="{2 * size[0]:.6f} {2 * size[1]:.6f} {2 * size[2]:.6f}"/>'
        elif kind == SPHERE:
            geometry = f'<sphere radius="{size[0]:.6f}"/>'
        else:
            geometry = f'<cylinder radius="{size[0]:.6f}" length="{2 * size[1]:.6f}"/>'
        red, green, blue = (channel / 255 for channel in color.tolist())
        lines += [
            "    <visual>",
            f'      <origin xyz="{position[0]:.6f} {position[1]:.6f} {position[2]:.6f}"'
            f' rpy="{roll:.9f} {pitch:.9f} {yaw:.9f}"/>',
            f"      <geometry>{geometry}</geometry>",
            f'      <material name=""><color rgba="{red:.4f} {green:.4f} {blue:.4f} 1"/></material>',
            "    </visual>",
        ]
    return "\n".join([*lines, "  </link>", "</robot>", ""])
