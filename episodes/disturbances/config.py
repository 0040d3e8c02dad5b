"""Disturbances as scenarios write them: a kind, a schedule, how long it lasts, and ranges of its own.

A disturbance comes at given times (``at``), again and again at a ``rate``, or once with a ``probability``.
Everything about an occurrence is drawn before the first step, each quantity from a stream of its own, named by the kind
and its number among those of the same kind: other disturbances never change what it draws. Loads no simulator.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from ...common.config import StrictModel
from .. import distributions as ranges
from ..distributions import Constant, Quantity

LATEST = 86_400.0
"""No disturbance is planned later than this [s]: a day."""
MOST = 10_000
"""Occurrences that a rate may ask for, on average, in one episode."""

Time = Annotated[float, Field(ge=0, le=LATEST)]


def _listed(value: Any) -> Any:
    """Let ``at: 30`` stand for ``at: [30]``."""
    return (value,) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


Times = Annotated[tuple[Time, ...], BeforeValidator(_listed), Field(min_length=1, max_length=1000)]
Lasting = Annotated[ranges.AnyRange, AfterValidator(Quantity("s", above=0, maximum=LATEST))]
Radius = Annotated[ranges.AnyRange, AfterValidator(Quantity("m", minimum=0.1, maximum=20))]
Reach = Annotated[ranges.AnyRange, AfterValidator(Quantity("m", above=0, maximum=1000))]
Height = Annotated[ranges.AnyRange, AfterValidator(Quantity("m", minimum=0.2, maximum=12))]
Edge = Annotated[ranges.AnyRange, AfterValidator(Quantity("m", minimum=0.1, maximum=2.4))]
GoodMass = Annotated[ranges.AnyRange, AfterValidator(Quantity("kg", minimum=0.1, maximum=2000))]
Few = Annotated[ranges.AnyRange, AfterValidator(Quantity("1", minimum=1, maximum=20, whole=True))]
Many = Annotated[ranges.AnyRange, AfterValidator(Quantity("1", minimum=1, maximum=1000, whole=True))]
Sector = Annotated[ranges.AnyRange, AfterValidator(Quantity("rad", above=0, maximum=6.283186))]
Latency = Annotated[ranges.AnyRange, AfterValidator(Quantity("s", minimum=0, maximum=10))]
Jump = Annotated[ranges.AnyRange, AfterValidator(Quantity("m", minimum=0, maximum=100))]
Turn = Annotated[ranges.AnyRange, AfterValidator(Quantity("rad", minimum=0, maximum=3.141593))]
Drift = Annotated[ranges.AnyRange, AfterValidator(Quantity("m/s", minimum=0, maximum=2))]
Crawl = Annotated[ranges.AnyRange, AfterValidator(Quantity("m/s", minimum=0, maximum=2))]
Rate = Annotated[ranges.AnyRange, AfterValidator(Quantity("Hz", minimum=0, maximum=50))]


class Area(StrictModel):
    """A point of the hall, or the rectangle of ``length`` along x and ``width`` along y about it [m]."""

    x: Annotated[float, Field(ge=-10_000, le=10_000)]
    y: Annotated[float, Field(ge=-10_000, le=10_000)]
    length: Annotated[float, Field(ge=0, le=1000)] = 0.0
    width: Annotated[float, Field(ge=0, le=1000)] = 0.0


Place = Literal["route", "aisle", "floor"] | Area
"""Where: on the way of a robot, at a narrow spot of such a way, anywhere on free floor, or as given."""
Robots = Literal["random", "all"] | Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
"""Whom: one robot that is drawn, every robot, or those of these indices."""


class _Disturbance(StrictModel):
    """When, and for how long."""

    at: Times | None = None
    """Begins at this time [s], or at each of these."""
    rate: Annotated[float, Field(gt=0, le=100_000)] | None = None
    """Occurrences per hour [1/h], a Poisson process within ``window``."""
    probability: Annotated[float, Field(ge=0, le=1)] | None = None
    """Chance that it occurs, once, at an even chance anywhere in ``window``."""
    window: tuple[Time, Time] | None = None
    """First and last beginning [s] for ``rate`` and ``probability``; left out: the whole episode."""
    duration: Lasting | None = None
    """From the beginning to the end; left out: to the end of the episode."""

    @model_validator(mode="after")
    def _one_schedule(self) -> _Disturbance:
        given = [name for name in ("at", "rate", "probability") if getattr(self, name) is not None]
        if len(given) != 1:
            found = "none" if not given else " and ".join(given)
            raise ValueError(f"say when it occurs by one of at, rate and probability, not {found}")
        if self.window is not None:
            if self.at is not None:
                raise ValueError("'window' belongs to rate and probability: leave it out beside 'at'")
            if self.window[1] < self.window[0]:
                raise ValueError(f"the window is upside down: it ends at {self.window[1]:g} s, before its beginning")
        return self


class _Local(_Disturbance):
    """What happens at a place."""

    place: Place = "route"


class _OfRobots(_Disturbance):
    """What happens to robots."""

    robots: Robots = "random"


class Spill(_Local):
    """A puddle: low friction under every robot whose centre is on it, and a dark patch for cameras."""

    kind: Literal["spill"]
    radius: Radius = Constant(value=0.8, unit="m")
    friction: ranges.Friction = Constant(value=0.15, unit="1")
    """Between drive wheels and wet floor."""


class BlockedAisle(_Local):
    """Goods that somebody has left across the way, side by side."""

    kind: Literal["blocked_aisle"]
    place: Place = "aisle"
    goods: Few = Constant(value=1, unit="1")
    length: Edge = Constant(value=1.2, unit="m")
    """Across the way."""
    width: Edge = Constant(value=0.8, unit="m")
    """Along the way."""
    height: Edge = Constant(value=1.0, unit="m")
    mass: GoodMass = Constant(value=250, unit="kg")
    """Of each."""


class DroppedCarton(_Local):
    """A carton that falls, from a rack's edge beside the way or off a laden robot, and stays where it comes to lie."""

    kind: Literal["dropped_carton"]
    source: Literal["rack", "load"] = "rack"
    """``load``: off the first robot that carries something from the beginning on; ``place`` then has no meaning."""
    edge: Edge = Constant(value=0.35, unit="m")
    """Length of its edges."""
    mass: GoodMass = Constant(value=8, unit="kg")
    height: Height = Constant(value=1.2, unit="m")
    """That it falls from, if from a rack."""


