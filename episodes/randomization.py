"""From a scenario to one concrete episode: every range drawn, from streams named by seed, index and purpose.

Each quantity has its own stream, so that adding a range, a robot or a person never changes what the others draw.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..common.config import StrictModel, config_hash
from ..common.errors import InputError
from ..common.seeding import generator
from ..layouts.generator import generate_layout
from ..layouts.model import Good, Layout
from ..layouts.recipe import LayoutRecipe
from ..perception.appearance import Appearance, MaterialTexture
from ..perception.config import CameraConfig, ImuConfig, LidarConfig, Lighting, WheelOdometryConfig
from ..robots.fleet_spread import RobotMotion
from ..robots.model import DriveParameters, RobotModel
from ..robots.motion_spread import MotionSpread
from ..robots.twin_draw import CONFIDENCE_WIDTH, GAINS, draw_drive, draw_motion, draw_names, respond_drive
from .distributions import Sampler
from .drivers import Driver
from .people import Walker
from .scenario import DRIVE_QUANTITIES, MATERIAL_QUANTITIES, RECIPE_QUANTITIES, DriveRanges, Scenario
from .sensor_ranges import CAMERA_ELEMENTS, LidarRanges

if TYPE_CHECKING:
    from ..robots.twin import Twin, TwinParameter

Settings = TypeVar("Settings", bound=StrictModel)

_KEPT = 4
"""Generated layouts, and hashes of layouts, that a process keeps."""
_hashes: dict[int, tuple[Layout, str]] = {}
_RECIPE_ATTEMPTS = 50
"""Draws of a recipe before its ranges count as impossible."""


@dataclass(frozen=True)
class SampledTask:
    """One pick-and-drop: payload [kg], time to load and time to unload [s]."""

    payload: float
    load_time: float
    unload_time: float


@dataclass(frozen=True)
class SampledScenario:
    """One concrete episode, before anything is simulated.

    Attributes:
        layout: the hall with the goods of this episode.
        lighting: its light.
        appearance: how its surfaces look.
        friction: coefficient between drive wheels and floor [-].
        loose_mass: factor on the masses of loose goods [-].
        models: the nominal robots (what policies are told), one for each robot.
        drives: the true drive of each robot.
        motions: how each robot departs from its drive's gains, or None.
        lidar, camera, imu, odometry: sensor settings with this episode's errors.
        lidar_latency: from a scan until it is seen [s].
        position_error, heading_error, error_time: localisation error [m], [rad] (standard deviations), [s].
        walkers: the people.
        drivers: the forklifts and who drives them.
        tasks: for each robot, in order.
        values: everything drawn, by dotted name, in SI units; plain floats.
    """

    layout: Layout
    lighting: Lighting
    appearance: Appearance
    friction: float
    loose_mass: float
    models: tuple[RobotModel, ...]
    drives: tuple[DriveParameters, ...]
    motions: tuple[RobotMotion | None, ...]
    lidar: LidarConfig
    camera: CameraConfig
    imu: ImuConfig
    odometry: WheelOdometryConfig
    lidar_latency: float
    position_error: float
    heading_error: float
    error_time: float
    walkers: tuple[Walker, ...]
    drivers: tuple[Driver, ...]
    tasks: tuple[tuple[SampledTask, ...], ...]
    values: dict[str, Any]

    @property
    def model(self) -> RobotModel:
        """The nominal robot of a fleet of one model; that of the first robot."""
        return self.models[0]


class _Draw:
    """Draws named values and remembers them."""

    def __init__(self, seed: int, index: int) -> None:
        self.seed, self.index = seed, index
        self.values: dict[str, Any] = {}

    def value(self, name: str, source: Sampler) -> float:
        """Draw the value of a dotted name, in SI units."""
        drawn = float(source.sample(generator(self.seed, self.index, name)))
        self.values[name] = drawn
        return drawn

    def count(self, name: str, source: Sampler) -> int:
        """Draw a whole number."""
        return round(self.value(name, source))


def sample_scenario(scenario: Scenario, seed: int, index: int, twin: Twin | None = None) -> SampledScenario:
    """Draw everything that is random about an episode before its first step.

    Args:
        scenario: the ranges.
        seed, index: what identifies the episode.
        twin: calibrated parameters. Its identifiable drive parameters are drawn from their 95 % intervals (a normal
            around the value, cut at the interval's ends), in place of the scenario's absolute ranges; ranges in
            ``unit: nominal`` multiply what the twin says. ``twin_draw: posterior`` draws them together, and what the
            log did not identify as well (see ``robots.twin_draw``). Its lidar noise likewise, for the lidar of all
            robots.

    Returns:
        The episode; equal arguments give an equal one, whatever was drawn before.

    Raises:
        InputError: the ranges of the recipe allow no hall that can be built, or the drive parameters no robot.
    """
    draw = _Draw(seed, index)
    layout = _layout(scenario, draw)
    fleet = _fleet(scenario, draw)
    robots = len(fleet)
    per_robot = draw.count("tasks.per_robot", scenario.tasks.per_robot)
    lidar, camera, imu, odometry = _sensors(scenario, draw, twin)
    sensors = scenario.sensors
    return SampledScenario(
        layout=layout,
        lighting=_lighting(scenario, draw),
        appearance=_appearance(scenario, draw),
        friction=draw.value("floor.friction", scenario.floor.friction),
        loose_mass=draw.value("goods.mass", scenario.goods.mass),
        models=tuple(model for model, _ in fleet),
        drives=tuple(_drive(scenario, draw, robot, *fleet[robot], twin) for robot in range(robots)),
        motions=tuple(_motion(draw, robot, _spread(scenario, fleet[robot][0], twin)) for robot in range(robots)),
        lidar=lidar,
        camera=camera,
        imu=imu,
        odometry=odometry,
        lidar_latency=draw.value("sensors.lidar_latency", sensors.lidar_latency),
        position_error=draw.value("sensors.position_error", sensors.position_error),
        heading_error=draw.value("sensors.heading_error", sensors.heading_error),
        error_time=draw.value("sensors.error_time", sensors.error_time),
        walkers=_walkers(scenario, draw),
        drivers=_drivers(scenario, draw),
        tasks=tuple(
            tuple(_task(scenario, draw, robot, k, fleet[robot][0]) for k in range(per_robot)) for robot in range(robots)
        ),
        values=draw.values,
    )


def layout_hash(layout: Layout) -> str:
    """Return 16 hex digits that identify the content of a layout."""
    kept = _hashes.get(id(layout))
    if kept is not None and kept[0] is layout:
        return kept[1]
    content = config_hash(layout)
    while len(_hashes) >= _KEPT:
        _hashes.pop(next(iter(_hashes)))
    _hashes[id(layout)] = layout, content
    return content


def forget_layouts() -> None:
    """Give back the generated layouts that were kept for the next episode in the same hall."""
    _kept_layout.cache_clear()
    _hashes.clear()


@functools.lru_cache(maxsize=_KEPT)
def _kept_layout(recipe: LayoutRecipe, seed: int) -> Layout:
    """Return a generated layout; nobody can change one, and episodes in variants of a hall come back to it."""
    return generate_layout(recipe, seed)


def _layout(scenario: Scenario, draw: _Draw) -> Layout:
    source = scenario.layout
    if source.fixed is not None:
        layout = source.fixed
    else:
        if source.file is not None:
            raise InputError(
                f"the layout file '{source.file}' was not read", mend="read the scenario with load_scenario"
            )
        variant = draw.index if source.variants is None else draw.index % source.variants
        layout = _generated(scenario, draw, variant)
    return _with_goods(layout, scenario, draw)


def _generated(scenario: Scenario, draw: _Draw, variant: int) -> Layout:
    """Draw a recipe that can be built, then the hall; both depend on the variant, not on the episode."""
    base = (scenario.layout.recipe or LayoutRecipe()).model_dump()
    varied = {name: getattr(scenario.layout.vary, name) for name in RECIPE_QUANTITIES}
    problem: Exception | None = None
    for attempt in range(_RECIPE_ATTEMPTS):
        drawn = {
            name: float(source.sample(generator(draw.seed, variant, "layout", name, attempt)))
            for name, source in varied.items()
            if source is not None
        }
        whole = {name: round(value) if RECIPE_QUANTITIES[name].whole else value for name, value in drawn.items()}
        try:
            recipe = LayoutRecipe.model_validate({**base, **whole})
            layout_seed = int(generator(draw.seed, variant, "layout").integers(2**31))
            layout = _kept_layout(recipe, layout_seed)
        except (ValueError, InputError) as error:
            problem = error
            continue
        draw.values.update({f"layout.{name}": value for name, value in drawn.items()})
        draw.values["layout.variant"] = float(variant)
        return layout
    raise InputError(
        f"{_RECIPE_ATTEMPTS} draws of the recipe's ranges gave no hall that can be built; the last: {problem}",
        where=f"scenario '{scenario.name}', layout.vary",
        mend="narrow the ranges so that racks and aisles fit the area",
    )


def _with_goods(layout: Layout, scenario: Scenario, draw: _Draw) -> Layout:
    """Take goods out of the racks and change colours as the scenario asks."""
    missing = draw.value("goods.missing", scenario.goods.missing)
    spread = draw.value("goods.color_spread", scenario.goods.color_spread)
    if missing <= 0 and spread <= 0:
        return layout
    rng = generator(draw.seed, draw.index, "goods")
    gone = _taken(layout.goods, rng.random(len(layout.goods)) < missing)
    tint = 1.0 + spread * rng.uniform(-1.0, 1.0, (len(layout.goods), 3))
    goods = tuple(_tinted(good, tint[i]) for i, good in enumerate(layout.goods) if not gone[i])
    return layout.model_copy(update={"goods": goods})


def _taken(goods: tuple[Good, ...], chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which goods go when the chosen ones do: none that stands loose, but all that stand on one that goes."""
    racks: dict[str, list[int]] = {}
    for i, good in enumerate(goods):
        if good.rack is not None:
            racks.setdefault(good.rack, []).append(i)
    gone = np.zeros(len(goods), dtype=np.bool_)
    for members in racks.values():
        place = np.array([(goods[i].x, goods[i].y, goods[i].z) for i in members])
        reach = np.array([0.5 * math.hypot(*goods[i].size[:2]) for i in members])
        top = place[:, 2] + np.array([goods[i].size[2] for i in members])
        going = chosen[members]
        for k in np.argsort(place[:, 2], kind="stable"):
            below = going & (np.abs(top - place[k, 2]) < 0.02)
            near = np.hypot(*(place[:, :2] - place[k, :2]).T) < np.maximum(reach, reach[k])
            going[k] = going[k] or bool(np.any(below & near))
        gone[members] = going
    return gone


def _tinted(good: Good, factor: np.ndarray) -> Good:
    red, green, blue = (int(np.clip(round(c * f), 0, 255)) for c, f in zip(good.color, factor, strict=True))
    return good.model_copy(update={"color": (red, green, blue)})


def _lighting(scenario: Scenario, draw: _Draw) -> Lighting:
    light = scenario.light
    azimuth = draw.value("light.azimuth", light.azimuth)
    elevation = draw.value("light.elevation", light.elevation)
    return Lighting(
        direction=(
            math.cos(elevation) * math.cos(azimuth),
            math.cos(elevation) * math.sin(azimuth),
            -math.sin(elevation),
        ),
        key=draw.value("light.key", light.key),
        ambient=draw.value("light.ambient", light.ambient),
        temperature=draw.value("light.temperature", light.temperature),
        lamps=draw.value("light.lamps", light.lamps),
        lamp_temperature=None
        if light.lamp_temperature is None
        else draw.value("light.lamp_temperature", light.lamp_temperature),
        lamp_failing=draw.value("light.lamp_failing", light.lamp_failing),
        lamp_seed=int(generator(draw.seed, draw.index, "light.lamp_seed").integers(2**31)),
    )


def _appearance(scenario: Scenario, draw: _Draw) -> Appearance:
    materials = scenario.materials
    drawn = {name: draw.value(f"materials.{name}", getattr(materials, name)) for name in MATERIAL_QUANTITIES}
    textures = []
    for material, images in sorted(materials.textures.items()):
        place = int(generator(draw.seed, draw.index, f"materials.textures.{material}").integers(len(images)))
        draw.values[f"materials.textures.{material}"] = float(place)
        textures.append(MaterialTexture(material=material, image=images[place]))
        textures[-1].image.content()
    seed = int(generator(draw.seed, draw.index, "materials.seed").integers(2**31))
    try:
        return Appearance.model_validate({**drawn, "seed": seed, "textures": tuple(textures)})
    except ValueError as error:
        raise InputError(
            f"the materials drawn are impossible: {error}",
            where=f"scenario '{scenario.name}', materials",
            mend="narrow the ranges",
        ) from error


def _fleet(scenario: Scenario, draw: _Draw) -> list[tuple[RobotModel, DriveRanges]]:
    """Return model and ranges of the drive of each robot."""
    robots = scenario.robots
    fleet = [(robots.model, robots.drive)] * draw.count("robots.count", robots.count)
    for k, other in enumerate(robots.others):
        fleet += [(other.model, other.drive)] * draw.count(f"robots.others.{k}.count", other.count)
    return fleet


def _drive(
    scenario: Scenario, draw: _Draw, robot: int, model: RobotModel, ranges: DriveRanges, twin: Twin | None
) -> DriveParameters:
    """Draw the true drive of one robot around the model's values, or the twin's."""
    twin = twin if model is scenario.robots.model else None
    base = (twin.apply(model) if twin is not None else model).drive
    posterior = twin is not None and scenario.robots.twin_draw == "posterior"
    spread = _spread(scenario, model, twin)
    apart = GAINS if spread is not None else ()
    changed: dict[str, float] = _posterior(draw, robot, twin, apart) if posterior and twin is not None else {}
    for name in DRIVE_QUANTITIES:
        label = f"robots.{robot}.drive.{name}"
        calibrated = changed.get(name) if posterior else _from_twin(draw, label, name, twin)
        source = getattr(ranges, name)
        if calibrated is not None:
            changed[name] = calibrated
        if source is None:
            continue
        if source.dimension == "nominal":
            factor = draw.value(f"{label}.factor", source)
            changed[name] = changed.get(name, float(getattr(base, name))) * factor
            draw.values[label] = changed[name]
        elif calibrated is None:
            changed[name] = draw.value(label, source)
    try:
        drawn = type(base).model_validate({**base.model_dump(), **changed})
        return drawn if spread is None else respond_drive(drawn, base, spread)
    except ValueError as error:
        raise InputError(
            f"the drive drawn for robot {robot} is impossible: {error}",
            where=f"scenario '{scenario.name}', robots.drive",
            mend="narrow the ranges",
        ) from error


def _spread(scenario: Scenario, model: RobotModel, twin: Twin | None) -> MotionSpread | None:
    """Return by what spread robots of a model drive; a twin is of the fleet's first model alone."""
    if twin is None or model is not scenario.robots.model or not scenario.robots.motion_spread:
        return None
    return twin.spread


def _motion(draw: _Draw, robot: int, spread: MotionSpread | None) -> RobotMotion | None:
    """Draw what a robot differs by from its kind."""
    if spread is None:
        return None
    motion = draw_motion(spread, generator(draw.seed, draw.index, f"robots.{robot}.motion"))
    names = ("turn", "travel", "veer", "tail")
    draw.values.update({f"robots.{robot}.motion.{name}": getattr(motion, name) for name in names})
    return motion


def _posterior(draw: _Draw, robot: int, twin: Twin, apart: Collection[str]) -> dict[str, float]:
    """Draw a robot that the twin allows: what all have in common, and what this one differs by."""
    count = len(draw_names(twin))
    common = generator(draw.seed, draw.index, "robots.twin").standard_normal(count)
    own = generator(draw.seed, draw.index, f"robots.{robot}.twin").standard_normal(count)
    drawn = draw_drive(twin, common, own, drawn_apart=apart)
    draw.values.update({f"robots.{robot}.drive.{name}": value for name, value in drawn.items()})
    return drawn


def _from_twin(draw: _Draw, label: str, name: str, twin: Twin | None) -> float | None:
    """Draw a parameter from the twin's interval, if the log identified it."""
    parameter = twin.parameters.get(name) if twin is not None else None
    if parameter is None or not parameter.identifiable:
        return None
    return _drawn(draw, label, parameter)


def _drawn(draw: _Draw, label: str, parameter: TwinParameter) -> float:
    """Draw a calibrated parameter from its interval."""
    low = parameter.value if parameter.ci_low is None else parameter.ci_low
    high = parameter.value if parameter.ci_high is None else parameter.ci_high
    spread = (high - low) / CONFIDENCE_WIDTH
    normal = float(generator(draw.seed, draw.index, label).standard_normal())
    value = min(max(parameter.value + spread * normal, low), high)
    draw.values[label] = value
    return value


def _calibrated_lidar(
    lidar: LidarConfig, vary: LidarRanges, draw: _Draw, twin: Twin | None
) -> tuple[LidarConfig, LidarRanges]:
    """Return the lidar with the noise of the twin, if it has any: what the log identified drawn from its interval.

    Of the ranges, absolute ones of what the log identified are left out.
    """
    if twin is None or not twin.lidar:
        return lidar, vary
    values = {
        name: _drawn(draw, f"sensors.lidar.{name}", parameter) if parameter.identifiable else parameter.value
        for name, parameter in sorted(twin.lidar.items())
    }
    try:
        calibrated = lidar.calibrated(values)
    except ValueError as error:
        raise InputError(
            f"the lidar section of twin '{twin.name}' does not fit the scenario's lidar: {error}",
            where="sensors.lidar",
            mend="calibrate the lidar again, or leave its section out of the twin",
        ) from error
    ranges = {name: getattr(vary, name, None) for name, item in twin.lidar.items() if item.identifiable}
    known = {name: None for name, source in ranges.items() if source is not None and source.dimension != "nominal"}
    return calibrated, vary.model_copy(update=known)


def _sensors(
    scenario: Scenario, draw: _Draw, twin: Twin | None
) -> tuple[LidarConfig, CameraConfig, ImuConfig, WheelOdometryConfig]:
    sensors, vary = scenario.sensors, scenario.sensors.vary
    imu = sensors.imu
    gyroscope = _varied(scenario, draw, "sensors.imu.gyroscope", imu.gyroscope, vary.imu.gyroscope)
    accelerometer = _varied(scenario, draw, "sensors.imu.accelerometer", imu.accelerometer, vary.imu.accelerometer)
    lidar, lidar_ranges = _calibrated_lidar(sensors.lidar, vary.lidar, draw, twin)
    return (
        _varied(scenario, draw, "sensors.lidar", lidar, lidar_ranges),
        _varied(scenario, draw, "sensors.camera", sensors.camera, vary.camera, CAMERA_ELEMENTS),
        imu.model_copy(
            update={
                "gyroscope": gyroscope,
                "accelerometer": accelerometer,
                "rate": float(scenario.imu_samples * scenario.control_rate),
            }
        ),
        _varied(scenario, draw, "sensors.odometry", sensors.odometry, vary.odometry),
    )


def _varied(
    scenario: Scenario,
    draw: _Draw,
    label: str,
    base: Settings,
    vary: StrictModel,
    elements: Mapping[str, tuple[str, int]] | None = None,
) -> Settings:
    """Return settings with what varies drawn anew; a range in nominal units multiplies what ``base`` says.

    ``elements`` names ranges of single elements: name -> field and place in it.
    """
    changes: dict[str, Any] = {}
    for name in type(vary).model_fields:
        source = getattr(vary, name)
        if source is None:
            continue
        field, place = (elements or {}).get(name, (name, -1))
        before = changes.get(field, getattr(base, field))
        if source.dimension == "nominal":
            nominal = float(before if place < 0 else before[place])
            value = nominal * draw.value(f"{label}.{name}.factor", source)
            draw.values[f"{label}.{name}"] = value
        else:
            value = draw.value(f"{label}.{name}", source)
        changes[field] = value if place < 0 else (*before[:place], value, *before[place + 1 :])
    if not changes:
        return base
    try:
        return type(base).model_validate({**base.model_dump(), **changes})
    except ValueError as error:
        raise InputError(
            f"the settings drawn for {label} are impossible: {error}",
            where=f"scenario '{scenario.name}', sensors.vary",
            mend="narrow the ranges",
        ) from error


def _walkers(scenario: Scenario, draw: _Draw) -> tuple[Walker, ...]:
    people = scenario.people
    careless = draw.value("people.careless", people.careless)
    crossing = draw.value("people.crossing", people.crossing)
    walkers = []
    count = draw.count("people.count", people.count)
    groups = _groups(scenario, draw, count)
    sudden = draw.value("people.sudden", people.sudden) if people.model == "social_force" else 0.0
    for person in range(count):
        chance = generator(draw.seed, draw.index, f"people.{person}.behaviour").random(2)
        walkers.append(
            Walker(
                speed=draw.value(f"people.{person}.speed", people.speed),
                pause=draw.value(f"people.{person}.pause", people.pause),
                stops_per_minute=people.stops_per_minute,
                careless=bool(chance[0] < careless),
                crossing=bool(chance[1] < crossing) and groups[person] < 0,
                sudden=groups[person] < 0
                and sudden > 0.0
                and bool(generator(draw.seed, draw.index, f"people.{person}.sudden").random() < sudden),
                group=groups[person],
            )
        )
        if people.model == "social_force":
            draw.values[f"people.{person}.sudden"] = float(walkers[-1].sudden)
            draw.values[f"people.{person}.group"] = float(walkers[-1].group)
        draw.values[f"people.{person}.careless"] = float(walkers[-1].careless)
        draw.values[f"people.{person}.crossing"] = float(walkers[-1].crossing)
    return tuple(walkers)


def _drivers(scenario: Scenario, draw: _Draw) -> tuple[Driver, ...]:
    ranges = scenario.forklifts
    if ranges is None:
        return ()
    careless = draw.value("forklifts.careless", ranges.careless)
    drivers = []
    for number in range(draw.count("forklifts.count", ranges.count)):
        label = f"forklifts.{number}"
        chance = float(generator(draw.seed, draw.index, f"{label}.behaviour").random())
        drivers.append(
            Driver(
                speed=draw.value(f"{label}.speed", ranges.speed),
                reaction_time=draw.value(f"{label}.reaction_time", ranges.reaction_time),
                careless=chance < careless,
                dwell=draw.value(f"{label}.dwell", ranges.dwell),
                payload=min(draw.value(f"{label}.payload", ranges.payload), ranges.model.max_payload),
            )
        )
        draw.values[f"{label}.careless"] = float(drivers[-1].careless)
    return tuple(drivers)


def _groups(scenario: Scenario, draw: _Draw, count: int) -> list[int]:
    """Return the number of the group of each person, -1 for those who walk alone: first the groups, then the others."""
    people = scenario.people
    if people.model != "social_force":
        return [-1] * count
    together = round(draw.value("people.groups", people.groups) * count)
    groups: list[int] = []
    while together - len(groups) >= 2:
        number = groups[-1] + 1 if groups else 0
        size = min(draw.count(f"people.groups.{number}.size", people.group_size), together - len(groups))
        # Nobody is left over as a group of one.
        size += together - len(groups) - size == 1
        groups += [number] * size
    return groups + [-1] * (count - len(groups))


def _task(scenario: Scenario, draw: _Draw, robot: int, number: int, model: RobotModel) -> SampledTask:
    tasks, label = scenario.tasks, f"tasks.{robot}.{number}"
    return SampledTask(
        payload=min(draw.value(f"{label}.payload", tasks.payload), model.max_payload),
        load_time=draw.value(f"{label}.load_time", tasks.dwell),
        unload_time=draw.value(f"{label}.unload_time", tasks.dwell),
    )
