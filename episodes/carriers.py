"""One robot of a fleet that serves orders: what it is doing, where it has to drive, what is on board."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ..layouts.model import Station
from .order_stream import Order
from .routes import FloatArray
from .tasks import STANDING_SPEED
from .traffic import Progress

Mode = Literal["idle", "fetch", "load", "wait", "bring", "unload", "park", "to_charger", "charge", "out_of_service"]
"""``wait``: loaded, until a station is free; it parks meanwhile."""


@dataclass(eq=False)
class OpenOrder:
    """An order that is being served.

    Attributes:
        order: what was asked for. supply: whether it comes from the supplier.
        open_jobs: trips that are not finished yet.
        short: cartons by article for which there is no stock.
        delivered: station, article and cartons that have been brought.
        backordered: cartons that had to wait for stock, ever.
    """

    order: Order
    supply: bool = False
    open_jobs: int = 0
    short: dict[str, int] = field(default_factory=dict)
    delivered: list[tuple[str, str, int]] = field(default_factory=list)
    backordered: int = 0

    @property
    def complete(self) -> bool:
        """Whether everything has been brought."""
        return self.open_jobs == 0 and not self.short


@dataclass(eq=False)
class Job:
    """One trip: cartons of one article from a station to another.

    Attributes:
        number: in the order of creation.
        inward: whether goods go into the racks, else out of them.
        order: that it serves.
        sku, quantity: what is carried; payload: its mass [kg].
        slot: account of the pallet position that it comes from or goes to; "" if not settled yet.
        handover: times to load and to unload [s].
        source, target: stations, once settled.
        started, loaded: when a robot took it on, and had it on board [s].
        shortest: shortest way from where the robot was, by way of source to target [m].
        picked: whether the cartons have left their slot for the station.
    """

    number: int
    inward: bool
    order: OpenOrder
    sku: str
    quantity: int
    payload: float
    handover: tuple[float, float]
    slot: str = ""
    source: Station | None = None
    target: Station | None = None
    started: float = math.nan
    loaded: float = math.nan
    shortest: float = 0.0
    picked: bool = False

    @property
    def urgency(self) -> tuple[float, int]:
        """Jobs are done in this order: by the time their order is due, then by age."""
        return self.order.order.due, self.number


@dataclass(eq=False)
class Carrier:
    """A robot at work.

    Attributes:
        robot: its index.
        home: (3,) where it parks.
        mode: what it is doing.
        target: (3,) pose it has to reach for that; None where it stands.
        job: on hand. on_board: whether its load is.
        charger: index of the charger that it has reserved.
        station: id of the station that it has reserved.
        left: time that the handover still takes [s].
        failed: reasons why it is out of service; it serves again once there is none.
        driven: since the job began [m].
        charging_s: time at chargers so far [s].
    """

    robot: int
    home: FloatArray
    place: FloatArray
    mode: Mode = "idle"
    target: FloatArray | None = None
    job: Job | None = None
    on_board: bool = False
    charger: int | None = None
    station: str | None = None
    left: float = 0.0
    failed: set[str] = field(default_factory=set)
    driven: float = 0.0
    charging_s: float = 0.0
    progress: Progress = field(default_factory=Progress)

    @property
    def goal(self) -> FloatArray | None:
        """Pose (3,) to drive to; None where the robot is to stand."""
        if self.failed:
            return None
        if self.progress.detour is not None:
            return None if self.progress.resting else self.progress.detour
        return self.target

    @property
    def payload(self) -> float:
        """Load on board [kg]."""
        return self.job.payload if self.on_board and self.job is not None else 0.0

    def send(self, mode: Mode, target: FloatArray | None) -> None:
        """Begin something else."""
        self.mode, self.target = mode, target
        self.progress.attempts = 0
        self.progress.detour, self.progress.resting = None, False

    def move(self, pose: FloatArray) -> None:
        """Take note of where the robot is now, (3,)."""
        self.driven += math.hypot(pose[0] - self.place[0], pose[1] - self.place[1])
        self.place = np.array(pose, dtype=np.float64)


def stands(velocity: FloatArray) -> bool:
    """Whether a robot stands, by its speeds (2,) v [m/s], omega [rad/s]."""
    return bool(abs(velocity[0]) < STANDING_SPEED and abs(velocity[1]) < 4 * STANDING_SPEED)


def is_at(pose: FloatArray, target: FloatArray, tolerance: tuple[float, float]) -> bool:
    """Whether a pose (3,) is within distance [m] and angle [rad] of another."""
    turn = (pose[2] - target[2] + math.pi) % (2 * math.pi) - math.pi
    away = math.hypot(pose[0] - target[0], pose[1] - target[1])
    return bool(away <= tolerance[0] and abs(turn) <= tolerance[1])
