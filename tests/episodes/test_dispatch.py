"""The dispatcher against robots that simply glide to their goals: what is served, booked, charged and handed back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from floorcast.episodes.dispatch import Dispatcher
from floorcast.episodes.hall import hall_of
from floorcast.episodes.inventory import Inventory, take_stock
from floorcast.episodes.orders import OrderRanges
from floorcast.layouts.generator import generate_layout
from floorcast.layouts.recipe import LayoutRecipe
from floorcast.robots.condition import H_OFF, H_SOC
from floorcast.robots.model import RobotModel

LAYOUT = generate_layout(LayoutRecipe(area=300, loose_goods=0, chargers=2), 5)
MODEL = RobotModel()
STEP = 0.5
SPEED = 1.5


class Batteries:
    """Stands in for the fleet's condition: charge falls and rises evenly."""

    def __init__(self, robots: int, soc: float) -> None:
        self.health = np.zeros((robots, 14))
        self.health[:, H_SOC] = soc
        self.plugged = np.zeros(robots, dtype=bool)

    def connect(self, robot: int, charging: bool) -> None:
        self.plugged[robot] = charging

    def advance(self, dt: float) -> None:
        self.health[:, H_SOC] += np.where(self.plugged, 4e-4, -1e-4) * dt
        self.health[:, H_OFF] = np.where(self.plugged, 0.0, self.health[:, H_SOC] <= 0.0)


class Floor:
    """Robots that glide straight to their goals, through everything."""

    def __init__(self, robots: int = 3, soc: float | None = None, **fields: object) -> None:
        self.batteries = Batteries(robots, soc) if soc is not None else None
        self.pose = np.column_stack([np.linspace(3, 8, robots), np.full(robots, 2.0), np.zeros(robots)])
        ground = hall_of(LAYOUT).ground(0.5 * MODEL.width)
        self.pose[:, :2] = [ground.centre(*ground.nearest_free(p[:2], reach=5.0)) for p in self.pose]
        ranges = OrderRanges.model_validate(fields)
        self.dispatcher = Dispatcher(
            ranges, LAYOUT, ground, [MODEL] * robots, self.pose, (0.3, 0.4), self.batteries, 0, 0
        )
        self.time = 0.0
        self.closed: tuple[str, ...] = ()

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP)):
            velocity = np.zeros((len(self.pose), 2))
            for robot in range(len(self.pose)):
                goal = self.dispatcher.goal(robot)
                if goal is None or self.dispatcher.holds(robot):
                    continue
                away = goal[:2] - self.pose[robot, :2]
                far = float(np.hypot(*away))
                if far < SPEED * STEP:
                    self.pose[robot] = goal
                else:
                    self.pose[robot, :2] += SPEED * STEP / far * away
                    velocity[robot, 0] = SPEED
            if self.batteries is not None:
                self.batteries.advance(STEP)
            self.time += STEP
            # A forklift that somebody drives stands behind the robots in every array.
            pose, velocity = np.vstack([self.pose, self.pose[:1]]), np.vstack([velocity, [[0.0, 0.0]]])
            self.dispatcher.advance(self.time, STEP, pose, velocity, self.closed)

    @property
    def stock(self) -> dict[str, int]:
        return self.dispatcher.floor().stock.by_kind()


def one(quantity: int, **fields: object) -> dict[str, object]:
    """An order for the article that lies first, and nothing else."""
    return {
        # The name of the first return that is injected, too.
        "replay": [{"time": 1.0, "order": "R00000", "sku": SKU, "quantity": quantity, **fields}],
        "replenishment": None,
    }


INVENTORY = take_stock(LAYOUT, 40, MODEL.max_payload, 12)
SKU = INVENTORY.skus[0]
HELD = sum(quantity for (_, sku), quantity in INVENTORY.opening.items() if sku == SKU)


