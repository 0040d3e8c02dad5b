"""A robot from a user's own URDF: a mapping file says which joints are wheels and which links carry sensors.

What the URDF says is taken from it: radius and place of the wheels, masses and inertias, the outline, the sensors'
places, limits of the wheels' joints. The robot then drives on the same traction model as the built-in ones. What the
URDF does not say is assumed and told in the report.

``base_link`` is put where the traction model has it: on the floor in the middle of the (rear) axle, x forward.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import atan2, cos, hypot, pi, sin
from pathlib import Path
from typing import Any, Literal
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..common.config import StrictModel, load_model, parse_model
from ..common.errors import InputError
from ..common.geometry import rotation_matrix
from ..common.mesh import load_mesh
from ..common.primitives import BOX, CYLINDER, SPHERE, PrimitiveBuilder, Primitives
from ..layouts.importers.files import read_xml, within
from ..physics.bullet import bounding_box
from .model import DRIVE_OF, MecanumDrive, RobotKind, RobotModel, SensorMount, TricycleDrive
from .urdf import color_of, link_frames, numbers, origin_of, quaternion_of

FloatArray = NDArray[np.float64]

LEVEL = 0.02
"""How far an axis may be from horizontal or upright [rad]."""
ASSUMED_LOAD = 0.7
"""Share of the weight on two drive wheels where the URDF does not place the casters."""
TORQUE_RESERVE = 1.5
"""Torque that is assumed for a wheel, as a multiple of what accelerating the laden robot takes."""
_OPTICAL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
"""Columns: the axes of an optical frame (z forward, x right) in a frame with x forward and z up."""


class UrdfWheels(StrictModel):
    """Names of wheel joints; with a tricycle those of the rear wheels."""

    left: tuple[str, ...] = Field(min_length=1, max_length=8)
    right: tuple[str, ...] = Field(min_length=1, max_length=8)
    front: str | None = None
    """Joint of a tricycle's driven wheel."""
    steering: str | None = None
    """Joint that steers it."""
    radius: float | None = Field(default=None, gt=0)
    """Of the driven wheels [m], where their geometry does not show it."""


class UrdfSensors(StrictModel):
    """Names of links whose frames are those of sensors; frames called optical are turned to x forward."""

    lidar: str | None = None
    camera: str | None = None


class UrdfMapping(StrictModel):
    """What joints and links of a URDF mean. Paths are relative to the folder of the mapping file and stay in it."""

    urdf: str
    kind: RobotKind = "differential"
    wheels: UrdfWheels
    casters: tuple[str, ...] = Field(default=(), max_length=16)
    """Links that stand on the floor besides the wheels."""
    sensors: UrdfSensors = UrdfSensors()
    shape: Literal["visual", "collision"] = "visual"
    """Which geometry becomes the robot's shape; the outline is that of all collision geometry, if there is any."""
    packages: dict[str, str] = Field(default={}, max_length=64)
    """Folders by package name, for meshes named ``package://name/...``."""
    drive: dict[str, float | int] = Field(default={}, max_length=64)
    """Drive parameters that win over what the URDF says, by name."""
    robot: dict[str, float | int | str] = Field(default={}, max_length=16)
    """Other fields of the robot that win: ``name``, ``max_payload``, ``hotel_power``, ``drive_efficiency`` ..."""


@dataclass
class MappingReport:
    """What became of a URDF: lines for people.

    Attributes:
        used: what was taken, with its value. assumed: what the URDF does not say. left: what was not used.
    """

    used: list[str] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Wheel:
    joint: str
    link: str
    centre: FloatArray
    axis: FloatArray
    radius: float | None


