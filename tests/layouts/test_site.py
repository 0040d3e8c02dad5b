import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from floorcast.common.config import config_hash
from floorcast.common.errors import InputError
from floorcast.episodes.scenario import load_scenario
from floorcast.layouts.directions import against, rules_of_the_road
from floorcast.layouts.generator import LayoutRecipe, generate_layout
from floorcast.layouts.headings import ANY_WAY, OFF_LANES, heading_angle
from floorcast.layouts.loads import pallet_places, rack_slots
from floorcast.layouts.model import Aisle, Lane, Layout, Waypoint
from floorcast.layouts.recipe import site_recipe
from floorcast.layouts.validation import check_layout, require_valid

ZONES = st.fixed_dictionaries(
    {
        "main_aisle_width": st.floats(2.4, 5),
        "pick_share": st.floats(0.05, 0.6),
        "pick_aisle_width": st.floats(1.6, 4),
        "shelf_depth": st.floats(0.3, 1.2),
        "shelf_levels": st.integers(1, 7),
        "shelf_level_height": st.floats(0.25, 1),
        "packing_lanes": st.none() | st.integers(1, 3),
    }
)
RECIPES = st.fixed_dictionaries(
    {
        "area": st.floats(400, 900),
        "aspect": st.floats(0.6, 3),
        "aisle_width": st.floats(1.6, 4),
        "cross_aisle_width": st.floats(1.8, 4),
        "bay_width": st.floats(1.2, 3.6),
        "rack_depth": st.floats(0.6, 1.5),
        "levels": st.integers(1, 3),
        "level_height": st.floats(0.7, 2.5),
        "fill": st.floats(0, 1),
        "door_width": st.floats(1, 5),
        "docks": st.none() | st.integers(1, 4),
        "chargers": st.none() | st.integers(0, 6),
        "pick_stations": st.none() | st.integers(1, 30),
        "loose_goods": st.none() | st.integers(0, 20),
        "zones": ZONES,
    }
)


HASHES = ("d2f0f51b2e510838", "1f7806fbb61bfddb")


def crossing(a: Aisle, b: Aisle) -> tuple[float, float] | None:
    """Where two axis-parallel centre lines meet, if they do, as shares of their lengths."""
    if (abs(a.start[0] - a.end[0]) < 1e-6) == (abs(b.start[0] - b.end[0]) < 1e-6):
        return None
    at = (a.start[0], b.start[1]) if abs(a.start[0] - a.end[0]) < 1e-6 else (b.start[0], a.start[1])
    shares = []
    for line in (a, b):
        length = math.dist(line.start, line.end)
        ex, ey = (line.end[0] - line.start[0]) / length, (line.end[1] - line.start[1]) / length
        share = ((at[0] - line.start[0]) * ex + (at[1] - line.start[1]) * ey) / length
        # Lines may end within the width of the one that they run into.
        if not -0.6 * 5.0 / length <= share <= 1 + 0.6 * 5.0 / length:
            return None
        shares.append(share)
    return shares[0], shares[1]


def all_reach_all(layout: Layout) -> bool:
    """Whether the network of aisle centre lines is strongly connected; by its crossings, not by any grid."""
    on: dict[str, list[tuple[float, int]]] = {aisle.id: [] for aisle in layout.aisles}
    count = 0
    for a, b in itertools.combinations(layout.aisles, 2):
        found = crossing(a, b)
        if found is not None:
            on[a.id].append((found[0], count))
            on[b.id].append((found[1], count))
            count += 1
    ways: dict[int, set[int]] = {node: set() for node in range(count)}
    for aisle in layout.aisles:
        order = [node for _, node in sorted(on[aisle.id])]
        assert order, f"{aisle.id} meets no other aisle"
        for first, second in itertools.pairwise(order):
            ways[first].add(second)
            if not aisle.one_way:
                ways[second].add(first)
    back: dict[int, set[int]] = {node: {a for a in ways if node in ways[a]} for node in ways}
    for graph in (ways, back):
        seen, waiting = {0}, [0]
        while waiting:
            fresh = graph[waiting.pop()] - seen
            seen |= fresh
            waiting += fresh
        if len(seen) < count:
            return False
    return True


@settings(max_examples=8, deadline=None)
@given(RECIPES, st.integers(0, 2**63))
def test_a_site_is_valid_and_every_aisle_reaches_every_other_or_a_reason_is_given(values, seed):
    try:
        recipe = LayoutRecipe(**values)
    except ValidationError as error:
        (problem,) = error.errors()
        assert any(word in problem["msg"] for word in ("fit", "need", "lower", "raise"))
        return
    layout = generate_layout(recipe, seed)
    assert check_layout(layout) == []
    assert all_reach_all(layout)
    kinds = Counter(zone.kind for zone in layout.zones)
    assert kinds["staging"] == len(layout.docks)
    assert {"bulk", "pick", "packing", "docks"} <= set(kinds)
    assert recipe.docks in (None, len(layout.docks))
    assert recipe.chargers in (None, len(layout.chargers))
    for station in layout.stations:
        if station.kind == "pick":
            # Stations at one-way aisles head the way that is driven.
            assert any(
                aisle.one_way == (math.cos(heading(aisle) - station.yaw) > 0.999)
                for aisle in layout.aisles
                if distance(aisle, station) <= 0.5 * aisle.width
            )


def heading(aisle: Aisle) -> float:
    return math.atan2(aisle.end[1] - aisle.start[1], aisle.end[0] - aisle.start[0])


