"""Orders and stock: allocates orders to pallet positions, books every handover, ships what is complete.

Knows nothing of where robots are; the dispatcher decides who drives when.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass

from ..common.seeding import generator
from .carriers import Job, OpenOrder
from .inventory import Inventory, StoragePlace
from .order_stream import Order, OrderStream
from .orders import OrderRanges
from .record import OrderResult
from .stock import INBOUND, OUTSIDE, QUARANTINE, ROBOT, SHIPPED, SLOT, STATION, Ledger


@dataclass
class _Delivery:
    """Cartons that the supplier has promised for a time [s]."""

    time: float
    sku: str
    quantity: int


class Warehouse:
    """The orders, and the stock that serves them.

    Args:
        ranges: of the scenario.
        inventory: opening stock.
        max_payload: of the robots [kg].
        seed, index: the episode.
    """

    def __init__(self, ranges: OrderRanges, inventory: Inventory, max_payload: float, seed: int, index: int) -> None:
        self._ranges, self._inventory, self._max_payload = ranges, inventory, max_payload
        self._seed, self._index = seed, index
        self.ledger = Ledger(inventory.opening)
        self.stream = OrderStream(ranges, inventory.skus, seed, index)
        self.results: list[OrderResult] = []
        """Orders that are done, in the order of their ends."""
        # By identity: a replayed order may bear any name.
        self._open: dict[int, OpenOrder] = {}
        self._queue: list[tuple[tuple[float, int], Job]] = []
        self._short: dict[str, list[OpenOrder]] = {}
        self._deliveries: list[_Delivery] = []
        self._incoming: dict[str, tuple[str, int]] = {}
        # Least quantity of each article that found no room since some was freed last: looking again is of no use.
        self._no_room: dict[str, int] = {}
        # Goods that come in are cut so that a load fits into any empty position.
        self._least_capacity = min((place.capacity for place in inventory.places.values()), default=1)
        self._jobs, self._supplies = 0, 0
        self._position: dict[str, int] = {}
        for (_, sku), quantity in inventory.opening.items():
            self._position[sku] = self._position.get(sku, 0) + quantity

    @property
    def waiting(self) -> list[Job]:
        """Jobs that nobody has taken on, the most urgent first."""
        return [job for _, job in self._queue]

    @property
    def settled(self) -> bool:
        """Whether no order is open and none can come any more."""
        return self.stream.ended and not self._open and not self._deliveries

    def receive(self, time: float) -> None:
        """Take in the orders and deliveries that have come up to ``time`` [s]."""
        for order in self.stream.advance(time):
            self._accept(time, OpenOrder(order))
        while self._deliveries and self._deliveries[0].time <= time:
            due = self._deliveries.pop(0)
            # The supplier's goods are urgent enough to be put away within the hour.
            order = Order(f"S{self._supplies:05d}", time, "return", ((due.sku, due.quantity),), time + 3600.0)
            self._supplies += 1
            self._accept(time, OpenOrder(order, supply=True))

    def take(self, job: Job) -> None:
        """Take a job off the queue."""
        at = bisect.bisect_left(self._queue, job.urgency, key=lambda entry: entry[0])
        self._queue.pop(at)

    def hand_back(self, job: Job) -> None:
        """Put a job back that was taken but not loaded."""
        job.source = job.target = None
        self.cancel_room(job)
        bisect.insort(self._queue, (job.urgency, job), key=lambda entry: entry[0])

    def find_room(self, job: Job, x: float, y: float) -> StoragePlace | None:
        """Settle where goods that come in are put: with their like, else into an empty position; the nearest to a place
        x, y [m]. Returns None where there is none."""
        if job.quantity >= self._no_room.get(job.sku, math.inf):
            return None
        best, rank = None, (True, math.inf, "")
        mine = {lot.place for lot in self.ledger.where(job.sku, within=SLOT)}
        for place in self._inventory.places.values():
            coming = self._incoming.get(place.name)
            if coming is not None and coming[0] != job.sku:
                continue
            contents = self.ledger.contents(place.name)
            if contents and (place.name not in mine or len(contents) > 1):
                continue
            held = (contents[0][1] if contents else 0) + (coming[1] if coming is not None else 0)
            if held + job.quantity > place.capacity:
                continue
            key = (not contents and coming is None, math.hypot(place.x - x, place.y - y), place.name)
            if key < rank:
                best, rank = place, key
        if best is None:
            self._no_room[job.sku] = job.quantity
        else:
            self.cancel_room(job)
            job.slot = best.name
            self._incoming[best.name] = (job.sku, self._incoming.get(best.name, ("", 0))[1] + job.quantity)
        return best

    def cancel_room(self, job: Job) -> None:
        """Give back the room that was kept for goods that come in."""
        if job.inward and job.slot:
            sku, quantity = self._incoming[job.slot]
            if quantity == job.quantity:
                del self._incoming[job.slot]
            else:
                self._incoming[job.slot] = (sku, quantity - job.quantity)
            job.slot = ""
            self._no_room.clear()

    def begin_handover(self, time: float, job: Job) -> None:
        """The picker, or the gate, brings the goods to the station where the robot waits."""
        if job.picked or job.source is None:
            return
        station = STATION + job.source.id
        if job.inward:
            self.ledger.move(time, INBOUND, station, job.sku, job.quantity, "receive")
        else:
            self.ledger.reserve(job.slot, job.sku, -job.quantity)
            self.ledger.move(time, job.slot, station, job.sku, job.quantity, "pick")
            self._no_room.clear()
        job.picked = True

    def undo_handover(self, time: float, job: Job) -> None:
        """Goods that wait at a station for a robot that does not come go back where they came from."""
        if not job.picked or job.source is None:
            return
        station = STATION + job.source.id
        if job.inward:
            self.ledger.move(time, station, INBOUND, job.sku, job.quantity, "undo")
        else:
            self.ledger.move(time, station, job.slot, job.sku, job.quantity, "undo")
            self.ledger.reserve(job.slot, job.sku, job.quantity)
        job.picked = False

    def load(self, time: float, job: Job, robot: int) -> None:
        """Book the goods from the station onto the robot."""
        assert job.source is not None
        self.ledger.move(time, STATION + job.source.id, f"{ROBOT}{robot}", job.sku, job.quantity, "load")

    def unload(self, time: float, job: Job, robot: int) -> None:
        """Book the goods off the robot, put them away or ship the order if that was the last of it."""
        assert job.target is not None
        station = STATION + job.target.id
        self.ledger.move(time, f"{ROBOT}{robot}", station, job.sku, job.quantity, "unload")
        mine = job.order
        if job.inward:
            self.ledger.move(time, station, job.slot, job.sku, job.quantity, "put away")
            self.cancel_room(job)
            mine.open_jobs -= 1
            self._serve_short(job.sku)
        else:
            mine.delivered.append((station, job.sku, job.quantity))
            mine.open_jobs -= 1
        self._close(time, mine)

    def reassign(self, job: Job) -> None:
        """A loaded robot is out of service: serve the order from other stock; its load will be put away later."""
        if job.inward:
            return
        order = job.order
        order.open_jobs -= 1
        self._allocate(order, job.sku, job.quantity)
        back = Order(f"{order.order.name}:{job.number}", job.loaded, "return", ((job.sku, job.quantity),), math.inf)
        job.order = OpenOrder(back, supply=True, open_jobs=1)
        job.inward, job.slot, job.target = True, "", None

    def quarantine(self, time: float, job: Job, robot: int, why: str) -> None:
        """Book a load that a robot has lost or damaged, and serve the order from other stock."""
        self.ledger.move(time, f"{ROBOT}{robot}", QUARANTINE, job.sku, job.quantity, why)
        self._position[job.sku] = self._position.get(job.sku, 0) - job.quantity
        self._replenish(time, job.sku)
        self.cancel_room(job)
        order = job.order
        order.open_jobs -= 1
        if not job.inward:
            self._allocate(order, job.sku, job.quantity)
        self._close(time, order)

    def unfinished(self) -> list[OrderResult]:
        """Return the orders that are still open, in the order of their arrival."""
        return [_result(order, math.nan) for order in self._open.values()]

    def _accept(self, time: float, order: OpenOrder) -> None:
        self._open[id(order)] = order
        for sku, quantity in order.order.lines:
            if order.order.kind == "out":
                self._position[sku] = self._position.get(sku, 0) - quantity
                self._allocate(order, sku, quantity)
                self._replenish(time, sku)
            else:
                if not order.supply:
                    self._position[sku] = self._position.get(sku, 0) + quantity
                self.ledger.move(time, OUTSIDE, INBOUND, sku, quantity, "supply" if order.supply else "return")
                for part in self._trips(sku, quantity, self._least_capacity):
                    self._new_job(True, order, sku, part)

    def _allocate(self, order: OpenOrder, sku: str, quantity: int) -> None:
        """Reserve the oldest stock for an order; what there is none of waits."""
        left = quantity
        for lot in self.ledger.where(sku, within=SLOT) if self._can_carry(sku) else ():
            part = min(left, lot.quantity, self.ledger.available(lot.place, sku))
            if part <= 0:
                continue
            self.ledger.reserve(lot.place, sku, part)
            left -= part
            for trip in self._trips(sku, part):
                self._new_job(False, order, sku, trip, lot.place)
        if left:
            order.short[sku] = order.short.get(sku, 0) + left
            order.backordered += left
            waiting = self._short.setdefault(sku, [])
            if not any(other is order for other in waiting):
                waiting.append(order)

    def _serve_short(self, sku: str) -> None:
        """New stock of an article has come: serve those who wait for it, the oldest first."""
        for order in self._short.pop(sku, []):
            ever = order.backordered
            self._allocate(order, sku, order.short.pop(sku))
            order.backordered = ever

    def _replenish(self, time: float, sku: str) -> None:
        rules = self._ranges.replenishment
        if rules is None or sku not in self._inventory.mass or not self._can_carry(sku):
            return
        while self._position[sku] < rules.below:
            self._position[sku] += rules.quantity
            self._deliveries.append(_Delivery(time + rules.lead_time, sku, rules.quantity))

    def _can_carry(self, sku: str) -> bool:
        return self._mass(sku) <= self._max_payload

    def _mass(self, sku: str) -> float:
        # An article that the house does not know comes in cartons of 10 kg.
        return self._inventory.mass.get(sku, 10.0)

    def _trips(self, sku: str, quantity: int, limit: float = math.inf) -> list[int]:
        """Cut a quantity into loads that a robot can carry, none of more cartons than ``limit``."""
        most = int(max(1, min(math.floor(self._max_payload / self._mass(sku)), limit)))
        return [min(most, quantity - done) for done in range(0, quantity, most)]

    def _new_job(self, inward: bool, order: OpenOrder, sku: str, quantity: int, slot: str = "") -> None:
        rng = generator(self._seed, self._index, "orders.service", self._jobs)
        service = self._ranges.service
        job = Job(
            number=self._jobs,
            inward=inward,
            order=order,
            sku=sku,
            quantity=quantity,
            payload=min(quantity * self._mass(sku), self._max_payload),
            handover=(service.sample(rng), service.sample(rng)),
            slot=slot,
        )
        self._jobs += 1
        order.open_jobs += 1
        bisect.insort(self._queue, (job.urgency, job), key=lambda entry: entry[0])

    def _close(self, time: float, order: OpenOrder) -> None:
        if not order.complete or id(order) not in self._open:
            return
        for station, sku, quantity in order.delivered:
            self.ledger.move(time, station, SHIPPED, sku, quantity, "ship")
        del self._open[id(order)]
        self.results.append(_result(order, time))


def _result(order: OpenOrder, end: float) -> OrderResult:
    return OrderResult(
        name=order.order.name,
        kind="supply" if order.supply else order.order.kind,
        time=order.order.time,
        due=order.order.due,
        end_time=end,
        lines=len(order.order.lines),
        cartons=sum(quantity for _, quantity in order.order.lines),
        backordered=order.backordered,
    )