class UrdfRobot:
    """A URDF, read, its links placed with all joints at zero.

    Args:
        file: the URDF. root: the folder that meshes may not leave. packages: folders by package name.

    Raises:
        InputError: the file is no URDF that is read here; see ``load_mapped``.
    """

    def __init__(self, file: Path, root: Path, packages: Mapping[str, str]) -> None:
        self.file, self._root, self._packages = file, root, packages
        self.source = str(file)
        robot = read_xml(file)
        if robot.tag != "robot":
            raise InputError(f"the root element is <{robot.tag}>, expected <robot>", where=self.source)
        if any("xacro" in str(element.tag) for element in robot):
            raise InputError("the file holds xacro macros", where=self.source, mend="expand it first: xacro FILE > OUT")
        self.name = robot.get("name", "robot")
        self.links = {link.get("name", ""): link for link in robot.findall("link")}
        self.joints = {joint.get("name", ""): joint for joint in robot.findall("joint")}
        self.materials = {m.get("name", ""): m for m in robot.findall("material")}
        self.frames = link_frames(robot, self.links, self.source)
        self.boxed: list[str] = []
        """Meshes that a box stands for."""

    def joint(self, name: str, role: str, types: tuple[str, ...]) -> Element:
        """Return a joint; raises InputError if there is none, or it is of no type that can have the role."""
        found = self.joints.get(name)
        if found is None:
            raise InputError(f"the URDF has no joint '{name}'", where=role, mend=_nearest(name, self.joints))
        if found.get("type", "") not in types:
            raise InputError(
                f"joint '{name}' is of type {found.get('type')}", where=role, mend=f"name one of type {_or(types)}"
            )
        return found

    def link(self, name: str, role: str) -> tuple[FloatArray, FloatArray]:
        """Return position (3,) and rotation (3, 3) of a link in the root; raises InputError if there is none."""
        if name not in self.frames:
            raise InputError(f"the URDF has no link '{name}'", where=role, mend=_nearest(name, self.links))
        return self.frames[name]

    def child(self, joint: Element) -> str:
        """Return the name of the link that a joint moves."""
        child = joint.find("child")
        return child.get("link", "") if child is not None else ""

    def axis(self, joint: Element) -> FloatArray:
        """Return the unit axis (3,) of a joint in the root."""
        element = joint.find("axis")
        where = f"{self.source}, joint '{joint.get('name')}'"
        own = np.array(numbers(element.get("xyz", "1 0 0"), 3, where) if element is not None else [1.0, 0.0, 0.0])
        length = float(np.linalg.norm(own))
        if length < 1e-9:
            raise InputError("the axis has no length", where=where)
        axis: FloatArray = self.frames[self.child(joint)][1] @ (own / length)
        return axis

    def solids(self, link: str, which: str, class_name: str) -> Primitives:
        """Return the ``visual`` or ``collision`` solids of a link in the root; a box stands for each mesh."""
        builder = PrimitiveBuilder()
        position, rotation = self.frames[link]
        where = f"{self.source}, link '{link}'"
        for element in self.links[link].findall(which):
            geometry = element.find("geometry")
            shape = geometry[0] if geometry is not None and len(geometry) else None
            if shape is None:
                raise InputError(f"a {which} element has no geometry", where=where)
            kind, size, middle = self._size(shape, where)
            at, turn = origin_of(element, where)
            centre = position + rotation @ (at + turn @ middle)
            color = color_of(element, self.materials, where)
            quaternion = quaternion_of(rotation @ turn).tolist()
            builder.add(kind, size, centre.tolist(), class_name=class_name, color=color, quaternion=quaternion)
        return builder.build()

    def _size(self, shape: Element, where: str) -> tuple[int, list[float], FloatArray]:
        """Return kind, size and centre [m] of a geometry."""
        middle: FloatArray = np.zeros(3)
        if shape.tag == "box":
            kind, size = BOX, [0.5 * v for v in numbers(shape.get("size", ""), 3, where)]
        elif shape.tag == "cylinder":
            radius, length = (numbers(shape.get(key, ""), 1, where)[0] for key in ("radius", "length"))
            kind, size = CYLINDER, [radius, 0.5 * length]
        elif shape.tag == "sphere":
            kind, size = SPHERE, numbers(shape.get("radius", ""), 1, where)
        elif shape.tag == "mesh":
            name = shape.get("filename", "")
            scale = numbers(shape.get("scale", "1 1 1"), 3, where)
            vertices = load_mesh(self._mesh_path(name, where), scale=scale).vertices
            low, high = vertices.min(axis=0), vertices.max(axis=0)
            kind, size, middle = BOX, np.maximum(0.5 * (high - low), 1e-4).tolist(), 0.5 * (low + high)
            if name not in self.boxed:
                self.boxed.append(name)
        else:
            raise InputError(f"a geometry is <{shape.tag}>", where=where, mend="use box, cylinder, sphere or mesh")
        if min(size) <= 0:
            raise InputError(f"a <{shape.tag}> has a size that is not above zero", where=where)
        return kind, size, middle

    def _mesh_path(self, name: str, where: str) -> Path:
        """Return the file of a mesh; refused if it is not in the folder of the mapping."""
        if name.startswith("package://"):
            package, _, rest = name.removeprefix("package://").partition("/")
            if package not in self._packages:
                raise InputError(
                    f"mesh {name[:200]!r} is in a package that the mapping does not place",
                    where=where,
                    mend=f"add 'packages: {{{package[:60]}: FOLDER}}'",
                )
            return within(within(self._root, self._packages[package], where), rest, where)
        if "://" in name:
            raise InputError(f"mesh {name[:200]!r} is not a file beside the URDF", where=where)
        beside = self.file.parent.relative_to(self._root) / name if not Path(name).is_absolute() else Path(name)
        return within(self._root, str(beside), where)


