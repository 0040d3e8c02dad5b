"""The ``Scenario``: everything that an episode may be drawn from, as one strict YAML file. Loads no simulator."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from ..common.config import StrictModel, parse_model, parse_yaml, read_text
from ..common.errors import InputError
from ..layouts.model import Layout, Point
from ..layouts.recipe import LayoutRecipe
from ..perception.appearance import MaterialName, TextureImage
from ..perception.config import CameraConfig, ImuConfig, LidarConfig, WheelOdometryConfig
from ..robots.condition_model import ConditionParameters
from ..robots.faults import FaultModel
from ..robots.load import NamedRobot, load_robot
from ..robots.model import RobotModel
from ..robots.wear import WEAR_NAMES
from . import distributions as ranges
from .conveyor_ranges import ConveyorRanges
from .distributions import Constant, Quantity, UniformInteger
from .disturbances.config import Disturbances
from .disturbances.targets import require_targets
from .order_file import read_orders
from .orders import OrderRanges
from .sensor_ranges import SensorVariation, optional_ranges

PHYSICS_RATE = 240
"""Physics steps per second [Hz]."""

MAX_DURATION = 7 * 24 * 3600.0
"""Of an episode [s]: a week."""
MAX_FULL_DURATION = 3600.0
"""Of an episode that is recorded at every control step [s]."""

SCENARIO_FOLDER = Path(__file__).resolve().parent.parent / "assets" / "scenarios"

Positive = Annotated[float, Field(gt=0)]

DRIVE_QUANTITIES: dict[str, Quantity] = {
    "wheel_radius": Quantity("m", above=0, relative=True),
    "track_width": Quantity("m", above=0, relative=True),
    "mass": Quantity("kg", above=0, relative=True),
    "inertia": Quantity("kg m2", above=0, relative=True),
    "linear_gain": Quantity("1", above=0, relative=True),
    "angular_gain": Quantity("1", above=0, relative=True),
    "command_delay": Quantity("s", minimum=0, maximum=1, relative=True),
    "motor_lag": Quantity("s", minimum=0, maximum=5, relative=True),
    "max_wheel_torque": Quantity("N m", above=0, relative=True),
    "max_speed": Quantity("m/s", above=0, relative=True),
    "max_yaw_rate": Quantity("rad/s", above=0, relative=True),
    "max_acceleration": Quantity("m/s2", above=0, relative=True),
    "max_deceleration": Quantity("m/s2", above=0, relative=True),
    "max_yaw_acceleration": Quantity("rad/s2", above=0, relative=True),
    "drive_wheel_load": Quantity("1", above=0, maximum=1, relative=True),
    "rolling_resistance": Quantity("1", minimum=0, maximum=0.2, relative=True),
}
"""Drive parameters that a scenario may randomize. Payload comes from the tasks, friction from the floor."""

RECIPE_QUANTITIES: dict[str, Quantity] = {
    "area": Quantity("m2", minimum=100, maximum=10_000),
    "aspect": Quantity("1", minimum=0.5, maximum=4),
    "aisle_width": Quantity("m", minimum=1.6, maximum=8),
    "cross_aisle_width": Quantity("m", minimum=1.8, maximum=10),
    "bay_width": Quantity("m", minimum=1.2, maximum=4),
    "rack_depth": Quantity("m", minimum=0.6, maximum=1.6),
    "levels": Quantity("1", minimum=1, maximum=8, whole=True),
    "level_height": Quantity("m", minimum=0.7, maximum=3),
    "fill": Quantity("1", minimum=0, maximum=1),
    "loose_goods": Quantity("1", minimum=0, maximum=2000, whole=True),
    "docks": Quantity("1", minimum=1, maximum=200, whole=True),
    "door_width": Quantity("m", minimum=1, maximum=6),
    "pick_stations": Quantity("1", minimum=1, maximum=2000, whole=True),
    "drop_stations": Quantity("1", minimum=1, maximum=600, whole=True),
    "conveyors": Quantity("1", minimum=0, maximum=2000, whole=True),
    "chargers": Quantity("1", minimum=0, maximum=2000, whole=True),
    "column_spacing": Quantity("m", minimum=3, maximum=50),
}
"""Fields of a ``LayoutRecipe`` that a scenario may randomize."""

_TIMES = Quantity("nominal", relative=True)
BATTERY_QUANTITIES = dict.fromkeys(("capacity_ah", "resistance"), _TIMES)
MOTOR_QUANTITIES = dict.fromkeys(("torque_constant", "resistance", "no_load_torque", "thermal_resistance"), _TIMES)
WEAR_QUANTITIES = dict.fromkeys(WEAR_NAMES, _TIMES)
"""What a scenario may randomize of a robot's battery, motors and wear, all in ``unit: nominal``."""


