"""SDF worlds: poses against a rotation library, what is left out with its reason, and no way out of the folder."""

import math
import os
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from floorcast.common.errors import InputError
from floorcast.common.geometry import quaternion_from_rpy, rotation_matrix
from floorcast.layouts.importers.detect import import_layout
from floorcast.layouts.model import Layout
from floorcast.layouts.occupancy import occupancy_grid
from floorcast.layouts.validation import check_layout

from .test_boxes import block

ROOT = Path(os.environ.get("FLOORCAST_FIELDDATA", Path(__file__).resolve().parents[4] / "shared" / "fielddata"))
FIELD = ROOT / "layouts" / "aws_small_warehouse"
BOX = "<geometry><box><size>1 2 3</size></box></geometry>"
PLANE = (
    '<model name="ground"><static>1</static><link name="l"><collision name="c"><geometry><plane>'
    "<normal>0 0 1</normal></plane></geometry></collision></link></model>"
)


def model(name, geometry=BOX, pose="", extra="", static="1"):
    return (
        f'<model name="{name}"><static>{static}</static>{pose}<link name="link"><collision name="c">{geometry}'
        f"</collision></link>{extra}</model>"
    )


def write(folder, *things, name="world.sdf", version="1.9"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'<?xml version="1.0"?><sdf version="{version}"><world name="w">{"".join(things)}</world></sdf>')
    return path


def read(folder, *things):
    return import_layout(write(folder, *things))


def reasons(found):
    return dict(found.leftovers.counts)


def stl(path, vertices, faces):
    """Write an ASCII STL."""
    lines = ["solid s"]
    for face in faces:
        lines.append("facet normal 0 0 0 outer loop")
        lines += ["vertex {:.9g} {:.9g} {:.9g}".format(*vertices[k]) for k in face]
        lines.append("endloop endfacet")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*lines, "endsolid s"]))


def mesh(uri, more=""):
    return f"<geometry><mesh><uri>{uri}</uri>{more}</mesh></geometry>"


def matrix(x, y, z, roll, pitch, yaw):
    full = np.eye(4)
    full[:3, :3] = Rotation.from_euler("xyz", [roll, pitch, yaw]).as_matrix()
    full[:3, 3] = x, y, z
    return full


def placed(obstacle, source):
    """The transform of an obstacle in the world of the file."""
    full = np.eye(4)
    full[:3, :3] = rotation_matrix(quaternion_from_rpy(obstacle.roll, obstacle.pitch, obstacle.yaw))
    full[:3, 3] = obstacle.x - source.x, obstacle.y - source.y, obstacle.z
    return full


def test_nested_poses_multiply_and_frames_are_followed(tmp_path):
    inner = (
        '<model name="in"><pose>0.5 0 0.2 0.1 0.2 0.3</pose><link name="l"><pose relative_to="f">0 1 0 0 0 0.4</pose>'
        f'<collision name="c"><pose degrees="true">0 0 0.5 0 0 90</pose>{BOX}</collision></link>'
        '<frame name="f"><pose rotation_format="quat_xyzw">1 0 0 0 0 1 1</pose></frame></model>'
    )
    outer = f'<model name="out"><static>1</static><pose>3 4 1 0.3 -0.2 1.0</pose>{inner}</model>'
    found = read(tmp_path, PLANE, outer)
    (thing,) = found.layout.obstacles
    expected = matrix(3, 4, 1, 0.3, -0.2, 1.0) @ matrix(0.5, 0, 0.2, 0.1, 0.2, 0.3)
    expected = expected @ matrix(1, 0, 0, 0, 0, math.pi / 2) @ matrix(0, 1, 0, 0, 0, 0.4)
    expected = expected @ matrix(0, 0, 0.5, 0, 0, math.pi / 2)
    assert thing.part_of == "out::in"
    # The same box, whichever of its axes is called the first.
    ours = placed(thing, found.layout.source)
    assert ours[:3, 3] == pytest.approx(expected[:3, 3], abs=1e-9)
    share = np.abs(ours[:3, :3].T @ expected[:3, :3])
    assert share @ [1, 2, 3] == pytest.approx(thing.size, abs=1e-9)
    assert np.sort(share, axis=None)[-3:] == pytest.approx([1, 1, 1])


