"""A user's own URDF under a mapping: what is taken over, and what is refused and why."""

from __future__ import annotations

import struct
from math import pi, sqrt
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from floorcast.cli import app
from floorcast.common.errors import InputError
from floorcast.common.geometry import quaternion_from_rpy, rotation_matrix
from floorcast.common.primitives import PrimitiveBuilder
from floorcast.physics.bullet import bounding_box
from floorcast.physics.world import World
from floorcast.robots.fleet import Fleet
from floorcast.robots.load import load_robot
from floorcast.robots.mapping import load_mapped, roll_pitch_yaw
from floorcast.robots.mapping_guess import guess_mapping
from floorcast.robots.model import TricycleDrive
from floorcast.robots.urdf import load_shape

URDFS = Path(__file__).parent / "urdf"

SCOUT = {
    "urdf": "scout.urdf",
    "wheels": {"left": ["wheel_left_joint"], "right": ["wheel_right_joint"]},
    "casters": ["caster_back_link"],
    "sensors": {"lidar": "base_scan", "camera": "camera_rgb_optical_frame"},
    "packages": {"scout_description": "description"},
    "robot": {"max_payload": 4.0},
}
TUGGER = {
    "urdf": "tugger.urdf",
    "kind": "tricycle",
    "wheels": {
        "left": ["load_wheel_l_joint"],
        "right": ["load_wheel_r_joint"],
        "front": "drive_wheel_joint",
        "steering": "head_joint",
    },
    "drive": {"max_acceleration": 0.5},
}


def stl(width, depth, height):
    """A box as binary STL, centred."""
    corner = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * 0.5 * (width, depth, height)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = [face for a, b, c, d in quads for face in ((a, b, c), (a, c, d))]
    body = b"".join(struct.pack("<12fH", 0, 0, 0, *corner[list(face)].ravel(), 0) for face in faces)
    return bytes(80) + struct.pack("<I", len(faces)) + body


@pytest.fixture
def folder(tmp_path):
    """A folder with the URDFs, the meshes and their mappings: write(mapping) returns the path of a further one."""
    for file in URDFS.glob("*.urdf"):
        (tmp_path / file.name).write_text(file.read_text())
    meshes = tmp_path / "description" / "meshes"
    meshes.mkdir(parents=True)
    (meshes / "wheel.stl").write_bytes(stl(100, 100, 20))
    (meshes / "scanner.stl").write_bytes(stl(0.06, 0.05, 0.04))
    return tmp_path


def write(folder, mapping, name="mapping.yaml", **changes):
    path = folder / name
    path.write_text(yaml.safe_dump({**mapping, **changes}))
    return path


def urdf_with(folder, name, *replacements):
    text = (folder / name).read_text()
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    (folder / name).write_text(text)


def test_a_differential_drive_is_taken_over_with_its_numbers(folder):
    robot = load_mapped(write(folder, SCOUT))
    model, drive = robot.model, robot.model.drive
    assert (model.name, model.kind, model.max_payload) == ("scout", "differential", 4.0)
    assert (drive.wheel_radius, drive.track_width) == pytest.approx((0.05, 0.32))
    assert drive.max_speed == pytest.approx(16.0 * 0.05)
    assert drive.max_wheel_torque == 1.8
    # By hand: body, two wheels, caster, scanner along the body's x.
    masses, x = np.array([6.0, 0.25, 0.25, 0.02, 0.1]), np.array([-0.04, 0, 0, -0.15, -0.05])
    y = np.array([0, 0.16, -0.16, 0, 0])
    centre = (masses * x).sum() / masses.sum()
    # The wheels are turned: their own inertia about the vertical is the one across their axis.
    inertia = 0.09 + 2 * 0.0002 + 1e-6 + 1e-5 + (masses * ((x - centre) ** 2 + y**2)).sum()
    assert drive.mass == pytest.approx(masses.sum())
    assert drive.inertia == pytest.approx(inertia, rel=1e-6)
    assert drive.drive_wheel_load == pytest.approx(1 - centre / -0.15)
    # The root looks along y, the robot along x: sensors are where the body's links say.
    assert [model.lidar_mount.x, model.lidar_mount.y, model.lidar_mount.z] == pytest.approx([-0.05, 0, 0.22])
    assert model.lidar_mount.yaw == pytest.approx(0.5)
    camera = model.camera_mount
    assert [camera.x, camera.y, camera.z] == pytest.approx([0.12, 0.01, 0.15])
    assert [camera.roll, camera.pitch, camera.yaw] == pytest.approx([0, 0.2, 0], abs=1e-9)
    assert (model.length, model.width) == pytest.approx((2 * 0.18, 0.34))
    assert model.height == pytest.approx(0.18)
    shape = load_shape(model.shape)
    low, high = (lambda centre, half: (centre - half, centre + half))(*bounding_box(shape))
    assert low == pytest.approx([-0.18, -0.17, 0.0], abs=1e-9)
    assert high == pytest.approx([0.12, 0.17, 0.05 + 0.17 + 0.02], abs=1e-6)
    text = "\n".join(robot.report.left)
    assert "lid_joint" in text
    assert "scanner.stl: its box" in text
    assert "wheel.stl" not in text, "the wheels' own cylinders stand for their meshes"


