import math
from typing import get_args

import numpy as np
import pytest

from floorcast.common.classes import CLASS_IDS, CLASS_NAMES
from floorcast.common.errors import InputError
from floorcast.common.geometry import rotation_matrix
from floorcast.common.primitives import BOX, CYLINDER, PLANE
from floorcast.layouts.generator import LayoutRecipe, generate_layout
from floorcast.layouts.geometry import good_parts, layout_solids
from floorcast.layouts.model import Column, Conveyor, DockDoor, Good, GoodClass, Layout, Rack

from .hall import small_hall


def bounds(solids):
    """Axis-parallel bounds (2, 3) of boxes and upright cylinders."""
    half = np.where((solids.kind == CYLINDER)[:, None], solids.size[:, [0, 0, 1]], solids.size)
    reach = np.einsum("nij,nj->ni", np.abs(rotation_matrix(solids.quaternion)), half)
    return np.stack([(solids.position - reach).min(axis=0), (solids.position + reach).max(axis=0)])


def of_class(solids, name):
    return solids.static.take(solids.static.class_id == CLASS_IDS[name])


@pytest.mark.parametrize("yaw", [0.0, math.pi / 2])
def test_a_rack_is_as_large_as_it_says_and_cheap(yaw):
    rack = Rack(id="R1", x=10.0, y=20.0, yaw=yaw, bays=10, bay_width=2.7, depth=1.1, level_heights=(1.5, 3.0), height=4)
    solids = of_class(layout_solids(Layout(length=40, width=40, racks=(rack,))), "rack")
    size = np.array([27.1, 1.1, 4.0]) if yaw == 0 else np.array([1.1, 27.1, 4.0])
    low, high = bounds(solids)
    assert high - low == pytest.approx(size, abs=1e-9)
    assert 0.5 * (low + high)[:2] == pytest.approx([10.0, 20.0])
    assert low[2] == pytest.approx(0.0)
    assert len(solids) == 2 * 11 + 3 * 2
    # Goods stand on z = level: no deck or beam may end above it, and one of them must reach it.
    decks = solids.position[22:, 2] + solids.size[22:, 2]
    assert sorted(set(decks.round(9))) == [1.5, 3.0]


@pytest.mark.parametrize("kind", get_args(GoodClass))
@pytest.mark.parametrize("rack", [None, "R1"])
def test_goods_fill_their_size(kind, rack):
    good = Good(id="G", kind=kind, x=0, y=0, size=(1.2, 0.8, 0.5), rack=rack)
    parts = good_parts(good)
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for part in parts:
        half = np.array(part.size if part.kind == BOX else (part.size[0], part.size[0], part.size[1]))
        low, high = np.minimum(low, part.position - half), np.maximum(high, part.position + half)
    assert low == pytest.approx([-0.6, -0.4, 0.0])
    assert high == pytest.approx([0.6, 0.4, 0.5])
    assert all(part.volume > 0 for part in parts)


def test_groups_and_instances_of_the_small_hall():
    solids = layout_solids(small_hall())
    static = solids.static
    assert (static.kind[0], static.class_id[0], static.instance_id[0], static.body[0]) == (
        PLANE,
        CLASS_IDS["floor"],
        0,
        0,
    )
    assert solids.group_class[0] == "floor"
    assert len(solids.group_class) == len(solids.group_id) == static.body.max() + 1
    groups = dict(zip(solids.group_id, solids.group_class, strict=True))
    assert groups == {
        "floor": "floor", "W1": "wall", "W2": "wall", "W3": "wall", "W4": "wall", "P1": "column", "R1": "rack",
        "R2": "rack", "C1": "conveyor", "E1": "charger", "D1": "dock_door",
    }  # fmt: skip
    assert sorted(solids.object_id) == list(range(1, len(solids.object_id) + 1))
    assert solids.next_instance_id == len(solids.object_id) + 1
    assert set(solids.object_id.values()) == {"P1", "R1", "R2", "G1", "G2", "C1", "E1", "D1", "G3"}
    number = {name: instance for instance, name in solids.object_id.items()}
    carton = static.take(static.instance_id == number["G2"])
    assert [CLASS_NAMES[c - 1] for c in carton.class_id] == ["box"]
    assert solids.group_id[carton.body[0]] == "R1"
    assert carton.position[0] == pytest.approx([12.0, 8.0, 1.744 + 0.4])
    assert (static.instance_id[static.class_id == CLASS_IDS["wall"]] == 0).all()