def distance(aisle: Aisle, place) -> float:
    dx, dy, yaw = place.x - aisle.start[0], place.y - aisle.start[1], heading(aisle)
    along = math.cos(yaw) * dx + math.sin(yaw) * dy
    if not 0 <= along <= math.dist(aisle.start, aisle.end):
        return math.inf
    return abs(math.cos(yaw) * dy - math.sin(yaw) * dx)


@pytest.mark.slow
@pytest.mark.parametrize("area", [100.0, 200.0, 500.0, 1000.0, 3000.0])
def test_one_way_halls_of_all_sizes(area):
    """At 100 and 200 m^2 a single area, above that zones."""
    zones = {"main_aisle_width": 3.0} if area >= 500 else None
    layout = generate_layout(LayoutRecipe(area=area, zones=zones, one_way=True, levels=2, fill=0.5), 1)
    assert check_layout(layout) == []
    assert all_reach_all(layout) or zones is None
    assert area < 500 or any(aisle.one_way for aisle in layout.aisles)


@pytest.mark.slow
def test_ten_thousand_square_metres_hold_twenty_thousand_pallets():
    recipe = site_recipe()
    layout = generate_layout(recipe, 3)
    assert layout.area == pytest.approx(10_000, rel=1e-4)
    assert pallet_places(layout.racks) >= 20_000
    bulk = [rack for rack in layout.racks if rack.depth == recipe.rack_depth]
    slots = [slot for rack in bulk for slot in rack_slots(rack, recipe.level_height)]
    assert len(slots) == pallet_places(layout.racks)
    loads = {good.id.split(".")[0] for good in layout.goods if good.rack in {rack.id for rack in bulk}}
    assert len(loads) == round(recipe.fill * len(slots))
    # Fast movers, low and near the docks, are taken less often than slow ones at the top.
    level = Counter(int(name.rsplit("-", 2)[1]) for name in loads)
    assert level[0] < 0.9 * level[recipe.levels]
    kinds = Counter(good.kind for good in layout.goods)
    assert all(kinds[kind] > 100 for kind in ("box", "pallet", "small_load_carrier", "stillage", "crate"))
    sizes = {good.size for good in layout.goods if good.kind == "box"}
    assert len(sizes) > 10_000
    assert check_layout(layout) == []
    assert all_reach_all(layout)


def test_halls_and_scenarios_without_zones_keep_their_hashes():
    """Those of the releases before there were zones, one-way aisles and sites."""
    assert config_hash(generate_layout(LayoutRecipe(area=150.0), 3)) == HASHES[0]
    assert config_hash(load_scenario("nominal")) == HASHES[1]
    layout = generate_layout(LayoutRecipe(area=150.0), 3)
    assert "zones" not in layout.model_dump()


def test_one_way_that_leads_nowhere_is_found():
    layout = generate_layout(LayoutRecipe(area=500.0, zones={"main_aisle_width": 3.0}, fill=0.0, levels=1), 0)
    same = [
        aisle.model_copy(update={"start": min(aisle.start, aisle.end), "end": max(aisle.start, aisle.end)})
        if aisle.one_way
        else aisle
        for aisle in layout.aisles
    ]
    trap = layout.model_copy(update={"aisles": tuple(same)})
    assert not all_reach_all(trap)
    problems = check_layout(trap)
    assert problems
    assert all("against a one-way aisle" in problem.message for problem in problems)
    with pytest.raises(InputError, match="two-way"):
        require_valid(trap, "trap")


def test_rules_hold_between_crossings_only():
    layout = Layout(
        length=20.0,
        width=10.0,
        aisles=(
            Aisle(id="A1", start=(18.0, 5.0), end=(2.0, 5.0), width=2.0, one_way=True),
            Aisle(id="X1", start=(6.0, 1.0), end=(6.0, 9.0), width=3.0),
        ),
    )
    rules = rules_of_the_road(layout, (100, 200), 0.1, np.zeros(2))
    assert rules is not None
    assert rules.speed is None

    def at(x: float, y: float) -> int:
        return int(rules.heading[int(y / 0.1), int(x / 0.1)])

    assert heading_angle(at(10.0, 5.0)) == pytest.approx(math.pi)
    assert heading_angle(at(10.0, 5.9)) == pytest.approx(math.pi)
    assert [at(6.0, 5.0), at(7.4, 5.0), at(10.0, 6.2), at(1.0, 5.0)] == [ANY_WAY] * 4
    assert against(rules.heading, 1.0, 0.0)[50, 100]
    assert not against(rules.heading, -1.0, 0.0)[50, 100]
    assert not against(rules.heading, 0.0, 1.0)[50, 100]


def test_lanes_rule_a_strip_and_limit_speed():
    layout = Layout(
        length=20.0,
        width=10.0,
        waypoints=(Waypoint(id="a", x=2.0, y=5.0), Waypoint(id="b", x=18.0, y=5.0), Waypoint(id="c", x=18.0, y=1.0)),
        lanes=(
            Lane(id="ab", start="a", end="b", one_way=True, max_speed=0.4),
            Lane(id="bc", start="b", end="c"),
            Lane(id="lost", start="b", end="nowhere"),
        ),
    )
    rules = rules_of_the_road(layout, (100, 200), 0.1, np.zeros(2))
    assert rules is not None
    assert rules.speed is not None
    heading, speed = rules.heading, rules.speed
    assert heading_angle(int(heading[50, 100])) == pytest.approx(0.0)
    assert (heading[50, 20], heading[50, 180], heading[30, 180]) == (ANY_WAY, ANY_WAY, ANY_WAY)
    assert heading[60, 100] == OFF_LANES
    assert speed[50, 100] == pytest.approx(0.4)
    assert np.isinf(speed[30, 180])