def test_shapes_ground_and_what_has_no_place(tmp_path):
    drum = "<geometry><cylinder><radius>0.4</radius><length>1.2</length></cylinder></geometry>"
    ball = "<geometry><sphere><radius>0.5</radius></sphere></geometry>"
    found = read(
        tmp_path,
        PLANE,
        model("drum", drum, "<pose>1 1 0.6 0 0 0</pose>", static="0", extra='<plugin name="p" filename="x"/>'),
        model("ball", ball, "<pose>5 1 0.5 0 0 0</pose>", '<joint name="j" type="fixed"/>'),
        model("map", "<geometry><heightmap><uri>x</uri></heightmap></geometry>"),
        "<physics type='ode'/><gui/>",
        '<light name="sun" type="directional"/><light name="lamp" type="point"><pose>3 1 4 0 0 0</pose></light>',
        '<model name="ghost"><static>1</static><link name="l"><visual name="v"/></link></model>',
    )
    drum, ball = found.layout.obstacles
    assert (drum.shape, drum.size, drum.id, drum.part_of) == ("cylinder", (0.8, 0.8, 1.2), "drum", "drum")
    assert (ball.shape, ball.size) == ("cylinder", (1.0, 1.0, 1.0))
    # No wall and no end of the ground: two metres of floor around what stands there.
    assert (found.layout.length, found.layout.width) == pytest.approx((8.9, 5.0))
    assert (drum.x, drum.y) == pytest.approx((2.4, 2.5))
    (light,) = found.layout.lights
    assert light.position == pytest.approx((4.4, 2.5, 4.0))
    assert reasons(found) == {
        "model that could move, and stands still here": 1,
        "plugin": 1,
        "joint": 1,
        "shape <heightmap>": 1,
        "physics setting": 1,
        "setting of the view": 1,
        "light without a place": 1,
        "visual without a collision shape": 1,
    }
    assert found.read["models"] == 5
    assert check_layout(found.layout) == []


def test_boxes_around_a_floor_are_walls_and_a_lamp_in_its_own_solid_hangs_below_it(tmp_path):
    sides = ((0, 4, 10, 0.2), (0, -4, 10, 0.2), (5, 0, 0.2, 8.2), (-5, 0, 0.2, 8.2))
    links = "".join(
        f'<collision name="s{k}"><pose>{x} {y} 1.5 0 0 0</pose><geometry><box><size>{a} {b} 3</size></box></geometry>'
        "</collision>"
        for k, (x, y, a, b) in enumerate(sides)
    )
    lamp = (
        '<model name="lamp"><static>1</static><pose>1 0 4 0 0 0</pose><link name="l"><collision name="c"><geometry>'
        '<box><size>1 1 1</size></box></geometry></collision><light name="bulb" type="spot"><diffuse>1 1 1 1</diffuse>'
        "<attenuation><constant>0</constant><quadratic>0.1</quadratic></attenuation><spot><outer_angle>1.2</outer_angle>"
        "</spot></light></link></model>"
    )
    ground = model("floor", "<geometry><box><size>20 20 0.2</size></box></geometry>", "<pose>0 0 0.05 0 0 0</pose>")
    found = read(tmp_path, ground, f'<model name="hall"><static>1</static><link name="l">{links}</link></model>', lamp)
    layout = found.layout
    assert {wall.id for wall in layout.walls} == {"hall", "hall_2", "hall_3", "hall_4"}
    assert (layout.length, layout.width) == pytest.approx((10.2, 8.2))
    assert [wall.height for wall in layout.walls] == pytest.approx([2.85] * 4)  # the ground is 0.15 m above z = 0
    (light,) = layout.lights
    assert light.position == pytest.approx((6.1, 4.1, 3.5 - 0.15 - 0.05))
    # 1 / (0.1 * 36) of full light at 6 m, where a standard lamp gives half.
    assert light.power == pytest.approx(2 / 3.6)
    assert light.beam_angle == pytest.approx(1.2)