class MappedRobot:
    """A URDF under a mapping.

    Attributes:
        model: the robot; its ``shape`` is the mapping file. report: what was used, assumed, left. urdf: its path.
    """

    def __init__(self, mapping: UrdfMapping, file: Path) -> None:
        root = file.parent.resolve()
        self._mapping, self._where = mapping, str(file)
        self._urdf = UrdfRobot(within(root, mapping.urdf, f"{file}, urdf"), root, mapping.packages)
        self.urdf = self._urdf.file
        self.report = MappingReport()
        wheels = mapping.wheels
        self._left = [self._wheel(name, "wheels.left") for name in wheels.left]
        self._right = [self._wheel(name, "wheels.right") for name in wheels.right]
        self._front = self._front_wheel()
        self._place_base()
        self.model = self._model(file)
        self._note_left()

    def shape(self, class_name: str) -> Primitives:
        """Return the robot's solids in ``base_link``; a link without the wanted geometry gives its other one."""
        wanted = self._mapping.shape
        other = "collision" if wanted == "visual" else "visual"
        parts = []
        for link, element in self._urdf.links.items():
            which = wanted if element.findall(wanted) else other
            if wanted == "visual" and _all_meshes(element, "visual") and _any_solid(element, "collision"):
                which = "collision"
            parts.append(self._urdf.solids(link, which, class_name))
        return self._in_base(Primitives.concatenate(parts))

    # -- wheels and frame --------------------------------------------------------------------------------------------

    def _role(self, name: str) -> str:
        return f"{self._where}, {name}"

    def _wheel(self, name: str, role: str) -> _Wheel:
        urdf = self._urdf
        joint = urdf.joint(name, self._role(role), ("continuous", "revolute"))
        axis, link = urdf.axis(joint), urdf.child(joint)
        if abs(axis[2]) > LEVEL:
            raise InputError(
                f"the axis of wheel joint '{name}' is not horizontal: {np.round(axis, 3).tolist()} in the root link",
                where=self._role(role),
                mend="correct the axis, or name a wheel's joint",
            )
        return _Wheel(name, link, urdf.frames[link][0], axis, self._wheel_radius(link, axis))

    def _wheel_radius(self, link: str, axis: FloatArray) -> float | None:
        """Return the radius [m] that a wheel's geometry shows, or None."""
        for which in ("collision", "visual"):
            solids = self._urdf.solids(link, which, "amr")
            for kind, size, quaternion in zip(solids.kind, solids.size, solids.quaternion, strict=True):
                if kind in (CYLINDER, SPHERE):
                    return float(size[0])
                across = np.abs(rotation_matrix(quaternion).T @ axis)
                # A box stands for a mesh: the wheel is as wide as the box is along the axis.
                return float(max(size[i] for i in range(3) if i != int(across.argmax())))
        return None

    def _front_wheel(self) -> _Wheel | None:
        mapping = self._mapping
        wheels = mapping.wheels
        if mapping.kind != "tricycle":
            for name in ("front", "steering"):
                if getattr(wheels, name) is not None:
                    raise InputError(f"a {mapping.kind} robot has no wheels.{name}", where=self._where)
            return None
        if wheels.front is None or wheels.steering is None:
            raise InputError("a tricycle needs wheels.front and wheels.steering", where=self._where)
        steering = self._urdf.joint(wheels.steering, self._role("wheels.steering"), ("revolute", "continuous"))
        if abs(abs(self._urdf.axis(steering)[2]) - 1.0) > LEVEL:
            raise InputError(
                f"the axis of joint '{wheels.steering}' is not upright", where=self._role("wheels.steering")
            )
        return self._wheel(wheels.front, "wheels.front")

    def _place_base(self) -> None:
        """Find ``base_link``: on the floor in the middle of the axle, x forward."""
        left = np.mean([wheel.centre for wheel in self._left], axis=0)
        right = np.mean([wheel.centre for wheel in self._right], axis=0)
        across = left - right
        self._track = hypot(across[0], across[1])
        if self._track < 0.02:
            raise InputError("the left and the right wheels are at one place", where=self._role("wheels"))
        yaw = atan2(across[1], across[0]) - 0.5 * pi
        driven = [self._front] if self._front is not None else [*self._left, *self._right]
        radii = [wheel.radius for wheel in driven if wheel.radius is not None]
        given = self._mapping.wheels.radius
        if given is None and not radii:
            raise InputError(
                f"the geometry of the wheels ({', '.join(wheel.link for wheel in driven)}) shows no radius",
                where=self._role("wheels"),
                mend="give wheels.radius [m]",
            )
        self._radius = given if given is not None else float(np.mean(radii))
        if given is None and max(radii) - min(radii) > 0.02 * self._radius:
            raise InputError(f"the driven wheels differ in radius: {radii}", where=self._role("wheels"))
        middle = 0.5 * (left + right)
        standing = {wheel.joint: wheel for wheel in (*self._left, *self._right, *driven)}.values()
        floor = min(wheel.centre[2] - (wheel.radius or self._radius) for wheel in standing)
        self._base = np.array([middle[0], middle[1], floor])
        self._yaw = yaw
        if self._front is not None and self._to_base(self._front.centre)[0] < 0:
            # The model's tricycle has its driven wheel ahead of the axle.
            self._yaw = yaw + pi
            self.report.used.append("the driven wheel is behind the axle: base_link looks backwards, towards it")
        self.report.used.append(
            f"base_link at ({middle[0]:.3f}, {middle[1]:.3f}, {floor:.3f}) m, {np.degrees(_turn(self._yaw)):.1f} "
            "degrees in the root link"
        )

    def _turn_to_base(self) -> FloatArray:
        c, s = cos(self._yaw), sin(self._yaw)
        return np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])

    def _to_base(self, point: FloatArray) -> FloatArray:
        moved: FloatArray = self._turn_to_base() @ (point - self._base)
        return moved

    def _in_base(self, solids: Primitives) -> Primitives:
        turn = self._turn_to_base()
        rotation = turn @ rotation_matrix(solids.quaternion)
        quaternion = np.array([quaternion_of(matrix) for matrix in rotation]).reshape(-1, 4)
        position = (solids.position - self._base) @ turn.T
        return Primitives(
            solids.kind,
            solids.size,
            position,
            quaternion,
            solids.color,
            solids.class_id,
            solids.instance_id,
            solids.body,
        )

    # -- the model ---------------------------------------------------------------------------------------------------

    def _model(self, file: Path) -> RobotModel:
        mapping, used = self._mapping, self.report.used
        drive: dict[str, Any] = {"wheel_radius": self._radius, "track_width": self._track}
        radius = self._told("wheel_radius", f"radius {self._radius:.4f} m")
        used.append(f"wheels: {radius}, {self._told('track_width', f'track {self._track:.4f} m')}")
        mass, centre, inertia = self._inertial()
        drive |= {"mass": mass, "inertia": inertia}
        weight = self._told("mass", f"mass {mass:.3f} kg")
        turning = self._told("inertia", f"yaw inertia {inertia:.4f} kg m2")
        used.append(f"{weight}, {turning}, centre of mass x {centre[0]:.3f} m")
        drive |= self._axles(centre)
        drive |= self._limits()
        low, high = self._outline()
        length, width = (2.0 * max(abs(low[i]), abs(high[i])) for i in range(2))
        used.append(
            f"outline x {low[0]:.3f} to {high[0]:.3f} m, y {low[1]:.3f} to {high[1]:.3f} m, {high[2]:.3f} m high"
        )
        content: dict[str, Any] = {
            "name": self._urdf.name,
            "kind": mapping.kind,
            "shape": str(file.resolve()),
            "length": length,
            "width": width,
            "height": float(high[2]),
            **self._mounts(),
            **mapping.robot,
        }
        if "max_payload" not in mapping.robot:
            content["max_payload"] = mass
            self.report.assumed.append(f"max_payload {mass:.1f} kg, as much as the robot weighs")
        fields = DRIVE_OF[mapping.kind].model_fields
        known = {name: fields[name].default for name in fields} | drive | mapping.drive
        if "max_wheel_torque" not in drive | mapping.drive:
            count = 1 if mapping.kind == "tricycle" else len(self._left) + len(self._right)
            motors = {"differential": 2, "mecanum": 4}.get(mapping.kind, count)
            laden = mass + self._number(content["max_payload"], "robot.max_payload")
            torque = TORQUE_RESERVE * laden * float(known["max_acceleration"]) * self._radius / motors
            drive["max_wheel_torque"] = torque
            self.report.assumed.append(f"max_wheel_torque {torque:.2f} N m, for the laden robot's acceleration")
        content["drive"] = drive | mapping.drive
        model = parse_model(content, RobotModel, source=f"{self._where} with {self._urdf.source}")
        if isinstance(model.drive, TricycleDrive):
            self._check_laden(model.drive, model.max_payload)
        return model

    def _told(self, name: str, text: str) -> str:
        """Return what the URDF says of a drive parameter, marked where the mapping's own value wins."""
        given = self._mapping.drive.get(name)
        return text if given is None else f"{text} (overridden: drive.{name} {given:g})"

    def _number(self, value: Any, name: str) -> float:
        try:
            return float(value)
        except ValueError:
            raise InputError(
                f"{str(value)[:60]!r} is not a number", where=self._role(name), mend="give it without a unit"
            ) from None

    def _check_laden(self, drive: TricycleDrive, payload: float) -> None:
        """Raise InputError if the payload lifts a tricycle's front wheel: moments about the rear axle."""
        own = drive.drive_wheel_load * drive.wheel_base
        laden = (drive.mass * own + payload * drive.payload_x) / (drive.mass + payload)
        if laden <= 0:
            raise InputError(
                f"with max_payload {payload:g} kg at payload_x {drive.payload_x:g} m the centre of mass is at x "
                f"{laden:.3f} m, not ahead of the rear axle: the driven front wheel carries nothing",
                where=self._where,
                mend="lower robot.max_payload or raise drive.payload_x",
            )

    def _inertial(self) -> tuple[float, FloatArray, float]:
        """Return mass [kg], centre of mass (3,) in ``base_link`` [m] and yaw inertia about it [kg m^2]."""
        items = []
        for name, link in self._urdf.links.items():
            inertial = link.find("inertial")
            weight = inertial.find("mass") if inertial is not None else None
            if inertial is None or weight is None:
                continue
            where = f"{self._urdf.source}, link '{name}'"
            (mass,) = numbers(weight.get("value", ""), 1, where)
            if mass < 0:
                raise InputError(f"a mass of {mass} kg", where=where)
            tensor = inertial.find("inertia")
            keys = ("ixx", "ixy", "ixz", "iyy", "iyz", "izz")
            xx, xy, xz, yy, yz, zz = (
                numbers(tensor.get(key, "0"), 1, where)[0] if tensor is not None else 0.0 for key in keys
            )
            at, turn = origin_of(inertial, where)
            position, rotation = self._urdf.frames[name]
            frame = rotation @ turn
            own = frame @ np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]) @ frame.T
            items.append((mass, self._to_base(position + rotation @ at), float(own[2, 2])))
        total = sum(mass for mass, _, _ in items)
        if total <= 0:
            given = self._mapping.drive
            if "mass" in given and "inertia" in given:
                return float(given["mass"]), np.zeros(3), float(given["inertia"])
            raise InputError(
                "no link has a mass", where=self._urdf.source, mend="give drive.mass and drive.inertia in the mapping"
            )
        centre: FloatArray = sum((mass * at for mass, at, _ in items), np.zeros(3)) / total
        inertia = sum(own + mass * float(np.sum((at - centre)[:2] ** 2)) for mass, at, own in items)
        return float(total), centre, float(inertia)

    def _axles(self, centre: FloatArray) -> dict[str, float]:
        """Return wheel base, share of the weight on the driven wheels and payload_x, as far as the kind has them."""
        mapping, report = self._mapping, self.report
        given = mapping.drive
        if mapping.kind == "tricycle" and self._front is not None:
            base = float(self._to_base(self._front.centre)[0])
            share = min(max(float(centre[0]) / base, 0.05), 0.95)
            load = self._told("drive_wheel_load", f"{100 * share:.0f} % of the weight on the driven wheel")
            report.used.append(f"{self._told('wheel_base', f'wheel base {base:.4f} m')}, {load}")
            # Not the default, which is where a forklift of another size has its forks.
            payload_x = float(given.get("drive_wheel_load", share)) * float(given.get("wheel_base", base))
            if "payload_x" not in given:
                report.assumed.append(f"payload_x {payload_x:.3f} m, above the truck's own centre of mass")
            return {"wheel_base": base, "drive_wheel_load": share, "payload_x": payload_x}
        if mapping.kind == "mecanum":
            along = [float(self._to_base(wheel.centre)[0]) for wheel in (*self._left, *self._right)]
            if len(along) != 4 or max(along) - min(along) < 0.02:
                raise InputError("a mecanum robot has two wheels on each side", where=self._role("wheels"))
            report.used.append(self._told("wheel_base", f"wheel base {max(along) - min(along):.4f} m"))
            return {"wheel_base": max(along) - min(along), "drive_wheel_load": 1.0}
        if len(self._left) > 1 or len(self._right) > 1:
            report.assumed.append(
                ("" if "drive_wheel_load" in given else "all weight on driven wheels; ")
                + "the scrub of more than two of them in turns is not modelled: calibrate track_width and angular_gain"
            )
            return {"drive_wheel_load": 1.0}
        casters = [float(self._to_base(self._urdf.link(name, self._role("casters"))[0])[0]) for name in mapping.casters]
        if "drive_wheel_load" in given:
            return {}
        if abs(centre[0]) < 1e-6 and casters:
            report.assumed.append("all weight on the driven wheels, above which the centre of mass is")
            return {"drive_wheel_load": 0.98}
        under = [x for x in casters if x * centre[0] > 0]
        if not under:
            report.assumed.append(
                f"{100 * ASSUMED_LOAD:.0f} % of the weight on the driven wheels: no caster on its side"
            )
            return {"drive_wheel_load": ASSUMED_LOAD}
        share = min(max(1.0 - float(centre[0]) / max(under, key=abs), 0.05), 0.98)
        report.used.append(f"{100 * share:.0f} % of the weight on the driven wheels, by the place of the casters")
        return {"drive_wheel_load": share}

    def _limits(self) -> dict[str, float]:
        """Return what the limits of the driven joints say of speed, torque and steering."""
        given, used, assumed = self._mapping.drive, self.report.used, self.report.assumed
        # Limits are those of single joints; the model of a differential drive has one motor on each side.
        motors = min(len(self._left), len(self._right)) if self._mapping.kind == "differential" else 1
        names = [self._front.joint] if self._front is not None else [w.joint for w in (*self._left, *self._right)]
        found: dict[str, float] = {}
        for key, target, factor in (("velocity", "max_speed", self._radius), ("effort", "max_wheel_torque", motors)):
            values = []
            for name in names:
                limit = self._urdf.joints[name].find("limit")
                if limit is not None and limit.get(key) is not None:
                    values.append(numbers(limit.get(key, ""), 1, f"{self._urdf.source}, joint '{name}'")[0])
            if values and min(values) > 0:
                found[target] = factor * min(values)
                by = f"the {key} limit of the driven joints" + (
                    f", {motors} on each side" if target == "max_wheel_torque" and motors > 1 else ""
                )
                used.append(self._told(target, f"{target} {found[target]:.3f} by {by}"))
            elif target == "max_speed" and target not in given:
                assumed.append("max_speed as by default: the driven joints have no velocity limit")
        default = MecanumDrive.model_fields["max_lateral_speed"].default
        if self._mapping.kind == "mecanum" and found.get("max_speed", default) < default:
            # Rollers at 45 degrees: sideways, too, the wheels turn at the robot's speed over their radius.
            found["max_lateral_speed"] = found["max_speed"]
            text = f"max_lateral_speed {found['max_speed']:.3f} by the velocity limit of the driven joints"
            used.append(self._told("max_lateral_speed", text))
        elif self._mapping.kind == "mecanum" and "max_lateral_speed" not in given:
            assumed.append(f"max_lateral_speed {default:.3f} as by default")
        if self._front is not None and self._mapping.wheels.steering is not None:
            steering = self._urdf.joints[self._mapping.wheels.steering]
            limit = steering.find("limit")
            # Lower and upper mean nothing on continuous joints.
            if steering.get("type") == "revolute" and limit is not None and limit.get("upper") is not None:
                where = f"{self._urdf.source}, joint '{self._mapping.wheels.steering}'"
                lower, upper = (abs(numbers(limit.get(k, "0"), 1, where)[0]) for k in ("lower", "upper"))
                angle = found["max_steering_angle"] = min(lower, upper, 3.1)
                used.append(self._told("max_steering_angle", f"max_steering_angle {angle:.3f} rad"))
            elif "max_steering_angle" not in given:
                assumed.append("max_steering_angle as by default: the steering joint has no limits of its angle")
        return found

    def _outline(self) -> tuple[FloatArray, FloatArray]:
        """Return the corners (3,) and (3,) of the box in ``base_link`` around all collision geometry, or all visual."""
        for which in ("collision", "visual"):
            parts = [self._urdf.solids(link, which, "amr") for link in self._urdf.links]
            solids = self._in_base(Primitives.concatenate(parts))
            if len(solids):
                centre, half = bounding_box(solids)
                return centre - half, centre + half
        raise InputError("the robot has no visual or collision geometry", where=self._urdf.source)

    def _mounts(self) -> dict[str, dict[str, float]]:
        found = {}
        for sensor in ("lidar", "camera"):
            name = getattr(self._mapping.sensors, sensor)
            if name is None:
                self.report.assumed.append(f"{sensor}_mount as by default: sensors.{sensor} names no link")
                continue
            position, rotation = self._urdf.link(name, self._role(f"sensors.{sensor}"))
            turn = self._turn_to_base() @ rotation
            if "optical" in name:
                turn = turn @ _OPTICAL.T
            x, y, z = self._to_base(position).tolist()
            roll, pitch, yaw = roll_pitch_yaw(turn)
            mount = SensorMount(x=x, y=y, z=z, roll=roll, pitch=pitch, yaw=yaw)
            found[f"{sensor}_mount"] = mount.model_dump()
            self.report.used.append(f"{sensor} on link '{name}' at ({x:.3f}, {y:.3f}, {z:.3f}) m")
        return found

    def _note_left(self) -> None:
        mapping, left = self._mapping, self.report.left
        wheels = mapping.wheels
        named = {*wheels.left, *wheels.right, wheels.front, wheels.steering}
        moving = [n for n, j in self._urdf.joints.items() if j.get("type") != "fixed" and n not in named]
        if moving:
            left.append(f"joints that stay at zero: {', '.join(moving)}")
        bare = [name for name, link in self._urdf.links.items() if link.find("inertial") is None]
        if bare:
            left.append(f"links without mass: {', '.join(bare)}")
        self.shape("amr")
        left.extend(f"the form of mesh {name}: its box stands for it" for name in self._urdf.boxed)