class DimLight(_Disturbance):
    """Light that fails, for cameras: all of it, or the lamps about a place."""

    kind: Literal["dim_light"]
    level: ranges.Fraction = Constant(value=0.2, unit="1")
    """Share of the light that is left."""
    flicker: Rate = Constant(value=0, unit="Hz")
    """Times a second that the light comes back for half a period; 0: it stays low."""
    place: Place | None = None
    """Left out: key light, ambient light and lamps alike."""
    radius: Reach = Constant(value=6, unit="m")
    """Lamps within this distance of the place fail."""


class DirtyLidar(_OfRobots):
    """Dirt on part of a lidar's window: light is lost there and back again, and some beams end at the window."""

    kind: Literal["dirty_lidar"]
    loss: ranges.Fraction = Constant(value=0.9, unit="1")
    """Share of the light that is lost, out and back again."""
    sector: Sector = Constant(value=90, unit="deg")
    """Width of the dirty part."""
    short_returns: ranges.Fraction = Constant(value=0.02, unit="1")
    """Share of the beams through the dirt that come back from it, or from the haze just before it."""
    bearing: ranges.Angle | None = None
    """Middle of the dirty part, counter-clockwise from the lidar's x axis; left out: anywhere."""


class BlockedSensor(_OfRobots):
    """Something before part of a lidar's window, such as a bag or tape: nothing is seen through it."""

    kind: Literal["blocked_sensor"]
    sector: Sector = Constant(value=60, unit="deg")
    bearing: ranges.Angle | None = None
    """Left out: anywhere."""
    distance: ranges.Length = Constant(value=0, unit="m")
    """Of what hangs there; nearer than the lidar's ``range_min`` it gives no return at all."""