def test_long_chains_of_frames_end(tmp_path):
    chain = "".join(f'<frame name="f{k}"><pose relative_to="f{k + 1}"/></frame>' for k in range(5000))
    moved = model("far", pose='<pose relative_to="f0">1 0 0 0 0 0</pose>')
    found = read(tmp_path, PLANE, model("fine"), chain, moved)
    assert [thing.part_of for thing in found.layout.obstacles] == ["fine"]
    assert reasons(found)["pose relative to itself, or to too many frames in turn"] == 1


def test_a_level_names_the_world(tmp_path):
    path = write(tmp_path, PLANE, model("a"), '</world><world name="other">', PLANE, model("b"))
    assert import_layout(path).layout.obstacles[0].part_of == "a"
    assert import_layout(path, level="other").layout.obstacles[0].part_of == "b"
    with pytest.raises(InputError, match="no world 'third'"):
        import_layout(path, level="third")


def test_models_are_found_in_the_folder_beside_the_world(tmp_path):
    shelf = tmp_path / "models" / "shelf"
    stl(shelf / "meshes" / "box.stl", *block((0, 0, 0), (2000, 500, 1500)))
    (shelf / "model.config").write_text(
        '<model><sdf version="1.4">old.sdf</sdf><sdf version="1.6">new.sdf</sdf></model>'
    )
    sdf = model(
        "shelf", mesh("model://shelf/meshes/box.stl", "<scale>0.001 0.001 -0.001</scale>"), "<pose>9 9 9 0 0 0</pose>"
    )
    (shelf / "new.sdf").write_text(f'<sdf version="1.6">{sdf}</sdf>')
    include = "<include><uri>model://shelf</uri><name>{}</name><pose>{} 1 1.5 0 0 0.5</pose></include>"
    path = write(tmp_path, PLANE, include.format("one", 1), include.format("two", 5), name="worlds/w.world")
    one, two = import_layout(path).layout.obstacles
    assert (one.part_of, two.part_of) == ("one", "two")
    assert sorted(one.size) == pytest.approx([0.5, 1.5, 2.0])
    # The mesh's corner is at the pose and the mesh hangs below it: its scale turns it over.
    assert one.z == pytest.approx(0.75)
    assert two.x - one.x == pytest.approx(4.0)
    assert import_layout(path).read["meshes"] == 1


def test_a_closed_shell_around_everything_is_walls_and_not_a_solid_hall(tmp_path):
    stl(tmp_path / "shell.stl", *block((-10, -6, 0), (10, 6, 5)))
    found = read(
        tmp_path,
        PLANE,
        model("building", mesh("shell.stl")),
        model("a", pose="<pose>3 1 1.5 0 0 0</pose>"),
        model("b", pose="<pose>-5 -2 1.5 0 0 0</pose>"),
    )
    layout = found.layout
    assert len(layout.walls) == 4
    assert {round(math.dist(w.start, w.end)) for w in layout.walls} == {12, 20}
    assert len(layout.obstacles) == 2
    assert sum("roof" in reason for reason in reasons(found)) == 1
    grid = occupancy_grid(layout, 0.1)
    regions, count = ndimage.label(~grid.occupied)
    assert count == 1, "one free floor, closed all around"
    assert (regions > 0).sum() * 0.01 == pytest.approx(20 * 12 - 4, rel=0.03)


