"""The twin file: calibrated parameters of a robot, what they rest on, and how far the replay still is from reality."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, ValidationError, model_serializer, model_validator

from ..common.config import StrictModel, load_model, save_model
from ..common.errors import InputError
from .model import DRIVE_OF, RobotKind, RobotModel
from .motion_spread import MotionSpread
from .tricycle import TRICYCLE_PARAMETERS, TricycleParameters
from .wheels import WHEEL_PARAMETERS, WheelParameters

NOT_CALIBRATED = frozenset({"encoder_ticks", "steering_ticks"})
"""Drive fields that are counts, not measures."""
DRIVE_PARAMETERS: dict[str, tuple[str, ...]] = {
    kind: tuple(name for name in drive.model_fields if name not in NOT_CALIBRATED) for kind, drive in DRIVE_OF.items()
}
"""Drive fields that a twin may hold, by kind of robot."""
_DRIVE_NAME = {"axis_length": "wheel_base", "steer_offset": "steering_offset"}
"""What a tricycle's drive calls what the calibration of its encoders calls otherwise. The encoders' own ratios
(``k_steer``, ``k_traction``) say how they are geared, which is not the drive's affair."""


_SECTIONS = frozenset({"odometry", "lidar", "family", "correlation", "monitor", "sensor_monitor", "spread"})
"""Parts of a twin that may be absent."""


class TwinParameter(StrictModel):
    """A calibrated value and what is known about it."""

    value: float
    ci_low: float | None = None
    """Lower end of the 95 % interval, of the mean over robots or stretches of the log (see ``gap.calibration``)."""
    ci_high: float | None = None
    identifiable: bool
    """False if the log does not pin the value down: it should stay randomized over the interval."""
    unit: str

    @model_validator(mode="after")
    def _interval_in_order(self) -> TwinParameter:
        if (self.ci_low is None) != (self.ci_high is None):
            raise ValueError("ci_low and ci_high must both be given or both be left out")
        if self.ci_low is not None and self.ci_high is not None and self.ci_low > self.ci_high:
            raise ValueError(f"the interval is upside down: {self.ci_low} > {self.ci_high}")
        return self