def load_mapped(path: str | Path) -> MappedRobot:
    """Read a mapping file and the URDF that it names.

    Raises:
        InputError: the mapping has wrong fields; the URDF is no XML, declares a document type, holds xacro macros, has
            joints that are no tree; a joint or link is missing (near names are told) or cannot have its role; a mesh
            leads out of the mapping's folder.
    """
    file = Path(path)
    return MappedRobot(load_model(file, UrdfMapping), file)


def _all_meshes(link: Element, which: str) -> bool:
    found = link.findall(f"{which}/geometry/*")
    return bool(found) and all(element.tag == "mesh" for element in found)


def _any_solid(link: Element, which: str) -> bool:
    return any(element.tag != "mesh" for element in link.findall(f"{which}/geometry/*"))


def _nearest(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return f"did you mean {_or(close)}?" if close else f"there are {', '.join(names)}"[:500]


def _or(names: Iterable[str]) -> str:
    return " or ".join(f"'{name}'" for name in names)


def _turn(angle: float) -> float:
    return (angle + pi) % (2.0 * pi) - pi


def roll_pitch_yaw(rotation: FloatArray) -> tuple[float, float, float]:
    """Return the fixed-axis angles [rad] of a rotation matrix (3, 3), as URDF has them."""
    pitch = -float(np.arcsin(np.clip(rotation[2, 0], -1.0, 1.0)))
    if abs(rotation[2, 0]) > 1.0 - 1e-12:
        # Roll and yaw turn about one axis: all of it is called yaw.
        return 0.0, pitch, float(atan2(-rotation[0, 1], rotation[1, 1]))
    roll, yaw = atan2(rotation[2, 1], rotation[2, 2]), atan2(rotation[1, 0], rotation[0, 0])
    return float(roll), pitch, float(yaw)