def test_a_tricycle_whose_driven_wheel_is_behind_is_turned_round(folder):
    model = load_robot(write(folder, TUGGER))
    drive = model.drive
    assert model.kind == "tricycle"
    assert (drive.wheel_base, drive.track_width, drive.wheel_radius) == pytest.approx((0.9, 0.62, 0.115))
    assert drive.max_steering_angle == pytest.approx(1.3)
    assert drive.max_speed == pytest.approx(14 * 0.115)
    centre = (480 * (0.9 - 0.36) + 20 * 0.9) / 500
    assert drive.drive_wheel_load == pytest.approx(centre / 0.9)
    assert drive.max_acceleration == 0.5
    low, high = (lambda centre, half: (centre - half, centre + half))(*bounding_box(load_shape(model.shape)))
    assert (low[0], high[0]) == pytest.approx((0.9 - 1.2, 0.9 + 0.3))


@pytest.mark.parametrize(("mapping", "command"), [(SCOUT, (0.4, 0.5)), (TUGGER, (0.6, 0.3))])
def test_a_mapped_robot_drives_what_it_is_told_and_touches(folder, mapping, command):
    builder = PrimitiveBuilder()
    builder.box((0.1, 9, 0.5), (4.1, 0, 0.5), class_name="wall", body=0)
    world = World(builder.build(), ["wall"], ["W"])
    model = load_robot(write(folder, mapping))
    fleet = Fleet(world, [model])
    fleet.reset([[0, 0, 0]])
    fleet.command([command])
    fleet.step(480)
    assert fleet.velocity[0] == pytest.approx(command, rel=5e-3)
    fleet.reset([[1.5, 0, 0]])
    fleet.command([[command[0], 0.0]])
    fleet.step(240 * 8)
    front = bounding_box(load_shape(model.shape))
    assert fleet.pose[0, 0] == pytest.approx(4.0 - front[0][0] - front[1][0], abs=5e-3)
    (contact,) = world.contacts()
    momentum = model.drive.mass * command[0]
    push = 0.8 * model.drive.drive_wheel_load * model.drive.mass * 9.81 * world.settings.impact_time
    assert 0.95 * momentum < contact.impulse < 1.05 * momentum + push
    world.close()


@pytest.mark.parametrize("name", ["scout", "tugger"])
def test_a_guess_finds_the_roles(folder, name):
    text = guess_mapping(folder / f"{name}.urdf")
    guessed = yaml.safe_load(text)
    wanted = SCOUT if name == "scout" else TUGGER
    assert guessed["wheels"] == wanted["wheels"]
    assert guessed["kind"] == wanted.get("kind", "differential")
    if name == "scout":
        assert guessed["casters"] == SCOUT["casters"]
        assert guessed["sensors"] == SCOUT["sensors"]
        assert list(guessed["packages"]) == ["scout_description"]


def test_the_command_writes_a_robot_that_stands_alone(folder, tmp_path_factory):
    runner, out = CliRunner(), tmp_path_factory.mktemp("out") / "my_scout.yaml"
    mapping = write(folder, SCOUT)
    result = runner.invoke(
        app, ["robot", "import", str(folder / "scout.urdf"), "--mapping", str(mapping), "--out", str(out)]
    )
    assert result.exit_code == 0, result.output
    written, mapped = load_robot(out), load_robot(mapping)
    assert written.model_dump(exclude={"shape"}) == mapped.model_dump(exclude={"shape"})
    a, b = load_shape(written.shape), load_shape(mapped.shape)
    assert np.allclose(a.position, b.position, atol=1e-6)
    assert np.allclose(np.abs((a.quaternion * b.quaternion).sum(axis=1)), 1.0, atol=1e-9)
    guess = out.with_name("guess.yaml")
    assert runner.invoke(app, ["robot", "import", str(folder / "scout.urdf"), "--guess", str(guess)]).exit_code == 0
    assert yaml.safe_load(guess.read_text())["urdf"] == "scout.urdf"