if TYPE_CHECKING:

    class DriveRanges(StrictModel):
        """Optional ranges of ``DRIVE_QUANTITIES``."""

    class RecipeRanges(StrictModel):
        """Optional ranges of ``RECIPE_QUANTITIES``."""

    class BatteryRanges(StrictModel):
        """Optional ranges of ``BATTERY_QUANTITIES``."""

    class MotorRanges(StrictModel):
        """Optional ranges of ``MOTOR_QUANTITIES``."""

    class WearRanges(StrictModel):
        """Optional ranges of ``WEAR_QUANTITIES``."""

else:
    DriveRanges = optional_ranges("DriveRanges", DRIVE_QUANTITIES, __name__)
    RecipeRanges = optional_ranges("RecipeRanges", RECIPE_QUANTITIES, __name__)
    BatteryRanges = optional_ranges("BatteryRanges", BATTERY_QUANTITIES, __name__)
    MotorRanges = optional_ranges("MotorRanges", MOTOR_QUANTITIES, __name__)
    WearRanges = optional_ranges("WearRanges", WEAR_QUANTITIES, __name__)


class LayoutSource(StrictModel):
    """Where the hall comes from: a recipe with ranges (a new hall for each episode), or a layout file.

    ``file`` is read when the scenario is loaded, relative to the scenario's own folder, and kept as ``fixed``, so that
    the scenario's hash covers the hall.
    """

    recipe: LayoutRecipe | None = None
    vary: RecipeRanges = RecipeRanges()
    variants: int | None = Field(default=None, ge=1)
    """Number of different halls that the episodes take in turn; a new one for each episode if left out."""
    file: str | None = None
    fixed: Layout | None = None

    @model_validator(mode="after")
    def _one_source(self) -> LayoutSource:
        given = [name for name in ("recipe", "file", "fixed") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"give only one of recipe, file and fixed, not {' and '.join(given)}")
        varied = any(getattr(self.vary, name) is not None for name in RECIPE_QUANTITIES)
        if given and given[0] != "recipe" and (varied or self.variants):
            raise ValueError("a hall from a file cannot be varied: leave out 'vary' and 'variants'")
        return self


class GoodsRanges(StrictModel):
    """How the goods of a hall differ from the layout; each drawn once per episode."""

    mass: ranges.Factor = Constant(value=1, unit="nominal")
    """Factor on the mass of every loose good."""
    missing: ranges.Fraction = Constant(value=0, unit="1")
    """Share of the racked goods that are not there."""
    color_spread: ranges.Fraction = Constant(value=0, unit="1")
    """Largest relative change of every good's colour, each its own."""


class LightRanges(StrictModel):
    """The light of the hall, drawn once per episode."""

    key: ranges.Power = Constant(value=0.65, unit="1")
    ambient: ranges.Power = Constant(value=0.35, unit="1")
    azimuth: ranges.Angle = Constant(value=30, unit="deg")
    """Direction that the key light travels to, counter-clockwise from x."""
    elevation: ranges.Elevation = Constant(value=68, unit="deg")
    """Angle of the key light above the floor; 90 deg is straight down."""
    temperature: ranges.Temperature = Constant(value=5000, unit="K")
    lamps: ranges.Power = Constant(value=0, unit="1")
    """Factor of the light of the hall's lamps, beside the key and ambient light; 0 leaves them out."""
    lamp_temperature: ranges.Temperature | None = None
    """Colour temperature of all lamps, in place of what the layout says."""
    lamp_failing: ranges.Fraction = Constant(value=0, unit="1")
    """Share of the lamps that are dark; which ones differs from episode to episode."""