class FamilyParameter(StrictModel):
    """How a parameter differs between robots of one kind."""

    mean: float
    spread: float = Field(ge=0)
    """Standard deviation across robots, the uncertainty of each robot's own fit taken off."""
    robots: dict[str, TwinParameter]
    """By robot, its own value."""
    unit: str
    ci_low: float | None = None
    """Lower end of the 95 % interval of the mean; ``ci_high``: upper end."""
    ci_high: float | None = None
    spread_low: float | None = None
    """Lower end of the 95 % interval of the spread; ``spread_high``: upper end."""
    spread_high: float | None = None
    new_low: float | None = None
    """Lower end of the 95 % interval of a robot of this kind that was not logged; ``new_high``: upper end."""
    new_high: float | None = None

    @model_serializer(mode="wrap")
    def _without_what_is_absent(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        document: dict[str, Any] = handler(self)
        return {key: value for key, value in document.items() if value is not None}


class ParameterCorrelation(StrictModel):
    """How the errors of a fit's parameters hang together: the correlations of its refits."""

    names: list[str]
    rows: list[list[float]]
    """Symmetric, by order of the names."""

    @model_validator(mode="after")
    def _is_a_correlation(self) -> ParameterCorrelation:
        count = len(self.names)
        if len(self.rows) != count or any(len(row) != count for row in self.rows):
            raise ValueError(f"{count} names need {count} rows of {count} correlations")
        for i in range(count):
            for j in range(i + 1):
                wrong = self.rows[i][j] != self.rows[j][i] or abs(self.rows[i][j]) > 1.0
                if wrong or (i == j and self.rows[i][i] != 1.0):
                    raise ValueError(f"row {i + 1}, column {j + 1} is not a correlation: {self.rows[i][j]}")
        return self


class MonitorNoise(StrictModel):
    """What a sound robot's window errors are like, for the drift monitor (see ``gap.drift_filter``)."""

    window_s: float = Field(gt=0)
    names: list[str]
    """Of the parameters that the lists below run over."""
    white: list[float]
    """Scale of the noise of each channel of an error: along [m], across [m], heading [rad]."""
    window: list[float]
    """Scatter of each parameter from window to window."""
    wander_quick: list[float]
    """Standard deviation of each parameter's changes within seconds; ``wander_slow``: within minutes."""
    wander_slow: list[float]
    memory_s: tuple[float, float]
    """How long quick and slow changes last [s]."""
    tails: float = Field(gt=2)
    """Degrees of freedom of the errors' Student-t."""
    by_response: bool = False
    """Whether errors are those of the replay by the twin's spread (``gap.response_replay``), not by its gains."""
    dispersion: float = Field(default=1.0, ge=1)
    """How many times as great as the noise explains the test came out on the sound robots' own logs, on average."""

    @model_validator(mode="after")
    def _lists_fit(self) -> MonitorNoise:
        for name in ("window", "wander_quick", "wander_slow"):
            if len(getattr(self, name)) != len(self.names):
                raise ValueError(f"{name} has {len(getattr(self, name))} values for {len(self.names)} parameters")
        return self


class SoundStretches(StrictModel):
    """How one quantity of a sound robot's sensors came out, stretch by stretch of one log (see ``gap.drift_sensors``).

    The estimate of a stretch is ``score / info``, and ``info`` is how much the stretch tells of it.
    """

    score: list[float]
    info: list[Annotated[float, Field(gt=0)]]

    @model_validator(mode="after")
    def _lists_fit(self) -> SoundStretches:
        if len(self.score) != len(self.info):
            raise ValueError(f"{len(self.score)} scores for {len(self.info)} stretches")
        return self


class LogSource(StrictModel):
    """A log file that a twin rests on."""

    file: str
    """Name without folder: twins move between machines."""
    robot: str
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class GapRow(StrictModel):
    """One gap figure on data that the calibration never saw."""

    name: str
    robot: str
    horizon_s: float | None
    value: float
    ci_low: float | None
    ci_high: float | None
    n: int
    floor: float | None
    ratio: float | None
    unit: str


class TwinProvenance(StrictModel):
    """What a twin rests on."""

    tool: str
    """Name and version of the program that wrote it."""
    date: str | None = None
    """Given by the caller; never taken from the clock, so that the same input gives the same file."""
    seed: int = Field(ge=0)
    logs: list[LogSource]
    trained_on: list[str]
    judged_on: list[str]
    gap_before: list[GapRow]
    gap_after: list[GapRow]
    notes: list[str] = Field(default_factory=list)
    parent: Annotated[str, Field(pattern="^[0-9a-f]{16}$")] | None = None
    """Hash of the twin that this one was calibrated anew from (``config_hash``)."""
    command: str | None = None
    """What was called to make it."""

    @model_serializer(mode="wrap")
    def _without_what_is_absent(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what first versions do not have, so that they keep their hash and their file."""
        document: dict[str, Any] = handler(self)
        return {key: value for key, value in document.items() if value is not None or key not in ("parent", "command")}


class Twin(StrictModel):
    """The calibrated parameters of one robot type. What it does not name keeps the model's value."""

    format: Literal[1] = 1
    """Version of the file format."""
    name: str
    version: int = Field(default=1, ge=1)
    """Counts the calibrations of this robot."""
    kind: RobotKind
    """A tricycle's twin may hold what its encoders' calibration finds (``TricycleParameters``), fields of its drive, or
    both; that of the others likewise what their wheels' calibration finds (``WheelParameters``)."""
    parameters: dict[str, TwinParameter]
    odometry: dict[str, TwinParameter] = Field(default_factory=dict)
    """What its own dead reckoning gets wrong, by the field names of ``robots.odometry``; empty if not fitted."""
    lidar: dict[str, TwinParameter] = Field(default_factory=dict)
    """The lidar's noise, by the field names of ``LidarConfig``; empty if not fitted."""
    family: dict[str, FamilyParameter] = Field(default_factory=dict)
    """How parameters differ from robot to robot of this kind; empty if fewer than two robots were fitted."""
    correlation: ParameterCorrelation | None = None
    """Of the errors of ``parameters``; None if not known."""
    monitor: dict[str, MonitorNoise] = Field(default_factory=dict)
    """What a sound robot's errors are like, by what is monitored (``motion``); empty if not fitted."""
    sensor_monitor: dict[str, dict[str, SoundStretches]] = Field(default_factory=dict)
    """What a sound robot's sensors show, by quantity (``lidar_bias``, ``odometry_turn``, ...) and log; empty if not
    fitted."""
    spread: MotionSpread | None = None
    """How motion differs from its mean, each time and from robot to robot; None if not fitted."""
    provenance: TwinProvenance

    @model_serializer(mode="wrap")
    def _without_what_is_absent(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave empty sections out, so that a twin without them keeps its hash and its file."""
        document: dict[str, Any] = handler(self)
        return {key: value for key, value in document.items() if value or key not in _SECTIONS}

    @property
    def values(self) -> dict[str, float]:
        """Calibrated value by parameter name."""
        return {name: parameter.value for name, parameter in self.parameters.items()}

    def apply(self, model: RobotModel) -> RobotModel:
        """Return the robot with the calibrated drive parameters in place.

        Raises:
            InputError: the twin is of another kind of robot, or a value does not fit the model.
        """
        self._require(model.kind)
        try:
            return RobotModel.model_validate(
                {**model.model_dump(), "drive": {**model.drive.model_dump(), **self._drive()}}
            )
        except ValidationError as error:
            raise _unfit(self.name, error) from error

    def apply_tricycle(self, model: TricycleParameters) -> TricycleParameters:
        """Return the tricycle with the calibrated parameters in place; raises as ``apply`` does."""
        self._require("tricycle")
        try:
            return TricycleParameters.model_validate({**model.model_dump(), **self._kinematic()})
        except ValidationError as error:
            raise _unfit(self.name, error) from error

    def apply_wheels(self, wheels: WheelParameters, kind: str) -> WheelParameters:
        """Return the wheels with the calibrated parameters in place; raises as ``apply`` does."""
        self._require(kind)
        try:
            return WheelParameters.model_validate({**wheels.model_dump(), **self._wheels()})
        except ValidationError as error:
            raise _unfit(self.name, error) from error

    def _wheels(self) -> dict[str, float]:
        """Values of the wheels and the tracked mark."""
        return {name: value for name, value in self.values.items() if name in WheelParameters.model_fields}

    def _kinematic(self) -> dict[str, float]:
        """Values of a tricycle's encoders and its tracked sensor."""
        return {name: value for name, value in self.values.items() if name in TRICYCLE_PARAMETERS}

    def _drive(self) -> dict[str, float]:
        """Values of the drive, with what the encoders' calibration found of it where its own are not given."""
        own = {name: value for name, value in self.values.items() if name in DRIVE_PARAMETERS[self.kind]}
        found = self._kinematic() if self.kind == "tricycle" else {}
        translated = {_DRIVE_NAME[name]: value for name, value in found.items() if name in _DRIVE_NAME}
        return {**translated, **own}

    def _require(self, kind: str) -> None:
        if self.kind != kind:
            raise InputError(
                f"twin '{self.name}' is of a {self.kind} robot, a {kind} robot was to be set",
                mend=f"give a twin that was calibrated on a {kind} robot",
            )

    @model_validator(mode="after")
    def _parameters_fit_kind(self) -> Twin:
        if self.spread is not None and self.kind != "differential":
            raise ValueError(f"a {self.kind} robot has no spread: it is known of differential drives alone")
        known = DRIVE_PARAMETERS[self.kind] + (TRICYCLE_PARAMETERS if self.kind == "tricycle" else WHEEL_PARAMETERS)
        for name in self.parameters:
            if name not in known:
                raise ValueError(f"a {self.kind} robot has no parameter '{name}' (known: {', '.join(known)})")
        try:
            DRIVE_OF[self.kind].model_validate(self._drive())
            if self.kind == "tricycle":
                TricycleParameters.model_validate(self._kinematic())
            else:
                WheelParameters.model_validate(self._wheels())
        except ValidationError as error:
            item = error.errors()[0]
            raise ValueError(f"parameters.{item['loc'][0]}: {item['msg']}") from error
        return self


def load_twin(path: str | Path) -> Twin:
    """Read a twin file.

    Raises:
        InputError: the file is missing, is not YAML or does not validate; names field and line.
    """
    return load_model(path, Twin)


def save_twin(twin: Twin, path: str | Path) -> None:
    """Write a twin file, whole or not at all."""
    save_model(twin, path)


def family_member(twin: Twin, robot: str) -> Twin:
    """Return the twin of one robot of the family: its own values and intervals, and all else as in the family's twin.

    Args:
        twin: with a ``family``.
        robot: one of its robots, ``robot1`` or ``1``.

    Raises:
        InputError: the twin has no family, or that robot is not in it.
    """
    known = list(dict.fromkeys(name for parameter in twin.family.values() for name in parameter.robots))
    name = next((item for item in known if item in (robot, f"robot{robot}")), None)
    if name is None:
        what = f"it holds {', '.join(known)}" if known else "it was not fitted to several robots"
        raise InputError(f"twin '{twin.name}' has no robot '{robot}': {what}", mend="name one of its robots")
    own = {key: parameter.robots[name] for key, parameter in twin.family.items() if name in parameter.robots}
    return twin.model_copy(update={"name": f"{twin.name} {name}", "parameters": {**twin.parameters, **own}})


def _unfit(name: str, error: ValidationError) -> InputError:
    item = error.errors()[0]
    return InputError(f"twin '{name}' does not fit the robot model: {item['loc']}: {item['msg']}")
