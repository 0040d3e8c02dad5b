import math
import os
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import ndimage

from floorcast.common.config import config_hash, parse_model
from floorcast.common.errors import InputError
from floorcast.layouts.generator import LayoutRecipe, generate_layout
from floorcast.layouts.geometry import layout_solids
from floorcast.layouts.occupancy import loose_in_map
from floorcast.layouts.reachability import docking_pose
from floorcast.layouts.recipe import CHARGER_PITCH, feasible_plans, feasible_row_lengths
from floorcast.layouts.validation import check_layout

SEEDS = st.integers(0, 2**63)


def maybe(strategy):
    return st.none() | strategy


RECIPES = st.fixed_dictionaries(
    {
        "area": st.floats(math.log(100), math.log(1500)).map(math.exp).map(lambda a: min(1500.0, max(100.0, a))),
        "aspect": st.floats(0.5, 4),
        "row_direction": st.sampled_from(["any", "length", "width"]),
        "aisle_width": st.floats(1.6, 6),
        "cross_aisle_width": st.floats(1.8, 5),
        "bays_per_row": st.tuples(st.integers(1, 6), st.integers(6, 20)),
        "bay_width": st.floats(1.2, 4),
        "rack_depth": st.floats(0.6, 1.6),
        "levels": st.integers(1, 6),
        "level_height": st.floats(0.7, 3),
        "floor_level": st.booleans(),
        "fill": st.floats(0, 1),
        "loose_goods": maybe(st.integers(0, 80)),
        "docks": maybe(st.integers(1, 5)),
        "door_width": st.floats(1, 5),
        "pick_stations": maybe(st.integers(1, 30)),
        "drop_stations": maybe(st.integers(1, 8)),
        "conveyors": maybe(st.integers(0, 4)),
        "chargers": maybe(st.integers(0, 8)),
        "columns": st.booleans(),
        "column_spacing": st.floats(3, 20),
        "office": maybe(st.booleans()),
        "fire_wall": st.booleans(),
    }
)


@settings(max_examples=25, deadline=None)
@given(st.floats(100, 1500), st.floats(0.5, 4), SEEDS)
def test_every_area_and_shape_gives_a_valid_hall(area, aspect, seed):
    layout = generate_layout(LayoutRecipe(area=area, aspect=aspect), seed)
    assert check_layout(layout) == []
    assert layout.area == pytest.approx(area, rel=1e-4)
    assert max(layout.length / layout.width / aspect, aspect * layout.width / layout.length) < 1.001


@settings(max_examples=60, deadline=None)
@given(RECIPES, SEEDS)
def test_a_recipe_gives_a_valid_hall_or_a_reason(values, seed):
    try:
        recipe = LayoutRecipe(**values)
    except ValidationError as error:
        (problem,) = error.errors()
        assert any(word in problem["msg"] for word in ("fit", "need", "lower", "raise"))
        return
    layout = generate_layout(recipe, seed)
    assert check_layout(layout) == []
    kinds = Counter(station.kind for station in layout.stations)
    for asked, built in (
        (recipe.docks, len(layout.docks)),
        (recipe.conveyors, len(layout.conveyors)),
        (recipe.chargers, len(layout.chargers)),
        (recipe.pick_stations, kinds["pick"]),
        (recipe.drop_stations, kinds["drop"]),
    ):
        assert asked is None or asked == built
    assert kinds["pack"] == len(layout.conveyors)
    assert (
        min(aisle.width for aisle in layout.aisles if aisle.id.startswith("A")) >= min(recipe.aisle_width, 3.5) - 1e-4
    )
    if recipe.loose_goods is not None:
        assert sum(good.rack is None for good in layout.goods) <= recipe.loose_goods


@pytest.mark.parametrize(("area", "seed"), [(100.0, 0), (100.0, 1), (10_000.0, 0)])
def test_smallest_and_largest_hall(area, seed):
    start = time.process_time()
    layout = generate_layout(LayoutRecipe(area=area), seed)
    assert time.process_time() - start < 10.0
    assert check_layout(layout) == []
    assert {station.kind for station in layout.stations} >= {"pick", "drop"}