def test_an_order_is_picked_from_the_oldest_slots_shipped_and_booked_move_by_move() -> None:
    floor = Floor(**one(3))
    told: list[tuple[str, int]] = []
    floor.dispatcher.on_delivery = lambda time, job, robot: told.append((job.sku, job.quantity))
    floor.run(600)
    assert {sku for sku, _ in told} == {SKU}
    assert sum(quantity for _, quantity in told) == 3
    moves = floor.dispatcher.warehouse.ledger.moves()
    assert floor.dispatcher.done
    assert floor.stock["shipped"] == 3
    by_reason = {why: sum(m.quantity for m in moves if m.why == why) for why in ("pick", "load", "unload", "ship")}
    assert by_reason == dict.fromkeys(by_reason, 3)
    oldest = sorted(place for (place, sku) in INVENTORY.opening if sku == SKU)
    assert moves[0].source == oldest[0]
    (order,) = floor.dispatcher.floor().orders
    assert order.name == "R00000"
    assert 0 < order.end_time - order.time < 600
    trips = floor.dispatcher.results()
    assert sum(trip.success for trip in trips) == len(trips) >= 1
    assert all(trip.path_length > 0 and trip.end_time > trip.pick_time > trip.start_time for trip in trips)


def test_what_is_not_in_stock_waits_until_it_comes_back() -> None:
    floor = Floor(**one(HELD + 2))
    floor.run(3000)
    assert floor.stock.get("shipped", 0) == 0, "an order is shipped whole"
    assert floor.stock["station"] == HELD
    floor.dispatcher.warehouse.stream.inject_returns(1, ((SKU, 2),))
    floor.run(900)
    assert floor.stock["shipped"] == HELD + 2
    order = next(o for o in floor.dispatcher.floor().orders if o.kind == "out")
    assert order.backordered == 2
    assert floor.dispatcher.floor().stock.conserved()


@pytest.mark.parametrize(("replenishment", "load"), [(None, 1), ({"below": 0, "quantity": 2}, 2)])
def test_what_comes_back_is_cut_so_that_every_load_fits_an_empty_position(
    replenishment: dict[str, int] | None, load: int
) -> None:
    floor = Floor(**one(5, kind="return") | {"replenishment": replenishment})
    floor.run(1200)
    puts = [m.quantity for m in floor.dispatcher.warehouse.ledger.moves() if m.why == "put away"]
    assert sum(puts) == 5
    assert max(puts) == load
    assert floor.dispatcher.done


def test_returns_that_have_no_room_keep_nothing_else_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    held = {place for place, _ in INVENTORY.opening}

    def full_house(*given: object) -> Inventory:
        stock = take_stock(*given)
        return replace(stock, places={name: place for name, place in stock.places.items() if name in held})

    monkeypatch.setattr("floorcast.episodes.dispatch.take_stock", full_house)
    lines = [
        {"time": 1.0, "order": f"B{k}", "sku": SKU, "quantity": 1, "kind": "return", "due": 10.0} for k in range(250)
    ]
    lines.append({"time": 2.0, "order": "A", "sku": SKU, "quantity": 1})
    floor = Floor(replay=lines, replenishment=None)
    floor.run(300)
    assert floor.stock["shipped"] == 1
    puts = [m for m in floor.dispatcher.warehouse.ledger.moves() if m.why == "put away"]
    assert len(puts) == 1, "what was shipped has made room for one"
    assert len(floor.dispatcher.warehouse.waiting) == 249


def test_low_batteries_charge_and_the_day_goes_on() -> None:
    floor = Floor(soc=0.5, rate=60)
    lowest, seen = 1.0, set()
    for _ in range(60):
        floor.run(60)
        lowest = min(lowest, float(floor.batteries.health[:, H_SOC].min()))
        docked = [c.charger for c in floor.dispatcher.carriers if c.mode == "charge"]
        assert len(set(docked)) == len(docked)
        assert [bool(floor.batteries.plugged[c.robot]) for c in floor.dispatcher.carriers] == [
            c.mode == "charge" for c in floor.dispatcher.carriers
        ]
        seen |= {c.robot for c in floor.dispatcher.carriers if c.mode == "charge"}
    result = floor.dispatcher.floor()
    assert len(seen) >= 2
    assert lowest > 0.1, "nobody ran out"
    assert result.charging_s.sum() > 300
    assert sum(o.end_time == o.end_time for o in result.orders if o.kind == "out") > 25
    assert result.stock.conserved()


