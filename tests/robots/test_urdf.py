"""Robot shapes read from URDF files."""

from __future__ import annotations

import numpy as np
import pytest

from floorcast.common.classes import CLASS_IDS
from floorcast.common.errors import InputError
from floorcast.common.geometry import rotation_matrix
from floorcast.common.primitives import BOX, CYLINDER, SPHERE
from floorcast.physics.bullet import bounding_box, pybullet
from floorcast.robots.model import RobotModel
from floorcast.robots.urdf import load_shape


def write(tmp_path, body):
    path = tmp_path / "robot.urdf"
    path.write_text(f'<robot name="r">{body}</robot>')
    return path


def test_our_robot_fits_its_model():
    model = RobotModel()
    shape = load_shape(model.shape)
    centre, half = bounding_box(shape)
    assert centre[:2] == pytest.approx([0, 0], abs=1e-9)
    assert 2 * half == pytest.approx([model.length, model.width, model.height])
    assert centre[2] - half[2] == pytest.approx(0.0), "the wheels stand on the floor"
    assert set(shape.class_id) == {CLASS_IDS["amr"]}
    assert not shape.body.any()
    assert not shape.instance_id.any()
    wheels = shape.take(shape.kind == CYLINDER)
    assert wheels.size[:2, 0] == pytest.approx(model.drive.wheel_radius)
    assert np.ptp(wheels.position[:, 1]) == pytest.approx(model.drive.track_width)
    assert len(shape) <= 16, "more would become one box in the physics"


def test_our_urdf_loads_in_pybullet():
    """Another reader of the same file sees the same links in the same places."""
    from importlib import resources

    import floorcast.assets

    client = pybullet.connect(pybullet.DIRECT)
    path = str(resources.files(floorcast.assets) / "robots" / "amr.urdf")
    body = pybullet.loadURDF(path, physicsClientId=client)
    shape = load_shape("amr.urdf")
    theirs = pybullet.getVisualShapeData(body, physicsClientId=client)
    assert len(theirs) == len(shape)
    for visual in theirs:
        link = visual[1]
        frame = (
            pybullet.getBasePositionAndOrientation(body, physicsClientId=client)
            if link < 0
            else pybullet.getLinkState(body, link, physicsClientId=client)[4:6]
        )
        if link < 0:
            inertial = pybullet.getDynamicsInfo(body, -1, physicsClientId=client)[3:5]
            frame = pybullet.multiplyTransforms(*frame, *pybullet.invertTransform(*inertial))
        place, _ = pybullet.multiplyTransforms(*frame, visual[5], visual[6])
        assert np.abs(shape.position - np.array(place)).max(axis=1).min() < 1e-6
    pybullet.disconnect(client)


def test_joints_and_origins_compose(tmp_path):
    path = write(
        tmp_path,
        """
        <link name="tip"><visual><origin xyz="0 0 1" rpy="0 0 0"/>
          <geometry><cylinder radius="0.1" length="0.6"/></geometry></visual></link>
        <link name="base_link"><visual><geometry><box size="2 1 0.5"/></geometry>
          <material name="red"><color rgba="1 0 0 1"/></material></visual></link>
        <link name="arm"><collision><geometry><sphere radius="0.2"/></geometry></collision></link>
        <joint name="a" type="fixed"><parent link="base_link"/><child link="arm"/>
          <origin xyz="1 0 0" rpy="0 0 1.5707963267948966"/></joint>
        <joint name="b" type="revolute"><parent link="arm"/><child link="tip"/>
          <origin xyz="1 0 0" rpy="1.5707963267948966 0 0"/></joint>
        """,
    )
    shape = load_shape(path)
    box, ball, tip = (shape.take(shape.kind == kind) for kind in (BOX, SPHERE, CYLINDER))
    assert box.size[0] == pytest.approx([1, 0.5, 0.25])
    assert box.color[0].tolist() == [255, 0, 0]
    assert ball.position[0] == pytest.approx([1, 0, 0]), "a link without visuals shows its collision solids"
    # The arm turns x into y; the tip's z axis lies along -y of the arm, which is +x of the base.
    assert tip.position[0] == pytest.approx([2, 1, 0])
    assert rotation_matrix(tip.quaternion[0])[:, 2] == pytest.approx([1, 0, 0], abs=1e-12)
    assert tip.size[0] == pytest.approx([0.1, 0.3, 0])


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("<link name='a'/>", "no visual or collision"),
        ("<link name='a'><visual><geometry><mesh filename='x.stl'/></geometry></visual></link>", "mesh"),
        ("<link name='a'><visual/></link>", "nothing"),
        ("<link name='a'><visual><geometry><box size='1 2'/></geometry></visual></link>", "'1 2' is not 3 numbers"),
        ("<link name='a'><visual><geometry><box size='1 nan 1'/></geometry></visual></link>", "not 3 numbers"),
        ("<link name='a'><visual><geometry><sphere radius='-1'/></geometry></visual></link>", "above zero"),
        ("<link name='a'/><link name='b'/>", "one root"),
        ("<link name='a'/><joint name='j'><parent link='a'/><child link='c'/></joint>", "not there"),
        (
            "<link name='a'/><link name='b'/><joint name='j'><parent link='a'/><child link='b'/></joint>"
            "<joint name='k'><parent link='b'/><child link='a'/></joint>",
            "one root",
        ),
        ("<link", "not valid XML"),
    ],
)
def test_bad_files_are_explained(tmp_path, body, text):
    with pytest.raises(InputError, match=text) as caught:
        load_shape(write(tmp_path, body))
    assert "robot.urdf" in str(caught.value)


def test_missing_and_hostile_files_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"no robot shape 'nobody\.urdf'"):
        load_shape("nobody.urdf")
    with pytest.raises(InputError, match="no robot shape"):
        load_shape(tmp_path / "nobody.urdf")
    with pytest.raises(InputError):
        load_shape("../robots/amr.urdf")
    path = tmp_path / "bomb.urdf"
    path.write_text('<!DOCTYPE r [<!ENTITY a "aaaa">]><robot name="r"/>')
    with pytest.raises(InputError, match="entity"):
        load_shape(path)
    path.write_text("<sdf/>")
    with pytest.raises(InputError, match="expected <robot>"):
        load_shape(path)