@pytest.mark.parametrize("seed", range(3))
def test_a_robot_reaches_everything_by_exact_distances(seed):
    """The same promise as ``check_layout`` makes, by other means: exact distances to rectangles on a 10 cm lattice."""
    radius = 0.56
    layout = generate_layout(LayoutRecipe(area=180.0, loose_goods=12, aisle_width=2.4), seed)
    solids = layout_solids(layout)
    xs, ys = np.arange(0.05, layout.length, 0.1), np.arange(0.05, layout.width, 0.1)
    points = np.stack(np.meshgrid(xs, ys), axis=-1)
    distance = np.minimum(points, (layout.length, layout.width) - points).min(axis=-1)
    for group in (solids.static, loose_in_map(solids)):
        for size, position, (_, _, sin, cos) in zip(group.size, group.position, group.quaternion, strict=True):
            if size[2] == 0.0 or position[2] - size[2] > 1.9 or position[2] + size[2] < 0.03:
                continue
            yaw = 2 * math.atan2(sin, cos)
            dx, dy = (points - position[:2])[..., 0], (points - position[:2])[..., 1]
            along = np.abs(math.cos(yaw) * dx + math.sin(yaw) * dy) - size[0]
            across = np.abs(math.cos(yaw) * dy - math.sin(yaw) * dx) - size[1]
            distance = np.minimum(distance, np.hypot(np.maximum(along, 0), np.maximum(across, 0)))
    regions, _ = ndimage.label(distance > radius)
    goals = [(station.x, station.y) for station in layout.stations]
    goals += [docking_pose(charger, radius)[:2] for charger in layout.chargers]
    found = set()
    for x, y in goals:
        near = np.hypot(points[..., 0] - x, points[..., 1] - y) < 0.1
        found.add(int(regions[near].max()))
    assert len(found) == 1
    assert found != {0}


def test_equal_seeds_give_equal_halls_and_others_do_not():
    recipe = LayoutRecipe(area=400.0)
    assert generate_layout(recipe, 0) == generate_layout(recipe, 0)
    hashes = {config_hash(generate_layout(recipe, seed)) for seed in range(5)}
    assert len(hashes) == 5