MATERIAL_QUANTITIES = ("gloss", "wear", "labels", "tape", "wrap", "texture_scale", "hue")
"""Ranges of ``MaterialRanges``; the fields of an ``Appearance``."""

_Gloss = Annotated[ranges.AnyRange, AfterValidator(Quantity("1", minimum=0, maximum=20))]
_Wear = Annotated[ranges.AnyRange, AfterValidator(Quantity("1", minimum=0, maximum=4))]
_Scale = Annotated[ranges.AnyRange, AfterValidator(Quantity("1", minimum=0.05, maximum=20))]
_Hue = Annotated[ranges.AnyRange, AfterValidator(Quantity("rad", minimum=0, maximum=3.1416))]


class MaterialRanges(StrictModel):
    """How surfaces look to cameras, drawn once per episode; see ``perception.appearance.Appearance``."""

    gloss: _Gloss = Constant(value=1, unit="1")
    """Factor of all highlights."""
    wear: _Wear = Constant(value=1, unit="1")
    """Factor of the contrast of stains, tyre marks, scuffs and grain."""
    labels: ranges.Fraction = Constant(value=0.7, unit="1")
    """Share of the cartons that carry labels."""
    tape: ranges.Fraction = Constant(value=0.65, unit="1")
    """Share of the cartons whose tape comes down the sides."""
    wrap: ranges.Fraction = Constant(value=0, unit="1")
    """Share of the cartons that look wrapped in film."""
    texture_scale: _Scale = Constant(value=1, unit="1")
    """Factor of the lengths after which patterns repeat."""
    hue: _Hue = Constant(value=0, unit="deg")
    """Objects' colours are turned by up to this angle either way, each by its own."""
    textures: dict[MaterialName, Annotated[tuple[TextureImage, ...], Field(min_length=1)]] = Field(default_factory=dict)
    """Pictures by material, one of each list drawn per episode, in place of the built-in pattern and the colours."""


class FloorRanges(StrictModel):
    """The floor, drawn once per episode."""

    friction: ranges.Friction = Constant(value=0.8, unit="1")
    """Coefficient between drive wheels and floor."""


class OtherRobots(StrictModel):
    """Robots of another model in the same fleet, with drive parameters of their own."""

    model: NamedRobot
    count: ranges.Count = Constant(value=1, unit="1")
    drive: DriveRanges = DriveRanges()
    """As in ``RobotRanges``."""