def escapes(folder):
    """URIs that lead to a mesh outside of the folder, which is there and can be read."""
    stl(folder / "secret" / "box.stl", *block((0, 0, 0), (1, 1, 1)))
    inside = folder / "site"
    inside.mkdir()
    (inside / "link").symlink_to(folder / "secret")
    (inside / "models").mkdir()
    (inside / "models" / "m").symlink_to(folder / "secret")
    return inside, ("../secret/box.stl", f"{folder}/secret/box.stl", f"file://{folder}/secret/box.stl", "link/box.stl",
                    "model://m/box.stl", "model://../secret/box.stl", "http://host/box.stl", "https://host/box.stl",
                    "model://m/../../secret/box.stl", "..\\secret\\box.stl", "nothing.stl", "", "x" * 5000)  # fmt: skip


def test_nothing_outside_the_folder_is_read(tmp_path, monkeypatch):
    inside, addresses = escapes(tmp_path)
    opened = []

    def told(plain):
        def method(self, *args, **options):
            opened.append(self)
            return plain(self, *args, **options)

        return method

    for kind in ("open", "read_bytes"):
        monkeypatch.setattr(Path, kind, told(getattr(Path, kind)))
    things = [model(f"m{k}", mesh(uri)) for k, uri in enumerate(addresses)]
    things += [f"<include><uri>{uri}</uri></include>" for uri in ("model://m", "../secret", "http://host/m")]
    found = read(inside, PLANE, model("fine"), *things)
    assert [thing.part_of for thing in found.layout.obstacles] == ["fine"]
    assert {Path(os.path.realpath(path)).parent for path in opened} == {inside}
    left = reasons(found)
    assert left["path that leads out of the folder"] == 3
    assert left["path that is empty, absolute or leads upwards"] == 8
    assert left["address that is not in the folder"] == 3
    assert sum(left.values()) == len(things)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><sdf><world>&b;</world></sdf>', "document type"),
        ("<sdf><world name='w'><model name='a'>", "no element found"),
        ("<sdf>" + "<model name='m'>" * 1000 + "</model>" * 1000 + "</sdf>", "elements within each other"),
        ("<robot/>", "root element is <robot>"),
        ("<sdf version='1.9'><world name='w'/></sdf>", "nothing solid"),
        ("", "no element found"),
    ],
)
def test_files_that_are_no_world_are_refused(tmp_path, content, words):
    path = tmp_path / "bad.sdf"
    path.write_text(content)
    with pytest.raises(InputError, match=words):
        import_layout(path)


def test_what_cannot_be_used_is_counted_and_the_rest_is_imported(tmp_path):
    models = tmp_path / "models"
    for name, target in (("a", "b"), ("b", "a")):
        (models / name).mkdir(parents=True)
        (models / name / "model.sdf").write_text(
            f'<sdf version="1.6"><model name="{name}"><include><uri>model://{target}</uri></include></model></sdf>'
        )
    (models / "torn").mkdir()
    (models / "torn" / "model.sdf").write_text("<sdf><model name='t'><link")
    stl(tmp_path / "flat.stl", np.zeros((3, 3)), [(0, 1, 2)])
    stl(tmp_path / "far.stl", *block((0, 0, 0), (1e7, 1, 1)))
    (tmp_path / "empty.stl").write_text("")
    (tmp_path / "huge.stl").write_bytes(b"")
    os.truncate(tmp_path / "huge.stl", 65 * 2**20)
    bad = ("flat.stl", "empty.stl", "huge.stl")
    found = read(
        tmp_path,
        PLANE,
        model("fine"),
        *(model(name, mesh(name)) for name in bad),
        model("far", mesh("far.stl")),
        model("none", mesh("flat.stl", "<scale>0 1 1</scale>")),
        model("nan", pose="<pose>nan 0 0 0 0 0</pose>"),
        model("short", pose="<pose>1 2 3</pose>"),
        model("words", "<geometry><box><size>a b c</size></box></geometry>"),
        model("minus", "<geometry><box><size>1 -1 1</size></box></geometry>"),
        model("lost", pose='<pose relative_to="nowhere">0 0 0 0 0 0</pose>'),
        model("self", pose='<pose relative_to="self">0 0 0 0 0 0</pose>'),
        "<include><uri>model://a</uri></include><include><uri>model://torn</uri></include>",
        '<model name="n">' * 40 + "</model>" * 40,
    )
    assert [thing.part_of for thing in found.layout.obstacles] == ["fine"]
    assert reasons(found) == {
        "mesh that cannot be used": len(bad),
        "mesh scaled to nothing": 1,
        "number that is missing or not finite": 3,
        "shape without an extent, or larger than any hall": 2,
        "pose relative to a frame that is not known": 1,
        "pose relative to itself, or to too many frames in turn": 1,
        "model that includes itself": 1,
        "file that cannot be read": 1,
        "model within more than 16 others": 1,
    }