def test_a_tricycle_carries_its_payload_above_its_own_centre_of_mass(folder):
    mapped = load_mapped(write(folder, TUGGER))
    drive = mapped.model.drive
    assert drive.payload_x == pytest.approx(drive.drive_wheel_load * drive.wheel_base)
    assert any("payload_x" in line for line in mapped.report.assumed)
    # The front wheel is free of load where the moments about the rear axle cancel.
    own = drive.mass * drive.payload_x
    lifts = {"drive": {"payload_x": -1.0}, "robot": {"max_payload": own * 1.001}}
    with pytest.raises(InputError, match=r"max_payload.*front wheel"):
        load_mapped(write(folder, TUGGER, **lifts))
    holds = {"drive": {"payload_x": -1.0}, "robot": {"max_payload": own * 0.999}}
    assert load_mapped(write(folder, TUGGER, **holds)).model.drive.payload_x == -1.0


def four_wheels(folder):
    """Give the scout a second wheel on each side, 0.2 m ahead of the first."""
    text = (folder / "scout.urdf").read_text()
    added = ""
    for side, y in (("left", 0.16), ("right", -0.16)):
        added += f"""<link name="front_{side}"><collision><origin rpy="1.5707963267948966 0 0"/>
        <geometry><cylinder radius="0.05" length="0.02"/></geometry></collision></link>
        <joint name="front_{side}_joint" type="continuous"><parent link="base_link"/><child link="front_{side}"/>
        <origin xyz="0.2 {y} 0"/><axis xyz="0 1 0"/><limit effort="1.8" velocity="16.0"/></joint>"""
    (folder / "scout.urdf").write_text(text.replace("</robot>", added + "</robot>"))
    return {side: [f"wheel_{side}_joint", f"front_{side}_joint"] for side in ("left", "right")}


def test_a_side_of_a_skid_steer_has_the_torque_of_all_its_wheels(folder):
    mapped = load_mapped(write(folder, SCOUT, wheels=four_wheels(folder), casters=[]))
    assert mapped.model.drive.max_wheel_torque == pytest.approx(2 * 1.8)
    assert mapped.model.drive.max_speed == pytest.approx(16.0 * 0.05)


def test_the_wheels_limit_a_mecanum_robot_sideways_too(folder):
    mapping = {**SCOUT, "wheels": four_wheels(folder), "casters": [], "kind": "mecanum"}
    mapped = load_mapped(write(folder, mapping))
    drive = mapped.model.drive
    assert (drive.max_lateral_speed, drive.max_speed) == pytest.approx((0.8, 0.8))
    assert drive.max_wheel_torque == 1.8, "a mecanum robot has a motor for each wheel"
    assert any("max_lateral_speed 0.800" in line for line in mapped.report.used)


def test_a_continuous_steering_joint_has_no_limits(folder):
    limit = '<limit lower="-1.4" upper="1.3" effort="80"'
    urdf_with(
        folder,
        "tugger.urdf",
        ('name="head_joint" type="revolute"', 'name="head_joint" type="continuous"'),
        (limit, '<limit lower="0" upper="0" effort="80"'),
    )
    drive = load_mapped(write(folder, TUGGER)).model.drive
    assert drive.max_steering_angle == TricycleDrive().max_steering_angle


def test_a_payload_with_a_unit_is_explained(folder):
    urdf_with(folder, "scout.urdf", ('effort="1.8"', 'effort="0"'))
    with pytest.raises(InputError, match="'50kg' is not a number") as caught:
        load_mapped(write(folder, SCOUT, robot={"max_payload": "50kg"}))
    assert "robot.max_payload" in str(caught.value)