def test_another_process_builds_the_same_hall_without_drawing_libraries():
    code = (
        "import sys; from floorcast.layouts import LayoutRecipe, generate_layout, layout_solids;"
        "from floorcast.common.config import config_hash;"
        "layout = generate_layout(LayoutRecipe(area=150.0), 3); layout_solids(layout);"
        "assert not {'matplotlib', 'scipy', 'numba', 'pybullet', 'ray'} & set(sys.modules);"
        "print(config_hash(layout))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == config_hash(generate_layout(LayoutRecipe(area=150.0), 3))


@pytest.mark.parametrize("fill", [0.0, 0.37, 1.0])
@pytest.mark.parametrize("floor_level", [True, False])
def test_fill_is_met_to_the_position(fill, floor_level):
    recipe = LayoutRecipe(area=300.0, fill=fill, levels=3, floor_level=floor_level)
    layout = generate_layout(recipe, 5)
    bays = sum(rack.bays for rack in layout.racks)
    positions = bays * (3 + floor_level) * 3  # three pallets fit a bay of 2.7 m
    loads = {good.id.split(".")[0] for good in layout.goods if good.rack is not None}
    assert len(loads) == round(fill * positions)


def test_goods_vary_and_do_not_run_into_each_other():
    layout = generate_layout(LayoutRecipe(area=140.0, fill=1.0), 2)
    goods = [good for good in layout.goods if good.rack is not None]
    cartons = [good for good in goods if good.kind == "box"]
    assert len({carton.size for carton in cartons}) > 0.8 * len(cartons)
    assert len({carton.color for carton in cartons}) > 20
    assert {"pallet", "box", "small_load_carrier"} <= {good.kind for good in goods}
    steps = np.linspace(-0.495, 0.495, 9)
    lattice = np.stack(np.meshgrid(steps, steps, steps + 0.5), axis=-1).reshape(-1, 3)
    for good in goods:
        samples = lattice * good.size
        cos, sin = math.cos(good.yaw), math.sin(good.yaw)
        x, y = good.x + cos * samples[:, 0] - sin * samples[:, 1], good.y + sin * samples[:, 0] + cos * samples[:, 1]
        for other in goods:
            if other is good or math.dist((good.x, good.y, good.z), (other.x, other.y, other.z)) > 2.2:
                continue
            dx, dy, dz = x - other.x, y - other.y, good.z + samples[:, 2] - other.z
            c, s = math.cos(other.yaw), math.sin(other.yaw)
            inside = (np.abs(c * dx + s * dy) < 0.5 * other.size[0] - 1e-4) & (
                np.abs(c * dy - s * dx) < 0.5 * other.size[1] - 1e-4
            )
            assert not (inside & (dz > 1e-4) & (dz < other.size[2] - 1e-4)).any(), (good.id, other.id)


def test_every_load_rests_on_floor_deck_or_another_good():
    layout = generate_layout(LayoutRecipe(area=200.0), 4)
    racks = {rack.id: rack for rack in layout.racks}
    tops = {}
    for good in layout.goods:
        tops.setdefault(good.rack, []).append(good.z + good.size[2])
    for good in layout.goods:
        supports = [0.0] if good.rack is None else [0.0, *racks[good.rack].level_heights, *tops[good.rack]]
        assert min(abs(good.z - support) for support in supports) < 1e-3


def test_doors_face_the_hall_and_stations_face_their_doors():
    for seed in range(8):
        layout = generate_layout(LayoutRecipe(area=500.0), seed)
        for door in layout.docks:
            ahead = door.x + 2 * math.cos(door.yaw), door.y + 2 * math.sin(door.yaw)
            assert 0 < ahead[0] < layout.length
            assert 0 < ahead[1] < layout.width
        for station in layout.stations:
            if station.kind == "drop":
                door = min(layout.docks, key=lambda d: math.hypot(d.x - station.x, d.y - station.y))
                heading = math.atan2(door.y - station.y, door.x - station.x)
                assert math.cos(heading - station.yaw) > 0.999


def test_rows_are_cut_only_where_the_dock_zone_still_holds_what_was_asked():
    """The cut settles the depth of the dock zone: with some row lengths the chargers fit, with others they do not."""
    recipe = LayoutRecipe(area=1000.0, row_direction="length", bays_per_row=(1, 14), office=False)
    plans = {cap: feasible_plans(recipe, cap)[0] for cap in range(1, 15)}
    room = {cap: 1 + math.floor((plan.apron - 1.5) / CHARGER_PITCH) for cap, plan in plans.items()}
    most = 2 * max(room.values())
    assert len(set(room.values())) > 1
    tight = recipe.model_copy(update={"chargers": most})
    assert feasible_row_lengths(tight) == [cap for cap in room if 2 * room[cap] == most]
    for seed in range(6):
        assert len(generate_layout(tight, seed).chargers) == most


def test_a_thousand_square_metres_stay_within_the_primitive_budget():
    counts = [len(layout_solids(generate_layout(LayoutRecipe(area=1200.0), seed)).static) for seed in range(3)]
    assert all(2000 <= count <= 3300 for count in counts), counts


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"area": 99.0}, ["area", "100"]),
        ({"area": 10_001.0}, ["area", "10000"]),
        ({"area": math.nan}, ["area"]),
        ({"fill": 1.2}, ["fill"]),
        ({"bays_per_row": (9, 3)}, ["bays_per_row", "upside down"]),
        ({"area": 100.0, "aspect": 4.0, "aisle_width": 8.0}, ["aisle_width", "area"]),
        ({"area": 100.0, "aspect": 1.0, "cross_aisle_width": 10.0}, ["cross_aisle_width", "area"]),
        ({"area": 100.0, "docks": 40}, ["docks 40", "dock wall"]),
        ({"area": 100.0, "pick_stations": 500}, ["pick_stations 500", "only"]),
        ({"area": 100.0, "drop_stations": 500}, ["drop_stations 500", "only"]),
        ({"area": 100.0, "chargers": 100}, ["chargers 100", "only"]),
        ({"area": 120.0, "aspect": 1.0, "fire_wall": True, "row_direction": "length"}, ["long"]),
        ({"area": 100.0, "aspect": 1.0, "office": True, "row_direction": "length"}, ["office"]),
        ({"lvels": 3}, ["lvels", "levels"]),
    ],
)
def test_impossible_recipes_say_what_does_not_fit(values, words):
    with pytest.raises(InputError) as caught:
        parse_model(values, LayoutRecipe, source="hall.yaml")
    for word in (*words, "hall.yaml"):
        assert word in str(caught.value)