class RobotRanges(StrictModel):
    """The fleet: robots of one model, and of ``others``; each with drive parameters of its own."""

    count: ranges.PositiveCount = Constant(value=2, unit="1")
    model: NamedRobot = RobotModel()
    """Its fields; or the name of a built-in robot (see ``robots.load``), or a file with the fields, relative to the
    scenario's own folder. Files are read when the scenario is loaded, so that its hash covers what they say."""
    drive: DriveRanges = DriveRanges()
    """Ranges of the true drive parameters, drawn for each robot; ``unit: nominal`` multiplies the model's (or the
    twin's) value."""
    others: tuple[OtherRobots, ...] = ()
    """Robots of other models; numbered after those above, in order. A twin does not apply to them."""
    twin_draw: Literal["interval", "posterior"] = "interval"
    """How a twin's parameters are drawn. ``interval``: identified ones for each robot from their intervals, each by
    itself. ``posterior``: what robots have in common once an episode, with the fit's correlations and unidentified ones
    over their whole interval; what each differs by from the spread of the twin's family (``robots.twin_draw``)."""
    motion_spread: bool = True
    """Whether robots depart from their gains as the twin's ``spread`` says, if it has one: response to kinds of
    commands, clock, stalls, gains that wander and differ between robots (``robots.fleet_spread``)."""

    @model_serializer(mode="wrap")
    def _without_what_is_absent(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A fleet of one model, drawn as ever, keeps the hash that it had before there was a choice.
        content: dict[str, Any] = handler(self)
        if not self.others:
            content.pop("others", None)
        if self.twin_draw == "interval":
            content.pop("twin_draw", None)
        if self.motion_spread:
            content.pop("motion_spread", None)
        return content

    @property
    def models(self) -> tuple[RobotModel, ...]:
        """All models that robots may be of."""
        return (self.model, *(other.model for other in self.others))


_GroupSize = Annotated[ranges.AnyRange, AfterValidator(Quantity("1", minimum=2, maximum=4, whole=True))]


class PeopleRanges(StrictModel):
    """People on foot; all but the count are drawn for each person."""

    count: ranges.Count = Constant(value=0, unit="1")
    speed: ranges.Speed = Constant(value=1.2, unit="m/s")
    pause: ranges.Duration = Constant(value=4, unit="s")
    """Mean time of a stop."""
    stops_per_minute: Annotated[float, Field(ge=0, le=60)] = 1.0
    """Unplanned stops on the way [1/min]."""
    careless: ranges.Fraction = Constant(value=0.2, unit="1")
    """Chance that a person does not look out for moving robots."""
    crossing: ranges.Fraction = Constant(value=0.3, unit="1")
    """Chance that a person keeps crossing the ways of the robots."""
    model: Literal["route", "social_force"] = "route"
    """How people walk: along a way of their own, one by one (``episodes.walking``), or as a crowd with tasks at racks
    and stations, by social forces (``episodes.social_force``)."""
    groups: ranges.Fraction = Constant(value=0, unit="1")
    """Share of the people who walk in groups; with ``model: social_force``."""
    group_size: _GroupSize = UniformInteger(low=2, high=4, unit="1")
    """Drawn for each group."""
    sudden: ranges.Fraction = Constant(value=0, unit="1")
    """Chance that a person who walks alone waits between racks and steps out into the way of a robot that comes; with
    ``model: social_force``."""

    @model_serializer(mode="wrap")
    def _without_what_is_absent(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A scenario without a crowd keeps the hash that it had before there was one.
        content: dict[str, Any] = handler(self)
        fields = type(self).model_fields
        for name in ("model", "groups", "group_size", "sudden"):
            if getattr(self, name) == fields[name].default:
                content.pop(name, None)
        return content

    @model_validator(mode="after")
    def _crowd_by_forces(self) -> PeopleRanges:
        if self.model == "route" and max(self.groups.support()[1], self.sudden.support()[1]) > 0:
            raise ValueError("groups and sudden crossings need 'model: social_force'")
        return self


def _forklift() -> RobotModel:
    return load_robot("forklift_driven")


class ForkliftRanges(StrictModel):
    """Forklifts that people drive on rounds of their own; all but the count are drawn for each."""

    count: ranges.PositiveCount = Constant(value=1, unit="1")
    model: NamedRobot = Field(default_factory=_forklift)
    speed: ranges.Speed = Constant(value=2.0, unit="m/s")
    """Usual speed of the driver on straight ways."""
    reaction_time: ranges.Duration = Constant(value=0.8, unit="s")
    """From seeing something in the way until braking."""
    careless: ranges.Fraction = Constant(value=0.2, unit="1")
    """Chance that a driver looks a second later than that."""
    dwell: ranges.Duration = Constant(value=8, unit="s")
    """Mean time of a stop, where the truck loads and unloads in turns."""
    payload: ranges.Mass = Constant(value=500, unit="kg")
    """Never above the model's ``max_payload``."""
    places: tuple[Literal["docks", "stations", "aisles"], ...] = ("docks", "stations", "aisles")
    """Where stops are drawn from."""
    waypoints: tuple[Annotated[tuple[Point, ...], Field(min_length=2)], ...] = ()
    """Rounds [m] to drive instead, each closed, with a stop at every point; forklifts take them in turns."""


class TaskRanges(StrictModel):
    """Pick-and-drop tasks."""

    per_robot: ranges.PositiveCount = Constant(value=1, unit="1")
    payload: ranges.Mass = Constant(value=20, unit="kg")
    """Drawn for each task; never above the robot model's ``max_payload``."""
    dwell: ranges.Duration = Constant(value=2, unit="s")
    """Time to load or unload, drawn for each task and end."""
    goal_distance: Positive = 0.25
    """Distance [m] from the station's pose at which a goal counts as reached."""
    goal_angle: Positive = 0.35
    """Angle [rad] likewise."""


class SensorRanges(StrictModel):
    """The robots' sensors: their settings, what of them varies, and the error of the localisation."""

    lidar: LidarConfig = LidarConfig()
    camera: CameraConfig = CameraConfig(width=480, height=360)
    imu: ImuConfig = Field(default_factory=lambda: ImuConfig(profile="bosch_bmi055"))
    """Sits at ``base_link``; its rate is rounded to a whole multiple of the scenario's control rate."""
    odometry: WheelOdometryConfig = WheelOdometryConfig()
    vary: SensorVariation = SensorVariation()
    lidar_latency: ranges.Duration = Constant(value=20, unit="ms")
    """From the moment of a scan until a policy sees it."""
    position_error: ranges.Length = Constant(value=2, unit="cm")
    """Standard deviation of the localisation in x and in y."""
    heading_error: ranges.AngleError = Constant(value=0.5, unit="deg")
    """Standard deviation of the localisation's heading."""
    error_time: ranges.PositiveDuration = Constant(value=5, unit="s")
    """Correlation time of the localisation error."""


class CaptureSettings(StrictModel):
    """What is kept for datasets: ``frames`` pictures in each episode, exactly, spread evenly, robots in turn."""

    frames: int = Field(default=8, ge=0, le=100_000)
    robot: int | None = Field(default=None, ge=0)
    """The robot that takes all pictures, modulo the number of robots; left out, they take turns."""
    points: bool = False
    """Whether each picture comes with a 3D lidar sweep of the same moment."""
    lidar: LidarConfig = LidarConfig(
        beams=1024, elevations=tuple(round(-0.2618 + 0.0349 * ring, 4) for ring in range(16)), range_max=60.0
    )
    """Settings of that 3D lidar; it sits on the robot's lidar mount, but as high as the camera."""

    @model_serializer(mode="wrap")
    def _without_what_is_absent(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Scenarios whose robots take turns keep the hash that they had before there was a choice.
        content: dict[str, Any] = handler(self)
        if self.robot is None:
            content.pop("robot", None)
        return content


class ConditionRanges(StrictModel):
    """Batteries, motors, wear and faults of the robots, and with them telemetry; see ``robots.condition``.

    ``age``, ``charge`` and the ranges of ``battery``, ``motor`` and ``wear`` are drawn for each robot.
    """

    model: ConditionParameters = ConditionParameters()
    battery: BatteryRanges = BatteryRanges()
    motor: MotorRanges = MotorRanges()
    wear: WearRanges = WearRanges()
    age: ranges.Duration = Constant(value=0, unit="h")
    """Operation before the episode."""
    charge: ranges.Fraction = Constant(value=0.9, unit="1")
    """State of charge at the start."""
    faults: tuple[FaultModel, ...] = ()
    """Faults that robots may have."""
    time_scale: Annotated[float, Field(ge=0, le=1e6)] = 1.0
    """Seconds of operation in a second of the episode, for wear and faults alone: a life in an hour."""


class Scenario(StrictModel):
    """What an episode is drawn from; see ``episodes.randomization.sample_scenario``."""

    schema_version: Literal[1] = 1
    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")] = "scenario"
    description: str = ""
    duration: Annotated[float, Field(gt=0, le=MAX_DURATION)] = 60.0
    """Longest time of an episode [s]; it ends earlier once every task is done. Over an hour needs ``record_rate``."""
    control_rate: int = Field(default=20, ge=1, le=PHYSICS_RATE)
    """Calls of the policy per second [Hz]; divides 240."""
    layout: LayoutSource = LayoutSource()
    goods: GoodsRanges = GoodsRanges()
    light: LightRanges = LightRanges()
    materials: MaterialRanges = MaterialRanges()
    floor: FloorRanges = FloorRanges()
    robots: RobotRanges = RobotRanges()
    people: PeopleRanges = PeopleRanges()
    tasks: TaskRanges = TaskRanges()
    sensors: SensorRanges = SensorRanges()
    capture: CaptureSettings = CaptureSettings()
    condition: ConditionRanges | None = None
    """Left out: robots do not wear or fail, have no battery and give no telemetry."""
    forklifts: ForkliftRanges | None = None
    """Left out: nobody drives a forklift."""
    disturbances: Disturbances = ()
    """What may go wrong, see ``disturbances.config``."""
    orders: OrderRanges | None = None
    """Demand as a stream of orders, served from stock, in place of ``tasks`` (but for their goal tolerances)."""
    record_rate: int | None = Field(default=None, ge=1, le=PHYSICS_RATE)
    """Rows of the record per second [Hz]; divides ``control_rate``. Left out: every control step. KPIs, incidents and
    the least distances are those of all control steps either way."""
    conveyors: ConveyorRanges | None = None
    """Left out: the hall's conveyors stand still and are empty."""

    @property
    def control_period(self) -> float:
        """Time between two calls of the policy [s]."""
        return 1.0 / self.control_rate

    @property
    def control_steps(self) -> int:
        """Control steps of a full episode."""
        return max(1, round(self.duration * self.control_rate))

    @property
    def imu_samples(self) -> int:
        """Samples of the IMU in one control period."""
        return max(1, round(self.sensors.imu.rate / self.control_rate))

    @property
    def scan_every(self) -> int:
        """Control steps between two scans."""
        return max(1, round(self.control_rate / self.sensors.lidar.rate))

    @model_serializer(mode="wrap")
    def _without_what_is_absent(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A scenario that leaves a section out keeps the hash that it had before there was one.
        content: dict[str, Any] = handler(self)
        for name in ("condition", "orders", "record_rate", "conveyors"):
            if getattr(self, name) is None:
                content.pop(name, None)
        if not self.disturbances:
            content.pop("disturbances", None)
        if self.forklifts is None:
            content.pop("forklifts", None)
        return content

    @model_validator(mode="after")
    def _forklifts_do_not_wear(self) -> Scenario:
        if self.forklifts is not None and self.condition is not None:
            raise ValueError("'condition' models no forklifts: leave it or 'forklifts' out")
        return self

    @model_validator(mode="after")
    def _disturbances_fit(self) -> Scenario:
        require_targets(self)
        return self

    @model_validator(mode="after")
    def _rates_fit(self) -> Scenario:
        if PHYSICS_RATE % self.control_rate:
            raise ValueError(f"control_rate {self.control_rate} Hz must divide the physics rate of {PHYSICS_RATE} Hz")
        ratio = self.control_rate / self.sensors.lidar.rate
        if abs(ratio - round(ratio)) > 1e-9 or ratio < 1:
            raise ValueError(
                f"control_rate {self.control_rate} Hz must be a multiple of sensors.lidar.rate "
                f"({self.sensors.lidar.rate:g} Hz)"
            )
        if len(self.sensors.lidar.elevations) != 1:
            raise ValueError("sensors.lidar feeds the policies and must have one ring; put a 3D lidar in capture.lidar")
        if self.record_rate is not None and self.control_rate % self.record_rate:
            raise ValueError(f"record_rate {self.record_rate} Hz must divide control_rate {self.control_rate} Hz")
        if self.record_rate is None and self.duration > MAX_FULL_DURATION:
            raise ValueError(f"an episode of over {MAX_FULL_DURATION:g} s needs a record_rate, such as 1")
        if self.capture.frames > self.control_steps:
            raise ValueError(
                f"capture.frames {self.capture.frames} is over the {self.control_steps} control steps of an episode"
            )
        return self


def built_in_scenarios() -> tuple[str, ...]:
    """Return the names of the built-in scenarios, sorted."""
    return tuple(sorted(path.stem for path in SCENARIO_FOLDER.glob("*.yaml")))


def load_scenario(name_or_path: str | Path) -> Scenario:
    """Read a scenario by built-in name or from a YAML file.

    Args:
        name_or_path: a name of ``built_in_scenarios()``, or a path (anything with a slash or a suffix).

    Returns:
        The scenario; a hall that it takes from a file has been read, checked and put into ``layout.fixed``, and
        pictures into ``materials.textures``, the lines of an order file into ``orders.replay``.

    Raises:
        InputError: no such scenario (the known names are listed), or the file or its layout file is wrong (every wrong
            field is listed with its line).
    """
    path = Path(name_or_path)
    if isinstance(name_or_path, str) and path.name == name_or_path and not path.suffix:
        built_in = SCENARIO_FOLDER / f"{name_or_path}.yaml"
        if not built_in.is_file() and not path.exists():
            known = built_in_scenarios()
            close = difflib.get_close_matches(name_or_path, known, n=1)
            mend = f"did you mean '{close[0]}'?" if close else f"built-in scenarios: {', '.join(known)}; or give a file"
            raise InputError(f"no scenario named '{name_or_path}'", mend=mend)
        path = built_in if built_in.is_file() else path
    node, data = parse_yaml(read_text(path), str(path))
    if data is None:
        raise InputError("the file is empty", where=str(path), mend="write a Scenario into it")
    read = parse_model(_with_robot(data, path), Scenario, source=str(path), node=node)
    scenario = _with_orders(_with_textures(read, path), path)
    if scenario.layout.file is None:
        if scenario.layout.fixed is not None:
            _require_valid(scenario.layout.fixed, f"{path}, layout.fixed", scenario.robots.models)
        return scenario
    file = path.parent / scenario.layout.file
    layout = Layout.load(file)
    _require_valid(layout, str(file), scenario.robots.models)
    return scenario.model_copy(update={"layout": LayoutSource(fixed=layout)})


def _with_robot(data: Any, path: Path) -> Any:
    """Return a scenario's plain data with the robot files that it names read into it."""
    if not isinstance(data, dict):
        return data
    read = {name: _with_model(data[name], path) for name in ("robots", "forklifts") if name in data}
    robots = read.get("robots")
    if isinstance(robots, dict) and isinstance(robots.get("others"), list):
        read["robots"] = {**robots, "others": [_with_model(other, path) for other in robots["others"]]}
    return {**data, **read}


def _with_model(fleet: Any, path: Path) -> Any:
    """Return plain data with the file that ``model`` names, if it is no built-in name, read into it."""
    name = fleet.get("model") if isinstance(fleet, dict) else None
    if not isinstance(name, str) or (Path(name).name == name and not Path(name).suffix):
        return fleet
    return {**fleet, "model": load_robot(name, path.parent)}


def _with_textures(scenario: Scenario, path: Path) -> Scenario:
    """Return a scenario with its texture files read."""
    textures = scenario.materials.textures
    if not textures:
        return scenario
    read = {
        name: tuple(image.embedded(path.parent, f"{path}, materials.textures.{name}") for image in images)
        for name, images in textures.items()
    }
    return scenario.model_copy(update={"materials": scenario.materials.model_copy(update={"textures": read})})


def _with_orders(scenario: Scenario, path: Path) -> Scenario:
    """Return a scenario with its order file read."""
    orders = scenario.orders
    if orders is None or orders.file is None:
        return scenario
    lines, skipped = read_orders(path.parent / orders.file)
    read = orders.model_copy(update={"file": None, "replay": lines, "skipped": skipped})
    return scenario.model_copy(update={"orders": read})


def _require_valid(layout: Layout, source: str, robots: tuple[RobotModel, ...]) -> None:
    # Only a scenario with a ready hall needs the checks, which rasterise it.
    from ..layouts.validation import require_valid

    smallest = min(robots, key=lambda robot: robot.radius)
    require_valid(layout, source, robot_radius=smallest.radius, footprint=(smallest.length, smallest.width))