@pytest.mark.parametrize("mapping", [SCOUT, TUGGER])
def test_the_report_marks_what_the_mapping_overrides(folder, mapping):
    plain = load_mapped(write(folder, mapping))
    given = {name: value for name, value in plain.model.drive.model_dump().items() if isinstance(value, float)}
    mapped = load_mapped(write(folder, mapping, drive=given, robot={"max_payload": 4.0}))
    told = "\n".join(mapped.report.used)
    wanted = {"wheel_radius", "track_width", "mass", "inertia", "max_speed", "max_wheel_torque"}
    wanted |= {"wheel_base", "drive_wheel_load", "max_steering_angle"} if mapping is TUGGER else set()
    assert {name for name in given if f"overridden: drive.{name} " in told} == wanted
    assert not [line for line in mapped.report.assumed if any(name in line for name in given)]
    assert "overridden" not in "\n".join(plain.report.used)


def test_angles_of_a_rotation_give_the_rotation_again():
    rng = np.random.default_rng(0)
    for angles in [*rng.uniform(-3, 3, (50, 3)), (0.3, pi / 2, 0.2), (1.0, -pi / 2, -2.0)]:
        matrix = rotation_matrix(quaternion_from_rpy(*angles))
        again = rotation_matrix(quaternion_from_rpy(*roll_pitch_yaw(matrix)))
        assert np.allclose(again, matrix, atol=sqrt(1e-15))


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "what", "mend"),
    [
        (
            {"wheels": {**SCOUT["wheels"], "left": ["left_wheel_joint"]}},
            "no joint 'left_wheel_joint'",
            "wheel_left_joint",
        ),
        ({"wheels": {**SCOUT["wheels"], "left": ["scan_joint"]}}, "of type fixed", "continuous"),
        ({"sensors": {"lidar": "base_scann"}}, "no link 'base_scann'", "base_scan"),
        ({"packages": {}}, "package", "packages: {scout_description"),
        ({"packages": {"scout_description": "../elsewhere"}}, "leads out of", "inside"),
        ({"urdf": "../scout.urdf"}, "leads out of", "inside"),
        ({"kind": "tricycle"}, "wheels.front and wheels.steering", ""),
        ({"wheels": {"left": ["wheel_left_joint"], "right": ["wheel_left_joint"]}}, "at one place", ""),
        ({"drive": {"max_sped": 1.0}}, "max_sped", "max_speed"),
        ({"wheel": {}}, "wheel", ""),
    ],
)
def test_a_wrong_mapping_is_explained(folder, changes, what, mend):
    with pytest.raises(InputError) as caught:
        load_mapped(write(folder, SCOUT, **changes))
    assert what in str(caught.value)
    assert mend in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('<robot name="scout">', '<!DOCTYPE r [<!ENTITY x "y">]><robot name="scout">', "document type"),
        ('<robot name="scout">', '<robot name="scout" xmlns:xacro="http://ros.org/wiki/xacro"><xacro:m/>', "xacro"),
        ("package://scout_description/meshes/scanner.stl", "/etc/passwd", "leads out of"),
        ("package://scout_description/meshes/scanner.stl", "file:///etc/passwd", "not a file beside"),
        ("package://scout_description/meshes/scanner.stl", "package://scout_description/../../x.stl", "leads out of"),
        ("package://scout_description/meshes/scanner.stl", "package://scout_description/none.stl", "cannot be read"),
        ('<axis xyz="0 0 1"/>\n    <limit effort="1.8"', '<axis xyz="0 1 0"/>\n    <limit effort="1.8"', "horizontal"),
        ('<mass value="6.0"/>', '<mass value="much"/>', "'much' is not 1 numbers"),
        ("</robot>", "", "not XML"),
        ('<child link="base_scan"/>', '<child link="none"/>', "names a link that is not there"),
    ],
)
def test_a_wrong_or_hostile_urdf_is_refused(folder, old, new, what):
    urdf_with(folder, "scout.urdf", (old, new))
    with pytest.raises(InputError) as caught:
        load_mapped(write(folder, SCOUT))
    assert what in str(caught.value)


def test_a_mesh_behind_a_link_out_of_the_folder_is_refused(folder, tmp_path_factory):
    secret = tmp_path_factory.mktemp("secret") / "scanner.stl"
    secret.write_bytes(stl(1, 1, 1))
    mesh = folder / "description" / "meshes" / "scanner.stl"
    mesh.unlink()
    mesh.symlink_to(secret)
    with pytest.raises(InputError, match="leads out of"):
        load_mapped(write(folder, SCOUT))