def test_instances_are_whole_and_unique_in_a_generated_hall():
    layout = generate_layout(LayoutRecipe(area=300.0), 1)
    solids = layout_solids(layout)
    for table in (solids.static, solids.loose):
        for instance in np.unique(table.instance_id[table.instance_id > 0]):
            mine = table.instance_id == instance
            assert len(set(table.class_id[mine])) == len(set(table.body[mine])) == 1
    used = set(solids.static.instance_id) | set(solids.loose.instance_id)
    assert used == set(range(solids.next_instance_id))
    assert len(set(solids.object_id.values())) == len(solids.object_id)
    assert np.linalg.norm(solids.static.quaternion, axis=1) == pytest.approx(1.0)
    placed = zip(solids.static.instance_id.tolist(), solids.static.body.tolist(), strict=True)
    rack_of = {solids.object_id[instance]: solids.group_id[group] for instance, group in placed if instance}
    assert all(rack_of[good.id] == good.rack for good in layout.goods if good.rack is not None)


@pytest.mark.parametrize("kind", get_args(GoodClass))
def test_loose_goods_turn_about_their_centre_of_mass(kind):
    good = Good(id="G", kind=kind, x=3.0, y=2.0, z=0.0, yaw=0.7, size=(0.6, 0.4, 0.5), mass=7.5)
    solids = layout_solids(Layout(length=10, width=10, goods=(good,)))
    loose = solids.loose
    half = np.where((loose.kind == CYLINDER)[:, None], loose.size[:, [0, 0, 1]], loose.size)
    volume = np.where(loose.kind == CYLINDER, math.pi / 4, 1.0) * 8 * half.prod(axis=1)
    assert (volume[:, None] * loose.position).sum(axis=0) == pytest.approx([0, 0, 0], abs=1e-12)
    (pose,) = solids.loose_pose
    assert pose[:2] == pytest.approx([3.0, 2.0])
    assert pose[2] + bounds(loose)[0, 2] == pytest.approx(0.0)
    assert 2 * math.atan2(pose[5], pose[6]) == pytest.approx(0.7)
    assert solids.loose_mass == pytest.approx([7.5])
    assert solids.loose_id == ("G",)
    assert (loose.body == 0).all()
    assert (loose.instance_id == 1).all()


def test_conveyor_column_and_door_shapes():
    layout = Layout(
        length=20,
        width=20,
        columns=(Column(id="P", x=1, y=2, width=0.5, height=5, round=True),),
        conveyors=(Conveyor(id="C", start=(5.0, 5.0), end=(5.0, 9.0), width=0.6, height=0.8),),
        docks=(DockDoor(id="D", x=20.0, y=10.0, yaw=math.pi, width=3.0, height=3.2),),
    )
    solids = layout_solids(layout)
    assert bounds(of_class(solids, "conveyor")) == pytest.approx(np.array([[4.7, 5, 0], [5.3, 9, 0.8]]))
    assert bounds(of_class(solids, "column")) == pytest.approx(np.array([[0.75, 1.75, 0], [1.25, 2.25, 5]]))
    door = bounds(of_class(solids, "dock_door"))
    assert door[:, 1:] == pytest.approx(np.array([[8.5, 0], [11.5, 3.2]]))
    assert 0 < 20.0 - door[0, 0] < 0.1  # proud of the wall's inner face
    assert door[1, 0] > 20.0


def test_a_good_on_an_unknown_rack_is_an_error():
    good = Good(id="G", x=1, y=1, size=(1, 1, 1), rack="R9")
    with pytest.raises(InputError, match="R9"):
        layout_solids(Layout(length=10, width=10, goods=(good,)))


def test_an_empty_hall_has_a_floor_and_nothing_else():
    solids = layout_solids(Layout(length=10, width=10))
    assert solids.static.kind.tolist() == [PLANE]
    assert len(solids.loose) == 0
    assert solids.loose_pose.shape == (0, 7)
    assert solids.next_instance_id == 1