def test_models_that_double_with_each_level_end(tmp_path):
    for level in range(15):
        folder = tmp_path / "models" / f"m{level}"
        folder.mkdir(parents=True)
        again = f"<include><uri>model://m{level + 1}</uri></include>" * 3
        (folder / "model.sdf").write_text(f'<sdf version="1.6"><model name="m">{again}</model></sdf>')
    with pytest.raises(InputError, match="more than 5000 models"):
        read(tmp_path, "<include><uri>model://m0</uri></include>")


@pytest.mark.fielddata
@pytest.mark.skipif(not FIELD.is_dir(), reason=f"no field data at {ROOT} (set FLOORCAST_FIELDDATA)")
@pytest.mark.parametrize("name", ["small_warehouse", "no_roof_small_warehouse"])
def test_the_aws_warehouse(tmp_path, name):
    import cv2

    path = FIELD / "worlds" / f"{name}.world"
    found = import_layout(path)
    layout = found.layout
    models = ElementTree.parse(path).getroot().find("world").findall("model")
    assert found.read["models"] == len(models) == (26 if name == "small_warehouse" else 25)
    # All but the ground, the walls and the roof, where there is one, are obstacles.
    assert len({thing.part_of for thing in layout.obstacles}) == 23
    assert len(layout.walls) == 4
    assert check_layout(layout) == []
    assert layout.name == name
    assert layout.lights[0].position[2] < 8.5  # below the lamp that the world's light is in
    layout.save(tmp_path / "hall.yaml")
    assert Layout.load(tmp_path / "hall.yaml") == layout
    # The map that a robot's lidar made of this hall, at about 0.2 m.
    picture = cv2.imread(str(FIELD / "maps" / "005" / "map_rotated.png"), cv2.IMREAD_GRAYSCALE)
    dark = (255.0 - picture) / 255.0
    rows, columns = np.nonzero(dark > 0.65)
    seen = np.stack([-7.0 + 0.05 * (columns + 0.5), -10.5 + 0.05 * (len(picture) - rows - 0.5)], axis=-1)
    grid = occupancy_grid(layout, 0.05, z_min=0.19, z_max=0.21)
    distance = ndimage.distance_transform_edt(~grid.occupied) * 0.05
    cells = grid.world_to_cell(np.add(seen, (layout.source.x, layout.source.y)))
    assert (distance[cells[:, 0], cells[:, 1]] <= 0.2).mean() > 0.97
    # And what stands in our hall is not in the middle of what the robot saw to be free.
    rows, columns = np.nonzero(grid.occupied[10:-10, 10:-10])
    x, y = 0.05 * (columns + 0.5) - layout.source.x, 0.05 * (rows + 0.5) - layout.source.y
    free = ndimage.distance_transform_edt(np.pad(dark < 0.196, 20)) * 0.05
    into = free[19 + len(picture) - ((y + 10.5) / 0.05).astype(int), 20 + ((x + 7.0) / 0.05).astype(int)]
    assert (into <= 0.2).mean() > 0.97