class DeadSensor(_OfRobots):
    """A sensor that reports nothing: no new scans, or black pictures."""

    kind: Literal["dead_sensor"]
    sensor: Literal["lidar", "camera"] = "lidar"


class LostLocalisation(_OfRobots):
    """A robot that believes itself elsewhere: a jump and then a drift in one direction, or a pose that stands still."""

    kind: Literal["lost_localisation"]
    frozen: bool = False
    """The pose stays what it was at the beginning; jump, turn and drift then have no meaning."""
    jump: Jump = Constant(value=0.5, unit="m")
    turn: Turn = Constant(value=5, unit="deg")
    """Error of the heading, to either side."""
    drift: Drift = Constant(value=0, unit="m/s")


class NetworkDelay(_OfRobots):
    """Commands that reach the drives late, or not at all."""

    kind: Literal["network_delay"]
    latency: Latency = Constant(value=300, unit="ms")
    """Of every command; the drives look for new ones once in a control period."""
    loss: ranges.Fraction = Constant(value=0, unit="1")
    """Share of the commands that never arrive."""
    watchdog: Annotated[float, Field(gt=0, le=60)] = 0.5
    """Drives that have had no command for this long [s] stand still."""


class EquipmentFailure(_OfRobots):
    """Something that stops working: a robot that stands or only crawls whatever its policy asks, a station, charger or
    conveyor that serves nobody."""

    kind: Literal["equipment_failure"]
    equipment: Literal["robot", "station", "charger", "conveyor"] = "robot"
    id: str | None = None
    """Of what fails, if it is no robot; left out: drawn. ``robots`` then has no meaning."""
    crawl: Crawl = Constant(value=0, unit="m/s")
    """Fastest that a robot still goes, its turns slowed alike; 0: it stands with its brakes on."""


class ConveyorJam(_Disturbance):
    """A good that gets stuck on a conveyor and holds up what follows. Needs ``conveyors``."""

    kind: Literal["conveyor_jam"]
    id: str | None = None
    """Of the conveyor; left out: drawn."""
    at_share: ranges.Fraction = Constant(value=0.5, unit="1")
    """Where along it."""


class DemandSurge(_Disturbance):
    """More orders, or fewer. Needs ``orders``."""

    kind: Literal["demand_surge"]
    factor: ranges.Factor = Constant(value=3, unit="nominal")
    """On the rate at which orders come in."""


class MassReturns(_Disturbance):
    """Many orders that come back at once, as after a recall or a sale. Needs ``orders``."""

    kind: Literal["mass_returns"]
    orders: Many = Constant(value=10, unit="1")
    """How many come in, evenly over the duration; all at once without one."""


class BatteryFade(_OfRobots):
    """Batteries that have lost capacity and gained resistance, as old or cold ones do. Needs ``condition``."""

    kind: Literal["battery_fade"]
    capacity: ranges.Factor = Constant(value=0.5, unit="nominal")
    resistance: ranges.Factor = Constant(value=4, unit="nominal")


Disturbance = Annotated[
    Spill
    | BlockedAisle
    | DroppedCarton
    | DimLight
    | DirtyLidar
    | BlockedSensor
    | DeadSensor
    | LostLocalisation
    | NetworkDelay
    | EquipmentFailure
    | BatteryFade
    | ConveyorJam
    | DemandSurge
    | MassReturns,
    Field(discriminator="kind"),
]
Disturbances = Annotated[tuple[Disturbance, ...], Field(max_length=200)]


def drawn_ranges(disturbance: Disturbance) -> dict[str, ranges.Sampler]:
    """Return the ranges of a disturbance by name, in the order of its fields, its duration included."""
    found = {name: getattr(disturbance, name) for name in type(disturbance).model_fields}
    return {name: value for name, value in found.items() if hasattr(value, "sample")}