def test_a_charger_that_fails_charges_nobody_until_every_reason_is_gone() -> None:
    floor = Floor(robots=1, soc=0.4, rate=0)
    floor.run(60)
    (carrier,) = floor.dispatcher.carriers
    first = LAYOUT.chargers[carrier.charger].id
    for reason in ("fuse", "cable"):
        for charger in LAYOUT.chargers:
            floor.dispatcher.take_out("charger", charger.id, floor.time, reason)
    assert not floor.batteries.plugged[0]
    floor.dispatcher.give_back("charger", first, floor.time, "fuse")
    floor.run(60)
    assert carrier.mode != "charge"
    floor.dispatcher.give_back("charger", first, floor.time, "cable")
    floor.run(60)
    assert carrier.mode == "charge"
    assert LAYOUT.chargers[carrier.charger].id == first


def test_a_robot_whose_battery_is_empty_hands_its_job_back_and_is_rescued() -> None:
    floor = Floor(robots=2, soc=0.9, rate=60, charging={"rescue": 300})
    while not any(carrier.mode == "bring" for carrier in floor.dispatcher.carriers):
        floor.run(1)
    loaded = next(carrier for carrier in floor.dispatcher.carriers if carrier.mode == "bring")
    floor.batteries.health[loaded.robot, H_SOC] = 0.0
    floor.run(5)
    assert loaded.mode == "out_of_service"
    held = floor.stock["robot"]
    assert held > 0, "its load stays on board"
    place = floor.pose[loaded.robot].copy()
    floor.run(290)
    assert np.array_equal(floor.pose[loaded.robot], place)
    floor.run(2400)
    assert loaded.mode != "out_of_service"
    assert floor.dispatcher.floor().stock.conserved()
    puts = [m for m in floor.dispatcher.warehouse.ledger.moves() if m.why == "put away"]
    assert sum(m.quantity for m in puts) >= held, "what it had on board was put away"


def test_stations_and_robots_out_of_service_get_no_work() -> None:
    floor = Floor(robots=2, rate=90)
    drops = [s.id for s in LAYOUT.stations if s.kind != "pick"]
    floor.closed = tuple(drops[1:])
    floor.dispatcher.take_out("robot", "1", 0.0)
    floor.run(1800)
    results = floor.dispatcher.results()
    assert len(results) > 10
    assert {trip.robot for trip in results} == {0}
    outward = [
        m.target for m in floor.dispatcher.warehouse.ledger.moves() if m.why == "unload" and "SP" not in m.target
    ]
    assert set(outward) == {f"station:{drops[0]}"}
    floor.closed = ()
    floor.dispatcher.give_back("robot", "1", floor.time)
    floor.run(900)
    assert {trip.robot for trip in floor.dispatcher.results()} == {0, 1}


@pytest.mark.parametrize("seed", range(2))
def test_no_carton_is_lost_whatever_breaks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    floor = Floor(robots=3, soc=0.6, rate=80, returns=0.3, charging={"rescue": 120})
    total = sum(INVENTORY.opening.values())
    out: set[int] = set()
    for _ in range(60):
        floor.run(60)
        robot = int(rng.integers(3))
        if robot in out:
            floor.dispatcher.give_back("robot", str(robot), floor.time)
            out.discard(robot)
        elif rng.random() < 0.3:
            floor.dispatcher.take_out("robot", str(robot), floor.time)
            out.add(robot)
        elif rng.random() < 0.2:
            floor.dispatcher.lose_load(robot, floor.time)
        elif rng.random() < 0.1:
            floor.batteries.health[robot, H_SOC] = 0.0
        elif rng.random() < 0.1:
            floor.dispatcher.inject_returns(2)
        on_board = [c.job.quantity if c.on_board else 0 for c in floor.dispatcher.carriers]
        for carrier, quantity in zip(floor.dispatcher.carriers, on_board, strict=True):
            held = floor.dispatcher.warehouse.ledger.contents(f"robot:{carrier.robot}")
            assert sum(n for _, n in held) == quantity
    assert floor.dispatcher.warehouse.ledger.conserved()
    stock = floor.stock
    assert sum(n for kind, n in stock.items() if kind != "outside") == total - stock["outside"]
    assert stock["shipped"] > 30
