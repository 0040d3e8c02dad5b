"""The dispatcher: gives jobs to robots, sends them to stations, chargers and parking places, and keeps them apart.

Once a second it looks at everything: new orders, stations that have become free, batteries, robots that block each
other. A job goes to the nearest robot that is free, the most urgent job first; of two robots equally near the one with
the lower index. A station serves one robot at a time, and an aisle has business for as many as fit side by side. Who
has nothing to do goes to a charger if its battery is low enough, or parks where it is in nobody's way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..common.errors import InputError
from ..layouts.model import Charger, Layout, Station
from ..robots.condition import H_OFF, H_SOC, FleetCondition
from ..robots.model import RobotModel
from .carriers import Carrier, Job, is_at, stands
from .inventory import take_stock
from .orders import OrderRanges
from .record import Event, FloorResult, TaskResult
from .routes import FloatArray, Ground
from .traffic import TrafficWatch, Ways, aisle_at, aisle_room, find_refuges
from .warehouse import Warehouse

LOOK_PERIOD = 1.0
"""Between two looks at the whole floor [s]."""
WATCH_PERIOD = 0.3
"""Between two looks at who drives towards whom [s]."""
_DOCK_GAP = 0.2
"""Between a charger and the robot that is docked at it [m]."""
_RESCUED = 0.3
"""A mobile charger charges a robot up to this state of charge, and to no less than it needs to take tasks."""
_JOBS_LOOKED_AT = 200
"""In a look at most, of those that could begin now: what cannot begin hides nothing behind it."""

Part = Literal["robot", "station", "charger"]


class Dispatcher:
    """The floor of an episode with orders.

    Args:
        ranges: of the scenario.
        layout: the hall. ground: where any robot's centre may be.
        models: of the robots; loads and gaps are such that every one of them can do every job.
        start: (R, 3) where they begin.
        tolerance: distance [m] and angle [rad] that count as reached, judged on the true pose.
        condition: of the robots; None: no batteries, so nobody charges.
        seed, index: the episode.

    Raises:
        InputError: no station, or no stock, that orders could be served from.
    """

    def __init__(
        self,
        ranges: OrderRanges,
        layout: Layout,
        ground: Ground,
        models: Sequence[RobotModel],
        start: FloatArray,
        tolerance: tuple[float, float],
        condition: FleetCondition | None,
        seed: int,
        index: int,
    ) -> None:
        self._ranges, self._layout = ranges, layout
        self._width, self._length = max(m.width for m in models), max(m.length for m in models)
        radius, payload = max(m.radius for m in models), min(m.max_payload for m in models)
        self._tolerance, self._condition = tolerance, condition
        capacity = ranges.replenishment.quantity if ranges.replenishment is not None else 1
        inventory = take_stock(layout, ranges.skus, payload, capacity)
        self._places = inventory.places
        self.warehouse = Warehouse(ranges, inventory, payload, seed, index)
        self._ways = Ways(ground)
        self._picks, self._drops = self._stations(start)
        # Goods come in through the stations nearest to the doors.
        self._gates = [s for s in self._drops if s.kind == "drop"] or self._drops
        self._nearest: dict[str, list[Station]] = {}
        self._docks = self._charger_docks()
        places = [_pose(s) for s in (*self._picks, *self._drops)] + [d for d in self._docks if d is not None]
        refuges = find_refuges(self._ways, places, radius, 2 * len(start) + 4)
        self._traffic = TrafficWatch(refuges, radius)
        homes = [refuges[r].copy() if r < len(refuges) else start[r].copy() for r in range(len(start))]
        self.carriers = [Carrier(r, homes[r], start[r].copy()) for r in range(len(start))]
        self._aisle = {s.id: aisle_at(layout.aisles, _pose(s)) for s in (*self._picks, *self._drops)}
        self._holder: dict[str, int] = {}
        self._plug: dict[int, int] = {}
        self._closed: dict[tuple[Part, str], set[str]] = {}
        self._shut: frozenset[str] = frozenset()
        self._empty_since: dict[int, float] = {}
        self._next_look = self._next_watch = self._time = 0.0
        self._lost: list[Event] = []
        self.tasks: list[TaskResult] = []
        """Finished trips."""
        self.on_delivery: Callable[[float, Job, int], None] | None = None
        """Called after every handover at the end of a trip with the time [s], the trip and the robot."""

    @property
    def done(self) -> bool:
        """Whether a replayed file is at its end and everything has been served."""
        return self.warehouse.settled and all(carrier.job is None for carrier in self.carriers)

    @property
    def carrying(self) -> NDArray[np.bool_]:
        """(R,) whether a robot has a load on board."""
        return np.array([carrier.on_board for carrier in self.carriers], dtype=np.bool_)

    def goal(self, robot: int) -> FloatArray | None:
        """Return the pose (3,) to drive to; None where a robot is to stand: at a handover, parked, out of service."""
        return self.carriers[robot].goal

    def holds(self, robot: int) -> bool:
        """Return whether a robot has to stand, or to let another one pass."""
        carrier = self.carriers[robot]
        return carrier.goal is None or carrier.progress.held(self._time)

    def payload(self, robot: int) -> float:
        """Return the load on board [kg]."""
        return self.carriers[robot].payload

    def open(self, robot: int) -> bool:
        """Return False: orders go on coming, so that an episode with work left has not failed."""
        return False

    def results(self) -> list[TaskResult]:
        """Return the finished trips, in the order of their ends."""
        return list(self.tasks)

    def again(self, pose: FloatArray) -> Dispatcher:
        """Return the dispatcher itself: it goes on."""
        return self

    def advance(
        self, time: float, period: float, pose: FloatArray, velocity: FloatArray, closed: Sequence[str] = ()
    ) -> list[Event]:
        """Follow the robots for a control step.

        Args:
            time: now [s]. period: since the last call [s].
            pose: (R, 3) true x, y [m], yaw [rad]; velocity: (R, 2) true v [m/s], omega [rad/s].
            closed: ids of stations that serve nobody now: a handover there waits, and nobody else is sent.

        Returns:
            goal_reached, pick and drop events of this moment.
        """
        events, self._lost = self._lost, []
        # Machines that others drive come after the robots, and are none of this desk's.
        pose, velocity = pose[: len(self.carriers)], velocity[: len(self.carriers)]
        self._shut = frozenset(closed)
        for carrier in self.carriers:
            here, speed = pose[carrier.robot], velocity[carrier.robot]
            carrier.move(here)
            carrier.progress.note(time, here, carrier.goal is not None)
            if carrier.mode == "charge":
                carrier.charging_s += period
            if not carrier.failed:
                self._follow(carrier, time, period, here, speed, events)
        self._time = time
        if time >= self._next_watch - 1e-9:
            self._next_watch = time + WATCH_PERIOD
            driving, rank = self._driving(), self._rank()
            progress = [carrier.progress for carrier in self.carriers]
            self._traffic.keep_apart(time, pose, velocity, progress, driving, rank)
        if time >= self._next_look - 1e-9:
            self._next_look += LOOK_PERIOD
            self._look(time, pose)
        return events

    def demand(self, factor: float) -> None:
        """Multiply the rate of orders by a factor from now on; 1 ends that."""
        self.warehouse.stream.factor = factor

    def inject_returns(self, count: int) -> None:
        """Let so many orders that bring goods back come in now."""
        self.warehouse.stream.inject_returns(count)

    def take_out(self, part: Part, name: str, time: float, why: str = "disturbance") -> None:
        """Take a robot, a station or a charger (by index or id) out of service.

        A robot hands its job back; with a load on board that stays there, and the order is served from other stock. A
        robot on its way to a station that closes finishes there, and nobody else is sent; one at a charger looks for
        another. Several reasons add up.
        """
        if part != "robot":
            self._closed.setdefault((part, name), set()).add(why)
            for carrier in self.carriers if part == "charger" else ():
                if carrier.charger is not None and self._layout.chargers[carrier.charger].id == name:
                    self._leave_charger(carrier)
                    carrier.send("idle", None)
            return
        carrier = self.carriers[int(name)]
        if not carrier.failed:
            self._fail(carrier, time)
        carrier.failed.add(why)

    def give_back(self, part: Part, name: str, time: float, why: str = "disturbance") -> None:
        """Put something that was taken out for this reason back into service; a robot puts away what it carries."""
        if part != "robot":
            reasons = self._closed.get((part, name), set())
            reasons.discard(why)
            if not reasons:
                self._closed.pop((part, name), None)
            return
        carrier = self.carriers[int(name)]
        carrier.failed.discard(why)
        if not carrier.failed:
            carrier.progress.resume(time)
            carrier.send("wait" if carrier.on_board else "idle", None)

    def lose_load(self, robot: int, time: float, why: str = "dropped") -> bool:
        """Book what a robot has on board as lost, which the next ``advance`` tells as a drop; returns whether there was
        anything."""
        carrier = self.carriers[robot]
        job = carrier.job
        if job is None or not carrier.on_board:
            return False
        self.warehouse.quarantine(time, job, robot, why)
        x, y = (float(value) for value in carrier.place[:2])
        self._lost.append(Event(time, "drop", robot, why, "lost", position=(x, y)))
        self._release(carrier)
        carrier.job, carrier.on_board = None, False
        carrier.send("idle", None)
        return True

    def floor(self) -> FloorResult:
        """Return orders and stock as they stand."""
        return FloorResult(
            orders=[*self.warehouse.results, *self.warehouse.unfinished()],
            stock=self.warehouse.ledger.table(),
            charging_s=np.array([carrier.charging_s for carrier in self.carriers]),
            deadlocks=self._traffic.deadlocks,
            withdrawals=self._traffic.withdrawals,
            skipped=dict(self._ranges.skipped),
        )

    # What a robot does between two looks.

    def _follow(
        self, carrier: Carrier, time: float, dt: float, pose: FloatArray, velocity: FloatArray, events: list[Event]
    ) -> None:
        progress = carrier.progress
        if progress.detour is not None:
            if time >= progress.until and progress.resting:
                progress.resume(time)
            elif not progress.resting and (
                time >= progress.until or math.hypot(*(pose[:2] - progress.detour[:2])) < 2 * self._tolerance[0]
            ):
                progress.rest(time)
            return
        target, job = carrier.target, carrier.job
        if target is not None:
            if stands(velocity) and is_at(pose, target, self._tolerance):
                self._arrive(carrier, time, pose, events)
        elif carrier.mode in ("load", "unload") and job is not None:
            station = job.source if carrier.mode == "load" else job.target
            assert station is not None
            if not is_at(pose, _pose(station), self._tolerance):
                # It was pushed off before the handover was over: the goal stands again.
                carrier.send("fetch" if carrier.mode == "load" else "bring", _pose(station))
            elif stands(velocity) and station.id not in self._shut:
                carrier.left -= dt
                if carrier.left <= 1e-9:
                    (self._loaded if carrier.mode == "load" else self._unloaded)(carrier, job, time, pose, events)

    def _arrive(self, carrier: Carrier, time: float, pose: FloatArray, events: list[Event]) -> None:
        job = carrier.job
        if carrier.mode in ("fetch", "bring") and job is not None:
            station = job.source if carrier.mode == "fetch" else job.target
            assert station is not None
            events.append(_event(time, "goal_reached", carrier.robot, station.id, pose))
            if carrier.mode == "fetch":
                self.warehouse.begin_handover(time, job)
            carrier.left = job.handover[0 if carrier.mode == "fetch" else 1]
            carrier.send("load" if carrier.mode == "fetch" else "unload", None)
        elif carrier.mode == "to_charger":
            carrier.send("charge", None)
            self._connect(carrier, True)
        elif carrier.mode == "wait":
            carrier.target = None
        else:
            carrier.send("idle", None)

    def _loaded(self, carrier: Carrier, job: Job, time: float, pose: FloatArray, events: list[Event]) -> None:
        assert job.source is not None
        self.warehouse.load(time, job, carrier.robot)
        events.append(_event(time, "pick", carrier.robot, job.source.id, pose))
        job.loaded, carrier.on_board = time, True
        self._release(carrier)
        carrier.send("wait", None)
        self._next_look = min(self._next_look, time)

    def _unloaded(self, carrier: Carrier, job: Job, time: float, pose: FloatArray, events: list[Event]) -> None:
        assert job.target is not None
        self.warehouse.unload(time, job, carrier.robot)
        events.append(_event(time, "drop", carrier.robot, job.target.id, pose))
        self.tasks.append(
            TaskResult(
                robot=carrier.robot,
                pick_station=job.source.id if job.source is not None else "",
                drop_station=job.target.id,
                start_time=job.started,
                pick_time=job.loaded,
                end_time=time,
                path_length=carrier.driven,
                shortest_length=job.shortest,
                success=True,
            )
        )
        self._release(carrier)
        carrier.job, carrier.on_board = None, False
        carrier.send("idle", None)
        if self.on_delivery is not None:
            self.on_delivery(time, job, carrier.robot)
        self._next_look = min(self._next_look, time)

    # Looks at the whole floor.

    def _look(self, time: float, pose: FloatArray) -> None:
        self._next_look = max(self._next_look, time)
        self.warehouse.receive(time)
        self._mind_batteries(time)
        for carrier in self.carriers:
            if carrier.mode == "wait" and not carrier.failed and carrier.job is not None:
                self._find_target(carrier, carrier.job)
        self._assign(time)
        for carrier in self.carriers:
            if carrier.mode in ("idle", "wait") and not carrier.failed and carrier.target is None:
                self._rest(carrier)
        self._traffic.look(
            time,
            pose,
            [carrier.progress for carrier in self.carriers],
            self._driving(),
            self._rank(),
        )

    def _driving(self) -> list[bool]:
        return [carrier.goal is not None for carrier in self.carriers]

    def _rank(self) -> list[int]:
        """Return who goes first: robots with a load, and those that need a charger."""
        return [carrier.on_board + (carrier.mode == "to_charger") for carrier in self.carriers]

    def _assign(self, time: float) -> None:
        """Give jobs to robots that have none."""
        free = [carrier for carrier in self.carriers if self._takes_jobs(carrier)]
        open_stations = self._open_stations() if free else set()
        looked_at = 0
        for job in self.warehouse.waiting if free else ():
            if not free or not open_stations or looked_at == _JOBS_LOOKED_AT:
                return
            source = self._source(job, open_stations)
            if source is None:
                continue
            looked_at += 1
            ways = [self._ways.length(carrier.place, _pose(source)) for carrier in free]
            nearest = int(np.argmin(ways))
            if not math.isfinite(ways[nearest]):
                continue
            carrier = free.pop(nearest)
            self.warehouse.take(job)
            self._leave_charger(carrier)
            self._hold(carrier, source)
            open_stations = self._open_stations()
            job.source, job.started, job.shortest = source, time, ways[nearest]
            carrier.job, carrier.driven = job, 0.0
            carrier.send("fetch", _pose(source))

    def _takes_jobs(self, carrier: Carrier) -> bool:
        if carrier.failed or carrier.job is not None or carrier.progress.detour is not None:
            return False
        rules, soc = self._ranges.charging, self._soc(carrier.robot)
        if carrier.mode in ("to_charger", "charge"):
            return soc >= min(rules.until, rules.below + 0.2)
        return soc >= rules.below or not self._can_charge

    def _source(self, job: Job, open_stations: set[str]) -> Station | None:
        """Return the station that a job can be taken up at now; None if there is none free, or no room for the goods.

        Args:
            open_stations: ids of those that are free.
        """
        if not job.inward:
            return next((s for s in self._stations_near(job.slot)[:2] if s.id in open_stations), None)
        gate = next((s for s in self._gates if s.id in open_stations), None)
        if gate is None or (not job.slot and self.warehouse.find_room(job, gate.x, gate.y) is None):
            return None
        return gate

    def _find_target(self, carrier: Carrier, job: Job) -> None:
        """Send a loaded robot on to the nearest station that is free for it."""
        if not job.inward:
            options = [s for s in self._drops if self._is_free(s)]
        else:
            if not job.slot and self.warehouse.find_room(job, carrier.place[0], carrier.place[1]) is None:
                return
            options = [s for s in self._stations_near(job.slot)[:2] if self._is_free(s)][:1]
        ways = [self._ways.length(carrier.place, _pose(s)) for s in options]
        if not options or not math.isfinite(min(ways)):
            return
        station = options[int(np.argmin(ways))]
        job.shortest += self._ways.length(
            _pose(job.source) if job.source is not None else carrier.place, _pose(station)
        )
        job.target = station
        self._hold(carrier, station)
        carrier.send("bring", _pose(station))

    def _rest(self, carrier: Carrier) -> None:
        """Send a robot that has nothing to do to a charger, or to where it parks."""
        rules = self._ranges.charging
        if carrier.mode == "idle":
            soc = self._soc(carrier.robot)
            if soc < rules.idle_below or soc < rules.below:
                dock = self._free_charger(carrier)
                if dock is not None:
                    self._plug[dock] = carrier.robot
                    carrier.charger = dock
                    target = self._docks[dock]
                    assert target is not None
                    carrier.send("to_charger", target)
                    return
        if math.hypot(*(carrier.place[:2] - carrier.home[:2])) > 2 * self._tolerance[0]:
            carrier.send("wait" if carrier.mode == "wait" else "park", carrier.home)

    # Batteries and failures.

    @property
    def _can_charge(self) -> bool:
        return self._condition is not None and any(dock is not None for dock in self._docks)

    def _soc(self, robot: int) -> float:
        return 1.0 if self._condition is None else float(self._condition.health[robot, H_SOC])

    def _mind_batteries(self, time: float) -> None:
        if self._condition is None:
            return
        rules = self._ranges.charging
        for carrier in self.carriers:
            robot, soc = carrier.robot, self._soc(carrier.robot)
            if carrier.mode == "charge" and soc >= rules.until:
                self._leave_charger(carrier)
                carrier.send("idle", None)
            if self._condition.health[robot, H_OFF] > 0 and "battery" not in carrier.failed:
                self.take_out("robot", str(robot), time, "battery")
                self._empty_since[robot] = time
            elif "battery" in carrier.failed:
                if time - self._empty_since[robot] >= rules.rescue:
                    self._condition.connect(robot, True)
                if soc >= min(max(_RESCUED, rules.below + 0.05), rules.until):
                    self._condition.connect(robot, False)
                    self.give_back("robot", str(robot), time, "battery")

    def _fail(self, carrier: Carrier, time: float) -> None:
        """Take a robot's job from it; what is on board stays there."""
        self._leave_charger(carrier)
        job = carrier.job
        if job is not None and carrier.on_board:
            job.target = None
            self.warehouse.reassign(job)
        elif job is not None:
            self.warehouse.undo_handover(time, job)
            self.warehouse.hand_back(job)
            carrier.job = None
        self._release(carrier)
        carrier.send("out_of_service", None)

    def _free_charger(self, carrier: Carrier) -> int | None:
        """Return the nearest charger that nobody has reserved."""
        best, least = None, math.inf
        for k, dock in enumerate(self._docks):
            if dock is None or k in self._plug or ("charger", self._layout.chargers[k].id) in self._closed:
                continue
            away = self._ways.length(carrier.place, dock)
            if self._condition is not None and away < least:
                best, least = k, away
        return best

    def _leave_charger(self, carrier: Carrier) -> None:
        if carrier.charger is not None:
            if carrier.mode == "charge":
                self._connect(carrier, False)
            del self._plug[carrier.charger]
            carrier.charger = None

    def _connect(self, carrier: Carrier, charging: bool) -> None:
        if self._condition is not None:
            self._condition.connect(carrier.robot, charging)

    # Stations.

    def _is_free(self, station: Station) -> bool:
        if station.id in self._holder or station.id in self._shut or ("station", station.id) in self._closed:
            return False
        aisle = self._aisle[station.id]
        if aisle is None:
            return True
        busy = sum(self._aisle[other] is aisle for other in self._holder)
        return busy < aisle_room(aisle, self._width)

    def _open_stations(self) -> set[str]:
        """Return the ids of the stations that are free."""
        return {station.id for station in (*self._picks, *self._drops) if self._is_free(station)}

    def _hold(self, carrier: Carrier, station: Station) -> None:
        self._holder[station.id] = carrier.robot
        carrier.station = station.id

    def _release(self, carrier: Carrier) -> None:
        if carrier.station is not None:
            self._holder.pop(carrier.station, None)
            carrier.station = None

    def _stations_near(self, slot: str) -> list[Station]:
        """Return the pick stations by their distance from a pallet position."""
        if slot not in self._nearest:
            place = self._places[slot]
            self._nearest[slot] = sorted(self._picks, key=lambda s: (math.hypot(s.x - place.x, s.y - place.y), s.id))[
                :4
            ]
        return self._nearest[slot]

    def _stations(self, start: FloatArray) -> tuple[list[Station], list[Station]]:
        """Return the stations to pick at and to bring to that the robots can reach."""
        reachable = [s for s in self._layout.stations if math.isfinite(self._ways.length(start[0], _pose(s)))]
        picks = [s for s in reachable if s.kind == "pick"]
        drops = [s for s in reachable if s.kind != "pick"]
        if not picks or not drops:
            raise InputError(
                "orders need a 'pick' station and a 'drop' or 'pack' station that robots can reach",
                where=f"layout '{self._layout.name}', stations",
                mend="add stations of both kinds",
            )
        return picks, drops

    def _charger_docks(self) -> list[FloatArray | None]:
        """Return where a robot stands to charge, for each charger; None where it cannot get there."""
        docks: list[FloatArray | None] = []
        anchor = _pose(self._picks[0])
        for charger in self._layout.chargers:
            dock = _dock(charger, self._length)
            docks.append(dock if math.isfinite(self._ways.length(dock, anchor)) else None)
        return docks


def _pose(station: Station) -> FloatArray:
    return np.array([station.x, station.y, station.yaw])


def _dock(charger: Charger, length: float) -> FloatArray:
    """Return the pose (3,) of a robot that faces its charger."""
    away = 0.5 * charger.depth + _DOCK_GAP + 0.5 * length
    turned = (charger.yaw + 2.0 * math.pi) % (2.0 * math.pi) - math.pi
    return np.array([charger.x + away * math.cos(charger.yaw), charger.y + away * math.sin(charger.yaw), turned])


def _event(time: float, kind: Literal["goal_reached", "pick", "drop"], robot: int, other: str, at: FloatArray) -> Event:
    return Event(time, kind, robot, other_id=other, position=(float(at[0]), float(at[1])))
